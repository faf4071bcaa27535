//! Depthwise convolution: each channel by itself, forward, input gradient and weight gradient.
//!
//! ```text
//! out[p, q, f]     = b[f] + sum over (ky, kx) of w[ky, kx, f] * x[row, column, f / m]      m filters of each channel
//! dx[row, column, i] += w[ky, kx, f] * g[p, q, f]             dw[ky, kx, f] += x[row, column, f / m] * g[p, q, f]
//! ```
//! All three are elementwise over the filters where `m` is 1. Several filters of a channel are only possible where it is the
//! only one.

use super::conv::{Conv, GradientMap, GradientRow, Window};
use super::masks::take_bit;
use crate::network::plan::{Spatial, WORD_BITS};
use crate::number::Number;
use crate::span::{reach_mut, reach_rest, rest, rest_mut, span, span_mut};
use crate::vector::{Kernel, Simd};

/// Whether the only channel has several filters.
#[inline(always)]
fn is_spread(stage: &Spatial) -> bool {
    stage.input().channels != stage.output().channels
}

/// Forward: output columns `first ..` of one row, as many as `out` (`[columns][filter]`) takes, before the ReLU.
pub(crate) struct DepthwiseColumns<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub window: &'b Window<'b>,
    pub first: usize,
    pub out: &'b mut [f32],
}

impl<T: Number> Kernel for DepthwiseColumns<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, window, first, out } = self;
        let stage = conv.stage;
        let (channels, filters) = (stage.input().channels, stage.output().channels);
        for (column, out) in out.chunks_exact_mut(filters.max(1)).enumerate() {
            let start = (first + column) * stage.column_stride() * channels;
            for f in (0..filters).step_by(S::LANES) {
                let mut sum = simd.load(reach_rest(conv.bias, f));
                for ky in 0..stage.kernel_height() {
                    let x = rest(window.input_row(ky).values, start);
                    let weights = rest(conv.weights, ky * stage.kernel_width() * filters + f);
                    for kx in 0..stage.kernel_width() {
                        let x = if is_spread(stage) {
                            simd.splat(x.get(kx).copied().unwrap_or(0.0))
                        } else {
                            simd.load(rest(x, kx * channels + f))
                        };
                        sum = simd.mul_add(x, simd.load(rest(weights, kx * filters)), sum);
                    }
                }
                simd.store(sum, rest_mut(out, f));
            }
        }
    }
}

/// The gradient of at most 32 neighbouring filters at one output position; 0 where the filter is dead.
struct Live {
    gradient: [f32; WORD_BITS],
    is_any: bool,
}

impl Live {
    #[inline(always)]
    fn of(output: &GradientRow<'_>, q: usize, word: usize) -> Self {
        let filters = output.masks.stage.output().channels;
        let gradient = reach_rest(output.gradient, q * filters + word * WORD_BITS);
        let mut live = Self { gradient: [0.0; WORD_BITS], is_any: false };
        let mut alive = output.masks.alive(q, word);
        while alive != 0 {
            let bit = take_bit(&mut alive);
            if let (Some(target), Some(g)) = (live.gradient.get_mut(bit), gradient.get(bit)) {
                *target = *g;
                live.is_any = true;
            }
        }
        live
    }
}

/// Adds what one output row contributes to one input row, `target` (`[column][i]`, without padding).
pub(crate) struct DepthwiseGradientRow<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientRow<'b>,
    pub input_row: usize,
    pub target: &'b mut [f32],
}

impl<T: Number> Kernel for DepthwiseGradientRow<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, output, input_row, target } = self;
        let stage = conv.stage;
        let filters = stage.output().channels;
        let ky = (input_row + stage.pad_top()).wrapping_sub(output.row * stage.row_stride());
        if ky >= stage.kernel_height() {
            return;
        }
        let weights = rest(conv.weights, ky * stage.kernel_width() * filters);
        for q in 0..stage.output().width {
            for word in 0..stage.words() {
                let live = Live::of(output, q, word);
                for kx in (0..stage.kernel_width()).filter(|_| live.is_any) {
                    let column = (q * stage.column_stride() + kx).wrapping_sub(stage.pad_left());
                    if column < stage.input().width {
                        let weights = rest(weights, kx * filters + word * WORD_BITS);
                        add_tap(simd, stage, (&live, word), weights, (target, column));
                    }
                }
            }
        }
    }
}

