//! Backward with vectors, window by window over whole maps: what each winner passes on is added to the inputs under its
//! kernel, all columns and channels of a kernel row at once.
//!
//! The maps are padded as in forward, so no window hangs over a border.

use super::patches::Patches;
use super::{Conv, GradientMap, GradientRow};
use crate::element::Element;
use crate::layers::masks::{RowMasks, take_bit};
use crate::layers::sparse::{load_all, store_all};
use crate::plan::{Spatial, WORD_BITS};
use crate::simd::{Kernel, Scalar, Simd};
use crate::span::{span, span_mut};

/// Kernels of at most this many weights are taken whole, not row by row. There are as many elements of slack behind
/// the last filter.
pub(crate) const SMALL: usize = 32;

/// The filters that won at one place of a pooling window, and their output gradient.
struct Winners<'a> {
    masks: RowMasks<'a>,
    /// Output column, window row, window column.
    place: (usize, usize, usize),
    /// By filter.
    gradient: &'a [f32],
}

impl<'a> Winners<'a> {
    #[inline(always)]
    fn at(output: &GradientRow<'a>, place: (usize, usize, usize)) -> Self {
        let filters = output.masks.stage.output.channels;
        Self { masks: output.masks, place, gradient: span(output.gradient, place.0 * filters, filters) }
    }

    #[inline(always)]
    fn words(&self) -> usize {
        self.masks.stage.words()
    }

    #[inline(always)]
    fn mask(&self, word: usize) -> u32 {
        let (q, wy, wx) = self.place;
        self.masks.winners(q, word, wy, wx)
    }

    #[inline(always)]
    fn gradient(&self, o: usize) -> f32 {
        self.gradient.get(o).copied().unwrap_or(0.0)
    }

    /// The winners among the filters `64 * pair ..`.
    #[inline(always)]
    fn pair(&self, pair: usize) -> u64 {
        let high = if 2 * pair + 1 < self.words() { self.mask(2 * pair + 1) } else { 0 };
        u64::from(self.mask(2 * pair)) | u64::from(high) << WORD_BITS
    }

    /// `sums += sum over winners o of gradient[o] * x[o * stride ..]`, for as many elements as `R` vectors have.
    #[inline(always)]
    fn add_to<S: Simd, const R: usize>(&self, simd: S, sums: &mut [S::Vector; R], (x, stride): (&[f32], usize)) {
        let mut own = *sums;
        for pair in 0..self.words().div_ceil(2) {
            let mut mask = self.pair(pair);
            while mask != 0 {
                let o = pair * 2 * WORD_BITS + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let g = simd.splat(self.gradient(o));
                // The last filter's vectors may reach into the slack behind the weights, never beyond it.
                let Some(x) = S::arrays(x.get(o * stride..).unwrap_or(&[])).first_chunk::<R>() else { break };
                for (sum, x) in own.iter_mut().zip(x) {
                    *sum = simd.mul_add(g, simd.load_array(x), *sum);
                }
            }
        }
        *sums = own;
    }

    /// [`Self::add_to`] for whole tiles of `R` vectors of the target from `at` on; returns where they end.
    #[inline(always)]
    fn add_tiles<S: Simd, const R: usize>(
        &self,
        simd: S,
        (x, stride): (&[f32], usize),
        mut at: usize,
        target: &mut [f32],
    ) -> usize {
        let len = R * S::LANES;
        while at + len <= target.len() {
            let tile = span_mut(target, at, len);
            let mut sums = [simd.splat(0.0); R];
            load_all(simd, tile, &mut sums);
            self.add_to(simd, &mut sums, (x.get(at..).unwrap_or(&[]), stride));
            store_all(simd, &sums, tile);
            at += len;
        }
        at
    }
}

/// Calls `$work` for the winners of all places, with where the kernel's first row lies in a padded map. (A macro, because a
/// closure is compiled for any processor and may stay a call.)
macro_rules! for_each_place {
    ($filters:expr, $output:expr, |$winners:ident, $start:ident| $work:block) => {
        let Filters { stage, row_stride, .. } = $filters;
        for p in 0..stage.output.height {
            let output = &$output.row(p);
            for q in 0..stage.output.width {
                for wy in 0..stage.pool {
                    for wx in 0..stage.pool {
                        let (row, column) =
                            (p * stage.step() + wy * stage.stride, q * stage.step() + wx * stage.stride);
                        let $winners = Winners::at(output, (q, wy, wx));
                        let $start = row * row_stride + column * stage.input.channels;
                        $work
                    }
                }
            }
        }
    };
}

