//! Convolution + ReLU + max-pooling in one go, forward and backward; the map before pooling never exists.
//!
//! Dimension letters: output row `p` and column `q`, window row `wy` and column `wx` inside a pooling
//! window, kernel row `ky` and column `kx`, input channel `i`, output channel (filter) `o`.
//!
//! ```text
//! out[p, q, o] = max over (wy, wx) of relu(b[o] + sum over (ky, kx, i) of w[ky, kx, i, o] * x[row, column, i])
//!     row    = (p * pool + wy) * stride + ky - padding        column likewise
//! ```
//!
//! In a row-major, channel-last row, the values under one kernel row are `kernel * channels` neighbours, and so are
//! their rows of weights. So `kx` and `i` are one loop, here called a *run*.

mod gather;
mod patches;
mod scatter;
mod weight_gradient;
mod window;
mod winograd;

use super::RowMasks;
use super::pool::Pooled;
use super::sparse::{ROW, add_live_rows, bits_at, load_all};
use crate::element::Element;
use crate::plan::{Spatial, WORD_BITS};
use crate::simd::{Kernel, Level, Simd};
use crate::span::{span, span_mut, take};
pub(crate) use gather::WindowGradients;
pub(crate) use scatter::InputGradientMap;
pub(crate) use weight_gradient::WeightGradientMap;
use winograd::{TransformWeights, Winograd};

/// A spatial stage with its weights.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a, T> {
    pub stage: &'a Spatial,
    /// `[ky][kx][i][o]`
    pub weights: &'a [T],
    pub bias: &'a [T],
    /// `[o][ky][kx][i]` for a backward pass with vectors, then those of [`winograd`], and what lies behind; or empty.
    pub transposed: &'a [f32],
}

/// A padded input row.
#[derive(Clone, Copy)]
pub(crate) struct InputRow<'a> {
    pub values: &'a [f32],
    /// A bit per value: set where it is not zero.
    pub live: &'a [u32],
}

impl<'a> InputRow<'a> {
    /// The values from element `start` on.
    #[inline(always)]
    fn from(&self, start: usize) -> &'a [f32] {
        self.values.get(start..).unwrap_or(&[])
    }
}

/// The padded input rows under output row `row`, in the ring of rows that the stage keeps.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub values: &'a [f32],
    pub live: &'a [u32],
    /// Elements of a row, elements from one row to the next, and words of a row.
    pub lengths: [usize; 3],
    /// Rows in the ring, and which of them is the window's first.
    pub slots: usize,
    pub first: usize,
    pub row: usize,
}

impl<'a> Window<'a> {
    /// Row `index` of the window.
    #[inline(always)]
    pub(crate) fn input_row(&self, index: usize) -> InputRow<'a> {
        let slot = self.first + index;
        let slot = if slot < self.slots { slot } else { slot - self.slots };
        let [len, stride, words] = self.lengths;
        InputRow { values: span(self.values, slot * stride, len), live: span(self.live, slot * words, words) }
    }
}

/// Forward: output columns `first ..` of one row, as many as `out` (`[columns][o]`) takes. `masks` takes their bits
/// (`[columns][planes][words]`); if it is empty, none are kept.
pub(crate) struct Columns<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub window: &'b Window<'b>,
    pub first: usize,
    pub out: &'b mut [f32],
    pub masks: &'b mut [u32],
}

impl<T: Element> Columns<'_, '_, T> {
    /// Blocks of filters outside, columns inside: the weights of a block stay in the cache.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        self.masks.fill(0);
        let filters = self.conv.stage.output.channels;
        if S::LANES == 1 {
            simd.call(Blocks::<T, ROW> { columns: &mut self, o: 0 });
            return;
        }
        if let Some(weights) = self.winograd_weights::<S>() {
            simd.call(Winograd { columns: &mut self, weights });
            return;
        }
        let mut o = 0;
        if S::MANY_REGISTERS {
            o = simd.call(Blocks::<T, 4> { columns: &mut self, o });
        }
        o = simd.call(Blocks::<T, 2> { columns: &mut self, o });
        if o < filters {
            simd.call(Blocks::<T, 1> { columns: &mut self, o });
        }
    }
}

/// Blocks of `N` vectors of filters from filter `o` on; returns where they end. The last size to be tried also takes
/// what is left. Each `N` is a function of its own, so that only its own stack is in use.
struct Blocks<'c, 'a, 'b, T, const N: usize> {
    columns: &'c mut Columns<'a, 'b, T>,
    o: usize,
}

impl<T: Element, const N: usize> Kernel for Blocks<'_, '_, '_, T, N> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let Self { columns, mut o } = self;
        let stage = columns.conv.stage;
        let filters = stage.output.channels;
        let mask_len = stage.planes() * stage.words();
        let is_last = N == 1 || S::LANES == 1;
        let are_whole_2x2 = columns.are_whole_2x2::<S>();
        while o + N * S::LANES <= filters || is_last && o < filters {
            if are_whole_2x2 {
                columns.run_2x2::<S, N>(simd, o);
                o += N * S::LANES;
                continue;
            }
            for (column, out) in columns.out.chunks_exact_mut(filters.max(1)).enumerate() {
                let mut pooled = Pooled::<S, N>::new(simd, stage);
                columns.conv.pool(simd, columns.window, columns.first + column, o, &mut pooled);
                pooled.finish(simd, stage, o, out, span_mut(columns.masks, column * mask_len, mask_len));
            }
            o += N * S::LANES;
        }
        o
    }
}

