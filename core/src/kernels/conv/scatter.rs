//! Backward with vectors, window by window over whole maps: what each winner passes on is added to the inputs under its
//! kernel, all columns and channels of a kernel row at once.
//!
//! The maps are padded as in forward, so no window hangs over a border.
//!
//! ```text
//! for each output position and place of its window: list the filters that won there     (Winners::push)
//! when the list is full, for each kernel row:                                           (Filters::add_rows)
//!     dx[row under the place] += sum over the winners o of g[o] * w[o, ky, ..]          (add_winners)
//! ```
//! The list is read once for every kernel row: the weights of that row of all filters then stay in the fastest cache.

use super::patches::Patches;
use super::views::{Conv, GradientMap, GradientRow};
use crate::kernels::masks::take_bit;
use crate::kernels::sparse::{load_all, store_all};
use crate::network::plan::{Spatial, WORD_BITS};
use crate::number::Number;
use crate::span::{rest, rest_mut, span, span_mut};
use crate::vector::{Kernel, Scalar, Simd};

/// Kernels of at most this many weights are taken whole, not row by row. There are as many elements of slack behind
/// the last filter.
pub(crate) const SMALL: usize = 32;

/// Most winners that are listed before they are added up: few enough for the fastest cache, beside the weights.
const WINNERS: usize = 1024;

/// Most places that are listed.
const PLACES: usize = 256;

/// Filters that are looked at together.
const PAIR: usize = 2 * WORD_BITS;

/// Winners of pooling windows, listed once for all rows of the kernel.
struct Winners {
    /// Where a filter's weights start, and its output's gradient.
    list: [(u32, f32); WINNERS],
    count: usize,
    /// Where the kernel's first row lies in the padded map, and the number of winners up to and with this place.
    places: [(u32, u32); PLACES],
    place_count: usize,
}

impl Winners {
    const NONE: Self = Self { list: [(0, 0.0); WINNERS], count: 0, places: [(0, 0); PLACES], place_count: 0 };

    /// Lists the winners of one place: the set bits of `mask` are filters whose gradients are `gradient`, and the first of
    /// them is filter `first`. A filter has `len` weights.
    #[inline(always)]
    fn push(&mut self, mut mask: u64, gradient: &[f32], (first, len): (usize, usize), start: usize) {
        if mask == 0 {
            return;
        }
        // A copy, which stays in a register.
        let mut count = self.count;
        while mask != 0 {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let (Some(winner), Some(g)) = (self.list.get_mut(count), gradient.get(bit)) else { break };
            *winner = (((first + bit) * len) as u32, *g);
            count += 1;
        }
        self.count = count;
        if let Some(place) = self.places.get_mut(self.place_count) {
            *place = (start as u32, self.count as u32);
            self.place_count += 1;
        }
    }

    /// Whether another [`Self::push`] might find no room.
    #[inline(always)]
    fn is_full(&self) -> bool {
        self.count + PAIR > WINNERS || self.place_count == PLACES
    }

    /// Where the kernel lies and who won there, place by place.
    #[inline(always)]
    fn places(&self) -> impl Iterator<Item = (usize, &[(u32, f32)])> {
        let mut first = 0;
        self.places.iter().take(self.place_count).map(move |(start, end)| {
            let winners = span(&self.list, first, *end as usize - first);
            first = *end as usize;
            (*start as usize, winners)
        })
    }
}

/// `sums += sum over the winners of their gradient * x[where their weights start ..]`, for as many elements as `R` vectors
/// have.
#[inline(always)]
fn add_winners<S: Simd, const R: usize>(simd: S, sums: &mut [S::Vector; R], winners: &[(u32, f32)], x: &[f32]) {
    let mut own = *sums;
    for (start, g) in winners {
        // The last filter's vectors may reach into the slack behind the weights, never beyond it.
        let Some(x) = S::arrays(rest(x, *start as usize)).first_chunk::<R>() else { break };
        let g = simd.splat(*g);
        for (sum, x) in own.iter_mut().zip(x) {
            *sum = simd.mul_add(g, simd.load_array(x), *sum);
        }
    }
    *sums = own;
}

/// [`add_winners`] for whole tiles of `R` vectors of the target from `at` on; returns where they end.
#[inline(always)]
fn add_tiles<S: Simd, const R: usize>(
    simd: S,
    winners: &[(u32, f32)],
    x: &[f32],
    mut at: usize,
    target: &mut [f32],
) -> usize {
    let len = R * S::LANES;
    while at + len <= target.len() {
        let tile = span_mut(target, at, len);
        let mut sums = [simd.splat(0.0); R];
        load_all(simd, tile, &mut sums);
        add_winners(simd, &mut sums, winners, rest(x, at));
        store_all(simd, &sums, tile);
        at += len;
    }
    at
}

/// Adds what a whole output contributes to the gradient of the whole padded input, `target`.
pub(crate) struct InputGradientMap<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientMap<'b>,
    pub target: &'b mut [f32],
}

