//! Weight gradients: for each winner, the inputs under the kernel times its gradient.

use super::scatter::add_scaled;
use super::{GradientRow, Window};
use crate::layers::masks::set_bits;
use crate::plan::{Spatial, WORD_BITS};
use crate::simd::Simd;
use crate::span::{span, span_mut};

/// Adds what one output row contributes to the weight gradient (`[o][ky][kx][i]`) and the bias gradient.
#[inline(always)]
pub(crate) fn add_weight_gradient<S: Simd>(
    simd: S,
    stage: &Spatial,
    window: &Window<'_>,
    output: &GradientRow<'_>,
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
) {
    let channels = stage.input.channels;
    let run = stage.kernel * channels;
    for q in 0..stage.output.width {
        let gradient = span(output.gradient, q * stage.output.channels, stage.output.channels);
        for (wy, wx, word) in places(stage) {
            let start = (q * stage.step() + wx * stage.stride) * channels;
            for bit in set_bits(output.masks.winners(q, word, wy, wx)) {
                let o = word * WORD_BITS + bit;
                let g = gradient.get(o).copied().unwrap_or(0.0);
                if let Some(bias) = bias_gradient.get_mut(o) {
                    *bias += g;
                }
                for ky in 0..stage.kernel {
                    let x = window.input_row(wy * stage.stride + ky).values;
                    let target = span_mut(weight_gradient, (o * stage.kernel + ky) * run, run);
                    add_scaled(simd, g, span(x, start, run), target);
                }
            }
        }
    }
}

/// Every (wy, wx, word) of a pooling window.
#[inline(always)]
fn places(stage: &Spatial) -> impl Iterator<Item = (usize, usize, usize)> {
    let (pool, words) = (stage.pool, stage.words());
    (0..pool).flat_map(move |wy| (0..pool).flat_map(move |wx| (0..words).map(move |word| (wy, wx, word))))
}
