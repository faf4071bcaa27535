//! Adversarial examples as a picture, in the lecture's form: clean + eps x noise = adversarial.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::data::Classes;
use crate::drawing::{Area, Drawn, Picture, register_font};
use crate::pixels::{Cells, Look, diverging, paint_change};

/// An image and what the model makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Pixels, in row, column, channel order.
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
    /// Height, width and channels.
    pub shape: [usize; 3],
    /// The true class.
    pub label: usize,
    /// The class a targeted attack aimed at.
    pub target: Option<usize>,
    /// Before the attack.
    pub clean: View,
    /// After it.
    pub adversarial: View,
    /// What the classes are called.
    pub classes: Classes,
}

const PAPER: RGBColor = RGBColor(250, 250, 248);
const INK: RGBColor = RGBColor(34, 34, 40);
const PALE: RGBColor = RGBColor(110, 110, 120);
const LINE: RGBColor = RGBColor(200, 200, 204);
const WRONG: RGBColor = RGBColor(196, 40, 28);
const RIGHT: RGBColor = RGBColor(0, 122, 82);
const TARGET: RGBColor = RGBColor(20, 88, 190);

/// Units of drawing per pixel of the picture.
const SCALE: i32 = 2;

/// Sizes of text.
const TITLE: i32 = 32;
const TEXT: i32 = 19;
const SMALL: i32 = 17;

const MARGIN: i32 = 40;
/// Room above the rows for the title and the headings, below them for the legend.
const HEAD: i32 = 116;
const FOOT: i32 = 64;
/// Below a tile: its caption, then air.
const CAPTION: i32 = 34;
const AIR: i32 = 20;
/// Between the tiles: `+ eps x` and `=`.
const PLUS: i32 = 148;
const EQUALS: i32 = 76;
/// Between columns of rows.
const GUTTER: i32 = 88;
/// Up to this many rows stand in one column with large tiles; more become columns of at most `TALL` small ones.
const FEW: usize = 8;
const TALL: usize = 12;
/// Narrowest and widest text in front of a row.
const NAME: (i32, i32) = (63, 126);

/// The sum's signs: from and to where each stroke goes.
const PLUS_SIGN: [[i32; 4]; 2] = [[-12, 0, 12, 0], [0, -12, 0, 12]];
const TIMES_SIGN: [[i32; 4]; 2] = [[-7, -7, 7, 7], [-7, 7, 7, -7]];
const EQUALS_SIGN: [[i32; 4]; 2] = [[-12, -5, 12, -5], [-12, 5, 12, 5]];

/// Where things are, in pixels.
struct Layout {
    tile: i32,
    columns: i32,
    rows: i32,
    row_height: i32,
    /// Left edges of the clean image, the noise and the adversarial image in a row.
    tiles: [i32; 3],
}

impl Layout {
    fn new(examples: &[Example]) -> Self {
        let count = examples.len();
        let (tile, columns) = if count <= FEW { (168, 1) } else { (112, count.div_ceil(TALL).max(2)) };
        let longest = examples.iter().map(|e| width(&e.attack, SMALL)).max().unwrap_or(0);
        let clean = longest.clamp(NAME.0, NAME.1) + 24;
        let tiles = [clean, clean + tile + PLUS, clean + 2 * tile + PLUS + EQUALS];
        let rows = count.div_ceil(columns).max(1) as i32;
        Self { tile, columns: columns as i32, rows, row_height: tile + CAPTION + AIR, tiles }
    }

    /// Width and height of the picture.
    fn size(&self) -> (i32, i32) {
        (self.column(self.columns) - GUTTER + MARGIN, HEAD + self.rows * self.row_height + FOOT)
    }

    /// Left edge of a column of rows.
    fn column(&self, column: i32) -> i32 {
        MARGIN + column * (self.tiles[2] + self.tile + GUTTER)
    }

    /// Rows follow each other downwards, so that an attack's examples stay together.
    fn row(&self, i: i32) -> (i32, i32) {
        (self.column(i / self.rows), HEAD + i % self.rows * self.row_height)
    }
}

