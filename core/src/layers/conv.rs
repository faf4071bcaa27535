//! Convolution + ReLU + max-pooling in one go, forward and backward; the map before pooling never exists.
//!
//! Dimension letters: output row `p` and column `q`, window row `wy` and column `wx` inside a pooling
//! window, kernel row `ky` and column `kx`, input channel `i`, output channel (filter) `o`.
//!
//! ```text
//! out[p, q, o] = max over (wy, wx) of relu(b[o] + sum over (ky, kx, i) of w[o, ky, kx, i] * x[row, column, i])
//!     row    = (p * pool + wy) * stride + ky - padding        column likewise
//! ```
//!
//! In a row-major, channel-last row, the values under one kernel row are `kernel * channels` neighbours, as are
//! their weights. So `kx` and `i` are one loop, here called a *run*.

use super::RowMasks;
use super::masks::set_bits;
use crate::element::Element;
use crate::plan::{MAX_EXTENT, Spatial, WORD_BITS};
use crate::simd::{Kernel, Scalar, Simd};
use crate::span::{span, span_mut};

/// A spatial stage with its weights: `weights` in blocks of `LANES` filters (see [`pack`]), `bias[o]`.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a, W, B> {
    pub stage: &'a Spatial,
    pub weights: &'a [W],
    pub bias: &'a [B],
}

/// The padded input rows under output row `row`.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub rows: [&'a [f32]; MAX_EXTENT],
    pub row: usize,
}

/// Forward: output columns `first ..` of one row, as many as `out` (`[columns][o]`) takes. `masks` takes their bits
/// (`[columns][planes][words]`); if it is empty, none are kept.
pub(crate) struct Columns<'a, 'b, W, B> {
    pub conv: Conv<'a, W, B>,
    pub window: &'b Window<'b>,
    pub first: usize,
    pub out: &'b mut [f32],
    pub masks: &'b mut [u32],
}

impl<W: Element, B: Element> Kernel for Columns<'_, '_, W, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, window, first, out, masks } = self;
        masks.fill(0);
        match (conv.stage.pool, S::MANY_REGISTERS) {
            (1, _) => conv.all_filters::<S, 1, 4>(simd, window, first, out, masks),
            (2, true) => conv.all_filters::<S, 4, 4>(simd, window, first, out, masks),
            (2, false) => conv.all_filters::<S, 4, 2>(simd, window, first, out, masks),
            (_, true) => conv.all_filters::<S, 9, 2>(simd, window, first, out, masks),
            (_, false) => conv.all_filters::<S, 9, 1>(simd, window, first, out, masks),
        }
    }
}

/// Backward: adds what one output row contributes to the gradient of input row `input_row`.
pub(crate) struct InputGradientRow<'a, 'b, T> {
    pub conv: Conv<'a, T, T>,
    pub output: &'b GradientRow<'b>,
    pub input_row: usize,
    pub target: &'b mut [f32],
}

impl<T: Element> Kernel for InputGradientRow<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.conv.add_input_gradient(simd, self.output, self.input_row, self.target);
    }
}

/// Side of a square pooling window of `P` positions.
const fn side(positions: usize) -> usize {
    match positions {
        1 => 1,
        4 => 2,
        _ => 3,
    }
}

