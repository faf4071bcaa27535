//! Dense layer, forward and backward. Weights `[inputs][units]`: a zero input skips its row of weights, a dead
//! unit's input gradient is never computed.
//!
//! ```text
//! out[u] = b[u] + sum over i of x[i] * w[i, u]      dx[i] = sum over u of w[i, u] * g[u]      dw[i, u] = x[i] * g[u]
//! ```
//!
//! Several samples at a time share the loads of weights, which otherwise take longer than the arithmetic. Each sum has
//! the same order as for one sample, so the results are the same to the bit.

use super::masks::{channels_of_word, take_bit};
use super::matrix::{Matrix, PAIR, dots, parts};
use super::sparse::live_bits;
use crate::network::plan::{DenseStage, WORD_BITS};
use crate::number::Number;
use crate::span::{rest, rest_mut, span, span_mut};
use crate::vector::{Kernel, Simd};

/// Samples that share each load of a weight, backward.
const SAMPLES: usize = 4;

/// A dense layer with its weights.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a, T> {
    pub stage: &'a DenseStage,
    pub weights: &'a [T],
    pub bias: &'a [T],
}

impl<T: Number> Dense<'_, T> {
    /// Sets the sums to the bias, before the first input.
    #[inline(always)]
    pub(crate) fn start(&self, sums: &mut [f32]) {
        sums.fill(0.0);
        for (sum, b) in sums.iter_mut().zip(self.bias) {
            *sum = b.to_f32();
        }
    }

    /// Adds the inputs `first .. first + x.len()` to the sums.
    #[inline(always)]
    pub(crate) fn accumulate<S: Simd>(&self, simd: S, first: usize, x: &[f32], sums: &mut [f32]) {
        simd.call(Accumulate { dense: *self, first, x, sums });
    }

    /// [`Self::accumulate`] for all inputs of several samples: `x` is `[sample][input]`, `sums` `[sample][unit]`.
    #[inline(always)]
    pub(crate) fn accumulate_batch<S: Simd>(&self, simd: S, x: &[f32], sums: &mut [f32]) {
        simd.call(AccumulateBatch { dense: *self, x, sums });
    }

    /// ReLU after the last input; its bits go to `masks` unless that is empty.
    #[inline(always)]
    pub(crate) fn finish(&self, sums: &mut [f32], masks: &mut [u32]) {
        if self.stage.relu {
            relu(self.stage.threshold(), sums, masks);
        }
    }

    /// Gradient of the inputs `first .. first + target.len()`. `wanted` has a bit for each, the others become 0; if it is
    /// empty, all are wanted.
    #[inline(always)]
    pub(crate) fn input_gradient<S: Simd>(
        &self,
        simd: S,
        gradient: &[f32],
        first: usize,
        wanted: &[u32],
        target: &mut [f32],
    ) {
        simd.call(InputGradient { dense: *self, gradient, first, wanted, target });
    }

    /// Gradient of all inputs of several samples: `gradient` is `[sample][unit]`, `target` `[sample][input]`. Where a ReLU
    /// made the inputs, `x` (`[sample][input]`) holds them: nobody looks at the gradient of an input that is zero, and
    /// `target` may hold anything there. With an empty `x` every gradient is computed.
    #[inline(always)]
    pub(crate) fn input_gradient_batch<S: Simd>(&self, simd: S, gradient: &[f32], x: &[f32], target: &mut [f32]) {
        simd.call(InputGradientBatch { dense: *self, gradient, x, target });
    }

    #[inline(always)]
    fn matrix(&self) -> Matrix<'_, T> {
        Matrix { rows: self.weights, width: self.stage.units }
    }

    /// Dot products of the weights of the inputs `first ..` whose bit is set in `wanted` with the gradients of `P`
    /// samples, `R` inputs at a time; those of sample `p` go to `target[p * stride ..]`.
    #[inline(always)]
    fn input_dots<S: Simd, const R: usize, const P: usize>(
        &self,
        simd: S,
        (first, mut wanted): (usize, u32),
        gradient: [&[f32]; P],
        (target, stride): (&mut [f32], usize),
    ) {
        let units = self.stage.units;
        while wanted != 0 {
            let (mut bits, mut rows) = ([0; R], [&[][..]; R]);
            let mut last = 0;
            for (bit, row) in bits.iter_mut().zip(&mut rows) {
                // Where no input is left, the last one is computed again.
                last = if wanted != 0 { take_bit(&mut wanted) } else { last };
                (*bit, *row) = (last, span(self.weights, (first + last) * units, units));
            }
            let dots = dots(simd, rows, gradient);
            for (bit, dots) in bits.iter().zip(&dots) {
                for (p, dot) in dots.iter().enumerate() {
                    if let Some(target) = target.get_mut(p * stride + bit) {
                        *target = *dot;
                    }
                }
            }
        }
    }
}

