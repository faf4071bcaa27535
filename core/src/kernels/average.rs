//! Average pooling, forward and input gradient. A window's stride is its size, so each input is in one window at most.
//!
//! ```text
//! out[p, q, i] = sum over the window of x[row, column, i] / n        n: the inputs of the window that are on the map
//! dx[row, column, i] += g[p, q, i] / n
//! ```
//! Forward adds up the rows as they come, so only one row of sums is kept and not a window of rows.

use super::conv::GradientRow;
use crate::network::plan::Spatial;
use crate::span::{span, span_mut};

/// The columns or rows of the map under window number `index`, of a size and with a padding before the first.
#[inline(always)]
fn on_map(index: usize, (size, pad): (usize, usize), len: usize) -> core::ops::Range<usize> {
    let start = index * size;
    start.saturating_sub(pad)..(start + size).saturating_sub(pad).min(len)
}

/// Inputs on the map under the window of output row `p` and column `q`.
#[inline(always)]
pub(super) fn count(stage: &Spatial, p: usize, q: usize) -> usize {
    rows(stage, p).len() * columns(stage, q).len()
}

#[inline(always)]
pub(super) fn rows(stage: &Spatial, p: usize) -> core::ops::Range<usize> {
    on_map(p, (stage.kernel_height(), stage.pad_top()), stage.input().height)
}

#[inline(always)]
pub(super) fn columns(stage: &Spatial, q: usize) -> core::ops::Range<usize> {
    on_map(q, (stage.kernel_width(), stage.pad_left()), stage.input().width)
}

/// Adds an input row (`[column][i]`, without padding) to the sums of its row of windows (`[q][i]`).
pub(crate) fn add_row(stage: &Spatial, x: &[f32], sums: &mut [f32]) {
    let channels = stage.input().channels;
    for (q, sums) in sums.chunks_exact_mut(channels.max(1)).enumerate() {
        for column in columns(stage, q) {
            sums.iter_mut().zip(span(x, column * channels, channels)).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// The means of output row `p` from its sums, from column `first` on, as many as `out` takes.
pub(crate) fn means(stage: &Spatial, (p, first): (usize, usize), sums: &[f32], out: &mut [f32]) {
    let channels = stage.output().channels;
    for (column, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        let q = first + column;
        let share = 1.0 / count(stage, p, q) as f32;
        out.iter_mut().zip(span(sums, q * channels, channels)).for_each(|(out, sum)| *out = sum * share);
    }
}

/// Adds what one output row contributes to one input row, `target` (`[column][i]`); nothing if its windows are elsewhere.
pub(crate) fn add_gradient(output: &GradientRow<'_>, input_row: usize, target: &mut [f32]) {
    let stage = output.masks.stage;
    if !rows(stage, output.row).contains(&input_row) {
        return;
    }
    let channels = stage.input().channels;
    for q in 0..stage.output().width {
        let share = 1.0 / count(stage, output.row, q) as f32;
        for column in columns(stage, q) {
            output.for_each_live(q, |i, g| {
                if let Some(target) = span_mut(target, column * channels, channels).get_mut(i) {
                    *target += g * share;
                }
            });
        }
    }
}
