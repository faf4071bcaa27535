//! What hosts and boards are to do.

use midge_core::Grid;

use crate::data::Dataset;
use crate::evaluation::Attack;

/// Which images, and which attack on them.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The images, on the grid of the board's model if that has one.
    pub data: &'a Dataset,
    /// The class of each.
    pub labels: &'a [usize],
    /// The attack.
    pub attack: Attack,
    /// Number of classes.
    pub classes: usize,
    /// Largest change of a pixel.
    pub eps: f32,
    /// Where the pixels of the board's model lie.
    pub grid: Option<Grid>,
    /// Whether the board attacks images of integers.
    pub in_integers: bool,
}
