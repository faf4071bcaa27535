//! eps and alpha as people write them: `0.1`, `8/255`, `2q`, and lists of them.

use anyhow::{Result, anyhow, ensure};

use crate::data::Input;

/// Levels of an 8-bit pixel above 0, in which other tools count.
const LEVELS: f64 = 255.0;

/// What a model takes that says nothing of its pixels.
const PIXELS: Input = Input::pixels([1, 1, 1], 1);

/// A change of a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Eps {
    /// In the units of the model's input.
    Units(f32),
    /// In steps of the grid of a model of integers.
    Steps(f32),
}

impl Eps {
    /// The change in the units of a model that takes `input`; `option` is the option's name.
    ///
    /// # Errors
    /// A change above the model's range, or in steps that the model does not have.
    pub(crate) fn of(self, option: &str, input: &Input) -> Result<f32> {
        let value = match self {
            Self::Units(value) => value,
            Self::Steps(steps) => {
                let no_grid = || {
                    anyhow!(
                        "{option} is {steps}q: q is a step of the grid of a model of 8-bit integers, and this model has none: \
                         expected a number such as 0.1, or a fraction such as 8/255"
                    )
                };
                let value = steps * input.grid.ok_or_else(no_grid)?.scale;
                ensure!(
                    steps <= LEVELS as f32,
                    "{option} is {steps}q: expected at most {LEVELS}q, from one end to the other"
                );
                // The last bit of a product of both may lie beyond.
                return Ok(value.min(input.width()));
            }
        };
        ensure!(value <= input.width(), "{option} is {value}: {}", too_large(value, input));
        Ok(value)
    }
}

/// What was expected of a change that is too large.
fn too_large(value: f32, input: &Input) -> String {
    let [low, high] = input.range;
    if input.range != [0.0, 1.0] {
        return format!("expected at most {}, because the model takes {low} to {high}", input.width());
    }
    let levels = if f64::from(value) <= LEVELS { f64::from(value) } else { 8.0 };
    let unit = levels / LEVELS;
    format!("expected at most 1, in units of [0, 1]: {levels} of 255 is {unit:.4}, written {levels}/255")
}

/// Reads a change: a number, a fraction, or steps with a `q` behind them.
///
/// # Errors
/// What was expected, for after the option's name and its value.
pub(crate) fn parse(text: &str) -> Result<Eps, String> {
    let (number_text, in_steps) = text.trim_end().strip_suffix('q').map_or((text, false), |steps| (steps, true));
    let value = match number_text.split_once('/') {
        Some((part, whole)) if !in_steps => number(part)? / number(whole)?,
        _ => number(number_text)?,
    };
    if !(value.is_finite() && value >= 0.0) {
        return Err("expected a finite number, not negative".into());
    }
    Ok(if in_steps { Eps::Steps(value as f32) } else { Eps::Units(value as f32) })
}

