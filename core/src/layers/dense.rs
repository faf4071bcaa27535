//! Dense layer, forward and backward. Weights `[inputs][units]`: a zero input skips its row of weights, a dead
//! unit's input gradient is never computed.
//!
//! ```text
//! out[u] = b[u] + sum over i of x[i] * w[i, u]      dx[i] = sum over u of w[i, u] * g[u]      dw[i, u] = x[i] * g[u]
//! ```

use super::masks::{channels_of_word, set_bits};
use super::sparse::{add_live_rows, live_bits, load_all, store_all};
use crate::element::Element;
use crate::plan::{DenseStage, WORD_BITS};
use crate::simd::{Kernel, Level, Simd};
use crate::span::span;

/// A dense layer with its weights.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a, T> {
    pub stage: &'a DenseStage,
    pub weights: &'a [T],
    pub bias: &'a [T],
}

/// At most 32 inputs.
struct Inputs<'a> {
    /// Index of the first.
    first: usize,
    x: &'a [f32],
    /// A bit for each that is not zero.
    live: u32,
}

impl<T: Element> Dense<'_, T> {
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

    /// Blocks of `N` vectors of units from unit `u` on; returns where they end. The last size to be tried also
    /// takes what is left.
    #[inline(always)]
    fn blocks<S: Simd, const N: usize>(&self, simd: S, inputs: &Inputs<'_>, u: usize, sums: &mut [f32]) -> usize {
        let units = self.stage.units;
        let mut u = u;
        let is_last = N == 1 || S::LANES == 1;
        while u + N * S::LANES <= units || is_last && u < units {
            let weights = self.weights.get(inputs.first * units + u..).unwrap_or(&[]);
            let mut block = [simd.splat(0.0); N];
            load_all(simd, sums.get(u..).unwrap_or(&[]), &mut block);
            add_live_rows(simd, &mut block, (inputs.x, inputs.live), (weights, units));
            store_all(simd, &block, sums.get_mut(u..).unwrap_or(&mut []));
            u += N * S::LANES;
        }
        u
    }

    /// ReLU after the last input; its bits go to `masks` unless that is empty.
    #[inline(always)]
    pub(crate) fn finish(&self, sums: &mut [f32], masks: &mut [u32]) {
        if !self.stage.relu {
            return;
        }
        masks.fill(0);
        for (u, sum) in sums.iter_mut().enumerate() {
            if *sum > 0.0 {
                if let Some(word) = masks.get_mut(u / WORD_BITS) {
                    *word |= 1 << (u % WORD_BITS);
                }
            } else {
                *sum = 0.0;
            }
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
}

/// [`Dense::input_gradient`] as a function of its own.
struct InputGradient<'a, 'b, T> {
    dense: Dense<'a, T>,
    gradient: &'b [f32],
    first: usize,
    wanted: &'b [u32],
    target: &'b mut [f32],
}

impl<T: Element> Kernel for InputGradient<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dense, gradient, first, wanted, target } = self;
        let units = dense.stage.units;
        target.fill(0.0);
        for (word, target) in target.chunks_mut(WORD_BITS).enumerate() {
            let row = |bit: usize| span(dense.weights, (first + word * WORD_BITS + bit) * units, units);
            let wanted = if wanted.is_empty() { u32::MAX } else { wanted.get(word).copied().unwrap_or(0) };
            let mut bits = set_bits(wanted & channels_of_word(target.len(), 0));
            // Two rows at a time share the gradient's loads; a last row alone is its own partner.
            while let Some(a) = bits.next() {
                let b = bits.next().unwrap_or(a);
                let dots = dots(simd, [row(a), row(b)], gradient);
                for (bit, dot) in [a, b].into_iter().zip(dots) {
                    if let Some(target) = target.get_mut(bit) {
                        *target = dot;
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

impl<T: Element> Kernel for Accumulate<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dense, first, x, sums } = self;
        for (word, x) in x.chunks(WORD_BITS).enumerate() {
            let inputs = &Inputs { first: first + word * WORD_BITS, x, live: live_bits(simd, x) };
            let u = if S::MANY_REGISTERS || S::LANES == 1 {
                dense.blocks::<S, 16>(simd, inputs, 0, sums)
            } else {
                dense.blocks::<S, 8>(simd, inputs, 0, sums)
            };
            if S::LANES > 1 {
                let u = dense.blocks::<S, 4>(simd, inputs, u, sums);
                dense.blocks::<S, 1>(simd, inputs, u, sums);
            }
        }
    }
}

/// Sets the gradient of dead units to zero.
pub(crate) fn mask_gradient(masks: &[u32], gradient: &mut [f32]) {
    for (word, gradient) in masks.iter().zip(gradient.chunks_mut(WORD_BITS)) {
        for (bit, g) in gradient.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *g = 0.0;
            }
        }
    }
}

/// Dot products of two rows with `x`.
#[inline(always)]
fn dots<S: Simd, T: Element>(simd: S, rows: [&[T]; 2], x: &[f32]) -> [f32; 2] {
    let (start, done) = if S::LANES == 1 { T::dots(rows, x) } else { ([0.0; 2], 0) };
    let x = x.get(done..).unwrap_or(&[]);
    let [a, b] = rows.map(|row| dot(simd, row.get(done..).unwrap_or(&[]), x));
    [start[0] + a, start[1] + b]
}

/// Dot product with four independent sums.
#[inline(always)]
fn dot<S: Simd, T: Element>(simd: S, a: &[T], b: &[f32]) -> f32 {
    const SUMS: usize = 4;
    if a.is_empty() {
        return 0.0;
    }
    let mut sums = [simd.splat(0.0); SUMS];
    let mut tiles_a = a.chunks_exact(SUMS * S::LANES);
    let mut tiles_b = b.chunks_exact(SUMS * S::LANES);
    for (a, b) in (&mut tiles_a).zip(&mut tiles_b) {
        for (k, sum) in sums.iter_mut().enumerate() {
            let (a, b) = (span(a, k * S::LANES, S::LANES), span(b, k * S::LANES, S::LANES));
            *sum = simd.mul_add(simd.load(a), simd.load(b), *sum);
        }
    }
    let sum = simd.sum(simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3])));
    let rest = tiles_a.remainder().iter().zip(tiles_b.remainder());
    rest.fold(sum, |sum, (a, b)| sum + a.to_f32() * b)
}

/// A row of the weight gradient, `target[u] += x * g[u]`: one input of one sample.
pub(crate) fn add_scaled_row(level: Level, x: f32, gradient: &[f32], target: &mut [f32]) {
    struct Row<'a> {
        x: f32,
        gradient: &'a [f32],
        target: &'a mut [f32],
    }
    impl Kernel for Row<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            super::conv::add_scaled(simd, self.x, self.gradient, self.target);
        }
    }
    level.run(Row { x, gradient, target });
}
