//! eps and alpha as people write them: `0.1`, `8/255`, and lists of them.

/// The largest eps: from one end of a pixel's range to the other.
const RANGE: f64 = 1.0;

/// Levels of an 8-bit pixel above 0, in which other tools count.
const LEVELS: f64 = 255.0;

/// Reads an eps, a number or a fraction from 0 to 1.
///
/// # Errors
/// What was expected, for after the option's name and its value.
pub(crate) fn parse(text: &str) -> Result<f32, String> {
    parse_as("eps", text)
}

/// [`parse`] of an alpha.
pub(crate) fn parse_alpha(text: &str) -> Result<f32, String> {
    parse_as("alpha", text)
}

fn parse_as(what: &str, text: &str) -> Result<f32, String> {
    let value = match text.split_once('/') {
        Some((part, whole)) => number(part)? / number(whole)?,
        None => number(text)?,
    };
    if !(value.is_finite() && value >= 0.0) {
        return Err("expected a finite number, not negative".into());
    }
    if value > RANGE {
        let levels = if value <= LEVELS { value } else { 8.0 };
        let unit = levels / LEVELS;
        return Err(format!(
            "expected at most 1: {what} is in units of [0, 1]; {levels} of 255 is {unit:.4}, written {levels}/255"
        ));
    }
    Ok(value as f32)
}

fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| "expected a number such as 0.1, or a fraction such as 8/255".into())
}

/// Numbers separated by commas.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List(Vec<f32>);

impl List {
    /// All numbers of an option that may be given several times.
    pub(crate) fn flatten(lists: &[Self]) -> Vec<f32> {
        lists.iter().flat_map(|list| &list.0).copied().collect()
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
    use super::*;

    #[test]
    fn fractions_are_what_they_say() {
        assert_eq!(parse("0.1"), Ok(0.1));
        assert_eq!(parse("8/255"), Ok(8.0 / 255.0));
        assert_eq!(parse(" 1 / 3"), Ok(1.0 / 3.0));
        assert_eq!((parse("0"), parse("1"), parse("255/255")), (Ok(0.0), Ok(1.0), Ok(1.0)));
        assert_eq!(parse_list("0.1, 8/255,0"), Ok(List(vec![0.1, 8.0 / 255.0, 0.0])));
        assert_eq!(List::flatten(&[List(vec![0.5]), List(vec![0.25, 0.0])]), [0.5, 0.25, 0.0]);
    }

    #[test]
    fn what_is_not_in_the_range_is_refused_with_the_unit() {
        let message = parse("8").unwrap_err();
        assert!(message.contains("eps is in units of [0, 1]; 8 of 255 is 0.0314"), "{message}");
        assert!(parse_alpha("2").unwrap_err().contains("alpha is in units of [0, 1]"));
        for text in ["1.0001", "300", "8/2", "1e30"] {
            assert!(parse(text).unwrap_err().contains("in units of [0, 1]"), "{text}");
        }
        for text in ["-0.1", "nan", "inf", "-inf", "1/0", "0/0", "-1/255"] {
            assert!(parse(text).unwrap_err().contains("finite"), "{text}");
        }
        for text in ["", "x", "1/", "/255", "1/2/3", "0.1px"] {
            assert!(parse(text).unwrap_err().contains("expected a number"), "{text}");
        }
    }

    #[test]
    fn a_decimal_comma_is_not_a_list() {
        for text in ["0,1", "0,05", "1,0"] {
            assert!(parse_list(text).unwrap_err().contains("with a point"), "{text}");
        }
        assert_eq!(parse_list("0,0.1"), Ok(List(vec![0.0, 0.1])));
        assert_eq!(parse_list("0.0,1.0"), Ok(List(vec![0.0, 1.0])));
        assert!(parse_list("0.1,").unwrap_err().contains("expected a number"));
        assert!(parse_list("0.1,8").unwrap_err().contains("8 of 255"));
    }
}
