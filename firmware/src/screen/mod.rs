//! The demo's picture: a row for each model, in it the clean image, the adversarial one and what a camera makes of that,
//! each with the probabilities of all classes.

mod draw;
mod served;

pub use draw::{draw_attacked, draw_scene};
pub use served::{draw_served, draw_waiting};

use crate::embedded::{CLASSES, NETWORK};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// Values of a position: red, green and blue, or one.
const CHANNELS: u32 = if NETWORK.input().channels == 3 { 3 } else { 1 };
/// Where red, green and blue are among them.
const COLORS: [u32; 3] = if CHANNELS == 3 { [0, 1, 2] } else { [0; 3] };
/// Size of the image in pixels of its own. What is neither grey nor of three colours shows its channels beside each other.
const IMAGE: Size = {
    let input = NETWORK.input();
    Size::new((input.width * input.channels) as u32 / CHANNELS, input.height as u32)
};

/// What the model made of an image.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// The predicted class.
    pub class: usize,
    /// One per class.
    pub probabilities: [f32; CLASSES],
}

/// What all models are attacked with.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The attack's name.
    pub attack: &'a str,
    /// Largest change of a pixel.
    pub eps: f32,
}

/// An image and what the model made of it.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// Row by row.
    pub image: &'a [f32],
    /// The model's view of it.
    pub view: View,
}

/// What became of one model.
#[derive(Debug, Clone, Copy)]
pub struct Attacked<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The clean image, the adversarial one, and, if a camera can take a picture of it, that through a lens.
    pub cells: &'a [Cell<'a>],
    /// The values that are black and white.
    pub range: [f32; 2],
    /// What the attack took, in units of [`TICK`](crate::board::TICK).
    pub ticks: u64,
}

/// Where things are, for a screen of at least 240 x 240 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    /// Size of an image on the screen.
    shown: Size,
    size: Size,
    /// Top of the first row.
    top: i32,
    /// Width of a column.
    column: i32,
    /// Height of a row.
    row: i32,
}

/// Most images of a model.
const COLUMNS: usize = 3;
const MARGIN: i32 = 6;
const GAP: i32 = 10;
const TITLE: i32 = 20;
/// Height of the line over an image.
const HEAD: i32 = 11;
/// Height of the line under an image.
const READING: i32 = 14;
/// Height of the digits under the bars.
const LABELS: i32 = 13;
/// The least height of the bars.
const BARS: i32 = 16;

/// The size of an image in a square: as many screen pixels for each of its own as there is room for, or fewer than one.
fn fit(side: u32) -> Size {
    let longest = IMAGE.width.max(IMAGE.height);
    match side / longest {
        0 => Size::new((IMAGE.width * side / longest).max(1), (IMAGE.height * side / longest).max(1)),
        times => IMAGE * times,
    }
}

impl Layout {
    /// With so many rows of images.
    fn new(size: Size, rows: usize) -> Self {
        let column = (size.width as i32 - 2 * MARGIN - (COLUMNS as i32 - 1) * GAP) / COLUMNS as i32;
        let row = (size.height as i32 - TITLE) / rows as i32;
        let side = column.min(row - HEAD - READING - BARS - LABELS);
        Self { shown: fit(side.max(1) as u32), size, top: TITLE, column, row }
    }

    /// With one row in the middle, and no bars.
    fn middle(size: Size) -> Self {
        let layout = Self::new(size, 1);
        let height = HEAD + layout.shown.height as i32 + READING;
        Self { top: (size.height as i32 - height) / 2, ..layout }
    }

    /// Whether texts need the narrow fonts.
    fn is_narrow(&self) -> bool {
        self.size.width < 300
    }

    fn left(&self, column: usize) -> i32 {
        MARGIN + column as i32 * (self.column + GAP)
    }

    fn center(&self, column: usize) -> i32 {
        self.left(column) + self.column / 2
    }

    /// Top of a row's texts over its images.
    fn head(&self, row: usize) -> i32 {
        self.top + row as i32 * self.row
    }

    fn image(&self, (row, column): (usize, usize)) -> Rectangle {
        let left = self.center(column) - self.shown.width as i32 / 2;
        Rectangle::new(Point::new(left, self.head(row) + HEAD), self.shown)
    }

    /// Top of the texts under the images.
    fn reading(&self, row: usize) -> i32 {
        self.head(row) + HEAD + self.shown.height as i32 + 1
    }

    /// The bars without their labels.
    fn bars(&self, (row, column): (usize, usize)) -> Rectangle {
        let (top, bottom) = (self.reading(row) + READING - 1, self.head(row + 1) - LABELS);
        Rectangle::new(Point::new(self.left(column), top), Size::new(self.column as u32, (bottom - top).max(10) as u32))
    }
}
