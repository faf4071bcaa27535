//! The demo's picture: the clean image and, for each model, the adversarial image and the ten probabilities before and
//! after.

mod draw;

pub use draw::{draw_attacked, draw_scene};

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use midge_core::MNIST_CNN;

use crate::embedded::MODELS;

/// Side of the image in pixels of its own.
const SIDE: u32 = MNIST_CNN.input().width as u32;
/// Number of classes.
pub const CLASSES: usize = MNIST_CNN.classes();

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
    /// The true class.
    pub label: usize,
    /// The clean image, row by row.
    pub image: &'a [f32],
}

/// What became of one model.
#[derive(Debug, Clone, Copy)]
pub struct Attacked<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The adversarial image.
    pub adversarial: &'a [f32],
    /// The clean image as the model sees it.
    pub before: View,
    /// The adversarial image as the model sees it.
    pub after: View,
    /// What the attack took, in units of [`TICK`](crate::board::TICK).
    pub ticks: u64,
}

/// Where things are, for a screen of at least 240 x 240 pixels: a column for the clean image and one for each model.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    /// Screen pixels of an image's pixel.
    scale: u32,
    size: Size,
    /// Width of a column.
    column: i32,
}

const COLUMNS: i32 = MODELS as i32 + 1;
const MARGIN: i32 = 6;
const GAP: i32 = 10;
const TITLE: i32 = 24;
const LINE: i32 = 15;
const LABELS: i32 = 10;

impl Layout {
    fn new(size: Size) -> Self {
        let column = (size.width as i32 - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
        // The image takes less than half of the height.
        let side = (column as u32).min(size.height * 9 / 20);
        Self { scale: (side / SIDE).max(1), size, column }
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

    fn image(&self, column: usize) -> Rectangle {
        let side = self.scale * SIDE;
        Rectangle::new(Point::new(self.center(column) - side as i32 / 2, TITLE), Size::new_equal(side))
    }

    /// Top of line `line` under the image.
    fn line(&self, line: i32) -> i32 {
        TITLE + (self.scale * SIDE) as i32 + 4 + line * LINE
    }

    /// The bars without their labels.
    fn bars(&self, column: usize) -> Rectangle {
        let (top, bottom) = (self.line(2) + 4, self.size.height as i32 - LABELS - MARGIN);
        Rectangle::new(Point::new(self.left(column), top), Size::new(self.column as u32, (bottom - top).max(10) as u32))
    }
}
