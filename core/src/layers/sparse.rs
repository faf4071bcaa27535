//! The two products every layer is made of, over the inputs that are not zero.
//!
//! A weight matrix has one row per input, whose elements belong to neighbouring outputs: `[tap][filter]` for a
//! convolution, `[input][unit]` for a dense layer. Forward adds the rows of the inputs that are not zero, many
//! neighbouring outputs at a time; blank paper and dead ReLUs cost nothing. Backward multiplies the rows of the
//! inputs that want a gradient with the few outputs that have one. Which are which is told by words of bits.

use crate::element::Element;
use crate::plan::WORD_BITS;
use crate::simd::Simd;
use crate::span::span;

/// `sums[n] += sum over the set bits j of live of x[j] * weights[j * stride + n]`, in the order of the bits.
#[inline(always)]
pub(crate) fn add_live_rows<S: Simd, T: Element, const N: usize>(
    simd: S,
    sums: &mut [S::Vector; N],
    (x, mut live): (&[f32], u32),
    (weights, stride): (&[T], usize),
) {
    while live != 0 {
        let j = live.trailing_zeros() as usize;
        live &= live - 1;
        let x = simd.splat(x.get(j).copied().unwrap_or(0.0));
        if N == 1 {
            // May reach into the next row, or be cut at the end of the tensor: lanes that nobody stores.
            let row = weights.get(j * stride..).unwrap_or(&[]);
            sums[0] = simd.mul_add(x, simd.load(row), sums[0]);
            continue;
        }
        let row = span(weights, j * stride, N * S::LANES);
        if row.len() == N * S::LANES {
            for n in 0..N {
                sums[n] = simd.mul_add(x, simd.load(&row[n * S::LANES..]), sums[n]);
            }
        }
    }
}

/// Some outputs and their gradients; unused places have gradient 0.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<const K: usize> {
    index: [usize; K],
    gradient: [f32; K],
    count: usize,
}

impl<const K: usize> Outputs<K> {
    pub(crate) const NONE: Self = Self { index: [0; K], gradient: [0.0; K], count: 0 };

    /// Adds an output. Returns the group when it is full, and starts anew.
    #[inline(always)]
    pub(crate) fn push(&mut self, index: usize, gradient: f32) -> Option<Self> {
        if let (Some(i), Some(g)) = (self.index.get_mut(self.count), self.gradient.get_mut(self.count)) {
            (*i, *g) = (index, gradient);
        }
        self.count += 1;
        if self.count < K { None } else { Some(core::mem::replace(self, Self::NONE)) }
    }

    /// The last group, if there is anything in it.
    pub(crate) fn rest(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }

    /// `target[j] += sum over the outputs o of g[o] * weights[j * stride + o]` for the set bits j of `wanted`.
    #[inline(always)]
    pub(crate) fn add_dots<T: Element>(&self, (weights, stride): (&[T], usize), mut wanted: u32, target: &mut [f32]) {
        while wanted != 0 {
            let j = wanted.trailing_zeros() as usize;
            wanted &= wanted - 1;
            let row = span(weights, j * stride, stride);
            let Some(target) = target.get_mut(j) else { return };
            let mut sum = *target;
            for k in 0..K {
                sum += self.gradient[k] * row.get(self.index[k]).map_or(0.0, |w| w.to_f32());
            }
            *target = sum;
        }
    }
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
