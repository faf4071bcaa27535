//! Drawing, on any display: no frame buffer, every pixel is sent once.

use core::fmt::Write;

use embedded_graphics::mono_font::{MonoFont, MonoTextStyleBuilder, ascii};
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use heapless::String;

use super::{CLASSES, LABELS, Layout, MARGIN, SIDE, Scene, View};
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
/// Noise: none, downwards, upwards.
const ZERO: [u8; 3] = [40, 43, 52];
const NEGATIVE: [u8; 3] = [70, 140, 255];
const POSITIVE: [u8; 3] = [255, 70, 60];

/// Draws a scene over whatever was there.
///
/// # Errors
/// Those of the display.
pub fn draw<D: DrawTarget<Color = Rgb565>>(display: &mut D, scene: &Scene<'_>) -> Result<(), D::Error> {
    let layout = Layout::new(display.bounding_box().size);
    display.clear(BACKGROUND)?;
    title(display, &layout, scene)?;
    images(display, &layout, scene)?;
    captions(display, &layout, scene)?;
    bars(display, &layout, scene)
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

/// The attack on the left, its cost on the right.
fn title<D: DrawTarget<Color = Rgb565>>(display: &mut D, layout: &Layout, scene: &Scene<'_>) -> Result<(), D::Error> {
    let mut text = String::<32>::new();
    // Texts that do not fit are cut; these always fit.
    let _ = write!(text, "{}  eps {:.2}", scene.attack, scene.eps);
    let font = if layout.is_narrow() { &ascii::FONT_6X13_BOLD } else { &ascii::FONT_7X13_BOLD };
    write(display, &text, (Point::new(MARGIN, 5), Alignment::Left), font, TEXT)?;
    text.clear();
    let _ = write!(text, "{:.1} M {TICK}", scene.ticks as f32 / 1e6);
    write(display, &text, (Point::new(layout.width - MARGIN, 7), Alignment::Right), &ascii::FONT_6X10, QUIET)
}

fn images<D: DrawTarget<Color = Rgb565>>(display: &mut D, layout: &Layout, scene: &Scene<'_>) -> Result<(), D::Error> {
    let at = |image: &[f32], i: usize| image.get(i).copied().unwrap_or(0.0);
    let grey = |x: f32| Rgb565::from(embedded_graphics::pixelcolor::Gray8::new((x * 255.0 + 0.5) as u8));
    enlarged(display, layout, 0, |i| grey(at(scene.image, i)))?;
    enlarged(display, layout, 1, |i| noise((at(scene.adversarial, i) - at(scene.image, i)) / scene.eps))?;
    enlarged(display, layout, 2, |i| grey(at(scene.adversarial, i)))?;
    for (index, sign) in [(1, "+"), (2, "=")] {
        let (left, right) = (layout.image(index - 1), layout.image(index));
        let middle = (left.top_left.x + left.size.width as i32 + right.top_left.x) / 2;
        let at = Point::new(middle, left.center().y - 10);
        write(display, sign, (at, Alignment::Center), &ascii::FONT_10X20, QUIET)?;
    }
    Ok(())
}

/// Image number `index`, `color` telling the colour of each of its pixels.
fn enlarged<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    index: usize,
    color: impl Fn(usize) -> Rgb565,
) -> Result<(), D::Error> {
    let side = layout.scale * SIDE;
    let source = |y: u32, x: u32| (y / layout.scale * SIDE + x / layout.scale) as usize;
    let colors = (0..side).flat_map(|y| (0..side).map(move |x| (y, x))).map(|(y, x)| color(source(y, x)));
    display.fill_contiguous(&layout.image(index), colors)
}

/// Blue for -1, red for 1.
fn noise(change: f32) -> Rgb565 {
    let end = if change < 0.0 { NEGATIVE } else { POSITIVE };
    let share = change.clamp(-1.0, 1.0);
    let share = if share < 0.0 { -share } else { share };
    let [r, g, b] = [0, 1, 2].map(|i| (f32::from(ZERO[i]) + share * (f32::from(end[i]) - f32::from(ZERO[i]))) as u8);
    rgb(r, g, b)
}

fn captions<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    scene: &Scene<'_>,
) -> Result<(), D::Error> {
    let mut text = String::<24>::new();
    for (index, view) in [(0, &scene.before), (2, &scene.after)] {
        text.clear();
        let confidence = view.probabilities.get(view.class).copied().unwrap_or(0.0);
        let _ = write!(text, "\"{}\" {:.1} %", view.class, 100.0 * confidence);
        caption(display, layout, index, &text, verdict(view, scene.label))?;
    }
    text.clear();
    let _ = write!(text, "{:.2} x noise", scene.eps);
    caption(display, layout, 1, &text, QUIET)
}

fn caption<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    layout: &Layout,
    index: usize,
    text: &str,
    color: Rgb565,
) -> Result<(), D::Error> {
    let at = Point::new(layout.image(index).center().x, layout.caption - 9);
    let font = if layout.is_narrow() { &ascii::FONT_6X10 } else { &ascii::FONT_7X13_BOLD };
    write(display, text, (at, Alignment::Center), font, color)
}

/// For each class a bar before and one after; the true class is marked.
fn bars<D: DrawTarget<Color = Rgb565>>(display: &mut D, layout: &Layout, scene: &Scene<'_>) -> Result<(), D::Error> {
    let area = layout.bars;
    let pitch = area.size.width as i32 / CLASSES as i32;
    let bottom = area.top_left.y + area.size.height as i32;
    let width = (pitch - 6) / 2;
    let bar = |x: i32, probability: f32| {
        let height = (probability * area.size.height as f32 + 0.5) as i32;
        // One line even for nothing, to stand on.
        let height = height.clamp(1, area.size.height as i32);
        Rectangle::new(Point::new(x, bottom - height), Size::new(width as u32, height as u32))
    };
    for class in 0..CLASSES {
        let x = area.top_left.x + class as i32 * pitch + 3;
        let color = if class == scene.label { RIGHT } else { WRONG };
        display.fill_solid(&bar(x, scene.before.probabilities[class]), BEFORE)?;
        display.fill_solid(&bar(x + width, scene.after.probabilities[class]), color)?;
        let mut digit = String::<4>::new();
        let _ = write!(digit, "{class}");
        let (font, color) =
            if class == scene.label { (&ascii::FONT_7X13_BOLD, RIGHT) } else { (&ascii::FONT_6X10, QUIET) };
        let at = Point::new(x + width, bottom + LABELS - 11);
        write(display, &digit, (at, Alignment::Center), font, color)?;
    }
    Ok(())
}
