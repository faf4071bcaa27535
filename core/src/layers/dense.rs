//! Dense layer, forward and backward. Weights `[inputs][units]`: a zero input skips its row of weights, a dead
//! unit's input gradient is never computed.
//!
//! ```text
//! out[u] = b[u] + sum over i of x[i] * w[i, u]      dx[i] = sum over u of w[i, u] * g[u]      dw[i, u] = x[i] * g[u]
//! ```

use super::masks::set_bits;
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

/// Inputs whose rows of weights are added together, so that a sum is loaded and stored once for all of them.
const ROWS: usize = 4;

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

    #[inline(always)]
    fn add_inputs<S: Simd>(&self, simd: S, first: usize, x: &[f32], sums: &mut [f32]) {
        let units = self.stage.units;
        let mut rows: [(f32, &[T]); ROWS] = [(0.0, &[]); ROWS];
        let mut count = 0;
        for (i, x) in x.iter().enumerate() {
            if *x == 0.0 {
                continue;
            }
            if let Some(row) = rows.get_mut(count) {
                *row = (*x, span(self.weights, (first + i) * units, units));
            }
            count += 1;
            if count == ROWS {
                add_rows(simd, &rows, sums);
                count = 0;
            }
        }
        for row in rows.into_iter().take(count) {
            add_rows(simd, &[row], sums);
        }
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

    /// Gradient of the inputs `first .. first + target.len()`; `wanted` has a bit for each, the others become 0.
    #[inline(always)]
    pub(crate) fn input_gradient<S: Simd>(
        &self,
        simd: S,
        gradient: &[f32],
        first: usize,
        wanted: impl Fn(usize) -> u32,
        target: &mut [f32],
    ) {
        let units = self.stage.units;
        for (word, target) in target.chunks_mut(WORD_BITS).enumerate() {
            target.fill(0.0);
            for bit in set_bits(wanted(word)) {
                let row = span(self.weights, (first + word * WORD_BITS + bit) * units, units);
                if let Some(target) = target.get_mut(bit) {
                    *target = dot(simd, row, gradient);
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
        self.dense.add_inputs(simd, self.first, self.x, self.sums);
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

/// `sums[u] += sum over r of x[r] * row[r][u]`, in the order of the rows.
#[inline(always)]
fn add_rows<S: Simd, T: Element, const R: usize>(simd: S, rows: &[(f32, &[T]); R], sums: &mut [f32]) {
    let units = sums.len();
    if rows.iter().any(|(_, row)| row.len() != units) {
        return;
    }
    let mut factors = [simd.splat(0.0); R];
    for r in 0..R {
        factors[r] = simd.splat(rows[r].0);
    }
    let mut u = 0;
    while u + S::LANES <= units {
        let target = sums.get_mut(u..).unwrap_or(&mut []);
        let mut sum = simd.load(target);
        for r in 0..R {
            sum = simd.mul_add(factors[r], simd.load(span(rows[r].1, u, S::LANES)), sum);
        }
        simd.store(sum, target.get_mut(..S::LANES).unwrap_or(&mut []));
        u += S::LANES;
    }
    for (u, sum) in sums.iter_mut().enumerate().skip(u) {
        for (x, row) in rows {
            *sum += x * row.get(u).map_or(0.0, |w| w.to_f32());
        }
    }
}

/// Dot product with four independent sums.
#[inline(always)]
fn dot<S: Simd, T: Element>(simd: S, a: &[T], b: &[f32]) -> f32 {
    const SUMS: usize = 4;
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
            add_rows(simd, &[(self.x, self.gradient)], self.target);
        }
    }
    level.run(Row { x, gradient, target });
}
