//! Adversarial examples as a picture, in the lecture's form: clean + eps x noise = adversarial.

use std::convert::Infallible;
use std::io::Cursor;
use std::path::Path;

use anyhow::Result;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Alignment, Text};
use image::{ImageFormat, Rgb, RgbImage};

use crate::files::write_atomically;

/// An image and what the model makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Pixels in [0, 1], in row, column, channel order.
    pub pixels: Vec<f32>,
    /// The predicted class.
    pub class: usize,
    /// Its probability.
    pub confidence: f32,
}

/// One attack on one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The attack's name.
    pub attack: String,
    /// Largest change of a pixel.
    pub eps: f32,
    /// Height, width and channels (1 or 3).
    pub shape: [usize; 3],
    /// The true class.
    pub label: usize,
    /// The class a targeted attack aimed at.
    pub target: Option<usize>,
    /// Before the attack.
    pub clean: View,
    /// After it.
    pub adversarial: View,
}

/// Blue for -1, white for 0, red for 1; told apart also by colour-blind eyes.
pub fn diverging(x: f32) -> [u8; 3] {
    let end: [f32; 3] = if x < 0.0 { [33.0, 102.0, 172.0] } else { [178.0, 24.0, 43.0] };
    let weight = x.abs().min(1.0);
    end.map(|end| (255.0 + (end - 255.0) * weight) as u8)
}

const INK: Rgb888 = Rgb888::new(34, 34, 40);
const PALE: Rgb888 = Rgb888::new(120, 120, 130);
const WRONG: Rgb888 = Rgb888::new(178, 24, 43);
const RIGHT: Rgb888 = Rgb888::new(27, 120, 55);
const PAPER: Rgb<u8> = Rgb([250, 250, 248]);

/// Width of a tile, of the space between tiles and of the margin, in pixels.
const TILE: u32 = 168;
const GAP: u32 = 64;
const MARGIN: u32 = 24;
/// Height of a caption.
const CAPTION: u32 = 34;
/// Room for a row's name.
const NAME: u32 = 116;
/// Rows on top of each other before a second column begins.
const ROWS: usize = 6;

