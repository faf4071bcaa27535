//! From the sums of 16 filters to bytes and bits.

use super::layout::Block;
use crate::kernels::int8::Range;
use crate::network::plan::WORD_BITS;
use crate::vector::int8::{FILTERS, Int8Simd};

/// Where the outputs of a layer end, and what its ReLU hides.
#[derive(Clone, Copy)]
pub(super) struct Ends<V> {
    /// The smallest and the largest output, less the zero point.
    low: V,
    high: V,
    zero: V,
    nothing: V,
    /// Whether the upper end is that of a ReLU6.
    capped: bool,
}

impl<V: Copy> Ends<V> {
    #[inline(always)]
    pub(super) fn of<S: Int8Simd<Sums = V>>(simd: S, range: &Range, capped: bool) -> Self {
        let (low, high) = (simd.splat(range.low - range.output), simd.splat(range.high - range.output));
        Self { low, high, zero: simd.splat(range.output), nothing: simd.splat(0), capped }
    }

    /// The bytes of sums that were requantised to `x`, and a bit for each that is above 0 before any rounding and not at the end of
    /// a ReLU6.
    #[inline(always)]
    pub(super) fn bytes<S: Int8Simd<Sums = V>>(&self, simd: S, sums: V, x: V) -> ([i8; FILTERS], u32) {
        let x = simd.max(simd.min(x, self.high), self.low);
        let mut alive = simd.greater(sums, self.nothing);
        if self.capped {
            alive &= simd.greater(self.high, x);
        }
        (simd.narrow(simd.add(x, self.zero)), alive)
    }

    /// [`Self::bytes`] of sums of a block.
    #[inline(always)]
    pub(super) fn outputs<S: Int8Simd<Sums = V>>(&self, simd: S, block: &Block<'_>, sums: V) -> ([i8; FILTERS], u32) {
        self.bytes(simd, sums, simd.requantise(sums, block.multipliers))
    }
}

/// Writes the outputs of 16 filters from filter `first` on, as many as there are.
#[inline(always)]
pub(super) fn put_bytes(out: &mut [i8], first: usize, bytes: &[i8; FILTERS]) {
    let out = out.get_mut(first..).unwrap_or(&mut []);
    match out.first_chunk_mut() {
        Some(out) => *out = *bytes,
        None => out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = *byte),
    }
}

/// Sets bits of 16 filters from filter `first` on, in the plane of words at the front of `masks`; nothing if that is empty.
#[inline(always)]
pub(super) fn put_bits(masks: &mut [u32], first: usize, bits: u32) {
    if let Some(word) = masks.get_mut(first / WORD_BITS) {
        *word |= bits << (first % WORD_BITS);
    }
}

/// The bits of the filters that exist among 16 from filter `first` on.
#[inline(always)]
pub(super) fn existing(filters: usize, first: usize) -> u32 {
    u32::MAX >> (WORD_BITS - FILTERS.min(filters - first))
}