/// [`Dense::accumulate`] as a function of its own.
struct Accumulate<'a, 'b, T> {
    dense: Dense<'a, T>,
    first: usize,
    x: &'b [f32],
    sums: &'b mut [f32],
}

impl<T: Number> Kernel for Accumulate<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dense, first, x, sums } = self;
        for (word, x) in x.chunks(WORD_BITS).enumerate() {
            dense.matrix().add_products(simd, first + word * WORD_BITS, [x], sums);
        }
    }
}

/// [`Dense::accumulate_batch`] as a function of its own.
struct AccumulateBatch<'a, 'b, T> {
    dense: Dense<'a, T>,
    x: &'b [f32],
    sums: &'b mut [f32],
}

impl<T: Number> Kernel for AccumulateBatch<'_, '_, T> {
    type Output = ();

    /// Inputs outside: their weights stay in the cache for all samples.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dense, x, sums } = self;
        let DenseStage { inputs, units, .. } = *dense.stage;
        let samples = sums.len() / units.max(1);
        for first in (0..inputs).step_by(WORD_BITS) {
            let len = WORD_BITS.min(inputs - first);
            let mut sample = 0;
            while sample < samples {
                let x = rest(x, sample * inputs);
                if sample + PAIR <= samples {
                    let sums = rest_mut(sums, sample * units);
                    dense.matrix().add_products::<S, PAIR>(simd, first, parts(x, inputs, first, len), sums);
                    sample += PAIR;
                } else {
                    // Only its own sums: the last block may be longer than what is left of them.
                    let sums = span_mut(sums, sample * units, units);
                    dense.matrix().add_products::<S, 1>(simd, first, parts(x, inputs, first, len), sums);
                    sample += 1;
                }
            }
        }
    }
}

/// [`Dense::input_gradient`] as a function of its own.
struct InputGradient<'a, 'b, T> {
    dense: Dense<'a, T>,
    gradient: &'b [f32],
    first: usize,
    wanted: &'b [u32],
    target: &'b mut [f32],
}

impl<T: Number> Kernel for InputGradient<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dense, gradient, first, wanted, target } = self;
        target.fill(0.0);
        for (word, target) in target.chunks_mut(WORD_BITS).enumerate() {
            let wanted = if wanted.is_empty() { u32::MAX } else { wanted.get(word).copied().unwrap_or(0) };
            let wanted = (first + word * WORD_BITS, wanted & channels_of_word(target.len(), 0));
            // Enough sums at a time to hide what an addition takes; a scalar processor only shares loads.
            if S::LANES == 1 {
                dense.input_dots::<S, 2, 1>(simd, wanted, [gradient], (target, 0));
            } else {
                dense.input_dots::<S, 8, 1>(simd, wanted, [gradient], (target, 0));
            }
        }
    }
}

/// [`Dense::input_gradient_batch`] as a function of its own.
struct InputGradientBatch<'a, 'b, T> {
    dense: Dense<'a, T>,
    gradient: &'b [f32],
    x: &'b [f32],
    target: &'b mut [f32],
}

impl<T: Number> InputGradientBatch<'_, '_, T> {
    /// Bits of at most 32 inputs of a sample, from input `first` on, that want a gradient.
    #[inline(always)]
    fn wanted<S: Simd>(&self, simd: S, sample: usize, first: usize) -> u32 {
        let inputs = self.dense.stage.inputs;
        let len = WORD_BITS.min(inputs - first);
        if self.x.is_empty() {
            return channels_of_word(len, 0);
        }
        live_bits(simd, span(self.x, sample * inputs + first, len))
    }

    /// The wanted ones of the inputs from `first` on, for `P` samples from `sample` on.
    #[inline(always)]
    fn samples<S: Simd, const R: usize, const P: usize>(
        &mut self,
        simd: S,
        sample: usize,
        (first, wanted): (usize, u32),
    ) {
        let DenseStage { inputs, units, .. } = *self.dense.stage;
        let gradient = parts::<P>(rest(self.gradient, sample * units), units, 0, units);
        let target = rest_mut(self.target, sample * inputs + first);
        self.dense.input_dots::<S, R, P>(simd, (first, wanted), gradient, (target, inputs));
    }
}

