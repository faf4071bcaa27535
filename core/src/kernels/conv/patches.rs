//! Backward of hosts for the usual first stage: 3x3 kernels on one channel under 2x2 windows. The 4x4 inputs under a window are
//! one patch of sixteen lanes, and a winner's kernel lies at one of four places in it.
//!
//! ```text
//! dx[patch] += g * spread[o][place]       spread: the kernel of filter o at that place, zeros around it
//! sums[o][place] += g * x[patch]          dw[o] = what lies under the kernel, added over the places
//! ```

use super::views::GradientMap;
use crate::kernels::masks::take_bit;
use crate::kernels::sparse::{load_all, store_all};
use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::{rest, rest_mut, span};
use crate::vector::Simd;

/// Rows and columns of a patch.
const SIDE: usize = 4;

/// A patch for each place of a window, of 32 filters.
type Places = [[[f32; SIDE * SIDE]; 4]; WORD_BITS];

const NONE: Places = [[[0.0; SIDE * SIDE]; 4]; WORD_BITS];

/// The gradient of such a stage's output.
#[derive(Clone, Copy)]
pub(super) struct Patches<'a, 'b> {
    pub(super) stage: &'a Spatial,
    pub(super) output: &'b GradientMap<'b>,
    /// Elements between the rows of the padded input.
    pub(super) row_stride: usize,
}

impl Patches<'_, '_> {
    /// Whether the stage is of this kind, for these vectors.
    #[inline(always)]
    pub(super) fn suit<S: Simd>(stage: &Spatial) -> bool {
        let are_whole =
            2 * stage.output().height <= stage.conv_height() && 2 * stage.output().width <= stage.conv_width();
        S::LANES > 1
            && stage.convolves()
            && stage.is_3x3_of_stride_1()
            && (stage.input().channels, stage.pool()) == (1, 2)
            && stage.pool_pad == (0, 0)
            && are_whole
    }

    /// Adds to the gradient of the padded input; `weights` are `[o][ky][kx]`.
    #[inline(always)]
    pub(super) fn add_to_input<S: Simd>(&self, simd: S, weights: &[f32], target: &mut [f32]) {
        match S::LANES {
            16 => self.add_patches::<S, 1>(simd, weights, target),
            8 => self.add_patches::<S, 2>(simd, weights, target),
            _ => self.add_patches::<S, 4>(simd, weights, target),
        }
    }

    /// Adds to the gradient of the weights, `[o][ky][kx]`; `input` is the padded input.
    #[inline(always)]
    pub(super) fn add_to_weights<S: Simd>(&self, simd: S, input: &[f32], (weights, bias): (&mut [f32], &mut [f32])) {
        match S::LANES {
            16 => self.collect::<S, 1>(simd, input, (weights, bias)),
            8 => self.collect::<S, 2>(simd, input, (weights, bias)),
            _ => self.collect::<S, 4>(simd, input, (weights, bias)),
        }
    }

    /// Patches of `R` vectors.
    #[inline(always)]
    fn add_patches<S: Simd, const R: usize>(&self, simd: S, weights: &[f32], target: &mut [f32]) {
        let size = self.stage.output();
        for word in 0..self.stage.words() {
            let spread = self.spread(word, weights);
            for row in 0..size.height {
                let output = self.output.row(row);
                if output.gradient.is_empty() {
                    continue;
                }
                for q in 0..size.width {
                    let window = output.masks.window(q, word);
                    let mut alive = window.alive;
                    if alive == 0 {
                        continue;
                    }
                    let gradient = rest(output.gradient, q * size.channels + word * WORD_BITS);
                    let mut patch = [simd.splat(0.0); R];
                    while alive != 0 {
                        let bit = take_bit(&mut alive) % WORD_BITS;
                        let (wy, wx) = window.winner(bit);
                        let g = simd.splat(gradient.get(bit).copied().unwrap_or(0.0));
                        let weights = S::arrays(&spread[bit][(2 * wy + wx) % 4]);
                        for (sum, w) in patch.iter_mut().zip(weights) {
                            *sum = simd.mul_add(g, simd.load_array(w), *sum);
                        }
                    }
                    let mut sums = [0.0; SIDE * SIDE];
                    store_all(simd, &patch, &mut sums);
                    let start = 2 * (row * self.row_stride + q);
                    for (y, sums) in sums.as_chunks::<SIDE>().0.iter().enumerate() {
                        let target = rest_mut(target, start + y * self.row_stride);
                        for (target, sum) in target.iter_mut().zip(sums) {
                            *target += sum;
                        }
                    }
                }
            }
        }
    }

