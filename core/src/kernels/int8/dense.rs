//! Dense layer of integers. Weights `[unit][input]`.

use super::Int8Layer;
#[cfg(cortex_m_dsp)]
use super::blocks;
use super::conv::dot;
use crate::network::plan::DenseStage;
use crate::span::span;
use crate::vector::{Kernel, Simd};

/// Adds the inputs `first .. first + x.len()` to the sums.
pub(crate) struct Int8Accumulate<'a, 'b> {
    pub stage: DenseStage,
    pub layer: Int8Layer<'a>,
    pub first: usize,
    pub x: &'b [i8],
    pub sums: &'b mut [i32],
}

impl Kernel for Int8Accumulate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        #[cfg(cortex_m_dsp)]
        return blocks::accumulate(self.layer, self.stage.inputs, (self.first, self.x), self.sums);
        #[cfg(not(cortex_m_dsp))]
        self.run_one_by_one();
    }
}

impl Int8Accumulate<'_, '_> {
    #[cfg_attr(cortex_m_dsp, allow(dead_code, reason = "the other way"))]
    #[inline(always)]
    fn run_one_by_one(self) {
        let Self { stage, layer, first, x, sums } = self;
        let (inputs, zero) = (stage.inputs, layer.range.input as i16);
        for (weights, sum) in layer.weights.chunks_exact(inputs.max(1)).zip(sums) {
            *sum = sum.wrapping_add(dot(x, zero, span(weights, first, x.len())));
        }
    }
}

/// The real-valued gradient of the inputs `first .. first + target.len()`, into `target`: `gradient` has one element for each
/// unit, 0 for dead ones.
pub(crate) struct Int8InputGradient<'a, 'b> {
    pub stage: DenseStage,
    pub layer: Int8Layer<'a>,
    pub gradient: &'b [f32],
    pub first: usize,
    pub target: &'b mut [f32],
}

impl Kernel for Int8InputGradient<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { stage, layer, gradient, first, target } = self;
        target.fill(0.0);
        let inputs = stage.inputs;
        for ((unit, g), weights) in gradient.iter().enumerate().zip(layer.weights.chunks_exact(inputs.max(1))) {
            if *g == 0.0 {
                continue;
            }
            let g = simd.splat(g * layer.weight_scale(unit));
            let weights = span(weights, first, target.len());
            for (target, weights) in target.chunks_mut(S::LANES).zip(weights.chunks(S::LANES)) {
                let sum = simd.mul_add(g, simd.load(weights), simd.load(&*target));
                simd.store(sum, target);
            }
        }
    }
}