/// [`parse`] for a model that takes pixels from 0 to 1.
///
/// # Errors
/// Those of [`parse`] and of [`Eps::of`].
pub(crate) fn parse_pixels(text: &str) -> Result<f32, String> {
    match parse(text)? {
        Eps::Units(value) if value <= 1.0 => Ok(value),
        Eps::Units(value) => Err(too_large(value, &PIXELS)),
        Eps::Steps(_) => {
            Err("expected a number such as 0.1, or a fraction such as 8/255: q is for models of integers".into())
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    let expected = "expected a number such as 0.1, a fraction such as 8/255, or steps of a grid such as 2q";
    text.trim().parse().map_err(|_| expected.into())
}

/// The eps of a robust evaluation that nobody gave: 0.3 of pixels from 0 to 1, elsewhere two steps of the grid.
pub(crate) fn default_of(input: &Input) -> f32 {
    match input.grid {
        Some(grid) if input.range != [0.0, 1.0] => 2.0 * grid.scale,
        _ => 0.3 * input.width(),
    }
}

/// Numbers separated by commas.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List(Vec<Eps>);

impl List {
    /// All numbers of an option that may be given several times, in the units of a model that takes `input`.
    ///
    /// # Errors
    /// Those of [`Eps::of`].
    pub(crate) fn flatten(lists: &[Self], option: &str, input: &Input) -> Result<Vec<f32>> {
        lists.iter().flat_map(|list| &list.0).map(|eps| eps.of(option, input)).collect()
    }

    /// How many numbers there are.
    pub(crate) fn count(lists: &[Self]) -> usize {
        lists.iter().map(|list| list.0.len()).sum()
    }
}

/// Reads numbers separated by commas.
///
/// # Errors
/// As [`parse`]; and `0,1`, which half of the world reads as a tenth.
pub(crate) fn parse_list(text: &str) -> Result<List, String> {
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((whole, decimals)) = text.split_once(',')
        && is_whole(whole)
        && is_whole(decimals)
    {
        return Err(format!(
            "a comma separates the numbers of a list, {whole} and {decimals}: write {whole}.{decimals} with a point, or the \
             list as {whole}.0,{decimals}.0"
        ));
    }
    text.split(',').map(parse).collect::<Result<_, _>>().map(List)
}

#[cfg(test)]
mod tests {
    use midge_core::Grid;

    use super::*;

    fn of(text: &str, input: &Input) -> Result<f32> {
        parse(text).unwrap().of("--eps", input)
    }

    #[test]
    fn fractions_are_what_they_say() {
        assert_eq!(parse("0.1"), Ok(Eps::Units(0.1)));
        assert_eq!(parse("8/255"), Ok(Eps::Units(8.0 / 255.0)));
        assert_eq!(parse(" 1 / 3"), Ok(Eps::Units(1.0 / 3.0)));
        assert_eq!([parse("2q"), parse(" 1.5q ")], [Ok(Eps::Steps(2.0)), Ok(Eps::Steps(1.5))]);
        assert_eq!(["0", "1", "255/255"].map(|text| of(text, &PIXELS).unwrap()), [0.0, 1.0, 1.0]);
        let list = parse_list("0.1, 8/255,0").unwrap();
        assert_eq!(List::count(&[list.clone(), list.clone()]), 6);
        assert_eq!(List::flatten(&[list], "--eps", &PIXELS).unwrap(), [0.1, 8.0 / 255.0, 0.0]);
    }

    #[test]
    fn what_is_not_in_the_range_is_refused_with_the_unit() {
        let message = |text| of(text, &PIXELS).unwrap_err().to_string();
        assert_eq!(
            message("8"),
            "--eps is 8: expected at most 1, in units of [0, 1]: 8 of 255 is 0.0314, written 8/255"
        );
        for text in ["1.0001", "300", "8/2", "1e30"] {
            assert!(message(text).contains("in units of [0, 1]"), "{text}");
        }
        assert_eq!(parse_pixels("8/255"), Ok(8.0 / 255.0));
        assert!(parse_pixels("8").unwrap_err().contains("written 8/255"));
        assert!(parse_pixels("2q").unwrap_err().contains("q is for models of integers"));
        for text in ["-0.1", "nan", "inf", "-inf", "1/0", "0/0", "-1/255", "-1q", "nanq"] {
            assert!(parse(text).unwrap_err().contains("finite"), "{text}");
        }
        for text in ["", "x", "1/", "/255", "1/2/3", "0.1px", "q", "1/2q", "2qq"] {
            assert!(parse(text).unwrap_err().contains("expected a number"), "{text}");
        }
    }

    #[test]
    fn steps_are_those_of_the_models_grid() {
        let input = Input::int8([1, 1, 1], 2, Grid { scale: 0.5, zero_point: 83 });
        assert_eq!(["2q", "2", "255q"].map(|text| of(text, &input).unwrap()), [1.0, 2.0, 127.5]);
        let message = |text, input| of(text, input).unwrap_err().to_string();
        assert!(message("256q", &input).contains("--eps is 256q: expected at most 255q"));
        assert!(message("128", &input).contains("expected at most 127.5, because the model takes -105.5 to 22"));
        assert!(message("2q", &PIXELS).contains("this model has none: expected a number such as 0.1"));
        let pixels = Input::int8([1, 1, 1], 2, Grid { scale: 1.0 / 255.0, zero_point: -128 });
        assert_eq!((of("255q", &pixels).unwrap(), pixels.shown(8.0 / 255.0)), (1.0, "0.03137255 (8q)".into()));
    }

    #[test]
    fn a_decimal_comma_is_not_a_list() {
        for text in ["0,1", "0,05", "1,0"] {
            assert!(parse_list(text).unwrap_err().contains("with a point"), "{text}");
        }
        let list = |text| List::flatten(&[parse_list(text).unwrap()], "--eps", &PIXELS).unwrap();
        assert_eq!(list("0,0.1"), [0.0, 0.1]);
        assert_eq!(list("0.0,1.0"), [0.0, 1.0]);
        assert!(parse_list("0.1,").unwrap_err().contains("expected a number"));
        assert!(List::flatten(&[parse_list("0.1,8").unwrap()], "--eps", &PIXELS).is_err());
    }
}
