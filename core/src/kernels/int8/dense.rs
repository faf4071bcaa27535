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