/// Width of a text. A text that the font cannot measure is not drawn either.
fn width(text: &str, size: i32) -> i32 {
    let measured = ("sans-serif", SCALE * size).into_font().box_size(text);
    measured.map_or(0, |(width, _)| width as i32 / SCALE)
}

/// As much of the text as fits, with dots for what is missing.
pub(crate) fn fit(text: &str, size: i32, limit: i32) -> String {
    let mut kept: Vec<char> = text.chars().collect();
    let mut shown = text.to_string();
    while width(&shown, size) > limit && kept.pop().is_some() {
        shown = kept.iter().chain("..".chars().collect::<Vec<_>>().iter()).collect();
    }
    shown
}

/// The picture as a drawing surface, in pixels.
struct Canvas<'a, DB: DrawingBackend>(&'a Area<DB>);

impl<DB: DrawingBackend> Canvas<'_, DB> {
    /// Text whose lines are centred on `y`.
    fn text(&self, text: &str, at: (i32, i32), (size, colour): (i32, RGBColor), side: HPos) -> Drawn<DB> {
        let style = ("sans-serif", SCALE * size).into_font().color(&colour).pos(Pos::new(side, VPos::Center));
        // plotters centres the box of a font, whose letters stand in its upper part.
        self.0.draw(&Text::new(text, (SCALE * at.0, SCALE * at.1 + size / 3), style))
    }

    fn rectangle(&self, (x, y): (i32, i32), (width, height): (i32, i32), colour: RGBColor) -> Drawn<DB> {
        let corners = [(x, y), (x + width, y + height)].map(|(x, y)| (SCALE * x, SCALE * y));
        self.0.draw(&Rectangle::new(corners, colour.filled()))
    }

    /// A sign made of strokes around a point.
    fn sign(&self, strokes: [[i32; 4]; 2], (x, y): (i32, i32)) -> Drawn<DB> {
        let style = INK.stroke_width(4 * SCALE as u32);
        strokes.into_iter().try_for_each(|[ax, ay, bx, by]| {
            let ends = [(x + ax, y + ay), (x + bx, y + by)].map(|(x, y)| (SCALE * x, SCALE * y));
            self.0.draw(&PathElement::new(ends, style))
        })
    }

    /// An image in the middle of a square of side `tile`, in a frame.
    fn tile(
        &self,
        (values, shape): (&[f32], [usize; 3]),
        (x, y): (i32, i32),
        tile: i32,
        (frame, edge): (RGBColor, i32),
        paint: impl Fn([f32; 3]) -> [u8; 3],
    ) -> Drawn<DB> {
        let cells = Cells::fit(shape, tile as usize);
        let [(width, height), cell] = [cells.size(), cells.cell()].map(|(x, y)| (x as i32, y as i32));
        let (left, top) = (x + (tile - width) / 2, y + (tile - height) / 2);
        self.rectangle((left - edge, top - edge), (width + 2 * edge, height + 2 * edge), frame)?;
        cells.all().try_for_each(|(column, row)| {
            let [r, g, b] = paint(cells.values(values, (column, row)));
            let corner = (left + column as i32 * cell.0, top + row as i32 * cell.1);
            self.rectangle(corner, cell, RGBColor(r, g, b))
        })
    }
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
///
/// # Errors
/// Only if the program was built from a damaged font.
pub fn draw(title: &str, examples: &[Example]) -> Result<Picture> {
    register_font()?;
    let layout = Layout::new(examples);
    let (width, height) = layout.size();
    Picture::draw((width as usize, height as usize), SCALE as usize, |area| {
        area.fill(&PAPER)?;
        let canvas = Canvas(area);
        let title = fit(title, TITLE, width - 2 * MARGIN);
        canvas.text(&title, (MARGIN, MARGIN + 8), (TITLE, INK), HPos::Left)?;
        (0..layout.columns).try_for_each(|column| draw_headings(&canvas, &layout, column))?;
        for (i, example) in examples.iter().enumerate() {
            draw_row(&canvas, &layout, example, layout.row(i as i32))?;
        }
        draw_legend(&canvas, (width, height), examples.iter().any(|example| example.target.is_some()))
    })
}

