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

use super::RowMasks;
use super::masks::{channels_of_word, set_bits};
use super::pool::Pooled;
use super::sparse::{Outputs, add_live_rows, bits_at};
use crate::element::Element;
use crate::plan::{MAX_EXTENT, Spatial, WORD_BITS};
use crate::simd::{Kernel, Scalar, Simd};
use crate::span::{span, span_mut};

/// A spatial stage with its weights.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a, T> {
    pub stage: &'a Spatial,
    /// `[ky][kx][i][o]`
    pub weights: &'a [T],
    pub bias: &'a [T],
    /// `[o][ky][kx][i]`, for a backward pass with vectors; or empty.
    pub transposed: &'a [f32],
}

/// A padded input row.
#[derive(Clone, Copy)]
pub(crate) struct InputRow<'a> {
    pub values: &'a [f32],
    /// A bit per value: set where it is not zero.
    pub live: &'a [u32],
}

/// The padded input rows under output row `row`.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub rows: [InputRow<'a>; MAX_EXTENT],
    pub row: usize,
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

impl<T: Element> Kernel for Columns<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.masks.fill(0);
        // Blocks of filters outside, columns inside: the weights of a block stay in the cache.
        let o = match S::LANES {
            1 => self.blocks::<S, 16>(simd, 0),
            16.. => self.blocks::<S, 4>(simd, 0),
            _ => self.blocks::<S, 8>(simd, 0),
        };
        let o = if S::LANES < 16 { self.blocks::<S, 4>(simd, o) } else { o };
        self.blocks::<S, 1>(simd, o);
    }
}

impl<T: Element> Columns<'_, '_, T> {
    /// Blocks of `N` vectors of filters from filter `o` on; returns where they end. Blocks of one vector also take
    /// what is left.
    #[inline(always)]
    fn blocks<S: Simd, const N: usize>(&mut self, simd: S, mut o: usize) -> usize {
        let stage = self.conv.stage;
        let filters = stage.output.channels;
        let mask_len = stage.planes() * stage.words();
        while o + N * S::LANES <= filters || N == 1 && o < filters {
            for (column, out) in self.out.chunks_exact_mut(filters).enumerate() {
                let pooled = self.conv.pooled::<S, N>(simd, self.window, self.first + column, o);
                let masks = span_mut(self.masks, column * mask_len, mask_len);
                pooled.finish(simd, stage, o, out, masks);
            }
            o += N * S::LANES;
        }
        o
    }
}

impl<T: Element> Conv<'_, T> {
    /// The largest of each filter's values in the pooling window of output column `q`.
    #[inline(always)]
    fn pooled<S: Simd, const N: usize>(&self, simd: S, window: &Window<'_>, q: usize, o: usize) -> Pooled<S, N> {
        let stage = self.stage;
        let mut pooled = Pooled::new(simd);
        for wy in 0..stage.pool {
            for wx in 0..stage.pool {
                // Counted from the padded border, so that nothing is negative.
                let (y, x) = (window.row * stage.pool + wy, q * stage.pool + wx);
                let inside = |at: usize, pad: usize, size: usize| at >= pad && at < size + pad;
                if inside(y, stage.pool_pad.0, stage.conv.0) && inside(x, stage.pool_pad.1, stage.conv.1) {
                    let start = (q * stage.step() + wx * stage.stride) * stage.input.channels;
                    let values = self.position::<S, N>(simd, window, wy * stage.stride, start, o);
                    pooled.add(simd, &values, (wy, wx));
                }
            }
        }
        pooled
    }

    /// The convolution at one position: window rows from `row` on, elements from `start` on.
    #[inline(always)]
    fn position<S: Simd, const N: usize>(
        &self,
        simd: S,
        window: &Window<'_>,
        row: usize,
        start: usize,
        o: usize,
    ) -> [S::Vector; N] {
        let (stage, filters) = (self.stage, self.stage.output.channels);
        let mut sums = [simd.splat(0.0); N];
        if !stage.convolves {
            let x = window.rows.get(row).map_or(&[][..], |row| span(row.values, start, filters));
            load_all(simd, x, o, &mut sums);
            return sums;
        }
        load_all(simd, self.bias, o, &mut sums);
        let run = stage.kernel * stage.input.channels;
        for (ky, row) in window.rows.iter().skip(row).take(stage.kernel).enumerate() {
            let mut at = 0;
            while at < run {
                let live = bits_at(row.live, start + at, WORD_BITS.min(run - at));
                if live != 0 {
                    let x = row.values.get(start + at..).unwrap_or(&[]);
                    let weights = self.weights.get((ky * run + at) * filters + o..).unwrap_or(&[]);
                    add_live_rows(simd, &mut sums, (x, live), (weights, filters));
                }
                at += WORD_BITS;
            }
        }
        sums
    }
}

