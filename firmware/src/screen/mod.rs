//! The demo's picture: clean image + noise = adversarial image, and the ten probabilities before and after.

mod draw;

pub use draw::draw;

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use midge_core::MNIST_CNN;

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

/// What is on the screen.
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
    /// The adversarial image.
    pub adversarial: &'a [f32],
    /// The clean image as the model sees it.
    pub before: View,
    /// The adversarial image as the model sees it.
    pub after: View,
    /// What the attack took, in units of [`TICK`](crate::board::TICK).
    pub ticks: u64,
}

/// Where things are, for a screen of at least 240 x 240 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    /// Screen pixels of an image's pixel.
    scale: u32,
    /// Clean image, noise, adversarial image.
    images: [Point; 3],
    /// Baseline of the captions under the images.
    caption: i32,
    /// The bars without their labels.
    bars: Rectangle,
    width: i32,
}

const MARGIN: i32 = 6;
const TITLE: i32 = 24;
const CAPTION: i32 = 16;
const LABELS: i32 = 14;

impl Layout {
    fn new(size: Size) -> Self {
        // Three images, and between them room for a sign.
        let scale = ((size.width as i32 - 2 * MARGIN - 2 * 14) as u32 / (3 * SIDE)).max(1);
        let side = (scale * SIDE) as i32;
        let gap = (size.width as i32 - 2 * MARGIN - 3 * side) / 2;
        let images = [0, 1, 2].map(|i| Point::new(MARGIN + i * (side + gap), TITLE));
        let caption = TITLE + side + CAPTION - 4;
        let top = caption + 14;
        let bottom = size.height as i32 - LABELS - MARGIN;
        let bars = Rectangle::new(
            Point::new(MARGIN, top),
            Size::new((size.width as i32 - 2 * MARGIN) as u32, (bottom - top).max(10) as u32),
        );
        Self { scale, images, caption, bars, width: size.width as i32 }
    }

    /// Whether texts need the narrow fonts.
    fn is_narrow(&self) -> bool {
        self.width < 300
    }

    fn image(&self, index: usize) -> Rectangle {
        Rectangle::new(self.images[index], Size::new_equal(self.scale * SIDE))
    }
}