impl<T: Number> Kernel for InputGradientBatch<'_, '_, T> {
    type Output = ();

    /// Inputs outside: their weights stay in the cache for all samples.
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let DenseStage { inputs, units, .. } = *self.dense.stage;
        let samples = self.gradient.len() / units.max(1);
        for first in (0..inputs).step_by(WORD_BITS) {
            for start in (0..samples).step_by(SAMPLES) {
                let count = SAMPLES.min(samples - start);
                let (mut wanted, mut any, mut sum) = ([0; SAMPLES], 0, 0);
                for (p, wanted) in wanted.iter_mut().enumerate().take(count) {
                    *wanted = self.wanted(simd, start + p, first);
                    any |= *wanted;
                    sum += wanted.count_ones();
                }
                // Together, each computes what any of them wants; it pays if four fifths of that are wanted (measured).
                if count == SAMPLES && 4 * SAMPLES as u32 * any.count_ones() <= 5 * sum {
                    self.samples::<S, 2, SAMPLES>(simd, start, (first, any));
                    continue;
                }
                for (p, wanted) in wanted.into_iter().enumerate().take(count) {
                    self.samples::<S, 8, 1>(simd, start + p, (first, wanted));
                }
            }
        }
    }
}

/// Adds rows of the weight gradient, summed over the samples in their order: `target` is `[row][unit]` for the inputs from
/// `first` on, `x` is `[sample][input]`, `gradient` `[sample][unit]`.
pub(crate) struct WeightGradient<'b> {
    pub stage: &'b DenseStage,
    pub x: &'b [f32],
    pub gradient: &'b [f32],
    pub first: usize,
    pub target: &'b mut [f32],
}

impl WeightGradient<'_> {
    /// The first `P` rows of `target`, for the inputs from `input` on.
    #[inline(always)]
    fn rows<S: Simd, const P: usize>(&self, simd: S, input: usize, target: &mut [f32]) {
        let DenseStage { inputs, units, .. } = *self.stage;
        let gradient = Matrix { rows: self.gradient, width: units };
        let samples = self.gradient.len() / units.max(1);
        // Columns of `x`, so that the samples take the place of a layer's inputs.
        let mut columns = [[0.0; WORD_BITS]; P];
        for first in (0..samples).step_by(WORD_BITS) {
            let count = WORD_BITS.min(samples - first);
            for sample in 0..count {
                let x = span(self.x, (first + sample) * inputs + input, P);
                for (column, x) in columns.iter_mut().zip(x) {
                    column[sample] = *x;
                }
            }
            let mut x = [&[][..]; P];
            for (x, column) in x.iter_mut().zip(&columns) {
                *x = span(column, 0, count);
            }
            gradient.add_products(simd, first, x, target);
        }
    }
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let units = self.stage.units.max(1);
        let target = core::mem::take(&mut self.target);
        let mut input = self.first;
        for rows in target.chunks_mut(SAMPLES * units) {
            if rows.len() == SAMPLES * units {
                self.rows::<S, SAMPLES>(simd, input, rows);
            } else {
                for (i, row) in rows.chunks_mut(units).enumerate() {
                    self.rows::<S, 1>(simd, input + i, row);
                }
            }
            input += SAMPLES;
        }
    }
}

/// ReLU; its bits go to `masks` unless that is empty. No branch depends on the sign of a sum, which nothing predicts.
fn relu(threshold: f32, sums: &mut [f32], masks: &mut [u32]) {
    let mut masks = masks.iter_mut();
    for sums in sums.chunks_mut(WORD_BITS) {
        let mut alive = 0;
        for (bit, sum) in sums.iter_mut().enumerate() {
            alive |= u32::from(*sum > threshold) << bit;
            *sum = if *sum > threshold { *sum - threshold } else { 0.0 };
        }
        if let Some(word) = masks.next() {
            *word = alive;
        }
    }
}

/// Sets the gradient of dead units to zero. Inlined where there are vectors, which can do without a branch for each bit.
#[cfg_attr(not(cortex_m_fpu), inline(always))]
pub(crate) fn mask_gradient(masks: &[u32], gradient: &mut [f32]) {
    for (word, gradient) in masks.iter().zip(gradient.chunks_mut(WORD_BITS)) {
        for (bit, g) in gradient.iter_mut().enumerate() {
            // All bits of a number, or none.
            let kept = (word >> bit & 1).wrapping_neg();
            *g = f32::from_bits(g.to_bits() & kept);
        }
    }
}
