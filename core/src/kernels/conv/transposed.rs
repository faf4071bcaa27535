//! Weights in the orders that hosts read: transposed for backward, and transformed for [`winograd`](super::winograd).

use super::scatter::SMALL;
use super::winograd::{self, TransformWeights};
use crate::network::plan::Spatial;
use crate::number::Number;
use crate::span::take;
use crate::vector::Level;

/// Elements behind all transposed weights.
pub(crate) const SLACK: usize = SMALL;

/// Elements of a stage's transposed and transformed weights.
pub(crate) const fn transposed_len(stage: &Spatial) -> usize {
    stage.weight_len() + winograd::weights_len(stage)
}

/// Stored weights `[ky][kx][i][o]` to `[o][ky][kx][i]`, and behind them those of [`winograd`].
pub(crate) fn transpose<T: Number>(level: Level, stage: &Spatial, weights: &[T], transposed: &mut [f32]) {
    let taps = (stage.kernel * stage.kernel * stage.input.channels).max(1);
    let mut rest = transposed;
    let transposed = take(&mut rest, stage.weight_len());
    level.run(TransformWeights { stage, weights, target: rest });
    for (o, filter) in transposed.chunks_exact_mut(taps).enumerate() {
        for (target, w) in filter.iter_mut().zip(weights.iter().skip(o).step_by(stage.output.channels)) {
            *target = w.to_f32();
        }
    }
}