fn draw_headings<DB: DrawingBackend>(canvas: &Canvas<'_, DB>, layout: &Layout, column: i32) -> Drawn<DB> {
    let left = layout.column(column);
    let [clean, _, adversarial] = layout.tiles;
    for (heading, tile) in [("clean image", clean), ("adversarial image", adversarial)] {
        canvas.text(heading, (left + tile + layout.tile / 2, HEAD - 22), (SMALL, PALE), HPos::Center)?;
    }
    if column > 0 {
        canvas.rectangle((left - GUTTER / 2, HEAD), (1, layout.rows * layout.row_height - AIR), LINE)?;
    }
    Ok(())
}

fn draw_row<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    layout: &Layout,
    example: &Example,
    (x, y): (i32, i32),
) -> Drawn<DB> {
    let Example { attack, eps, target, clean, adversarial, .. } = example;
    let (side, tiles, middle) = (layout.tile, layout.tiles.map(|tile| x + tile), y + layout.tile / 2);
    let name_y = if target.is_some() { middle - 11 } else { middle };
    canvas.text(&fit(attack, SMALL, NAME.1), (x, name_y), (SMALL, INK), HPos::Left)?;
    if let Some(target) = target {
        canvas.text(
            &fit(&format!("to {}", example.classes.name(*target)), TEXT, NAME.1),
            (x, middle + 11),
            (TEXT, TARGET),
            HPos::Left,
        )?;
    }
    draw_tiles(canvas, side, example, tiles.map(|tile| (tile, y)))?;
    let between = tiles[0] + side + PLUS / 2;
    canvas.sign(PLUS_SIGN, (between - 48, middle))?;
    canvas.text(&number(*eps), (between + 2, middle), (TEXT, INK), HPos::Center)?;
    canvas.sign(TIMES_SIGN, (between + 50, middle))?;
    canvas.sign(EQUALS_SIGN, (tiles[1] + side + EQUALS / 2, middle))?;
    let says = |view: &View| {
        let confidence = format!("  {:.1} %", 100.0 * view.confidence);
        let name = format!("\"{}\"", example.classes.name(view.class));
        fit(&name, TEXT, side + EQUALS / 2 - width(&confidence, TEXT)) + &confidence
    };
    let (before, after) = verdicts(example);
    let captions = [(says(clean), before), ("noise".into(), PALE), (says(adversarial), after)];
    captions.iter().zip(tiles).try_for_each(|((caption, colour), tile)| {
        canvas.text(caption, (tile + side / 2, y + side + 19), (TEXT, *colour), HPos::Center)
    })
}

/// The three images of a row.
fn draw_tiles<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    side: i32,
    example: &Example,
    at: [(i32, i32); 3],
) -> Drawn<DB> {
    let Example { eps, shape, clean, adversarial, .. } = example;
    let unit = if *eps > 0.0 { *eps } else { 1.0 };
    let noise: Vec<f32> = adversarial.pixels.iter().zip(&clean.pixels).map(|(a, c)| (a - c) / unit).collect();
    let look = Look::of(*shape, &[&clean.pixels, &adversarial.pixels]);
    let paint = |values| look.paint(values);
    canvas.tile((&clean.pixels, *shape), at[0], side, (PALE, 1), paint)?;
    canvas.tile((&noise, *shape), at[1], side, (PALE, 1), paint_change)?;
    canvas.tile((&adversarial.pixels, *shape), at[2], side, (verdicts(example).1, 3), paint)
}

/// The colours of what the model makes of the clean and of the adversarial image.
fn verdicts(example: &Example) -> (RGBColor, RGBColor) {
    let after = match example.adversarial.class {
        class if Some(class) == example.target => TARGET,
        class if class == example.label => RIGHT,
        _ => WRONG,
    };
    (if example.clean.class == example.label { RIGHT } else { WRONG }, after)
}

