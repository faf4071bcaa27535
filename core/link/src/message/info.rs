//! What a board says of itself.

use serde::{Deserialize, Serialize};

/// A board and its model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Info<'a> {
    /// Name of the board, at most 40 bytes.
    pub board: &'a str,
    /// Name of the model, at most 40 bytes.
    pub model: &'a str,
    /// The checksum of the model's file, at most 40 bytes.
    pub fingerprint: &'a str,
    /// The type of the weights.
    pub element: ElementType,
    /// Height, width and channels of an image.
    pub shape: [u16; 3],
    /// Number of classes.
    pub classes: u16,
    /// The smallest and the largest pixel.
    pub range: [f32; 2],
    /// Where the pixels of a model of integers lie.
    pub grid: Option<Grid>,
    /// What it can do beside [`Request::Classify`](crate::Request::Classify) and [`Request::Logits`](crate::Request::Logits): the sum of some [`Ability`].
    pub abilities: u8,
    /// Most bytes of elements in one message, at most [`CHUNK`](crate::CHUNK).
    pub chunk: u8,
    /// Most elements of the memory for jobs.
    pub memory: u32,
    /// What [`Cost::ticks`](crate::Cost::ticks) counts.
    pub unit: Unit,
}

/// One bit of [`Info::abilities`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// [`Request::Gradient`](crate::Request::Gradient).
    Gradient = 1,
    /// [`Request::Attack`](crate::Request::Attack).
    Attack = 2,
    /// [`Request::Camera`](crate::Request::Camera).
    Camera = 4,
    /// Keeps images as integers of the grid, to which it rounds what is put, and attacks them as
    /// [`attack_integers`](midge_core::attack::Attack::attack_integers) does.
    Integers = 8,
}

/// The type of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "their names say it")]
pub enum ElementType {
    F32,
    F16,
    I8,
}

/// Real numbers that bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// From one byte to the next.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: i32,
}

impl From<midge_core::Grid> for Grid {
    fn from(midge_core::Grid { scale, zero_point }: midge_core::Grid) -> Self {
        Self { scale, zero_point }
    }
}

impl From<Grid> for midge_core::Grid {
    fn from(Grid { scale, zero_point }: Grid) -> Self {
        Self { scale, zero_point }
    }
}

/// What counts as a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Of an emulated processor.
    Instructions,
    /// Of the processor's clock.
    Cycles,
    /// Of a board that has no counter of cycles.
    Microseconds,
}
