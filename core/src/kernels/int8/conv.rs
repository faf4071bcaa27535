//! Convolution + ReLU + max-pooling of integers, and the depthwise convolution.
//!
//! The largest sum of a pooling window is the largest output, because an output grows with its sum: one of four sums is
//! requantised. So is the winner, on which the gradient goes back, the one that the real-valued network would have where bytes
//! are equal. A filter's weights are read as they lie, `[ky][kx][i]`; `gradient` goes back.

use super::Int8Layer;
use crate::kernels::conv::Window;
use crate::network::plan::{Operation, Spatial, WORD_BITS};
#[cfg(feature = "std")]
use crate::span::span;
use crate::span::{rest, span_mut};

/// Forward: output columns `first ..` of one row, as many as `out` (`[columns][o]`) takes. `masks` takes their bits
/// (`[columns][planes][words]`); if it is empty, none are kept.
pub(crate) struct Int8Columns<'a, 'b> {
    pub stage: &'a Spatial,
    pub layer: Int8Layer<'a>,
    pub window: &'b Window<'b, i8>,
    pub first: usize,
    pub out: &'b mut [i8],
    pub masks: &'b mut [u32],
    /// Memory for a patch and sums, as `network/plan/int8.rs` counts it.
    pub scratch: &'b mut [u32],
}

impl Int8Columns<'_, '_> {
    /// Output by output.
    #[inline(always)]
    pub(super) fn run_one_by_one(self) {
        let Self { stage, layer, window, first, out, masks, scratch: _ } = self;
        masks.fill(0);
        let filters = stage.output().channels;
        let mask_len = stage.planes() * stage.words();
        for (column, out) in out.chunks_exact_mut(filters.max(1)).enumerate() {
            let masks = if masks.is_empty() { &mut [][..] } else { span_mut(masks, column * mask_len, mask_len) };
            for (o, out) in out.iter_mut().enumerate() {
                let (sum, value, place) = pooled(stage, &layer, window, (first + column, o));
                *out = value;
                put_bits(stage, masks, o, (layer.is_alive(stage.capped, sum, value), place));
            }
        }
    }
}

/// The bits of channel `o` at one position: whether it is alive, and the row and column of the winner.
#[inline(always)]
fn put_bits(stage: &Spatial, masks: &mut [u32], o: usize, (is_alive, (wy, wx)): (bool, (usize, usize))) {
    if masks.is_empty() {
        return;
    }
    let alive = stage.relu.then_some(usize::from(is_alive));
    let bits = if stage.pool() > 1 { stage.winner_bits() } else { 0 };
    let winner = [wy, wx].into_iter().flat_map(|at| (0..bits).map(move |bit| at >> bit));
    let (word, shift) = (o / WORD_BITS, o % WORD_BITS);
    for (plane, bit) in alive.into_iter().chain(winner).enumerate() {
        if let Some(target) = masks.get_mut(plane * stage.words() + word) {
            *target |= (bit as u32 & 1) << shift;
        }
    }
}

/// The sum and the output of filter `o` at column `q`, and the place in the pooling window where it was found. Of equal sums the first
/// wins.
#[inline(always)]
fn pooled(
    stage: &Spatial,
    layer: &Int8Layer<'_>,
    window: &Window<'_, i8>,
    (q, o): (usize, usize),
) -> (i32, i8, (usize, usize)) {
    let mut best: Option<(i32, (usize, usize))> = None;
    for wy in 0..stage.pool() {
        for wx in 0..stage.pool() {
            // Counted from the padded border, so that nothing is negative.
            let (y, x) = (window.row * stage.pool() + wy, q * stage.pool() + wx);
            let inside = |at: usize, pad: u8, size: usize| at >= usize::from(pad) && at < size + usize::from(pad);
            if !inside(y, stage.pool_pad.0, stage.conv_height()) || !inside(x, stage.pool_pad.1, stage.conv_width()) {
                continue;
            }
            let start = (q * stage.column_step() + wx * stage.column_stride()) * stage.input().channels;
            let sum = sum(stage, layer, (window, wy * stage.row_stride(), start), o);
            if best.is_none_or(|(best, _)| sum > best) {
                best = Some((sum, (wy, wx)));
            }
        }
    }
    let (sum, place) = best.unwrap_or_default();
    let value = match stage.operation {
        // Bytes, which pass as they are.
        Operation::Identity => layer.range.output(sum),
        _ => layer.output(o, sum),
    };
    (sum, value, place)
}

/// The sum of one filter at one position: window rows from `row` on, elements from `start` on.
#[inline(always)]
fn sum(stage: &Spatial, layer: &Int8Layer<'_>, (window, row, start): (&Window<'_, i8>, usize, usize), o: usize) -> i32 {
    let (channels, filters) = (stage.input().channels, stage.output().channels);
    // Elements of a row of the kernel, how far they and their weights lie apart, and where both begin.
    let (len, steps, begins) = match stage.operation {
        Operation::Conv => (stage.run_len(), (1, 1), (0, o * stage.kernel_height() * stage.run_len())),
        Operation::Depthwise => {
            let channel = if channels == filters { o } else { 0 };
            (stage.kernel_width(), (channels, filters), (channel, o))
        }
        _ => {
            let x = window.input_row(row).values.get(start + o);
            return x.map_or(0, |x| i32::from(*x)) - layer.range.output;
        }
    };
    let mut sum = layer.bias(o);
    for ky in 0..stage.kernel_height() {
        let x = rest(window.input_row(row + ky).values, start + begins.0);
        let weights = rest(layer.weights, begins.1 + ky * len * steps.1);
        sum = sum.wrapping_add(strided_dot((x, steps.0), layer.range.input as i16, (weights, steps.1), len));
    }
    sum
}

/// [`dot`] of `len` elements and weights, with others between them.
#[inline(always)]
fn strided_dot((x, x_step): (&[i8], usize), zero: i16, (weights, step): (&[i8], usize), len: usize) -> i32 {
    #[cfg(feature = "std")]
    if x_step == 1 && step == 1 {
        return dot(span(x, 0, len), zero, span(weights, 0, len));
    }
    let pairs = x.iter().step_by(x_step.max(1)).zip(weights.iter().step_by(step.max(1))).take(len);
    let products = pairs.map(|(x, w)| i32::from(i16::from(*x) - zero) * i32::from(*w));
    products.fold(0, i32::wrapping_add)
}

/// `sum of (x - zero) * w`. (Products of 16 bits, of which processors with vectors add pairs.)
#[inline(always)]
pub(super) fn dot(x: &[i8], zero: i16, weights: &[i8]) -> i32 {
    let products = x.iter().zip(weights).map(|(x, w)| i32::from(i16::from(*x) - zero) * i32::from(i16::from(*w)));
    products.fold(0, i32::wrapping_add)
}