impl<W: Element, B: Element> Conv<'_, W, B> {
    /// Blocks of `F` vectors of filters outside, columns inside: the weights of a block stay in the cache.
    #[inline(always)]
    fn all_filters<S: Simd, const P: usize, const F: usize>(
        &self,
        simd: S,
        window: &Window<'_>,
        first: usize,
        out: &mut [f32],
        masks: &mut [u32],
    ) {
        let blocks = self.stage.output.channels.div_ceil(S::LANES);
        let mut block = 0;
        while block + F <= blocks {
            self.all_columns::<S, P, F>(simd, window, block, first, out, masks);
            block += F;
        }
        while block < blocks {
            self.all_columns::<S, P, 1>(simd, window, block, first, out, masks);
            block += 1;
        }
    }

    #[inline(always)]
    fn all_columns<S: Simd, const P: usize, const F: usize>(
        &self,
        simd: S,
        window: &Window<'_>,
        block: usize,
        first: usize,
        out: &mut [f32],
        masks: &mut [u32],
    ) {
        let mask_len = self.stage.planes() * self.stage.words();
        let keep = !masks.is_empty();
        for (column, out) in out.chunks_exact_mut(self.stage.output.channels.max(1)).enumerate() {
            let sums = self.sums::<S, P, F>(simd, window, block, first + column);
            let bits = if keep { span_mut(masks, column * mask_len, mask_len) } else { &mut [] };
            let valid = self.valid_positions::<P>(window.row, first + column);
            for (f, sums) in sums.into_iter().enumerate() {
                let (best, planes) = self.pool_and_rectify(simd, &sums, valid);
                let channel = (block + f) * S::LANES;
                simd.store(best, out.get_mut(channel..).unwrap_or(&mut []));
                self.write_bits(bits, channel, planes);
            }
        }
    }

    /// The convolution at the `P` positions of one pooling window, for `F` vectors of filters.
    #[inline(always)]
    fn sums<S: Simd, const P: usize, const F: usize>(
        &self,
        simd: S,
        window: &Window<'_>,
        block: usize,
        column: usize,
    ) -> [[S::Vector; P]; F] {
        let stage = self.stage;
        let channels = stage.input.channels;
        let start = |p: usize| (column * stage.step() + p % side(P) * stage.stride) * channels;
        let row = |p: usize, ky: usize| window.rows.get(p / side(P) * stage.stride + ky).copied().unwrap_or(&[]);
        let mut sums = [[simd.splat(0.0); P]; F];
        if !stage.convolves {
            for (f, sums) in sums.iter_mut().enumerate() {
                for (p, sum) in sums.iter_mut().enumerate() {
                    let x = span(row(p, 0), start(p), channels);
                    *sum = simd.load(x.get((block + f) * S::LANES..).unwrap_or(&[]));
                }
            }
            return sums;
        }
        for (f, sums) in sums.iter_mut().enumerate() {
            *sums = [simd.load(self.bias.get((block + f) * S::LANES..).unwrap_or(&[])); P];
        }
        let run = stage.kernel * channels;
        for ky in 0..stage.kernel {
            let x: [&[f32]; P] = core::array::from_fn(|p| span(row(p, ky), start(p), run));
            let w: [&[W]; F] = core::array::from_fn(|f| {
                span(self.weights, ((block + f) * stage.kernel + ky) * run * S::LANES, run * S::LANES)
            });
            add_products(simd, &mut sums, x, w, run);
        }
        sums
    }

    /// Which positions of the pooling window lie on the map: bit `wy * pool + wx`.
    #[inline(always)]
    fn valid_positions<const P: usize>(&self, row: usize, column: usize) -> u32 {
        let stage = self.stage;
        let mut valid = 0;
        for p in 0..P {
            // Counted from the padded border, so that nothing is negative.
            let (y, x) = (row * stage.pool + p / side(P), column * stage.pool + p % side(P));
            let inside = |at: usize, pad: usize, size: usize| at >= pad && at < size + pad;
            let both = inside(y, stage.pool_pad.0, stage.conv.0) && inside(x, stage.pool_pad.1, stage.conv.1);
            valid |= u32::from(both) << p;
        }
        valid
    }

    /// The largest valid value, at least 0 if the stage rectifies, and the bit planes: alive, two bits of the
    /// winner's row, two of its column. The first of equal values wins, in row-major order.
    #[inline(always)]
    fn pool_and_rectify<S: Simd, const P: usize>(
        &self,
        simd: S,
        sums: &[S::Vector; P],
        valid: u32,
    ) -> (S::Vector, [u32; 5]) {
        let mut best = sums[0];
        let mut planes = [0; 5];
        let mut started = valid & 1 == 1;
        let all_lanes = u32::MAX >> (WORD_BITS - S::LANES);
        for (p, sum) in sums.iter().enumerate().skip(1) {
            if valid >> p & 1 == 0 {
                continue;
            }
            let won = if started { simd.greater(*sum, best) } else { all_lanes };
            best = if started { simd.max(*sum, best) } else { *sum };
            started = true;
            for bit in 0..2 {
                let set = |index: usize| if index >> bit & 1 == 1 { won } else { 0 };
                planes[1 + bit] = planes[1 + bit] & !won | set(p / side(P));
                planes[3 + bit] = planes[3 + bit] & !won | set(p % side(P));
            }
        }
        if self.stage.relu {
            planes[0] = simd.greater(best, simd.splat(0.0));
            best = simd.max(best, simd.splat(0.0));
        }
        (best, planes)
    }

    /// Puts the bits of the channels from `channel` on into their words.
    #[inline(always)]
    fn write_bits(&self, bits: &mut [u32], channel: usize, planes: [u32; 5]) {
        if bits.is_empty() {
            return;
        }
        let stage = self.stage;
        let (word, shift) = (channel / WORD_BITS, channel % WORD_BITS);
        let mut plane = 0;
        let mut put = |value: u32| {
            if let Some(target) = bits.get_mut(plane * stage.words() + word) {
                *target |= value << shift;
            }
            plane += 1;
        };
        if stage.relu {
            put(planes[0]);
        }
        if stage.pool > 1 {
            (0..stage.winner_bits()).for_each(|bit| put(planes[1 + bit]));
            (0..stage.winner_bits()).for_each(|bit| put(planes[3 + bit]));
        }
    }
}