/// Fills the vectors from `x[o..]`, with zeros beyond its end.
#[inline(always)]
fn load_all<S: Simd, T: Element, const N: usize>(simd: S, x: &[T], o: usize, sums: &mut [S::Vector; N]) {
    for (n, sum) in sums.iter_mut().enumerate() {
        *sum = simd.load(x.get(o + n * S::LANES..).unwrap_or(&[]));
    }
}

/// The output gradient (`[q][o]`) and the bits of output row `row`.
#[derive(Clone, Copy)]
pub(crate) struct GradientRow<'a> {
    pub row: usize,
    pub gradient: &'a [f32],
    pub masks: RowMasks<'a>,
}

/// Backward: adds what one output row contributes to the gradient of input row `input_row` (`[column][i]`).
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

    /// Each pooling window passes gradient to one position, a dead ReLU to none.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, output, input_row, wanted, target } = self;
        let stage = conv.stage;
        let padded_row = input_row + stage.pad_top();
        for wy in 0..stage.pool {
            let first = output.row * stage.step() + wy * stage.stride;
            let Some(ky) = padded_row.checked_sub(first).filter(|ky| *ky < stage.kernel) else {
                continue;
            };
            for q in 0..stage.output.width {
                let gradient = span(output.gradient, q * stage.output.channels, stage.output.channels);
                for wx in 0..stage.pool {
                    let winners = Winners { masks: output.masks, q, wy, wx, gradient };
                    let place = Place::new(stage, ky, q * stage.step() + wx * stage.stride);
                    if !stage.convolves {
                        winners.pass_through(place.target(stage, target));
                    } else if S::LANES > 1 && !conv.transposed.is_empty() {
                        winners.add_filters(simd, &conv, &place, target);
                    } else {
                        winners.add_live(&conv, &place, wanted, target);
                    }
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

/// Adds what one output row contributes to the weight gradient (`[o][ky][kx][i]`) and the bias gradient.
#[inline(always)]
pub(crate) fn add_weight_gradient<S: Simd>(
    simd: S,
    stage: &Spatial,
    window: &Window<'_>,
    output: &GradientRow<'_>,
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
) {
    let channels = stage.input.channels;
    let run = stage.kernel * channels;
    for q in 0..stage.output.width {
        let gradient = span(output.gradient, q * stage.output.channels, stage.output.channels);
        for (wy, wx, word) in places(stage) {
            let start = (q * stage.step() + wx * stage.stride) * channels;
            for bit in set_bits(output.masks.winners(q, word, wy, wx)) {
                let o = word * WORD_BITS + bit;
                let g = gradient.get(o).copied().unwrap_or(0.0);
                if let Some(bias) = bias_gradient.get_mut(o) {
                    *bias += g;
                }
                for ky in 0..stage.kernel {
                    let x = window.rows.get(wy * stage.stride + ky).map_or(&[][..], |row| row.values);
                    let target = span_mut(weight_gradient, (o * stage.kernel + ky) * run, run);
                    add_scaled(simd, g, span(x, start, run), target);
                }
            }
        }
    }
}

/// Every (wy, wx, word) of a pooling window.
#[inline(always)]
fn places(stage: &Spatial) -> impl Iterator<Item = (usize, usize, usize)> {
    let (pool, words) = (stage.pool, stage.words());
    (0..pool).flat_map(move |wy| (0..pool).flat_map(move |wx| (0..words).map(move |word| (wy, wx, word))))
}

/// `target += g * x`
#[inline(always)]
pub(super) fn add_scaled<S: Simd>(simd: S, g: f32, x: &[f32], target: &mut [f32]) {
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

/// Winners whose rows are gathered together. More would not fit the registers of a small processor.
const GROUP: usize = 4;

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

    /// The gradient of a stage without a convolution: winners get it as it is.
    fn pass_through(&self, target: &mut [f32]) {
        for word in 0..self.words() {
            for bit in set_bits(self.mask(word)) {
                let channel = word * WORD_BITS + bit;
                if let (Some(target), Some(g)) = (target.get_mut(channel), self.gradient.get(channel)) {
                    *target += g;
                }
            }
        }
    }

    /// One value at a time, for the inputs that are alive: winners are few, and so are they.
    #[inline(always)]
    fn add_live<T: Element>(&self, conv: &Conv<'_, T>, place: &Place, wanted: Option<RowMasks<'_>>, row: &mut [f32]) {
        let mut group = Outputs::<GROUP>::NONE;
        for word in 0..self.words() {
            let mut mask = self.mask(word);
            while mask != 0 {
                let o = word * WORD_BITS + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if let Some(group) = group.push(o, self.gradient.get(o).copied().unwrap_or(0.0)) {
                    add_group(&group, conv, place, wanted, row);
                }
            }
        }
        if let Some(group) = group.rest() {
            add_group(&group, conv, place, wanted, row);
        }
    }

    /// `target += sum over winners o of gradient[o] * weights[o]`, in tiles that stay in registers.
    #[inline(always)]
    fn add_filters<S: Simd, T: Element>(&self, simd: S, conv: &Conv<'_, T>, place: &Place, row: &mut [f32]) {
        let (stage, channels) = (conv.stage, conv.stage.input.channels);
        let filters = &Filters {
            weights: conv.transposed,
            len: stage.kernel * stage.kernel * channels,
            offset: (place.ky * stage.kernel + place.kx) * channels,
        };
        let target = place.target(stage, row);
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

/// Gathers the rows of one group of winners, column by column.
#[inline(always)]
fn add_group<T: Element>(
    group: &Outputs<GROUP>,
    conv: &Conv<'_, T>,
    place: &Place,
    wanted: Option<RowMasks<'_>>,
    row: &mut [f32],
) {
    let (stage, filters) = (conv.stage, conv.stage.output.channels);
    let channels = stage.input.channels;
    for (k, column) in (place.column..place.column + place.count).enumerate() {
        let target = span_mut(row, column * channels, channels);
        let tap = (place.ky * stage.kernel + place.kx + k) * channels;
        for (word, target) in target.chunks_mut(WORD_BITS).enumerate() {
            let wanted = wanted.map_or(channels_of_word(channels, word), |masks| masks.alive(column, word));
            let weights = conv.weights.get((tap + word * WORD_BITS) * filters..).unwrap_or(&[]);
            group.add_dots((weights, filters), wanted, target);
        }
    }
}

/// Elements of a stage's transposed weights.
pub(crate) const fn transposed_len(stage: &Spatial) -> usize {
    stage.weight_len()
}

/// Stored weights `[ky][kx][i][o]` to `[o][ky][kx][i]`.
pub(crate) fn transpose<T: Element>(stage: &Spatial, weights: &[T], transposed: &mut [f32]) {
    let taps = (stage.kernel * stage.kernel * stage.input.channels).max(1);
    for (o, filter) in transposed.chunks_exact_mut(taps).enumerate() {
        for (target, w) in filter.iter_mut().zip(weights.iter().skip(o).step_by(stage.output.channels)) {
            *target = w.to_f32();
        }
    }
}
