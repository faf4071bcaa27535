//! Images in a terminal: half blocks with 24-bit colour, or characters of growing weight where there is no colour.

use std::io::IsTerminal;

use console::measure_text_width;

/// From paper to ink.
const RAMP: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// Whether standard output takes colours.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// An image as lines of text, two rows of pixels a line.
pub fn digit(pixels: &[f32], shape: [usize; 3], colour: bool) -> Vec<String> {
    let grey = |v: f32| [(v * 255.0) as u8; 3];
    lines(pixels, shape, colour, grey, |top, bottom| {
        let mean = ((top + bottom) / 2.0).clamp(0.0, 1.0);
        RAMP[(mean * (RAMP.len() - 1) as f32).round() as usize]
    })
}

/// The change of an image in units of `eps`: red up, blue down; without colour `+` and `-`.
pub fn noise(clean: &[f32], adversarial: &[f32], eps: f32, shape: [usize; 3], colour: bool) -> Vec<String> {
    let change: Vec<f32> = adversarial.iter().zip(clean).map(|(x, c)| ((x - c) / eps).clamp(-1.0, 1.0)).collect();
    lines(&change, shape, colour, crate::picture::diverging, |top, bottom| match top + bottom {
        sum if sum > 0.5 => '+',
        sum if sum < -0.5 => '-',
        _ => ' ',
    })
}

/// Mean over the channels at a position.
fn at(values: &[f32], [_, width, channels]: [usize; 3], y: usize, x: usize) -> f32 {
    let start = (y * width + x) * channels;
    values.get(start..start + channels).map_or(0.0, |pixel| pixel.iter().sum::<f32>() / channels as f32)
}

fn lines(
    values: &[f32],
    shape: [usize; 3],
    colour: bool,
    paint: impl Fn(f32) -> [u8; 3],
    character: impl Fn(f32, f32) -> char,
) -> Vec<String> {
    let [height, width, _] = shape;
    let line = |y: usize| -> String {
        let cells = (0..width).map(|x| {
            let (top, bottom) = (at(values, shape, y, x), at(values, shape, y + 1, x));
            if !colour {
                return character(top, bottom).to_string();
            }
            let ([r, g, b], [s, t, u]) = (paint(top), paint(bottom));
            format!("\x1b[38;2;{r};{g};{b};48;2;{s};{t};{u}m\u{2580}")
        });
        let cells: String = cells.collect();
        if colour { cells + "\x1b[0m" } else { cells }
    };
    (0..height).step_by(2).map(line).collect()
}

/// Blocks of lines beside each other, each as wide as its widest line.
pub fn side_by_side(blocks: &[Vec<String>], gap: &str) -> Vec<String> {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let line = |y: usize| {
        let cells = blocks.iter().map(|block| {
            let width = block.iter().map(|line| measure_text_width(line)).max().unwrap_or(0);
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
        let image = [0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        assert_eq!(digit(&image, [3, 2, 1], false), [" @", "+ "]);
        assert_eq!(digit(&image, [3, 2, 1], true).len(), 2);
        assert_eq!(noise(&[0.5; 2], &[0.6, 0.4], 0.1, [1, 2, 1], false), ["+-"]);
    }

    #[test]
    fn blocks_are_padded() {
        let blocks = [vec!["a".to_string(), "bcd".into()], vec!["\x1b[31mx\x1b[0m".into()]];
        assert_eq!(side_by_side(&blocks, "|"), ["a  |\x1b[31mx\x1b[0m", "bcd| "]);
    }
}
