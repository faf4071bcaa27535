//! Adversarial examples as a picture, in the lecture's form: clean + eps x noise = adversarial.

use std::convert::Infallible;
use std::io::Cursor;

use anyhow::Result;
use embedded_graphics::mono_font::iso_8859_1::{FONT_9X18_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use image::{ImageFormat, Rgb, RgbImage, imageops};

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
    let weight = if x.is_nan() { 0.0 } else { x.abs().min(1.0) };
    end.map(|end| (255.0 + (end - 255.0) * weight) as u8)
}

type Colour = [u8; 3];

const PAPER: Colour = [250, 250, 248];
const INK: Colour = [34, 34, 40];
const PALE: Colour = [110, 110, 120];
const LINE: Colour = [200, 200, 204];
const WRONG: Colour = [196, 40, 28];
const RIGHT: Colour = [0, 122, 82];
const TARGET: Colour = [20, 88, 190];

const MARGIN: u32 = 40;
/// Room above the rows for the title and the headings, below them for the legend.
const HEAD: u32 = 116;
const FOOT: u32 = 64;
/// Below a tile: its caption, then air.
const CAPTION: u32 = 34;
const AIR: u32 = 20;
/// Between the tiles: `+ eps x` and `=`.
const PLUS: u32 = 148;
const EQUALS: u32 = 76;
/// Between columns of rows.
const GUTTER: u32 = 88;
/// Up to this many rows stand in one column with large tiles; more become columns of at most `TALL` small ones.
const FEW: usize = 8;
const TALL: usize = 12;
/// Longest text in front of a row, in characters.
const NAME: usize = 14;

/// The sum's signs: from and to where each stroke goes.
const PLUS_SIGN: [[f32; 4]; 2] = [[-12.0, 0.0, 12.0, 0.0], [0.0, -12.0, 0.0, 12.0]];
const TIMES_SIGN: [[f32; 4]; 2] = [[-6.0, -6.0, 6.0, 6.0], [-6.0, 6.0, 6.0, -6.0]];
const EQUALS_SIGN: [[f32; 4]; 2] = [[-12.0, -5.0, 12.0, -5.0], [-12.0, 5.0, 12.0, 5.0]];

/// Where things are, in pixels.
struct Layout {
    tile: u32,
    columns: u32,
    rows: u32,
    row_height: u32,
    /// Left edges of the clean image, the noise and the adversarial image in a row.
    tiles: [u32; 3],
}

impl Layout {
    fn new(examples: &[Example]) -> Self {
        let count = examples.len();
        let (tile, columns) = if count <= FEW { (168, 1) } else { (112, count.div_ceil(TALL).max(2)) };
        let longest = examples.iter().map(|e| e.attack.chars().count()).max().unwrap_or(0);
        let clean = longest.clamp(7, NAME) as u32 * 9 + 24;
        let tiles = [clean, clean + tile + PLUS, clean + 2 * tile + PLUS + EQUALS];
        let rows = count.div_ceil(columns).max(1) as u32;
        Self { tile, columns: columns as u32, rows, row_height: tile + CAPTION + AIR, tiles }
    }

    /// Left edge of a column of rows.
    fn column(&self, column: u32) -> u32 {
        MARGIN + column * (self.tiles[2] + self.tile + GUTTER)
    }

    /// Rows follow each other downwards, so that an attack's examples stay together.
    fn row(&self, i: u32) -> (u32, u32) {
        (self.column(i / self.rows), HEAD + i % self.rows * self.row_height)
    }
}

