//! What the kernels read and write: a stage with its weights, its padded input rows, and the gradient of its output.

use crate::kernels::masks::{RowMasks, take_bit};
use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::{reach, rest, span};

/// A spatial stage with its weights.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a, T> {
    pub stage: &'a Spatial,
    /// `[ky][kx][i][o]`
    pub weights: &'a [T],
    /// `[o]`, or empty without a bias.
    pub bias: &'a [T],
    /// `[o][ky][kx][i]` for a backward pass with vectors, then those of [`winograd`](super::winograd), and what lies
    /// behind; or empty. `transposed.rs` draws them.
    pub transposed: &'a [f32],
}

/// A padded input row.
#[derive(Clone, Copy)]
pub(crate) struct InputRow<'a, V = f32> {
    pub values: &'a [V],
    /// A bit per value, set where it is not zero; none for integers.
    pub live: &'a [u32],
}

impl<'a, V> InputRow<'a, V> {
    /// The values from element `start` on.
    #[inline(always)]
    pub(super) fn from(&self, start: usize) -> &'a [V] {
        rest(self.values, start)
    }
}

/// The padded input rows under output row `row`, in the ring of rows that the stage keeps.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a, V = f32> {
    pub values: &'a [V],
    pub live: &'a [u32],
    /// Elements of a row, elements from one row to the next, and words of a row.
    pub lengths: [usize; 3],
    /// Rows in the ring, and which of them is the window's first.
    pub slots: usize,
    pub first: usize,
    pub row: usize,
}

impl<'a, V> Window<'a, V> {
    /// Row `index` of the window.
    #[inline(always)]
    pub(crate) fn input_row(&self, index: usize) -> InputRow<'a, V> {
        let slot = self.first + index;
        let slot = if slot < self.slots { slot } else { slot - self.slots };
        let [len, stride, words] = self.lengths;
        InputRow { values: span(self.values, slot * stride, len), live: span(self.live, slot * words, words) }
    }
}

/// Forward: output columns `first ..` of one row, as many as `out` (`[columns][o]`) takes. `masks` takes their bits
/// (`[columns][planes][words]`); if it is empty, none are kept.
pub(crate) struct Columns<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub window: &'b Window<'b>,
    pub first: usize,
    pub out: &'b mut [f32],
    pub masks: &'b mut [u32],
}

/// The output gradient (`[q][o]`) and the bits of output row `row`.
#[derive(Clone, Copy)]
pub(crate) struct GradientRow<'a> {
    pub row: usize,
    pub gradient: &'a [f32],
    pub masks: RowMasks<'a>,
}

impl GradientRow<'_> {
    /// Calls `add` with each channel that is alive at column `q`, and its gradient.
    #[inline(always)]
    pub(crate) fn for_each_live(&self, q: usize, mut add: impl FnMut(usize, f32)) {
        let stage = self.masks.stage;
        for word in 0..stage.words() {
            let first = q * stage.output().channels + word * WORD_BITS;
            let mut alive = self.masks.alive(q, word);
            while alive != 0 {
                let bit = take_bit(&mut alive);
                if let Some(g) = self.gradient.get(first + bit) {
                    add(word * WORD_BITS + bit, *g);
                }
            }
        }
    }
}

/// The output gradient and the bits of a whole stage.
pub(crate) struct GradientMap<'a> {
    pub stage: &'a Spatial,
    /// Rows of `[q][o]`, the first at element `start`, `row_stride` elements from one to the next. Rows that are not there
    /// have no gradient.
    pub gradient: &'a [f32],
    pub start: usize,
    pub row_stride: usize,
    /// `[row][q][planes][words]`
    pub masks: &'a [u32],
}

impl<'a> GradientMap<'a> {
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> GradientRow<'a> {
        let stage = self.stage;
        let words = span(self.masks, row * stage.mask_row_len(), stage.mask_row_len());
        // A map that a next stage reads only in part ends early.
        let gradient = reach(self.gradient, self.start + row * self.row_stride, stage.output().row_len());
        GradientRow { row, gradient, masks: RowMasks { stage, words } }
    }
}