    /// The kernels of 32 filters at each of the four places.
    #[inline(always)]
    fn spread(&self, word: usize, weights: &[f32]) -> Places {
        let mut spread = NONE;
        let kernels = rest(weights, word * WORD_BITS * 9).as_chunks::<9>().0;
        let count = self.stage.output().channels.saturating_sub(word * WORD_BITS);
        for (spread, kernel) in spread.iter_mut().zip(kernels).take(count) {
            for (place, patch) in spread.iter_mut().enumerate() {
                for (tap, w) in kernel.iter().enumerate() {
                    patch[lane(place, tap)] = *w;
                }
            }
        }
        spread
    }

    /// Sums of patches of `R` vectors.
    #[inline(always)]
    fn collect<S: Simd, const R: usize>(&self, simd: S, input: &[f32], (weights, bias): (&mut [f32], &mut [f32])) {
        let size = self.stage.output();
        for word in 0..self.stage.words() {
            let mut sums = NONE;
            for row in 0..size.height {
                let output = self.output.row(row);
                if output.gradient.is_empty() {
                    continue;
                }
                for q in 0..size.width {
                    let window = output.masks.window(q, word);
                    let mut alive = window.alive;
                    if alive == 0 {
                        continue;
                    }
                    let first = q * size.channels + word * WORD_BITS;
                    let gradient = rest(output.gradient, first);
                    let patch = self.patch::<S, R>(simd, input, 2 * (row * self.row_stride + q));
                    while alive != 0 {
                        let bit = take_bit(&mut alive) % WORD_BITS;
                        let (wy, wx) = window.winner(bit);
                        let g = gradient.get(bit).copied().unwrap_or(0.0);
                        if let Some(bias) = bias.get_mut(word * WORD_BITS + bit) {
                            *bias += g;
                        }
                        let g = simd.splat(g);
                        let own = &mut sums[bit][(2 * wy + wx) % 4];
                        for (sum, x) in own.chunks_exact_mut(S::LANES).zip(patch) {
                            simd.store(simd.mul_add(g, x, simd.load(sum)), sum);
                        }
                    }
                }
            }
            add_taps(&sums, rest_mut(weights, word * WORD_BITS * 9));
        }
    }

    /// The inputs from element `start` of the padded input on.
    #[inline(always)]
    fn patch<S: Simd, const R: usize>(&self, simd: S, input: &[f32], start: usize) -> [S::Vector; R] {
        let mut x = [0.0; SIDE * SIDE];
        for (y, x) in x.as_chunks_mut::<SIDE>().0.iter_mut().enumerate() {
            if let Some(row) = span(input, start + y * self.row_stride, SIDE).first_chunk() {
                *x = *row;
            }
        }
        let mut patch = [simd.splat(0.0); R];
        load_all(simd, &x, &mut patch);
        patch
    }
}

/// Adds what the patches have gathered to the gradients of 3x3 `weights`, filter by filter.
fn add_taps(sums: &Places, weights: &mut [f32]) {
    for (kernel, places) in weights.as_chunks_mut::<9>().0.iter_mut().zip(sums) {
        for (place, sums) in places.iter().enumerate() {
            for (tap, w) in kernel.iter_mut().enumerate() {
                *w += sums[lane(place, tap)];
            }
        }
    }
}

/// Where tap `tap` of a 3x3 kernel lies in the patch, if the kernel is at place `place`.
const fn lane(place: usize, tap: usize) -> usize {
    (place / 2 + tap / 3) * SIDE + place % 2 + tap % 3
}
