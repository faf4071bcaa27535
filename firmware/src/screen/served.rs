//! The picture of `serve`: the last job that a host gave the board.

use embedded_graphics::mono_font::ascii;
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::*;
use embedded_graphics::text::Alignment;
use midge_core::loss::{argmax, softmax};
use midge_link::service::{Pixel, Shown};
use midge_link::{Done, Prediction};

use super::draw::{BACKGROUND, QUIET, TEXT, cost, image, reading, verdict, write};
use super::{Layout, MARGIN};
use crate::embedded::CLASSES;

/// Draws over whatever was there that nobody has given the board anything to do yet.
///
/// # Errors
/// Those of the display.
pub fn draw_waiting<D: DrawTarget<Color = Rgb565>>(display: &mut D, model: &str) -> Result<(), D::Error> {
    let center = display.bounding_box().center();
    title(display, model)?;
    write(display, "waiting for midge device", (center, Alignment::Center), &ascii::FONT_6X10, QUIET)
}

/// Draws over whatever was there what a job came to: the clean image, what an attack added to it, from black for the largest
/// change down to white for the largest up, and the adversarial image.
///
/// # Errors
/// Those of the display.
pub fn draw_served<D: DrawTarget<Color = Rgb565>, P: Pixel>(
    display: &mut D,
    model: &str,
    shown: &Shown<'_, P>,
) -> Result<(), D::Error> {
    let layout = Layout::middle(display.bounding_box().size);
    title(display, model)?;
    cost(display, &layout, shown.ticks)?;
    let ([low, high], [before, after]) = (shown.range, read(shown));
    let part = |x: Option<f32>| x.map_or(0.0, |x| (x - low) / (high - low));
    cell(display, (&layout, 0), "clean", |i| part(shown.image(i)))?;
    verdicts(display, (&layout, 0), before, shown.label)?;
    if let Done::Attack { largest_change, .. } = shown.done {
        let noise = |i| shown.result(i).zip(shown.image(i)).map_or(0.0, |(x, clean)| x - clean);
        let range = 2.0 * largest_change.max(f32::MIN_POSITIVE);
        cell(display, (&layout, 1), "noise", |i| 0.5 + noise(i) / range)?;
    }
    let made = match shown.done {
        Done::Attack { .. } => "attacked",
        Done::Picture => "through a lens",
        _ => return Ok(()),
    };
    cell(display, (&layout, 2), made, |i| part(shown.result(i)))?;
    verdicts(display, (&layout, 2), after, shown.label)
}

/// Class and confidence before and after, as far as the job says them.
fn read<P>(shown: &Shown<'_, P>) -> [Option<(usize, f32)>; 2] {
    let of = |found: Prediction| Some((usize::from(found.class), found.confidence));
    match (shown.done, shown.logits) {
        (Done::Attack { before, after, .. }, _) => [of(before), of(after)],
        (Done::Class { class, confidence }, _) => [Some((usize::from(class), confidence)), None],
        (_, Some(logits)) => {
            let mut probabilities = [0.0; CLASSES];
            probabilities.iter_mut().zip(logits).for_each(|(to, logit)| *to = *logit);
            softmax(&mut probabilities);
            let class = argmax(&probabilities);
            [probabilities.get(class).map(|confidence| (class, *confidence)), None]
        }
        _ => [None; 2],
    }
}

fn title<D: DrawTarget<Color = Rgb565>>(display: &mut D, model: &str) -> Result<(), D::Error> {
    display.clear(BACKGROUND)?;
    write(display, model, (Point::new(MARGIN, 3), Alignment::Left), &ascii::FONT_7X13_BOLD, TEXT)
}

/// An image in a column, with its name.
fn cell<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    (layout, column): (&Layout, usize),
    name: &str,
    part: impl Fn(usize) -> f32,
) -> Result<(), D::Error> {
    let at = Point::new(layout.center(column), layout.head(0));
    write(display, name, (at, Alignment::Center), &ascii::FONT_6X10, QUIET)?;
    image(display, layout, (0, column), part)
}

/// What is read in the image of a column.
fn verdicts<D: DrawTarget<Color = Rgb565>>(
    display: &mut D,
    (layout, column): (&Layout, usize),
    read: Option<(usize, f32)>,
    label: Option<usize>,
) -> Result<(), D::Error> {
    let Some((class, confidence)) = read else { return Ok(()) };
    let color = label.map_or(TEXT, |label| verdict(class, label));
    reading(display, layout, (0, column), (class, confidence), color)
}