impl<T: Element> Conv<'_, T> {
    /// Finds the largest of each filter's values in the pooling window of output column `q`.
    #[inline(always)]
    fn pool<S: Simd, const N: usize>(
        &self,
        simd: S,
        window: &Window<'_>,
        q: usize,
        o: usize,
        pooled: &mut Pooled<S, N>,
    ) {
        let stage = self.stage;
        let mut values = [simd.splat(0.0); N];
        for wy in 0..stage.pool {
            for wx in 0..stage.pool {
                // Counted from the padded border, so that nothing is negative.
                let (y, x) = (window.row * stage.pool + wy, q * stage.pool + wx);
                let inside = |at: usize, pad: u8, size: usize| at >= usize::from(pad) && at < size + usize::from(pad);
                if inside(y, stage.pool_pad.0, stage.conv.0) && inside(x, stage.pool_pad.1, stage.conv.1) {
                    let start = (q * stage.step() + wx * stage.stride) * stage.input.channels;
                    let some = self.position::<S, N>(simd, (window, wy * stage.stride, start), o, &mut values);
                    // Zeros cannot win against the zero that a ReLU's search starts with.
                    if some || !stage.relu {
                        pooled.add(simd, stage, &mut values, (wy, wx));
                    }
                }
            }
        }
    }

    /// The convolution at one position: window rows from `row` on, elements from `start` on. False if all values are
    /// zero because nothing under the kernel is not.
    #[inline(always)]
    fn position<S: Simd, const N: usize>(
        &self,
        simd: S,
        (window, row, start): (&Window<'_>, usize, usize),
        o: usize,
        values: &mut [S::Vector; N],
    ) -> bool {
        let (stage, filters) = (self.stage, self.stage.output.channels);
        if !stage.convolves {
            let x = span(window.input_row(row).values, start + o, filters.saturating_sub(o));
            load_all(simd, x, values);
            return true;
        }
        let mut some = !self.bias.is_empty();
        load_all(simd, self.bias.get(o..).unwrap_or(&[]), values);
        let run = stage.kernel * stage.input.channels;
        for ky in 0..stage.kernel {
            let row = window.input_row(row + ky);
            let mut at = 0;
            while at < run {
                let live = bits_at(row.live, start + at, WORD_BITS.min(run - at));
                if live != 0 {
                    some = true;
                    let x = row.values.get(start + at..).unwrap_or(&[]);
                    let weights = self.weights.get((ky * run + at) * filters + o..).unwrap_or(&[]);
                    add_live_rows(simd, values, (x, live), (weights, filters));
                }
                at += WORD_BITS;
            }
        }
        some
    }
}

/// The output gradient (`[q][o]`) and the bits of output row `row`.
#[derive(Clone, Copy)]
pub(crate) struct GradientRow<'a> {
    pub row: usize,
    pub gradient: &'a [f32],
    pub masks: RowMasks<'a>,
}

/// The output gradient and the bits of a whole stage.
pub(crate) struct GradientMap<'a> {
    pub stage: &'a Spatial,
    /// Rows of `[q][o]`, the first at element `start`, `row_stride` elements from one to the next. Rows that are not there
    /// have no gradient.
    pub gradient: &'a [f32],
    pub start: usize,
    pub row_stride: usize,
    /// `[row][q][planes][words]`
    pub masks: &'a [u32],
}

impl<'a> GradientMap<'a> {
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> GradientRow<'a> {
        let stage = self.stage;
        let words = span(self.masks, row * stage.mask_row_len(), stage.mask_row_len());
        let gradient = span(self.gradient, self.start + row * self.row_stride, stage.output.row_len());
        GradientRow { row, gradient, masks: RowMasks { stage, words } }
    }
}

/// Backward: adds what one output row contributes to the gradient of input row `input_row` (`[column][i]`).
///
/// Each pooling window passes gradient to one position, a dead ReLU to none.
pub(crate) struct InputGradientRow<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientRow<'b>,
    pub input_row: usize,
    /// The bits of the input row, if a stage made it: who is dead needs no gradient.
    pub wanted: Option<RowMasks<'b>>,
    pub target: &'b mut [f32],
}

impl<T: Element> Kernel for InputGradientRow<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        if self.conv.stage.convolves { self.gather() } else { self.pass_on() }
    }
}

impl<T: Element> InputGradientRow<'_, '_, T> {
    /// For each row of the pooling windows that has the input row under its kernel: that row, and the kernel's row.
    #[inline(always)]
    fn kernel_rows(&self) -> impl Iterator<Item = (usize, usize)> + Clone + use<T> {
        let stage = self.conv.stage;
        let (kernel, stride) = (stage.kernel, stage.stride);
        let above = (self.input_row + stage.pad_top()).wrapping_sub(self.output.row * stage.step());
        (0..stage.pool).filter_map(move |wy| {
            let ky = above.wrapping_sub(wy * stride);
            (ky < kernel).then_some((wy, ky))
        })
    }
}

/// Elements behind all transposed weights.
pub(crate) const SLACK: usize = scatter::SMALL;

/// Elements of a stage's transposed and transformed weights.
pub(crate) const fn transposed_len(stage: &Spatial) -> usize {
    stage.weight_len() + winograd::weights_len(stage)
}

/// Stored weights `[ky][kx][i][o]` to `[o][ky][kx][i]`, and behind them those of [`winograd`].
pub(crate) fn transpose<T: Element>(level: Level, stage: &Spatial, weights: &[T], transposed: &mut [f32]) {
    let taps = (stage.kernel * stage.kernel * stage.input.channels).max(1);
    let mut rest = transposed;
    let transposed = take(&mut rest, stage.weight_len());
    level.run(TransformWeights { stage, weights, target: rest });
    for (o, filter) in transposed.chunks_exact_mut(taps).enumerate() {
        for (target, w) in filter.iter_mut().zip(weights.iter().skip(o).step_by(stage.output.channels)) {
            *target = w.to_f32();
        }
    }
}