/// The picture as a drawing surface for text.
struct Canvas(RgbImage);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            let place = (u32::try_from(point.x).ok(), u32::try_from(point.y).ok());
            if let (Some(x), Some(y)) = place
                && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
            {
                *pixel = Rgb([colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

impl Canvas {
    fn text(&mut self, text: &str, x: u32, y: u32, colour: Rgb888, alignment: Alignment) {
        let style = MonoTextStyle::new(&FONT_10X20, colour);
        let place = Point::new(x as i32, y as i32);
        // Drawing on this canvas cannot fail.
        let _ = Text::with_alignment(text, place, style, alignment).draw(self);
    }

    /// Values enlarged to a tile with nearest neighbour, with a thin frame.
    fn tile(&mut self, values: &[f32], shape: [usize; 3], x: u32, y: u32, paint: impl Fn(&[f32]) -> [u8; 3]) {
        let [height, width, channels] = shape;
        let scale = (TILE as usize / height.max(width).max(1)).max(1);
        let size = Size::new((width * scale) as u32, (height * scale) as u32);
        let left = x + TILE.saturating_sub(size.width) / 2;
        let top = y + TILE.saturating_sub(size.height) / 2;
        for (i, pixel) in values.chunks_exact(channels.max(1)).enumerate() {
            let [r, g, b] = paint(pixel);
            let corner = Point::new(left as i32 + (i % width * scale) as i32, top as i32 + (i / width * scale) as i32);
            let _ = self.fill_solid(&Rectangle::new(corner, Size::new_equal(scale as u32)), Rgb888::new(r, g, b));
        }
        let frame = Rectangle::new(Point::new(left as i32 - 1, top as i32 - 1), size + Size::new_equal(2));
        let _ = frame.into_styled(PrimitiveStyle::with_stroke(PALE, 1)).draw(self);
    }
}

/// Grey or RGB pixel to a colour.
fn colour(pixel: &[f32]) -> [u8; 3] {
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    match *pixel {
        [r, g, b] => [byte(r), byte(g), byte(b)],
        _ => [byte(pixel.iter().sum::<f32>() / pixel.len().max(1) as f32); 3],
    }
}

/// One row per example under a title; a second column of rows begins where there are many.
pub fn draw(title: &str, examples: &[Example]) -> RgbImage {
    let columns = examples.len().div_ceil(ROWS).max(1);
    let rows = examples.len().div_ceil(columns) as u32;
    let row_width = NAME + 3 * TILE + 2 * GAP + MARGIN;
    let row_height = TILE + CAPTION + MARGIN / 2;
    let head = MARGIN + 36;
    let (width, height) = (2 * MARGIN + columns as u32 * row_width, head + rows * row_height + MARGIN);
    let mut canvas = Canvas(RgbImage::from_pixel(width, height, PAPER));
    canvas.text(title, MARGIN, MARGIN + 14, INK, Alignment::Left);
    for (i, example) in examples.iter().enumerate() {
        let (column, row) = (i as u32 / rows.max(1), i as u32 % rows.max(1));
        draw_row(&mut canvas, example, MARGIN + column * row_width, head + row * row_height);
    }
    canvas.0
}

fn draw_row(canvas: &mut Canvas, example: &Example, x: u32, y: u32) {
    let Example { attack, eps, shape, label, target, clean, adversarial } = example;
    let middle = y + TILE / 2 + 6;
    canvas.text(attack, x, middle - 14, INK, Alignment::Left);
    let aim = target.map_or(format!("eps {eps}"), |target| format!("to \"{target}\""));
    canvas.text(&aim, x, middle + 12, PALE, Alignment::Left);
    let tiles = [0, 1, 2].map(|k| x + NAME + k * (TILE + GAP));
    canvas.tile(&clean.pixels, *shape, tiles[0], y, colour);
    let noise: Vec<f32> = adversarial.pixels.iter().zip(&clean.pixels).map(|(a, c)| (a - c) / eps).collect();
    canvas.tile(&noise, *shape, tiles[1], y, |pixel| diverging(pixel.iter().sum::<f32>() / pixel.len() as f32));
    canvas.tile(&adversarial.pixels, *shape, tiles[2], y, colour);
    let between = |k: usize| tiles[k] + TILE + GAP / 2;
    canvas.text("+", between(0), middle - 12, INK, Alignment::Center);
    canvas.text(&format!("{eps} x"), between(0), middle + 12, INK, Alignment::Center);
    canvas.text("=", between(1), middle, INK, Alignment::Center);
    let caption = |view: &View| format!("\"{}\" {:.1} %", view.class, 100.0 * view.confidence);
    let judged = |class: usize| if class == *label { RIGHT } else { WRONG };
    let below = y + TILE + 22;
    let centre = |k: usize| tiles[k] + TILE / 2;
    canvas.text(&caption(clean), centre(0), below, judged(clean.class), Alignment::Center);
    canvas.text("noise", centre(1), below, PALE, Alignment::Center);
    canvas.text(&caption(adversarial), centre(2), below, judged(adversarial.class), Alignment::Center);
}

/// Writes a PNG file, whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn save_png(image: &RgbImage, path: &Path) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    write_atomically(path, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(shape: [usize; 3]) -> Example {
        let view = |value| View { pixels: vec![value; shape.iter().product()], class: 1, confidence: 0.5 };
        let (clean, adversarial) = (view(0.5), view(0.6));
        Example { attack: "FGSM".into(), eps: 0.1, shape, label: 1, target: None, clean, adversarial }
    }

    #[test]
    fn any_number_and_size_of_images_fits() {
        for shape in [[28, 28, 1], [1, 1, 1], [3, 7, 3], [200, 300, 1]] {
            for count in [0, 1, 6, 7, 30] {
                let image = draw("title", &vec![example(shape); count]);
                assert!(image.height() < 2400 && image.width() > 0, "{shape:?} {count}");
            }
        }
    }

    #[test]
    fn tiles_show_pixels_and_noise() {
        let image = draw("", &[example([28, 28, 1])]);
        let inside = |k: u32| *image.get_pixel(MARGIN + NAME + k * (TILE + GAP) + 50, MARGIN + 36 + 50);
        assert_eq!([inside(0), inside(1), inside(2)], [Rgb([128; 3]), Rgb(diverging(1.0)), Rgb([153; 3])]);
    }

    #[test]
    fn no_change_is_white() {
        assert_eq!(diverging(0.0), [255; 3]);
    }
}
