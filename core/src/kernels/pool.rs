//! Max-pooling and ReLU of a block of at most 64 channels, one position of the window after the other.
//!
//! The largest value is kept beside the place where it was found. The place becomes the bits that
//! [`RowMasks`](super::masks::RowMasks) reads on the way back.

use super::masks::{Bits, channels_of_word};
use super::sparse::{keep_greater, store_all};
use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::rest_mut;
use crate::vector::Simd;

/// The largest values so far and where they were found. With a ReLU the search starts at 0, and what is not
/// greater is dead.
pub(crate) struct Pooled<S: Simd, const N: usize> {
    best: [S::Vector; N],
    empty: bool,
    /// One bit per channel of the block in each plane: alive, two bits of the winner's row, two of its column.
    planes: [Bits; 5],
}

impl<S: Simd, const N: usize> Pooled<S, N> {
    #[inline(always)]
    pub(crate) fn new(simd: S, stage: &Spatial) -> Self {
        debug_assert!(N * S::LANES <= Bits::BITS as usize);
        Self { best: [simd.splat(0.0); N], empty: !stage.relu, planes: [0; 5] }
    }

    /// Takes the values at window row `wy` and column `wx`. Of equal values the first wins, so positions must come
    /// in row-major order.
    #[inline(always)]
    pub(crate) fn add(&mut self, simd: S, stage: &Spatial, values: &mut [S::Vector; N], (wy, wx): (usize, usize)) {
        subtract_threshold(simd, stage, values);
        let won = if self.empty {
            self.empty = false;
            self.best = *values;
            Bits::MAX >> (Bits::BITS as usize).saturating_sub(N * S::LANES)
        } else {
            keep_greater(simd, &mut self.best, values)
        };
        self.planes[0] |= won;
        for (plane, bit) in self.planes.iter_mut().skip(1).zip([wy, wy >> 1, wx, wx >> 1]) {
            *plane = *plane & !won | if bit & 1 == 1 { won } else { 0 };
        }
    }

    /// Writes the values of the channels from `first` on and, unless `masks` (`[planes][words]`) is empty, their bits.
    #[inline(always)]
    pub(crate) fn finish(&self, simd: S, stage: &Spatial, first: usize, out: &mut [f32], masks: &mut [u32]) {
        store_all(simd, &self.best, rest_mut(out, first));
        if masks.is_empty() {
            return;
        }
        let mut rows = masks.chunks_exact_mut(stage.words().max(1));
        let mut put = |bits| rows.next().map_or((), |words| put_bits(words, stage.output().channels, first, bits));
        if stage.relu {
            put(self.planes[0]);
        }
        if stage.pool() > 1 {
            let [_, rows @ .., c, d] = self.planes;
            [rows, [c, d]]
                .iter()
                .flat_map(|planes| planes.iter().take(stage.winner_bits()))
                .for_each(|bits| put(*bits));
        }
    }
}

/// Pools the four positions of a 2x2 window, in row-major order, of a stage with a ReLU: writes what [`Pooled`] does, for
/// the channels from `first` on.
#[inline(always)]
pub(crate) fn pool_2x2<S: Simd, const N: usize>(
    simd: S,
    stage: &Spatial,
    values: &[[S::Vector; N]; 4],
    (first, out, masks): (usize, &mut [f32], &mut [u32]),
) {
    let mut best = [simd.splat(0.0); N];
    let (mut alive, mut bottom, mut right) = (0, 0, 0);
    let [a, b, c, d] = values;
    for (n, ((a, b), (c, d))) in a.iter().zip(b).zip(c.iter().zip(d)).enumerate() {
        let (top, low) = (simd.max(*b, *a), simd.max(*d, *c));
        let largest = &mut [simd.max(low, top)];
        subtract_threshold(simd, stage, largest);
        let [largest] = *largest;
        if let Some(best) = best.get_mut(n) {
            *best = simd.max(largest, simd.splat(0.0));
        }
        let row = Bits::from(simd.greater(low, top));
        let column = row & Bits::from(simd.greater(*d, *c)) | !row & Bits::from(simd.greater(*b, *a));
        let shift = n * S::LANES;
        alive |= Bits::from(simd.greater(largest, simd.splat(0.0))) << shift;
        bottom |= row << shift;
        // Beyond this vector's lanes `!row` is set, but nothing is greater there.
        right |= column << shift;
    }
    store_all(simd, &best, rest_mut(out, first));
    for (words, bits) in masks.chunks_exact_mut(stage.words().max(1)).zip([alive, bottom, right]) {
        put_bits(words, stage.output().channels, first, bits);
    }
}

/// Subtracts the threshold of a ReLU that has one.
#[inline(always)]
fn subtract_threshold<S: Simd, const N: usize>(simd: S, stage: &Spatial, values: &mut [S::Vector; N]) {
    if stage.shift != 0 {
        let (threshold, minus) = (simd.splat(stage.threshold()), simd.splat(-1.0));
        for value in values {
            *value = simd.mul_add(threshold, minus, *value);
        }
    }
}

/// Adds the bits of the channels from `first` on to the words of a plane; lanes without a channel are dropped.
#[inline(always)]
fn put_bits(words: &mut [u32], channels: usize, first: usize, bits: Bits) {
    let (word, shift) = (first / WORD_BITS, first % WORD_BITS);
    // A block does not start at a shift and reach into a second word: its length divides 64, and larger ones come
    // first.
    for (i, part) in bytemuck::cast_ref::<Bits, [u32; size_of::<Bits>() / 4]>(&bits.to_le()).iter().enumerate() {
        if let Some(target) = words.get_mut(word + i) {
            *target |= part << shift & channels_of_word(channels, word + i);
        }
    }
}