/// Adds the products of live gradients and the weights of one tap to an input position.
#[inline(always)]
fn add_tap<S: Simd, T: Number>(
    simd: S,
    stage: &Spatial,
    (live, word): (&Live, usize),
    weights: &[T],
    (target, column): (&mut [f32], usize),
) {
    if is_spread(stage) {
        let products = live.gradient.iter().zip(weights).map(|(g, w)| g * w.to_f32());
        let sum: f32 = products.sum();
        if let Some(target) = target.get_mut(column) {
            *target += sum;
        }
        return;
    }
    let channels = stage.input().channels;
    let (first, len) = (word * WORD_BITS, WORD_BITS.min(channels - word * WORD_BITS));
    let target = span_mut(target, column * channels + first, len);
    for (i, target) in target.chunks_mut(S::LANES).enumerate() {
        let at = i * S::LANES;
        let product =
            simd.mul_add(simd.load(rest(&live.gradient, at)), simd.load(rest(weights, at)), simd.load(&*target));
        simd.store(product, target);
    }
}

/// Adds what a whole output contributes to the gradient of the whole padded input, `target`.
pub(crate) struct DepthwiseGradientMap<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientMap<'b>,
    pub target: &'b mut [f32],
}

impl<T: Number> Kernel for DepthwiseGradientMap<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, output, target } = self;
        let stage = conv.stage;
        for_each_live(output, |p, q, word, live| {
            for ky in 0..stage.kernel_height() {
                let row = rest_mut(target, (p * stage.row_stride() + ky) * stage.padded_row_step());
                for kx in 0..stage.kernel_width() {
                    let filters = stage.output().channels;
                    let tap = (ky * stage.kernel_width() + kx) * filters + word * WORD_BITS;
                    let at = (&mut *row, q * stage.column_stride() + kx);
                    add_tap(simd, stage, (live, word), rest(conv.weights, tap), at);
                }
            }
        });
    }
}

/// Calls `visit` with row, column and word of each position at which a filter is alive, and its gradient.
#[inline(always)]
fn for_each_live(output: &GradientMap<'_>, mut visit: impl FnMut(usize, usize, usize, &Live)) {
    let stage = output.stage;
    for p in 0..stage.output().height {
        let row = output.row(p);
        for q in 0..stage.output().width {
            for word in 0..stage.words() {
                let live = Live::of(&row, q, word);
                if live.is_any {
                    visit(p, q, word, &live);
                }
            }
        }
    }
}

/// Adds what a whole output contributes to the weight gradient (`[ky][kx][filter]`) and the bias gradient.
pub(crate) struct DepthwiseWeightGradient<'b> {
    pub output: &'b GradientMap<'b>,
    /// The whole padded input, and anything behind it.
    pub input: &'b [f32],
    pub weight_gradient: &'b mut [f32],
    pub bias_gradient: &'b mut [f32],
}

impl Kernel for DepthwiseWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { output, input, weight_gradient, bias_gradient } = self;
        let stage = output.stage;
        let (channels, filters) = (stage.input().channels, stage.output().channels);
        for_each_live(output, |p, q, word, live| {
            let (first, len) = (word * WORD_BITS, WORD_BITS.min(filters - word * WORD_BITS));
            let bias = reach_mut(bias_gradient, first, len);
            bias.iter_mut().zip(&live.gradient).for_each(|(b, g)| *b += g);
            for ky in 0..stage.kernel_height() {
                let row = rest(input, (p * stage.row_stride() + ky) * stage.padded_row_step());
                for kx in 0..stage.kernel_width() {
                    let column = q * stage.column_stride() + kx;
                    let own = span_mut(weight_gradient, (ky * stage.kernel_width() + kx) * filters + first, len);
                    for (i, own) in own.chunks_mut(S::LANES).enumerate() {
                        let at = i * S::LANES;
                        let x = if is_spread(stage) {
                            simd.splat(row.get(column).copied().unwrap_or(0.0))
                        } else {
                            simd.load(span(row, column * channels + first + at, own.len()))
                        };
                        let sum = simd.mul_add(x, simd.load(rest(&live.gradient, at)), simd.load(&*own));
                        simd.store(sum, own);
                    }
                }
            }
        });
    }
}