/// The picture as a drawing surface.
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
            // A negative coordinate wraps to one far outside.
            if let Some(pixel) = self.0.get_pixel_mut_checked(point.x as u32, point.y as u32) {
                *pixel = Rgb([colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        Self(RgbImage::from_pixel(width, height, Rgb(PAPER)))
    }

    /// Text whose lines are centred on `y`.
    fn text(&mut self, text: &str, (x, y): (u32, u32), font: &MonoFont<'_>, colour: Colour, alignment: Alignment) {
        let style = MonoTextStyle::new(font, rgb(colour));
        let layout = TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Middle).build();
        // Drawing on this canvas cannot fail.
        let _ = Text::with_text_style(text, Point::new(x as i32, y as i32), style, layout).draw(self);
    }

    /// Text of twice the font's size. Enlarged further with rounded stairs and then shrunk, its edges come out smooth.
    fn headline(&mut self, text: &str, (x, y): (u32, u32)) {
        let mut small = Self::new(10 * text.chars().count() as u32 + 2, 22);
        small.text(text, (1, 11), &FONT_10X20, INK, Alignment::Left);
        let large = double(&double(&small.0));
        let smooth = imageops::thumbnail(&large, large.width() / 2, large.height() / 2);
        imageops::overlay(&mut self.0, &smooth, i64::from(x), i64::from(y) - i64::from(smooth.height() / 2));
    }

    fn rectangle(&mut self, x: u32, y: u32, width: u32, height: u32, colour: Colour) {
        let area = Rectangle::new(Point::new(x as i32, y as i32), Size::new(width, height));
        let _ = self.fill_solid(&area, rgb(colour));
    }

    /// A stroke with round, smooth ends: each pixel is inked by its distance from the line.
    fn stroke(&mut self, (ax, ay): (f32, f32), (bx, by): (f32, f32)) {
        const RADIUS: f32 = 1.8;
        let reach = |a: f32, b: f32| (a.min(b) - 3.0) as u32..=(a.max(b) + 3.0) as u32;
        let (dx, dy) = (bx - ax, by - ay);
        for y in reach(ay, by) {
            for x in reach(ax, bx) {
                let (px, py) = (x as f32 + 0.5 - ax, y as f32 + 0.5 - ay);
                let along = ((px * dx + py * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
                let ink = (RADIUS + 0.5 - (px - along * dx).hypot(py - along * dy)).clamp(0.0, 1.0);
                if let Some(Rgb(pixel)) = self.0.get_pixel_mut_checked(x, y) {
                    *pixel = [0, 1, 2].map(|c| (f32::from(pixel[c]) * (1.0 - ink) + f32::from(INK[c]) * ink) as u8);
                }
            }
        }
    }

    /// A sign made of strokes around a point.
    fn sign(&mut self, strokes: [[f32; 4]; 2], (x, y): (u32, u32)) {
        let (x, y) = (x as f32, y as f32);
        for [ax, ay, bx, by] in strokes {
            self.stroke((x + ax, y + ay), (x + bx, y + by));
        }
    }

    /// An image in the middle of a square of side `tile`, enlarged or shrunk by a whole factor, in a frame.
    fn tile(
        &mut self,
        (values, shape): (&[f32], [usize; 3]),
        (x, y): (u32, u32),
        tile: u32,
        (frame, edge): (Colour, u32),
        paint: impl Fn([f32; 3]) -> Colour,
    ) {
        let [height, width, _] = shape;
        let (longest, side) = (height.max(width).max(1), tile as usize);
        let (scale, step) = ((side / longest).max(1) as u32, longest.div_ceil(side));
        let (across, down) = (width.div_ceil(step) as u32, height.div_ceil(step) as u32);
        let (left, top) = (x + (tile - across * scale) / 2, y + (tile - down * scale) / 2);
        self.rectangle(left - edge, top - edge, across * scale + 2 * edge, down * scale + 2 * edge, frame);
        for (i, j) in (0..down).flat_map(|i| (0..across).map(move |j| (i, j))) {
            let colour = paint(mean(values, shape, i as usize * step, j as usize * step, step));
            self.rectangle(left + j * scale, top + i * scale, scale, scale, colour);
        }
    }
}

fn rgb([r, g, b]: Colour) -> Rgb888 {
    Rgb888::new(r, g, b)
}

/// Mean colour of a square of pixels; grey in all three channels if there is one. What is missing counts as 0.
fn mean(values: &[f32], [height, width, channels]: [usize; 3], y: usize, x: usize, step: usize) -> [f32; 3] {
    let (rows, columns) = (y..(y + step).min(height), x..(x + step).min(width));
    let count = (rows.len() * columns.len()).max(1) as f32;
    [0, 1, 2].map(|c: usize| {
        let at = |i: usize, j: usize| (i * width + j) * channels + c.min(channels.saturating_sub(1));
        let square = rows.clone().flat_map(|i| columns.clone().map(move |j| (i, j)));
        square.map(|(i, j)| values.get(at(i, j)).copied().unwrap_or(0.0)).sum::<f32>() / count
    })
}

/// Twice the size, with the corners of stairs filled (the Scale2x rule).
fn double(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    RgbImage::from_fn(2 * width, 2 * height, |x, y| {
        let at = |dx: i64, dy: i64| {
            let clamp = |at: u32, d: i64, end: u32| (i64::from(at / 2) + d).clamp(0, i64::from(end) - 1) as u32;
            *image.get_pixel(clamp(x, dx, width), clamp(y, dy, height))
        };
        // The neighbours on this quarter's side, and those opposite.
        let (h, v) = (if x % 2 == 0 { -1 } else { 1 }, if y % 2 == 0 { -1 } else { 1 });
        let corner = at(h, 0) == at(0, v) && at(h, 0) != at(0, -v) && at(0, v) != at(-h, 0);
        if corner { at(h, 0) } else { at(0, 0) }
    })
}

/// At most `limit` characters, with dots for what is missing.
fn fit(text: &str, limit: usize) -> String {
    let (keep, dots) = if text.chars().count() <= limit { (limit, "") } else { (limit.saturating_sub(2), "..") };
    text.chars().take(keep).chain(dots.chars()).collect()
}

/// Two decimals, or three where two would not be exact.
fn number(eps: f32) -> String {
    match eps {
        e if e != 0.0 && e.abs() < 0.0005 => format!("{e:.0e}"),
        e if ((e * 100.0).round() - e * 100.0).abs() < 1e-3 => format!("{e:.2}"),
        e => format!("{e:.3}"),
    }
}

/// One row per example under a title; many examples become several columns of smaller rows.
pub fn draw(title: &str, examples: &[Example]) -> RgbImage {
    let layout = Layout::new(examples);
    let width = layout.column(layout.columns) - GUTTER + MARGIN;
    let mut canvas = Canvas::new(width, HEAD + layout.rows * layout.row_height + FOOT);
    canvas.headline(&fit(title, (width - 2 * MARGIN) as usize / 20), (MARGIN, MARGIN + 8));
    for column in 0..layout.columns {
        draw_headings(&mut canvas, &layout, column);
    }
    for (i, example) in examples.iter().enumerate() {
        draw_row(&mut canvas, &layout, example, layout.row(i as u32));
    }
    draw_legend(&mut canvas, examples.iter().any(|example| example.target.is_some()));
    canvas.0
}

fn draw_headings(canvas: &mut Canvas, layout: &Layout, column: u32) {
    let left = layout.column(column);
    let [clean, _, adversarial] = layout.tiles;
    for (heading, tile) in [("clean image", clean), ("adversarial image", adversarial)] {
        canvas.text(heading, (left + tile + layout.tile / 2, HEAD - 22), &FONT_9X18_BOLD, PALE, Alignment::Center);
    }
    if column > 0 {
        canvas.rectangle(left - GUTTER / 2, HEAD, 1, layout.rows * layout.row_height - AIR, LINE);
    }
}

fn draw_row(canvas: &mut Canvas, layout: &Layout, example: &Example, (x, y): (u32, u32)) {
    let Example { attack, eps, shape, label, target, clean, adversarial } = example;
    let (side, tiles, middle) = (layout.tile, layout.tiles.map(|tile| x + tile), y + layout.tile / 2);
    let name_y = if target.is_some() { middle - 11 } else { middle };
    canvas.text(&fit(attack, NAME), (x, name_y), &FONT_9X18_BOLD, INK, Alignment::Left);
    if let Some(target) = target {
        canvas.text(&format!("-> {target}"), (x, middle + 11), &FONT_10X20, TARGET, Alignment::Left);
    }
    let unit = if *eps > 0.0 { *eps } else { 1.0 };
    let noise: Vec<f32> = adversarial.pixels.iter().zip(&clean.pixels).map(|(a, c)| (a - c) / unit).collect();
    let grey = |pixel: [f32; 3]| pixel.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8);
    let signed = |pixel: [f32; 3]| diverging(pixel.iter().sum::<f32>() / 3.0);
    let (before, after) = (if clean.class == *label { RIGHT } else { WRONG }, verdict(example));
    canvas.tile((&clean.pixels, *shape), (tiles[0], y), side, (PALE, 1), grey);
    canvas.tile((&noise, *shape), (tiles[1], y), side, (PALE, 1), signed);
    canvas.tile((&adversarial.pixels, *shape), (tiles[2], y), side, (after, 3), grey);
    let between = tiles[0] + side + PLUS / 2;
    canvas.sign(PLUS_SIGN, (between - 48, middle));
    canvas.text(&number(*eps), (between + 6, middle), &FONT_10X20, INK, Alignment::Center);
    canvas.sign(TIMES_SIGN, (between + 50, middle));
    canvas.sign(EQUALS_SIGN, (tiles[1] + side + EQUALS / 2, middle));
    let says = |view: &View| format!("\"{}\"  {:.1} %", view.class, 100.0 * view.confidence);
    let captions = [(says(clean), before), ("noise".into(), PALE), (says(adversarial), after)];
    for ((caption, colour), tile) in captions.iter().zip(tiles) {
        canvas.text(caption, (tile + side / 2, y + side + 19), &FONT_10X20, *colour, Alignment::Center);
    }
}

/// The colour of what the model makes of the adversarial image.
fn verdict(example: &Example) -> Colour {
    match example.adversarial.class {
        class if Some(class) == example.target => TARGET,
        class if class == example.label => RIGHT,
        _ => WRONG,
    }
}

/// What the colours mean, at the bottom.
fn draw_legend(canvas: &mut Canvas, targeted: bool) {
    let y = canvas.0.height() - FOOT / 2 - 6;
    let mut x = MARGIN;
    let verdicts = [(RIGHT, "right"), (WRONG, "wrong"), (TARGET, "the target")];
    for (colour, meaning) in verdicts.into_iter().take(if targeted { 3 } else { 2 }) {
        canvas.rectangle(x, y - 6, 12, 12, colour);
        canvas.text(meaning, (x + 20, y), &FONT_10X20, PALE, Alignment::Left);
        x += 20 + 10 * meaning.len() as u32 + 28;
    }
    const BAR: u32 = 120;
    let right = canvas.0.width() - MARGIN;
    canvas.text("+1", (right, y), &FONT_10X20, PALE, Alignment::Right);
    let bar = right - 30 - BAR;
    canvas.rectangle(bar - 1, y - 7, BAR + 2, 14, PALE);
    for i in 0..BAR {
        canvas.rectangle(bar + i, y - 6, 1, 12, diverging(2.0 * i as f32 / (BAR - 1) as f32 - 1.0));
    }
    canvas.text("noise  -1", (bar - 10, y), &FONT_10X20, PALE, Alignment::Right);
}

/// The bytes of a PNG file.
///
/// # Errors
/// None, unless there is no memory for it.
pub fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(shape: [usize; 3], after: usize, target: Option<usize>) -> Example {
        let view = |value, class| View { pixels: vec![value; shape.iter().product()], class, confidence: 0.5 };
        let (clean, adversarial) = (view(0.5, 1), view(0.6, after));
        Example { attack: "FGSM".into(), eps: 0.1, shape, label: 1, target, clean, adversarial }
    }

    #[test]
    fn any_number_and_size_of_images_fits() {
        for shape in [[28, 28, 1], [1, 1, 1], [3, 7, 3], [1, 900, 1], [200, 300, 1]] {
            let height = |count| draw("title", &vec![example(shape, 2, None); count]).height();
            assert!([0, 1, 8, 9, 40].into_iter().all(|count| height(count) < 2400), "{shape:?}");
        }
    }

    #[test]
    fn tiles_show_pixels_and_noise() {
        let examples = [example([28, 28, 1], 2, None)];
        let (image, layout) = (draw("", &examples), Layout::new(&examples));
        let inside = layout.tiles.map(|tile| image.get_pixel(MARGIN + tile + 50, HEAD + 50).0);
        assert_eq!(inside, [[128; 3], diverging(1.0), [153; 3]]);
    }

    #[test]
    fn colours_tell_right_wrong_and_target() {
        let cases = [(1, None, RIGHT), (2, None, WRONG), (2, Some(2), TARGET), (3, Some(2), WRONG)];
        assert!(cases.iter().all(|(after, target, colour)| verdict(&example([1; 3], *after, *target)) == *colour));
        assert_eq!([diverging(0.0), diverging(f32::NAN)], [[255; 3]; 2]);
    }

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!([0.2, 0.1, 0.007, 8.0 / 255.0, 1e-5].map(number), ["0.20", "0.10", "0.007", "0.031", "1e-5"]);
        assert_eq!([fit("FGSM", 4), fit("an attack's name", 8)], ["FGSM", "an att.."]);
    }
}
