//! Drawing, on any display: no frame buffer, every pixel is sent once.

use core::fmt::Write;

use embedded_graphics::mono_font::{MonoFont, MonoTextStyleBuilder, ascii};
use embedded_graphics::pixelcolor::{Rgb565, Rgb888};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use heapless::String;
use micromath::F32;

use super::{Attacked, CHANNELS, COLORS, IMAGE, Layout, MARGIN, Scene, View};
use crate::board::TICK;
use crate::embedded::{CLASSES, MODELS};

/// A colour from 8 bits a channel.
const fn rgb(r: u8, g: u8, b: u8) -> Rgb565 {
    Rgb565::new(r >> 3, g >> 2, b >> 3)
}

pub(super) const BACKGROUND: Rgb565 = rgb(16, 18, 24);
pub(super) const TEXT: Rgb565 = rgb(235, 235, 230);
pub(super) const QUIET: Rgb565 = rgb(140, 146, 158);
const RIGHT: Rgb565 = rgb(90, 200, 120);
const WRONG: Rgb565 = rgb(250, 96, 80);

/// Draws over whatever was there what is known before an attack.
///
/// # Errors
/// Those of the display.
pub fn draw_scene<D: DrawTarget<Color = Rgb565>>(display: &mut D, scene: &Scene<'_>) -> Result<(), D::Error> {
    let layout = Layout::new(display.bounding_box().size, MODELS);
    display.clear(BACKGROUND)?;
    let mut text = String::<32>::new();
    // Texts that do not fit are cut; these always fit.
    let _ = write!(text, "{}  eps {:.*}", scene.attack, if scene.eps < 0.1 { 3 } else { 2 }, scene.eps);
    let font = if layout.is_narrow() { &ascii::FONT_6X13_BOLD } else { &ascii::FONT_7X13_BOLD };
    write(display, &text, (Point::new(MARGIN, 3), Alignment::Left), font, TEXT)
}

/// Adds the row of a model that was attacked on an image of class `label`.
///
/// # Errors
/// Those of the display.
pub fn draw_attacked<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    row: usize,
    label: usize,
    attacked: &Attacked<'_>,
) -> Result<(), D::Error> {
    let layout = Layout::new(display.bounding_box().size, MODELS);
    cost(display, &layout, attacked.ticks)?;
    let font = if layout.is_narrow() { &ascii::FONT_5X8 } else { &ascii::FONT_6X10 };
    // A name may be too long for its column.
    let room = (layout.column as usize / font.character_size.width as usize).saturating_sub(", clean".len());
    let mut model = String::<32>::new();
    let _ = write!(model, "{:.room$}, clean", attacked.model);
    for (column, (head, cell)) in [&*model, "attacked", "through a lens"].into_iter().zip(attacked.cells).enumerate() {
        let at = Point::new(layout.center(column), layout.head(row));
        write(display, head, (at, Alignment::Center), font, QUIET)?;
        let [low, high] = attacked.range;
        let part = |i: usize| cell.image.get(i).map_or(0.0, |x| (x - low) / (high - low));
        image(display, &layout, (row, column), part)?;
        let View { class, probabilities } = cell.view;
        let read = (class, probabilities.get(class).copied().unwrap_or(0.0));
        reading(display, &layout, (row, column), read, verdict(class, label))?;
        bars(display, &layout, (row, column), &cell.view, label)?;
    }
    Ok(())
}

/// Right or wrong.
pub(super) fn verdict(class: usize, label: usize) -> Rgb565 {
    if class == label { RIGHT } else { WRONG }
}

pub(super) fn write<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    text: &str,
    (at, alignment): (Point, Alignment),
    font: &MonoFont<'_>,
    color: Rgb565,
) -> Result<(), D::Error> {
    let style = MonoTextStyleBuilder::new().font(font).text_color(color).background_color(BACKGROUND).build();
    let place = TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Top).build();
    Text::with_text_style(text, at, style, place).draw(display).map(drop)
}

/// What the last attack took, in the corner.
pub(super) fn cost<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    ticks: u64,
) -> Result<(), D::Error> {
    let mut text = String::<32>::new();
    let _ = write!(text, "{:>6.1} M {TICK}", ticks as f32 / 1e6);
    let at = Point::new(layout.size.width as i32 - MARGIN, 5);
    write(display, &text, (at, Alignment::Right), &ascii::FONT_6X10, QUIET)
}

/// An image, each pixel a square; `part` says how bright each is, from 0 to 1.
pub(super) fn image<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    cell: (usize, usize),
    part: impl Fn(usize) -> f32,
) -> Result<(), D::Error> {
    let Size { width, height } = layout.shown;
    let level = |i: u32| (part(i as usize) * 255.0 + 0.5) as u8;
    let color = |(y, x): (u32, u32)| {
        let i = (y * IMAGE.height / height * IMAGE.width + x * IMAGE.width / width) * CHANNELS;
        let [r, g, b] = COLORS.map(|channel| level(i + channel));
        Rgb888::new(r, g, b).into()
    };
    let colors = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(color);
    display.fill_contiguous(&layout.image(cell), colors)
}

/// The class that is read, and how surely.
pub(super) fn reading<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    (row, column): (usize, usize),
    (class, confidence): (usize, f32),
    color: Rgb565,
) -> Result<(), D::Error> {
    let mut text = String::<24>::new();
    let _ = write!(text, "\"{class}\" {:.1} %", 100.0 * confidence);
    let font = if layout.is_narrow() { &ascii::FONT_6X13_BOLD } else { &ascii::FONT_7X13_BOLD };
    let at = Point::new(layout.center(column), layout.reading(row));
    write(display, &text, (at, Alignment::Center), font, color)
}

/// A bar for each class; the true class is marked.
fn bars<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    cell: (usize, usize),
    view: &View,
    label: usize,
) -> Result<(), D::Error> {
    let area = layout.bars(cell);
    let pitch = area.size.width as i32 / CLASSES as i32;
    // Divided evenly, with what is left over on both sides.
    let left = area.top_left.x + (area.size.width as i32 - pitch * CLASSES as i32) / 2;
    let bottom = area.top_left.y + area.size.height as i32;
    for (class, probability) in view.probabilities.into_iter().enumerate() {
        let x = left + class as i32 * pitch;
        let height = (part(probability) * area.size.height as f32 + 0.5) as i32;
        // One line even for nothing, to stand on.
        let height = height.clamp(1, area.size.height as i32);
        let bar = Rectangle::new(Point::new(x, bottom - height), Size::new((pitch as u32).max(2) - 1, height as u32));
        display.fill_solid(&bar, if class == label { RIGHT } else { WRONG })?;
        let mut number = String::<8>::new();
        let _ = write!(number, "{class}");
        // Of many classes, only those that matter.
        if pitch > 5 * number.len() as i32 || class == label || class == view.class {
            let color = if class == label { RIGHT } else { QUIET };
            let at = Point::new(x + pitch / 2, bottom + 2);
            write(display, &number, (at, Alignment::Center), &ascii::FONT_5X8, color)?;
        }
    }
    Ok(())
}

/// The height of a bar, of 1: logarithmic, a quarter for each factor of 10.
fn part(probability: f32) -> f32 {
    const LEAST: f32 = 1e-4;
    if probability <= LEAST { 0.0 } else { F32(probability / LEAST).ln().0 / F32(1.0 / LEAST).ln().0 }
}
