//! What a row is made from, and what it is added to, whatever the numbers are.

use super::moved::Unit;
use crate::kernels::conv::Window;
use crate::kernels::masks::RowMasks;
use crate::network::plan::Spatial;

/// A padded input row to be written.
pub(super) struct NewRow<'b, V> {
    pub stage: &'b Spatial,
    pub values: &'b mut [V],
    /// A bit for each value that is not zero; none for integers.
    pub live: &'b mut [u32],
}

/// What an output row, or some columns of it, are made from.
pub(super) struct Sources<'b, V> {
    pub window: &'b Window<'b, V>,
    /// The row that the stage adds, or an average's sums.
    pub own: &'b [V],
    /// The first column that is wanted.
    pub first: usize,
    /// What a convolution of integers unpacks at a time.
    pub scratch: &'b mut [u32],
}

/// A row of an input's gradient that is added to.
pub(super) struct InputRowGradient<'b> {
    pub row: usize,
    /// The bits of the input row, if a stage made it: who is dead needs no gradient.
    pub wanted: Option<RowMasks<'b>>,
    /// `[column][i]`, without padding.
    pub target: &'b mut [f32],
}

/// An image of a network of integers.
#[derive(Clone, Copy)]
pub(crate) enum Int8Image<'a> {
    /// Real numbers, of which the network sees the nearest integers.
    Real(&'a [f32]),
    /// The integers.
    Integers(&'a [i8]),
    /// Integers, and by how much each has moved.
    Moved(&'a [i8], &'a [i8], Unit),
}

impl<'a> From<&'a [f32]> for Int8Image<'a> {
    fn from(image: &'a [f32]) -> Self {
        Self::Real(image)
    }
}

impl Int8Image<'_> {
    /// Number of pixels.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Real(image) => image.len(),
            Self::Integers(image) | Self::Moved(image, ..) => image.len(),
        }
    }
}