/// Adds what a whole output contributes to the gradient of the whole padded input, `target`.
pub(crate) struct InputGradientMap<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientMap<'b>,
    pub target: &'b mut [f32],
}

impl<T: Element> Kernel for InputGradientMap<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, output, target } = self;
        let stage = conv.stage;
        let filters = Filters { stage, weights: conv.transposed, row_stride: stage.row_stride() };
        let taps = stage.kernel * stage.kernel * stage.input.channels;
        if !stage.convolves {
            for_each_place!(filters, output, |place, start| {
                pass_through(&place, target.get_mut(start..).unwrap_or(&mut []));
            });
        } else if taps > SMALL || S::LANES == 1 {
            // Row by row, so that the weights of a row stay in the fastest cache.
            for ky in 0..stage.kernel {
                for_each_place!(filters, output, |winners, start| {
                    filters.add_row(simd, &winners, ky, target.get_mut(start..).unwrap_or(&mut []));
                });
            }
        } else if Patches::suit::<S>(stage) {
            let patches = Patches { stage, output, row_stride: filters.row_stride };
            patches.add_to_input(simd, filters.weights, target);
        } else if taps <= S::LANES {
            filters.add_all::<S, 1>(simd, output, target);
        } else if taps <= 2 * S::LANES {
            filters.add_all::<S, 2>(simd, output, target);
        } else if S::LANES == 8 {
            filters.add_all::<S, 4>(simd, output, target);
        } else {
            filters.add_all::<S, 8>(simd, output, target);
        }
    }
}

/// The gradient of a stage without a convolution: winners get it as it is.
#[inline(always)]
fn pass_through(winners: &Winners<'_>, target: &mut [f32]) {
    for word in 0..winners.words() {
        let mut mask = winners.mask(word);
        while mask != 0 {
            let channel = word * WORD_BITS + take_bit(&mut mask);
            if let Some(target) = target.get_mut(channel) {
                *target += winners.gradient(channel);
            }
        }
    }
}

/// A stage's weights, `[o][ky][kx][i]`, and the elements between rows of its padded input.
#[derive(Clone, Copy)]
struct Filters<'a> {
    stage: &'a Spatial,
    weights: &'a [f32],
    row_stride: usize,
}

impl Filters<'_> {
    /// Elements of a kernel row.
    #[inline(always)]
    fn run(&self) -> usize {
        self.stage.kernel * self.stage.input.channels
    }

    /// [`Self::add_whole`] at all places.
    #[inline(always)]
    fn add_all<S: Simd, const R: usize>(&self, simd: S, output: &GradientMap<'_>, target: &mut [f32]) {
        for_each_place!(*self, output, |winners, start| {
            self.add_whole::<S, R>(simd, &winners, target.get_mut(start..).unwrap_or(&mut []));
        });
    }

    /// All rows of a small kernel, of at most `R` vectors, at once.
    #[inline(always)]
    fn add_whole<S: Simd, const R: usize>(&self, simd: S, winners: &Winners<'_>, target: &mut [f32]) {
        if (0..winners.words()).all(|word| winners.mask(word) == 0) {
            return;
        }
        let run = self.run();
        let mut sums = [simd.splat(0.0); R];
        winners.add_to(simd, &mut sums, (self.weights, self.stage.kernel * run));
        let mut taps = [0.0; SMALL];
        for (sum, taps) in sums.into_iter().zip(taps.chunks_exact_mut(S::LANES)) {
            simd.store(sum, taps);
        }
        for (ky, taps) in taps.chunks_exact(run.max(1)).take(self.stage.kernel).enumerate() {
            for (target, g) in span_mut(target, ky * self.row_stride, run).iter_mut().zip(taps) {
                *target += g;
            }
        }
    }

    /// Kernel row `ky`, in tiles that stay in registers.
    #[inline(always)]
    fn add_row<S: Simd>(&self, simd: S, winners: &Winners<'_>, ky: usize, target: &mut [f32]) {
        let run = self.run();
        let target = span_mut(target, ky * self.row_stride, run);
        let weights = (self.weights.get(ky * run..).unwrap_or(&[]), self.stage.kernel * run);
        let at = if S::MANY_REGISTERS { 0 } else { winners.add_tiles::<S, 12>(simd, weights, 0, target) };
        let at = winners.add_tiles::<S, 6>(simd, weights, at, target);
        let at = winners.add_tiles::<S, 2>(simd, weights, at, target);
        let at = winners.add_tiles::<S, 1>(simd, weights, at, target);
        winners.add_tiles::<Scalar, 1>(Scalar, weights, at, target);
    }
}