/// `sums[f][p] += sum over j of x[p][j] * w[f][j]`: each weight is loaded once for `P` positions and each value
/// once for `F` vectors of filters.
#[inline(always)]
fn add_products<S: Simd, W: Element, const P: usize, const F: usize>(
    simd: S,
    sums: &mut [[S::Vector; P]; F],
    x: [&[f32]; P],
    w: [&[W]; F],
    run: usize,
) {
    // Tells the compiler the lengths, so that the loop below needs no checks.
    if x.iter().any(|x| x.len() != run) || w.iter().any(|w| w.len() != run * S::LANES) {
        return;
    }
    #[expect(clippy::needless_range_loop, reason = "several slices of the same length share the index")]
    for j in 0..run {
        let mut weights = [simd.splat(0.0); F];
        for f in 0..F {
            weights[f] = simd.load(span(w[f], j * S::LANES, S::LANES));
        }
        for p in 0..P {
            let value = simd.splat(x[p][j]);
            for f in 0..F {
                sums[f][p] = simd.mul_add(value, weights[f], sums[f][p]);
            }
        }
    }
}

/// The output gradient (`[q][o]`) and the bits of output row `row`.
#[derive(Clone, Copy)]
pub(crate) struct GradientRow<'a> {
    pub row: usize,
    pub gradient: &'a [f32],
    pub masks: RowMasks<'a>,
}

impl<T: Element> Conv<'_, T, T> {
    /// Adds what one output row contributes to the gradient of input row `input_row` (`[column][i]`); weights
    /// as stored, `[o][ky][kx][i]`.
    ///
    /// Each pooling window passes gradient to one position, a dead ReLU to none: per live winner this is one
    /// run of `kernel * channels` multiply-adds. Winners at the same place share their target, which stays in
    /// registers.
    #[inline(always)]
    fn add_input_gradient<S: Simd>(&self, simd: S, output: &GradientRow<'_>, input_row: usize, target: &mut [f32]) {
        let stage = self.stage;
        let channels = stage.input.channels;
        let padded_row = input_row + stage.pad_top();
        for wy in 0..stage.pool {
            let first = output.row * stage.step() + wy * stage.stride;
            let Some(ky) = padded_row.checked_sub(first).filter(|ky| *ky < stage.kernel) else {
                continue;
            };
            for q in 0..stage.output.width {
                let gradient = span(output.gradient, q * stage.output.channels, stage.output.channels);
                for wx in 0..stage.pool {
                    // Columns of padding are cut off at both ends.
                    let start = q * stage.step() + wx * stage.stride;
                    let cut = stage.pad_left().saturating_sub(start);
                    let column = start.saturating_sub(stage.pad_left());
                    let count = stage.kernel.saturating_sub(cut).min(stage.input.width.saturating_sub(column));
                    let target = span_mut(target, column * channels, count * channels);
                    let winners = Winners { masks: output.masks, q, wy, wx, gradient };
                    if !stage.convolves {
                        winners.pass_through(target);
                        continue;
                    }
                    let filters = Filters {
                        weights: self.weights,
                        len: stage.kernel * stage.kernel * channels,
                        offset: (ky * stage.kernel + cut) * channels,
                    };
                    winners.add_filters(simd, &filters, target);
                }
            }
        }
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
                    let x = window.rows.get(wy * stage.stride + ky).copied().unwrap_or(&[]);
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
fn add_scaled<S: Simd>(simd: S, g: f32, x: &[f32], target: &mut [f32]) {
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
struct Filters<'a, T> {
    weights: &'a [T],
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

    /// `target += sum over winners o of gradient[o] * weights[o]`, in tiles that stay in registers.
    #[inline(always)]
    fn add_filters<S: Simd, T: Element>(&self, simd: S, filters: &Filters<'_, T>, target: &mut [f32]) {
        let at = self.tiles::<S, T, 6>(simd, filters, target, 0);
        let at = self.tiles::<S, T, 3>(simd, filters, target, at);
        let at = self.tiles::<S, T, 1>(simd, filters, target, at);
        if S::LANES > 1 {
            self.tiles::<Scalar, T, 3>(Scalar, filters, target, at);
            let at = at + (target.len() - at) / 3 * 3;
            self.tiles::<Scalar, T, 1>(Scalar, filters, target, at);
        }
    }

    /// Whole tiles of `R` vectors from `at` on; returns where they end.
    #[inline(always)]
    fn tiles<S: Simd, T: Element, const R: usize>(
        &self,
        simd: S,
        filters: &Filters<'_, T>,
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

/// Elements of a stage's packed weights.
pub(crate) const fn packed_len(stage: &Spatial, lanes: usize) -> usize {
    if stage.convolves {
        stage.output.channels.div_ceil(lanes) * lanes * stage.kernel * stage.kernel * stage.input.channels
    } else {
        0
    }
}

/// Stored weights `[o][ky][kx][i]` to blocks of `lanes` filters, `[o / lanes][ky][kx][i][o % lanes]`, the missing
/// filters of the last block zero. With one lane that is the stored order itself.
pub(crate) fn pack<T: Element>(stage: &Spatial, lanes: usize, weights: &[T], packed: &mut [f32]) {
    packed.fill(0.0);
    let taps = stage.kernel * stage.kernel * stage.input.channels;
    for (o, filter) in weights.chunks_exact(taps.max(1)).enumerate() {
        let block = span_mut(packed, o / lanes * taps * lanes, taps * lanes);
        for (target, w) in block.iter_mut().skip(o % lanes).step_by(lanes).zip(filter) {
            *target = w.to_f32();
        }
    }
}
