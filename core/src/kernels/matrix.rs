//! Products of a matrix, row by row, with the vectors of one or several samples: what dense layers spend their time on.
//!
//! ```text
//! add_products    sums[p][u] += sum over rows i of x[p][i] * rows[i][u]      forward, weight gradient
//! dots            dot[r][p]   = sum over u of rows[r][u] * x[p][u]           input gradient
//! ```
//! Both keep a block of sums in registers: `P` samples that share each load of a weight, times `N` vectors of units or `R`
//! rows.

use super::sparse::{self, add_live_rows, add_shared_rows, live_bits, load_all, load_block, store_all};
use crate::number::Number;
use crate::span::{rest, rest_mut, span, span_mut};
use crate::vector::Simd;

/// Samples that share each load of a weight, forward, where all of them multiply what is not zero in one: the more there are,
/// the fewer loads and the more zeros.
pub(crate) const PAIR: usize = 2;

/// A matrix of weights, or of anything that is multiplied like them.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub rows: &'a [T],
    /// Elements of a row.
    pub width: usize,
}

impl<T: Number> Matrix<'_, T> {
    /// Adds the products of at most 32 rows, from `first` on, with `P` vectors `x` to `P` sums (`[p][width]`).
    #[inline(always)]
    pub(crate) fn add_products<S: Simd, const P: usize>(
        &self,
        simd: S,
        first: usize,
        x: [&[f32]; P],
        sums: &mut [f32],
    ) {
        let mut live = 0;
        for x in x {
            live |= live_bits(simd, x);
        }
        let inputs = &Inputs { first, x, live };
        if S::LANES == 1 {
            self.blocks::<S, P, 16>(simd, inputs, 0, sums);
            return;
        }
        let u = match (P, S::MANY_REGISTERS) {
            (1, true) => self.blocks::<S, P, 16>(simd, inputs, 0, sums),
            (1, false) => self.blocks::<S, P, 8>(simd, inputs, 0, sums),
            (PAIR, true) => self.blocks::<S, P, 8>(simd, inputs, 0, sums),
            (PAIR, false) => self.blocks::<S, P, 4>(simd, inputs, 0, sums),
            (_, true) => self.blocks::<S, P, 4>(simd, inputs, 0, sums),
            (_, false) => self.blocks::<S, P, 2>(simd, inputs, 0, sums),
        };
        let u = self.blocks::<S, P, 2>(simd, inputs, u, sums);
        self.blocks::<S, P, 1>(simd, inputs, u, sums);
    }

    /// Blocks of `N` vectors of units from unit `u` on; returns where they end. The last size to be tried also
    /// takes what is left.
    #[inline(always)]
    fn blocks<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        inputs: &Inputs<'_, P>,
        mut u: usize,
        sums: &mut [f32],
    ) -> usize {
        let units = self.width;
        let is_last = N == 1 || S::LANES == 1;
        while u + N * S::LANES <= units || is_last && u < units {
            let weights = rest(self.rows, inputs.first * units + u);
            let mut block = [[simd.splat(0.0); N]; P];
            if let ([block], [x]) = (&mut block[..], &inputs.x[..]) {
                load_all(simd, rest(sums, u), block);
                add_live_rows(simd, block, (x, inputs.live), (weights, units));
                store_all(simd, block, rest_mut(sums, u));
            } else {
                for (p, block) in block.iter_mut().enumerate() {
                    load_block(simd, span(sums, p * units + u, units - u), block);
                }
                add_shared_rows(simd, &mut block, (inputs.x, inputs.live), (weights, units));
                for (p, block) in block.iter().enumerate() {
                    store_all(simd, block, span_mut(sums, p * units + u, units - u));
                }
            }
            u += N * S::LANES;
        }
        u
    }
}

/// At most 32 inputs of `P` samples.
struct Inputs<'a, const P: usize> {
    /// Index of the first.
    first: usize,
    x: [&'a [f32]; P],
    /// A bit for each that is not zero in some sample.
    live: u32,
}

/// The `len` elements from `start` on of the first samples of a matrix whose rows have `width` elements.
#[inline(always)]
pub(crate) fn parts<const P: usize>(matrix: &[f32], width: usize, start: usize, len: usize) -> [&[f32]; P] {
    let mut parts = [&[][..]; P];
    for (p, part) in parts.iter_mut().enumerate() {
        *part = span(matrix, p * width + start, len);
    }
    parts
}

/// Dot products of each of `R` rows with each `x`.
///
/// One function although it is long: taken apart into inlined ones it is 3 to 9 % larger on a Cortex-M (measured).
#[inline(always)]
pub(crate) fn dots<S: Simd, T: Number, const R: usize, const P: usize>(
    simd: S,
    rows: [&[T]; R],
    x: [&[f32]; P],
) -> [[f32; P]; R] {
    let mut sums = [[simd.splat(0.0); P]; R];
    let (mut dots, mut done) = ([[0.0; P]; R], 0);
    if S::LANES == 1
        && let ([a, b], [x]) = (&rows[..], &x[..])
    {
        let (start, end) = sparse::dots([a, b], x);
        done = end;
        for (dots, start) in dots.iter_mut().zip(start) {
            dots.fill(start);
        }
    }
    let len = x.first().map_or(0, |x| x.len());
    let count = len.saturating_sub(done) / S::LANES;
    // Slices of one length, which the compiler then knows to be there.
    let (mut values, mut weights) = ([&[][..]; P], [&[][..]; R]);
    for (values, x) in values.iter_mut().zip(x) {
        *values = span(S::arrays(rest(x, done)), 0, count);
    }
    for (weights, row) in weights.iter_mut().zip(rows) {
        *weights = span(S::arrays(rest(row, done)), 0, count);
    }
    if values.iter().any(|x| x.len() != count) || weights.iter().any(|row| row.len() != count) {
        return dots;
    }
    for i in 0..count {
        let mut x = [simd.splat(0.0); P];
        for (x, values) in x.iter_mut().zip(values) {
            let Some(value) = values.get(i) else { return dots };
            *x = simd.load_array(value);
        }
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let Some(row) = weights.get(i) else { return dots };
            let row = simd.load_array(row);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add(row, x, *sum);
            }
        }
    }
    done += count * S::LANES;
    if done < len {
        // The last elements, with zeros beyond the end.
        for (sums, row) in sums.iter_mut().zip(rows) {
            let row = simd.load(rest(row, done));
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add(row, simd.load(rest(x, done)), *sum);
            }
        }
    }
    for (dots, sums) in dots.iter_mut().zip(sums) {
        for (dot, sum) in dots.iter_mut().zip(sums) {
            *dot += simd.sum(sum);
        }
    }
    dots
}