/// What the colours mean, at the bottom.
fn draw_legend<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    (width_of_all, height): (i32, i32),
    targeted: bool,
) -> Drawn<DB> {
    let y = height - FOOT / 2 - 6;
    let mut x = MARGIN;
    let verdicts = [(RIGHT, "right"), (WRONG, "wrong"), (TARGET, "the target")];
    for (colour, meaning) in verdicts.into_iter().take(if targeted { 3 } else { 2 }) {
        canvas.rectangle((x, y - 6), (12, 12), colour)?;
        canvas.text(meaning, (x + 20, y), (TEXT, PALE), HPos::Left)?;
        x += 20 + width(meaning, TEXT) + 28;
    }
    const BAR: i32 = 120;
    let right = width_of_all - MARGIN;
    canvas.text("+1", (right, y), (TEXT, PALE), HPos::Right)?;
    let bar = right - 30 - BAR;
    canvas.rectangle((bar - 1, y - 7), (BAR + 2, 14), PALE)?;
    for i in 0..BAR {
        let [r, g, b] = diverging(2.0 * i as f32 / (BAR - 1) as f32 - 1.0);
        canvas.rectangle((bar + i, y - 6), (1, 12), RGBColor(r, g, b))?;
    }
    canvas.text("noise  -1", (bar - 10, y), (TEXT, PALE), HPos::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(shape: [usize; 3], after: usize, target: Option<usize>) -> Example {
        let view = |value, class| View { pixels: vec![value; shape.iter().product()], class, confidence: 0.5 };
        let (clean, adversarial) = (view(0.5, 1), view(0.6, after));
        Example {
            attack: "FGSM".into(),
            eps: 0.1,
            shape,
            label: 1,
            target,
            clean,
            adversarial,
            classes: Classes::default(),
        }
    }

    #[test]
    fn any_number_and_size_of_images_fits() {
        for shape in [[28, 28, 1], [1, 1, 1], [3, 7, 3], [49, 10, 1], [1, 900, 2], [200, 300, 1]] {
            for count in [0, 1, 8, 9, 40] {
                let examples = vec![example(shape, 2, None); count];
                assert!(Layout::new(&examples).size().1 < 2400, "{count} of {shape:?}");
            }
            let size = Layout::new(&[example(shape, 2, None)]).size();
            let picture = draw("title", &[example(shape, 2, None)]).unwrap();
            assert_eq!((picture.width() as i32, picture.height() as i32), size);
        }
        assert!(draw("title", &[]).is_ok() && draw("", &vec![example([2, 2, 1], 2, Some(3)); 9]).is_ok());
    }

    #[test]
    fn tiles_show_pixels_and_noise() {
        let examples = [example([28, 28, 1], 2, None)];
        let (image, layout) = (draw("", &examples).unwrap(), Layout::new(&examples));
        let at = |x: i32, y: i32| image.pixel(x as usize, y as usize).unwrap();
        let inside = layout.tiles.map(|tile| at(MARGIN + tile + 50, HEAD + 50));
        assert_eq!(inside, [[128; 3], diverging(1.0), [153; 3]]);
        // The first and the last pixel of the tile, and the frames beside them.
        let [left, right] = [layout.tiles[0] + MARGIN, layout.tiles[0] + MARGIN + layout.tile - 1];
        let edge = [left - 1, left, right, right + 1].map(|x| at(x, HEAD + 50));
        assert_eq!(edge, [[110, 110, 120], [128; 3], [128; 3], [110, 110, 120]]);
    }

    #[test]
    fn colours_tell_right_wrong_and_target() {
        let cases = [(1, None, RIGHT), (2, None, WRONG), (2, Some(2), TARGET), (3, Some(2), WRONG)];
        assert!(
            cases.iter().all(|(after, target, colour)| verdicts(&example([1; 3], *after, *target)) == (RIGHT, *colour))
        );
    }

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!([0.2, 0.1, 0.007, 8.0 / 255.0, 1e-5].map(number), ["0.20", "0.10", "0.007", "0.031", "1e-5"]);
    }

    #[test]
    fn a_long_name_is_cut_to_the_width() {
        register_font().unwrap();
        assert_eq!(fit("FGSM", SMALL, NAME.1), "FGSM");
        let cut = fit("an attack whose name is long", SMALL, NAME.1);
        assert!(cut.starts_with("an attack") && cut.ends_with(".."), "{cut}");
        assert!((NAME.1 - 12..=NAME.1).contains(&width(&cut, SMALL)), "{cut}");
        assert_eq!(fit("name", SMALL, 0), "..");
    }
}