impl<T: Number> Kernel for InputGradientMap<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, output, target } = self;
        let stage = conv.stage;
        let filters = Filters { stage, weights: conv.transposed, row_stride: stage.padded_row_step() };
        if Patches::suit::<S>(stage) {
            let patches = Patches { stage, output, row_stride: filters.row_stride };
            return patches.add_to_input(simd, filters.weights, target);
        }
        let taps = stage.kernel_height() * filters.run();
        let (down, right) = (stage.row_stride() * filters.row_stride, stage.column_stride() * stage.input().channels);
        let mut winners = Winners::NONE;
        for p in 0..stage.output().height {
            let row = &output.row(p);
            if row.gradient.is_empty() {
                continue;
            }
            for q in 0..stage.output().width {
                let start = stage.pool() * (p * down + q * right);
                if !stage.convolves() {
                    pass_through(row, q, (down, right), rest_mut(target, start));
                    continue;
                }
                for first in (0..stage.output().channels).step_by(PAIR) {
                    let gradient = rest(row.gradient, q * stage.output().channels + first);
                    let (low, high) =
                        (row.masks.window(q, first / WORD_BITS), row.masks.window(q, first / WORD_BITS + 1));
                    for wy in 0..stage.pool() {
                        for wx in 0..stage.pool() {
                            let mask = u64::from(low.winners(wy, wx)) | u64::from(high.winners(wy, wx)) << WORD_BITS;
                            winners.push(mask, gradient, (first, taps), start + wy * down + wx * right);
                            if winners.is_full() {
                                simd.call(AddWinners { filters, winners: &mut winners, target: &mut *target });
                            }
                        }
                    }
                }
            }
        }
        simd.call(AddWinners { filters, winners: &mut winners, target });
    }
}

/// The gradient of a stage without a convolution, for the window at the front of `target`: winners get it as it is.
/// `down` and `right` are the elements between its rows and columns.
#[inline(always)]
fn pass_through(output: &GradientRow<'_>, q: usize, (down, right): (usize, usize), target: &mut [f32]) {
    let stage = output.masks.stage;
    let gradient = span(output.gradient, q * stage.output().channels, stage.output().channels);
    for word in 0..stage.words() {
        let window = output.masks.window(q, word);
        let mut alive = window.alive;
        while alive != 0 {
            let bit = take_bit(&mut alive);
            let ((wy, wx), channel) = (window.winner(bit), word * WORD_BITS + bit);
            if let (Some(target), Some(g)) = (target.get_mut(wy * down + wx * right + channel), gradient.get(channel)) {
                *target += g;
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
        self.stage.run_len()
    }

    /// All rows of a small kernel, of at most `R` vectors, at once.
    #[inline(always)]
    fn add_whole<S: Simd, const R: usize>(&self, simd: S, winners: &Winners, target: &mut [f32]) {
        let run = self.run();
        for (start, winners) in winners.places() {
            let mut sums = [simd.splat(0.0); R];
            add_winners(simd, &mut sums, winners, self.weights);
            let mut taps = [0.0; SMALL];
            for (sum, taps) in sums.into_iter().zip(taps.chunks_exact_mut(S::LANES)) {
                simd.store(sum, taps);
            }
            for (ky, taps) in taps.chunks_exact(run.max(1)).take(self.stage.kernel_height()).enumerate() {
                for (target, g) in span_mut(target, start + ky * self.row_stride, run).iter_mut().zip(taps) {
                    *target += g;
                }
            }
        }
    }

    /// Kernel row by kernel row, so that the weights of a row stay in the fastest cache; in tiles that stay in registers.
    #[inline(always)]
    fn add_rows<S: Simd>(&self, simd: S, winners: &Winners, target: &mut [f32]) {
        let run = self.run();
        for ky in 0..self.stage.kernel_height() {
            let weights = rest(self.weights, ky * run);
            for (start, winners) in winners.places() {
                let target = span_mut(target, start + ky * self.row_stride, run);
                let at = if S::MANY_REGISTERS { 0 } else { add_tiles::<S, 12>(simd, winners, weights, 0, target) };
                let at = add_tiles::<S, 6>(simd, winners, weights, at, target);
                let at = add_tiles::<S, 2>(simd, winners, weights, at, target);
                let at = add_tiles::<S, 1>(simd, winners, weights, at, target);
                add_tiles::<Scalar, 1>(Scalar, winners, weights, at, target);
            }
        }
    }
}

/// Adds what the listed winners pass on to `target`, a whole map; the list is empty then. A function of its own: it is
/// large, and called where the list is full and where it ends.
struct AddWinners<'a, 'b> {
    filters: Filters<'a>,
    winners: &'b mut Winners,
    target: &'b mut [f32],
}

impl Kernel for AddWinners<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { filters, winners, target } = self;
        let taps = filters.stage.kernel_height() * filters.run();
        match taps.div_ceil(S::LANES) {
            _ if taps > SMALL || S::LANES == 1 => filters.add_rows(simd, winners, target),
            1 => filters.add_whole::<S, 1>(simd, winners, target),
            2 => filters.add_whole::<S, 2>(simd, winners, target),
            3 | 4 => filters.add_whole::<S, 4>(simd, winners, target),
            _ => filters.add_whole::<S, 8>(simd, winners, target),
        }
        (winners.count, winners.place_count) = (0, 0);
    }
}
