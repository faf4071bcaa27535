//! Images in a terminal: half blocks with 24-bit colour, or characters of growing weight where there is no colour.

use std::ffi::OsStr;
use std::io::IsTerminal;

use console::measure_text_width;

use crate::pixels::diverging;

/// From paper to ink.
const RAMP: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// The upper half of a cell in the foreground's colour; the lower half shows the background's.
const HALF_BLOCK: char = '\u{2580}';

/// Mean change, in units of eps, from which a character shows it: one of two rows changed by half of eps.
const VISIBLE: f32 = 0.25;

/// Whether standard output takes colours.
pub fn colour() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !forbidden && !is_dumb()
}

/// Whether the terminal can do nothing but print characters, as those inside editors.
pub fn is_dumb() -> bool {
    is_dumb_name(std::env::var_os("TERM").as_deref())
}

fn is_dumb_name(name: Option<&OsStr>) -> bool {
    // Windows does not set it.
    name.map_or(cfg!(unix), |name| name == "dumb")
}

/// An image as lines of text, two rows of pixels a line.
pub fn digit(pixels: &[f32], shape: [usize; 3], colour: bool) -> Vec<String> {
    let grey = |v: f32| [(v.clamp(0.0, 1.0) * 255.0).round() as u8; 3];
    lines(pixels, shape, colour, grey, |mean| RAMP[(mean.clamp(0.0, 1.0) * (RAMP.len() - 1) as f32).round() as usize])
}

/// The change of an image in units of `eps`: red up, blue down; without colour `+` and `-`.
pub fn noise(clean: &[f32], adversarial: &[f32], eps: f32, shape: [usize; 3], colour: bool) -> Vec<String> {
    // Without an eps there is no change to show, but there may be rounding errors.
    let unit = if eps > 0.0 { eps } else { 1.0 };
    let change: Vec<f32> = adversarial.iter().zip(clean).map(|(x, c)| ((x - c) / unit).clamp(-1.0, 1.0)).collect();
    lines(&change, shape, colour, diverging, |mean| match mean {
        mean if mean >= VISIBLE => '+',
        mean if mean <= -VISIBLE => '-',
        _ => ' ',
    })
}

/// Mean over the channels at a position; missing values count as 0.
fn at(values: &[f32], [_, width, channels]: [usize; 3], y: usize, x: usize) -> f32 {
    let start = (y * width + x) * channels;
    values.get(start..start + channels).map_or(0.0, |pixel| pixel.iter().sum::<f32>() / channels.max(1) as f32)
}

/// Lines of one character per column and two rows; the last line of an odd number of rows has one.
fn lines(
    values: &[f32],
    shape: [usize; 3],
    colour: bool,
    paint: impl Fn(f32) -> [u8; 3],
    character: impl Fn(f32) -> char,
) -> Vec<String> {
    let [height, width, _] = shape;
    let line = |y: usize| {
        let cells = (0..width).map(|x| {
            let bottom = (y + 1 < height).then(|| at(values, shape, y + 1, x));
            (at(values, shape, y, x), bottom)
        });
        if colour {
            return coloured(cells.map(|(top, bottom)| (paint(top), bottom.map(&paint))));
        }
        cells.map(|(top, bottom)| character(bottom.map_or(top, |bottom| (top + bottom) / 2.0))).collect()
    };
    (0..height).step_by(2).map(line).collect()
}

/// Half blocks; colours are only switched where they change, which keeps the line short over serial and network links.
fn coloured(cells: impl Iterator<Item = ([u8; 3], Option<[u8; 3]>)>) -> String {
    let (mut text, mut last) = (String::new(), None);
    for cell in cells {
        if last != Some(cell) {
            let ([r, g, b], bottom) = cell;
            // 49 is the terminal's own background, below the last row of an odd number.
            let below = bottom.map_or("49".into(), |[r, g, b]| format!("48;2;{r};{g};{b}"));
            text += &format!("\x1b[38;2;{r};{g};{b};{below}m");
            last = Some(cell);
        }
        text.push(HALF_BLOCK);
    }
    text + "\x1b[0m"
}

/// Blocks of lines beside each other, each as wide as its widest line.
pub fn side_by_side(blocks: &[Vec<String>], gap: &str) -> Vec<String> {
    let widths = blocks.iter().map(|block| block.iter().map(|line| measure_text_width(line)).max().unwrap_or(0));
    let widths: Vec<usize> = widths.collect();
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let line = |y: usize| {
        let cells = blocks.iter().zip(&widths).map(|(block, width)| {
            let text = block.get(y).map_or("", String::as_str);
            format!("{text}{}", " ".repeat(width - measure_text_width(text)))
        });
        cells.collect::<Vec<_>>().join(gap)
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_share_a_line() {
        let image = [0.0, 1.0, 0.0, 1.0, 0.5, 0.0];
        assert_eq!(digit(&image, [3, 2, 1], false), [" @", "+ "]);
        assert_eq!(digit(&[0.0; 784], [28, 28, 1], false), vec![" ".repeat(28); 14]);
        assert_eq!(digit(&[1.0, 0.0, 0.5], [1, 1, 3], false), ["+"]);
    }

    #[test]
    fn colours_are_switched_where_they_change() {
        let text = "\x1b[38;2;0;0;0;48;2;255;255;255m\u{2580}\u{2580}\x1b[0m";
        assert_eq!(digit(&[0.0, 0.0, 1.0, 1.0], [2, 2, 1], true), [text]);
        assert_eq!(digit(&[0.0], [1, 1, 1], true), ["\x1b[38;2;0;0;0;49m\u{2580}\x1b[0m"]);
    }

    #[test]
    fn a_terminal_says_by_its_name_that_it_is_dumb() {
        assert!(is_dumb_name(Some("dumb".as_ref())));
        assert!(!is_dumb_name(Some("xterm-256color".as_ref())));
        assert_eq!(is_dumb_name(None), cfg!(unix));
    }

    #[test]
    fn noise_has_a_direction() {
        assert_eq!(noise(&[0.5; 3], &[0.6, 0.4, 0.5], 0.1, [1, 3, 1], false), ["+- "]);
        assert_eq!(noise(&[0.5; 2], &[0.6, 0.4], 0.1, [2, 1, 1], false), [" "]);
        assert_eq!(noise(&[0.5], &[0.5], 0.0, [1, 1, 1], false), [" "]);
    }

    #[test]
    fn blocks_are_padded() {
        let blocks = [vec!["a".to_string(), "bcd".into()], vec!["\x1b[31mx\x1b[0m".into()]];
        assert_eq!(side_by_side(&blocks, "|"), ["a  |\x1b[31mx\x1b[0m", "bcd| "]);
    }
}
