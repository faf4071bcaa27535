//! Weights in the orders that hosts read: transposed for backward, and transformed for [`winograd`].
//!
//! ```text
//! name          order              neighbours in memory                    read by
//! stored        [ky][kx][i][o]     the filters of one input                forward: x * row of weights
//! transposed    [o][ky][kx][i]     the inputs under one filter             backward: g * filter
//! transformed   [row][column][i][o], 4 x 4 in place of 3 x 3              Winograd's forward
//!
//! the buffer of Model::with_transposed, from a cache line on:
//! | stage 0: transposed, transformed | stage 1: transposed, transformed | .. | zeros: SLACK and what is left |
//! ```
//! In the lecture's CNN the first stage has 288 transposed weights and none transformed (it has one channel), the second
//! 18,432 and 32,768. A device has no such buffer: it reads the stored weights, forward and backward.

use super::scatter::SMALL;
use super::winograd::{self, TransformWeights};
use crate::network::plan::{Spatial, Stages};
use crate::number::Number;
use crate::span::take;
use crate::vector::Level;

/// Elements behind all transposed weights: the vectors of the last filter may reach so far.
const SLACK: usize = SMALL;

/// Elements of a stage's transposed and transformed weights; a depthwise convolution reads the stored ones.
pub(crate) const fn transposed_len(stage: &Spatial) -> usize {
    if stage.convolves() { stage.weight_len() + winograd::weights_len(stage) } else { 0 }
}

/// Elements of those of all stages, and what lies behind them.
pub(crate) fn all_transposed_len(plan: &Stages) -> usize {
    match (0..plan.spatial_count()).filter_map(|i| plan.spatial(i)).map(transposed_len).sum() {
        0 => 0,
        len => len + SLACK,
    }
}

/// Stored weights `[ky][kx][i][o]` to `[o][ky][kx][i]`, and behind them those of [`winograd`].
pub(crate) fn transpose<T: Number>(level: Level, stage: &Spatial, weights: &[T], transposed: &mut [f32]) {
    if !stage.convolves() {
        return;
    }
    let taps = (stage.taps() * stage.input().channels).max(1);
    let mut rest = transposed;
    let transposed = take(&mut rest, stage.weight_len());
    level.run(TransformWeights { stage, weights, target: rest });
    for (o, filter) in transposed.chunks_exact_mut(taps).enumerate() {
        for (target, w) in filter.iter_mut().zip(weights.iter().skip(o).step_by(stage.output().channels)) {
            *target = w.to_f32();
        }
    }
}
