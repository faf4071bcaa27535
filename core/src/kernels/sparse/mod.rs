//! The two products every layer is made of, over the inputs that are not zero.
//!
//! ```text
//! forward    add_live_rows     sums[n]   += x[j] * weights[j * stride + n]       for the inputs j that are not zero
//! backward   Outputs::add_dots target[j] += g[o] * weights[j * stride + o]       for the inputs j that want a gradient
//!                                                                                and the outputs o that have one
//! ```
//! A weight matrix has one row per input, whose elements belong to neighbouring outputs: `[tap][filter]` for a
//! convolution, `[input][unit]` for a dense layer. Forward adds the rows of the inputs that are not zero, many
//! neighbouring outputs at a time; blank paper and dead ReLUs cost nothing. Backward multiplies the rows of the
//! inputs that want a gradient with the few outputs that have one. Which are which is told by words of bits.

mod assembly;
#[cfg(cortex_m_fpu)]
mod cortex_m;
mod outputs;

use super::masks::Bits;
use crate::network::plan::WORD_BITS;
use crate::number::Number;
use crate::span::{reach_rest, rest};
use crate::vector::Simd;
pub(crate) use assembly::dots;
pub(crate) use outputs::{Outputs, ROW};

/// `sums[n] += sum over the set bits j of live of x[j] * weights[j * stride + n]`, in the order of the bits. The last
/// outputs may be beyond the end of a row; their sums mean nothing.
#[inline(always)]
pub(crate) fn add_live_rows<S: Simd, T: Number, const N: usize>(
    simd: S,
    sums: &mut [S::Vector; N],
    (x, live): (&[f32], u32),
    (weights, stride): (&[T], usize),
) {
    if N == ROW
        && let Some(sums) = S::as_scalars(sums).and_then(|sums| sums.first_chunk_mut())
        && assembly::add_live_rows(sums, (x, live), (weights, stride))
    {
        return;
    }
    add_rows(simd, sums, x, live, weights, stride);
}

/// [`add_live_rows`] with vectors; on a device only where the processor's own version does not suit.
#[cfg_attr(cortex_m_fpu, inline(never))]
#[cfg_attr(not(cortex_m_fpu), inline(always))]
fn add_rows<S: Simd, T: Number, const N: usize>(
    simd: S,
    sums: &mut [S::Vector; N],
    x: &[f32],
    mut live: u32,
    weights: &[T],
    stride: usize,
) {
    // A copy, which stays in registers.
    let mut own = *sums;
    while live != 0 {
        let j = live.trailing_zeros() as usize;
        live &= live - 1;
        let x = simd.splat(x.get(j).copied().unwrap_or(0.0));
        let row = rest(weights, j * stride);
        match S::arrays(row).first_chunk::<N>() {
            Some(row) => {
                for (sum, w) in own.iter_mut().zip(row) {
                    *sum = simd.mul_add(x, simd.load_array(w), *sum);
                }
            }
            // The end of the tensor: what is missing are outputs that do not exist, and nobody stores their sums.
            None if N == 1 || S::LANES == 1 => {
                for (sum, w) in own.iter_mut().zip(row.chunks(S::LANES)) {
                    *sum = simd.mul_add(x, simd.load(w), *sum);
                }
            }
            None => break,
        }
    }
    *sums = own;
}

/// [`add_live_rows`] for `P` inputs at a time, which share each row of weights: `sums[p]` gets those of `x[p]`. A bit of
/// `live` is set where any of the inputs is not zero.
#[inline(always)]
pub(crate) fn add_shared_rows<S: Simd, T: Number, const P: usize, const N: usize>(
    simd: S,
    sums: &mut [[S::Vector; N]; P],
    (x, mut live): ([&[f32]; P], u32),
    (weights, stride): (&[T], usize),
) {
    // A copy, which stays in registers.
    let mut own = *sums;
    // Words that are not at an end have all their elements: then no index needs a check.
    let mut words = [&[0.0; WORD_BITS]; P];
    let mut are_whole = true;
    for (word, x) in words.iter_mut().zip(x) {
        match x.first_chunk() {
            Some(x) => *word = x,
            None => are_whole = false,
        }
    }
    while live != 0 {
        let j = live.trailing_zeros() as usize % WORD_BITS;
        live &= live - 1;
        let mut row = [simd.splat(0.0); N];
        load_block(simd, rest(weights, j * stride), &mut row);
        for (p, own) in own.iter_mut().enumerate() {
            let x = if are_whole { words[p][j] } else { x[p].get(j).copied().unwrap_or(0.0) };
            let x = simd.splat(x);
            for (sum, w) in own.iter_mut().zip(row) {
                *sum = simd.mul_add(x, w, *sum);
            }
        }
    }
    *sums = own;
}

