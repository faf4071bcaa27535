//! Backward with vectors: the weights of every winner are added to the inputs under the kernel, all channels at once.

use super::{Conv, InputGradientRow};
use crate::element::Element;
use crate::layers::RowMasks;
use crate::plan::{Spatial, WORD_BITS};
use crate::simd::{Scalar, Simd};
use crate::span::{span, span_mut};

impl<T: Element> InputGradientRow<'_, '_, T> {
    /// Window by window.
    #[inline(always)]
    pub(super) fn scatter<S: Simd>(&mut self, simd: S) {
        let (stage, output) = (self.conv.stage, self.output);
        for (wy, ky) in self.kernel_rows() {
            for q in 0..stage.output.width {
                let gradient = span(output.gradient, q * stage.output.channels, stage.output.channels);
                for wx in 0..stage.pool {
                    let winners = Winners { masks: output.masks, q, wy, wx, gradient };
                    let place = Place::new(stage, ky, q * stage.step() + wx * stage.stride);
                    let target = place.target(stage, self.target);
                    winners.add_filters(simd, &self.conv, &place, target);
                }
            }
        }
    }
}

/// A kernel row over an input row, less the columns of padding at both ends.
struct Place {
    ky: usize,
    /// First kernel column that is not over padding.
    kx: usize,
    /// The input column under it.
    column: usize,
    /// Columns that are not over padding.
    count: usize,
}

impl Place {
    /// `start` is the padded column under the first kernel column.
    #[inline(always)]
    fn new(stage: &Spatial, ky: usize, start: usize) -> Self {
        let kx = stage.pad_left().saturating_sub(start);
        let column = start.saturating_sub(stage.pad_left());
        let count = stage.kernel.saturating_sub(kx).min(stage.input.width.saturating_sub(column));
        Self { ky, kx, column, count }
    }

    /// The part of the input gradient's row under the kernel row.
    #[inline(always)]
    fn target<'t>(&self, stage: &Spatial, row: &'t mut [f32]) -> &'t mut [f32] {
        span_mut(row, self.column * stage.input.channels, self.count * stage.input.channels)
    }
}

/// The filters that won at one place of a pooling window, and their output gradient.
struct Winners<'a> {
    masks: RowMasks<'a>,
    q: usize,
    wy: usize,
    wx: usize,
    /// By filter.
    gradient: &'a [f32],
}

/// The part of every filter that lies over the target.
struct Filters<'a> {
    /// `[o][ky][kx][i]`
    weights: &'a [f32],
    /// Elements of one filter.
    len: usize,
    /// Where in a filter the target's weights start.
    offset: usize,
}

// Loops rather than closures: a closure is compiled for any processor and may then stay a call.
impl Winners<'_> {
    #[inline(always)]
    fn words(&self) -> usize {
        self.masks.stage.words()
    }

    #[inline(always)]
    fn mask(&self, word: usize) -> u32 {
        self.masks.winners(self.q, word, self.wy, self.wx)
    }

    /// `target += sum over winners o of gradient[o] * weights[o]`, in tiles that stay in registers.
    #[inline(always)]
    fn add_filters<S: Simd, T: Element>(&self, simd: S, conv: &Conv<'_, T>, place: &Place, target: &mut [f32]) {
        let (stage, channels) = (conv.stage, conv.stage.input.channels);
        let filters = &Filters {
            weights: conv.transposed,
            len: stage.kernel * stage.kernel * channels,
            offset: (place.ky * stage.kernel + place.kx) * channels,
        };
        let at = self.tiles::<S, 6>(simd, filters, target, 0);
        let at = self.tiles::<S, 3>(simd, filters, target, at);
        let at = self.tiles::<S, 1>(simd, filters, target, at);
        self.tiles::<Scalar, 3>(Scalar, filters, target, at);
        let at = at + (target.len() - at) / 3 * 3;
        self.tiles::<Scalar, 1>(Scalar, filters, target, at);
    }

    /// Whole tiles of `R` vectors from `at` on; returns where they end.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize>(
        &self,
        simd: S,
        filters: &Filters<'_>,
        target: &mut [f32],
        mut at: usize,
    ) -> usize {
        let len = R * S::LANES;
        while at + len <= target.len() {
            let tile = span_mut(target, at, len);
            let mut sums = [simd.splat(0.0); R];
            for (sum, tile) in sums.iter_mut().zip(tile.chunks_exact(S::LANES)) {
                *sum = simd.load(tile);
            }
            for word in 0..self.words() {
                let mut mask = self.mask(word);
                while mask != 0 {
                    let o = word * WORD_BITS + mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    let g = simd.splat(self.gradient.get(o).copied().unwrap_or(0.0));
                    let weights = span(filters.weights, o * filters.len + filters.offset + at, len);
                    for (sum, w) in sums.iter_mut().zip(weights.chunks_exact(S::LANES)) {
                        *sum = simd.mul_add(g, simd.load(w), *sum);
                    }
                }
            }
            for (sum, tile) in sums.into_iter().zip(tile.chunks_exact_mut(S::LANES)) {
                simd.store(sum, tile);
            }
            at += len;
        }
        at
    }
}

/// `target += g * x`
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(simd: S, g: f32, x: &[f32], target: &mut [f32]) {
    let factor = simd.splat(g);
    let mut targets = target.chunks_exact_mut(S::LANES);
    let mut values = x.chunks_exact(S::LANES);
    for (target, x) in (&mut targets).zip(&mut values) {
        simd.store(simd.mul_add(factor, simd.load(x), simd.load(target)), target);
    }
    for (target, x) in targets.into_remainder().iter_mut().zip(values.remainder()) {
        *target += g * x;
    }
}
