//! Drawing, on any display: no frame buffer, every pixel is sent once.

use core::fmt::Write;

use embedded_graphics::mono_font::{MonoFont, MonoTextStyleBuilder, ascii};
use embedded_graphics::pixelcolor::{Gray8, Rgb565};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use heapless::String;

use super::{Attacked, CLASSES, Layout, MARGIN, SIDE, Scene, View};
use crate::board::TICK;

/// A colour from 8 bits a channel.
const fn rgb(r: u8, g: u8, b: u8) -> Rgb565 {
    Rgb565::new(r >> 3, g >> 2, b >> 3)
}

const BACKGROUND: Rgb565 = rgb(16, 18, 24);
const TEXT: Rgb565 = rgb(235, 235, 230);
const QUIET: Rgb565 = rgb(140, 146, 158);
const RIGHT: Rgb565 = rgb(90, 200, 120);
const WRONG: Rgb565 = rgb(250, 96, 80);
const BEFORE: Rgb565 = rgb(92, 100, 116);

/// Draws over whatever was there what is known before an attack.
///
/// # Errors
/// Those of the display.
pub fn draw_scene<D: DrawTarget<Color = Rgb565>>(display: &mut D, scene: &Scene<'_>) -> Result<(), D::Error> {
    let layout = Layout::new(display.bounding_box().size);
    display.clear(BACKGROUND)?;
    let mut text = String::<32>::new();
    // Texts that do not fit are cut; these always fit.
    let _ = write!(text, "{}  eps {:.2}", scene.attack, scene.eps);
    let font = if layout.is_narrow() { &ascii::FONT_6X13_BOLD } else { &ascii::FONT_7X13_BOLD };
    write(display, &text, (Point::new(MARGIN, 5), Alignment::Left), font, TEXT)?;
    enlarged(display, &layout, 0, scene.image)?;
    text.clear();
    let _ = write!(text, "digit {}", scene.label);
    caption(display, &layout, (0, 0), "clean", QUIET)?;
    caption(display, &layout, (0, 1), &text, RIGHT)
}

/// Adds what became of model number `index` of a digit of class `label`.
///
/// # Errors
/// Those of the display.
pub fn draw_attacked<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    index: usize,
    label: usize,
    attacked: &Attacked<'_>,
) -> Result<(), D::Error> {
    let layout = Layout::new(display.bounding_box().size);
    let column = index + 1;
    cost(display, &layout, attacked.ticks)?;
    enlarged(display, &layout, column, attacked.adversarial)?;
    caption(display, &layout, (column, 0), attacked.model, QUIET)?;
    reading(display, &layout, (column, 1), &attacked.after, label)?;
    bars(display, &layout, column, label, attacked)?;
    // Under the clean image, what the model reads there.
    let line = 2 + 2 * index as i32;
    let mut text = String::<24>::new();
    let _ = write!(text, "{} reads", attacked.model);
    caption(display, &layout, (0, line), &text, QUIET)?;
    reading(display, &layout, (0, line + 1), &attacked.before, label)
}

/// Right or wrong.
fn verdict(view: &View, label: usize) -> Rgb565 {
    if view.class == label { RIGHT } else { WRONG }
}

fn write<D: DrawTarget<Color = Rgb565>>(
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
fn cost<D: DrawTarget<Color = Rgb565>>(display: &mut D, layout: &Layout, ticks: u64) -> Result<(), D::Error> {
    let mut text = String::<32>::new();
    let _ = write!(text, "{:>6.1} M {TICK}", ticks as f32 / 1e6);
    let at = Point::new(layout.size.width as i32 - MARGIN, 7);
    write(display, &text, (at, Alignment::Right), &ascii::FONT_6X10, QUIET)
}

/// An image in a column.
fn enlarged<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    column: usize,
    image: &[f32],
) -> Result<(), D::Error> {
    let side = layout.scale * SIDE;
    let source = |y: u32, x: u32| (y / layout.scale * SIDE + x / layout.scale) as usize;
    let grey = |i: usize| Gray8::new((image.get(i).copied().unwrap_or(0.0) * 255.0 + 0.5) as u8).into();
    let colors = (0..side).flat_map(|y| (0..side).map(move |x| (y, x))).map(|(y, x)| grey(source(y, x)));
    display.fill_contiguous(&layout.image(column), colors)
}

/// The class that is read, and how surely.
fn reading<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    place: (usize, i32),
    view: &View,
    label: usize,
) -> Result<(), D::Error> {
    let mut text = String::<24>::new();
    let confidence = view.probabilities.get(view.class).copied().unwrap_or(0.0);
    let _ = write!(text, "\"{}\" {:.1} %", view.class, 100.0 * confidence);
    caption(display, layout, place, &text, verdict(view, label))
}

/// A line of text under the image of a column.
fn caption<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    (column, line): (usize, i32),
    text: &str,
    color: Rgb565,
) -> Result<(), D::Error> {
    let at = Point::new(layout.center(column), layout.line(line));
    let font = if layout.is_narrow() { &ascii::FONT_6X10 } else { &ascii::FONT_7X13_BOLD };
    write(display, text, (at, Alignment::Center), font, color)
}

/// For each class a bar before and one after; the true class is marked.
fn bars<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    column: usize,
    label: usize,
    attacked: &Attacked<'_>,
) -> Result<(), D::Error> {
    let area = layout.bars(column);
    let pitch = area.size.width as i32 / CLASSES as i32;
    // Divided evenly, with what is left over on both sides.
    let left = area.top_left.x + (area.size.width as i32 - pitch * CLASSES as i32) / 2;
    let bottom = area.top_left.y + area.size.height as i32;
    let width = (pitch - 1) / 2;
    let bar = |x: i32, probability: f32| {
        let height = (probability * area.size.height as f32 + 0.5) as i32;
        // One line even for nothing, to stand on.
        let height = height.clamp(1, area.size.height as i32);
        Rectangle::new(Point::new(x, bottom - height), Size::new(width as u32, height as u32))
    };
    for class in 0..CLASSES {
        let x = left + class as i32 * pitch;
        let color = if class == label { RIGHT } else { WRONG };
        display.fill_solid(&bar(x, attacked.before.probabilities[class]), BEFORE)?;
        display.fill_solid(&bar(x + width, attacked.after.probabilities[class]), color)?;
        let mut digit = String::<4>::new();
        let _ = write!(digit, "{class}");
        let color = if class == label { RIGHT } else { QUIET };
        let at = Point::new(x + width, bottom + 3);
        write(display, &digit, (at, Alignment::Center), &ascii::FONT_5X8, color)?;
    }
    Ok(())
}