/// [`load_all`] of a block that is whole if it has several vectors (of several lanes), and so needs no code for its end.
#[inline(always)]
pub(crate) fn load_block<S: Simd, T: Number, const N: usize>(simd: S, x: &[T], vectors: &mut [S::Vector; N]) {
    if let Some(x) = S::arrays(x).first_chunk::<N>() {
        for (vector, x) in vectors.iter_mut().zip(x) {
            *vector = simd.load_array(x);
        }
    } else if N == 1 || S::LANES == 1 {
        for (n, vector) in vectors.iter_mut().enumerate() {
            *vector = simd.load(reach_rest(x, n * S::LANES));
        }
    }
}

impl Outputs {
    /// `target[j] += sum over the listed outputs o of g[o] * weights[j * stride + o]` for the set bits j of `wanted`.
    /// The list is empty then.
    #[inline(always)]
    pub(crate) fn add_dots<T: Number>(
        &mut self,
        (weights, stride): (&[T], usize),
        mut wanted: u32,
        target: &mut [f32],
    ) {
        let done = assembly::add_dots(self, (weights, stride), wanted, target);
        let count = core::mem::take(&mut self.count);
        while wanted != 0 && !done {
            let j = wanted.trailing_zeros() as usize;
            wanted &= wanted - 1;
            let row = rest(weights, j * stride);
            let Some(target) = target.get_mut(j) else { return };
            for (index, g) in self.index.iter().zip(&self.gradient).take(count) {
                *target += g * row.get(*index).map_or(0.0, |w| w.to_f32());
            }
        }
    }
}

/// Fills the vectors from the front of `x`, with zeros beyond its end.
#[inline(always)]
pub(crate) fn load_all<S: Simd, T: Number, const N: usize>(simd: S, x: &[T], vectors: &mut [S::Vector; N]) {
    match S::arrays(x).first_chunk::<N>() {
        Some(x) => {
            for (vector, x) in vectors.iter_mut().zip(x) {
                *vector = simd.load_array(x);
            }
        }
        None => {
            for (n, vector) in vectors.iter_mut().enumerate() {
                *vector = simd.load(reach_rest(x, n * S::LANES));
            }
        }
    }
}

/// Writes the vectors to the front of `out`, as far as it goes.
#[inline(always)]
pub(crate) fn store_all<S: Simd, const N: usize>(simd: S, vectors: &[S::Vector; N], out: &mut [f32]) {
    match out.get_mut(..N * S::LANES) {
        Some(out) => {
            for (vector, out) in vectors.iter().zip(out.chunks_exact_mut(S::LANES)) {
                simd.store(*vector, out);
            }
        }
        None => {
            for (vector, out) in vectors.iter().zip(out.chunks_mut(S::LANES)) {
                simd.store(*vector, out);
            }
        }
    }
}

/// Replaces each value of `best` by that of `x` where that is greater; bit `i` is set where lane `i` was replaced.
#[inline(always)]
pub(crate) fn keep_greater<S: Simd, const N: usize>(
    simd: S,
    best: &mut [S::Vector; N],
    x: &mut [S::Vector; N],
) -> Bits {
    #[cfg(cortex_m_fpu)]
    if N == ROW
        && let Some(best) = S::as_scalars(best).and_then(|best| best.first_chunk_mut())
        && let Some(x) = S::as_scalars(x).and_then(|x| x.first_chunk_mut())
    {
        return cortex_m::keep_greater(best, x);
    }
    let mut replaced = 0;
    for (n, (x, best)) in x.iter().zip(best).enumerate() {
        replaced |= Bits::from(simd.greater(*x, *best)) << (n * S::LANES);
        *best = simd.max(*x, *best);
    }
    replaced
}

/// A bit for each of the first 32 elements: set where it is not zero.
#[inline(always)]
pub(crate) fn live_bits<S: Simd>(simd: S, x: &[f32]) -> u32 {
    let mut bits = 0;
    for (i, x) in x.chunks(S::LANES).take(WORD_BITS / S::LANES).enumerate() {
        bits |= simd.not_zero(simd.load(x)) << (i * S::LANES);
    }
    bits
}

/// `count` bits (at most 32) from bit `start` on.
#[inline(always)]
pub(crate) fn bits_at(words: &[u32], start: usize, count: usize) -> u32 {
    let (word, shift) = (start / WORD_BITS, start % WORD_BITS);
    let low = words.get(word).copied().unwrap_or(0) >> shift;
    // A shift by 32 is not allowed, hence in two steps.
    let high = words.get(word + 1).copied().unwrap_or(0) << 1 << (WORD_BITS - 1 - shift);
    let mask = if count < WORD_BITS { (1 << count) - 1 } else { u32::MAX };
    (low | high) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_cut_out_at_any_place() {
        let words = [0x8000_0001, 0x0000_00f3];
        assert_eq!(bits_at(&words, 0, 32), 0x8000_0001);
        assert_eq!(bits_at(&words, 31, 3), 0b111);
        assert_eq!(bits_at(&words, 32, 4), 0b0011);
        assert_eq!(bits_at(&words, 36, 32), 0xf);
        assert_eq!(bits_at(&words, 64, 5), 0);
    }
}
