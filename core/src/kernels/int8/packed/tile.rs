//! Sums of blocks of filters at several positions: every weight that is loaded meets all of them.

use super::layout::{Block, Form};
use crate::kernels::conv::Window;
use crate::span::{rest, span};
use crate::vector::int8::{FILTERS, Int8Simd, filled_up, sixteen};

/// Most positions that are listed together.
pub(super) const PLACES: usize = 16;

/// A position of the kernel: the window's row under the kernel's first, and the element of a row under its first column.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub row: usize,
    pub start: usize,
}

/// What the sums are made from.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, 'b, const B: usize> {
    pub form: Form,
    pub window: &'b Window<'b, i8>,
    pub blocks: [Block<'a>; B],
    /// Whether many inputs may add nothing.
    pub skips: bool,
    /// Of a depthwise convolution: its first channel, and elements from one to the next row and column of the kernel.
    pub channel: usize,
    pub columns: usize,
    pub channels: usize,
}

impl<const B: usize> Operands<'_, '_, B> {
    /// The sums at all places.
    #[inline(always)]
    pub(super) fn sums<S: Int8Simd>(&self, simd: S, places: &[Place], sums: &mut [[S::Sums; B]; PLACES]) {
        let mut at = 0;
        while at < places.len() {
            let (places, sums) = (places.get(at..).unwrap_or(&[]), sums.get_mut(at..).unwrap_or(&mut []));
            if (S::MANY_REGISTERS || self.form.is_depthwise)
                && let (Some(places), Some(sums)) = (places.first_chunk(), sums.first_chunk_mut())
            {
                self.tile::<S, 4>(simd, places, sums);
                at += 4;
            } else if let (Some(places), Some(sums)) = (places.first_chunk(), sums.first_chunk_mut()) {
                self.tile::<S, 2>(simd, places, sums);
                at += 2;
            } else if let (Some(places), Some(sums)) = (places.first_chunk(), sums.first_chunk_mut()) {
                self.tile::<S, 1>(simd, places, sums);
                at += 1;
            }
        }
    }

    /// The sums at `P` places.
    #[inline(always)]
    pub(super) fn tile<S: Int8Simd, const P: usize>(&self, simd: S, places: &[Place; P], sums: &mut [[S::Sums; B]; P]) {
        if B == 1 && self.form.is_depthwise {
            self.depthwise(simd, places, sums);
        } else {
            self.dots(simd, places, sums);
        }
    }

    /// The input from an element of a row of the window on, to the end of all rows: what lies behind the kernel's row meets
    /// weights of zero.
    #[inline(always)]
    fn input(&self, row: usize, start: usize) -> &[i8] {
        let Window { values, slots, first, lengths: [_, stride, _], .. } = *self.window;
        let slot = first + row;
        let slot = if slot < slots { slot } else { slot - slots };
        rest(values, slot * stride + start)
    }

    #[inline(always)]
    fn dots<S: Int8Simd, const P: usize>(&self, simd: S, places: &[Place; P], sums: &mut [[S::Sums; B]; P]) {
        let fours = self.form.fours();
        let mut own = [[simd.zero(); B]; P];
        for ky in 0..self.form.rows {
            let mut x = [&[][..]; P];
            for (x, place) in x.iter_mut().zip(places) {
                *x = self.input(place.row + ky, place.start);
            }
            let mut weights = [&[][..]; B];
            for (weights, block) in weights.iter_mut().zip(&self.blocks) {
                let (all, _) = block.weights.as_chunks::<{ 4 * FILTERS }>();
                *weights = span(all, ky * fours, fours);
            }
            add_row(simd, self.skips, &mut own, (x, self.form.run), weights);
        }
        for (sums, own) in sums.iter_mut().zip(own) {
            for (sum, own) in sums.iter_mut().zip(own) {
                *sum = simd.sums(own);
            }
        }
    }

    #[inline(always)]
    fn depthwise<S: Int8Simd, const P: usize>(&self, simd: S, places: &[Place; P], sums: &mut [[S::Sums; B]; P]) {
        let mut own = [simd.splat(0); P];
        let (taps, _) = self.blocks.first().map_or(&[][..], |block| block.weights).as_chunks::<FILTERS>();
        for (ky, taps) in taps.chunks(self.columns.max(1)).enumerate() {
            let mut inputs = [&[][..]; P];
            for (input, place) in inputs.iter_mut().zip(places) {
                *input = self.input(place.row + ky, place.start + self.channel);
            }
            for (kx, w) in taps.iter().enumerate() {
                let w = simd.widen(w);
                for (own, input) in own.iter_mut().zip(inputs) {
                    let x = simd.widen(&sixteen(rest(input, kx * self.channels)));
                    *own = simd.mul_add(x, w, *own);
                }
            }
        }
        for (sums, own) in sums.iter_mut().zip(own) {
            sums.fill(own);
        }
    }
}

/// Adds the products of a row of `run` inputs at each position with weights for each four of them. With `skips` inputs are looked
/// at first, because many may add nothing.
#[inline(always)]
pub(super) fn add_row<S: Int8Simd, const P: usize, const B: usize>(
    simd: S,
    skips: bool,
    sums: &mut [[S::Partial; B]; P],
    (x, run): ([&[i8]; P], usize),
    weights: [&[[i8; 4 * FILTERS]]; B],
) {
    let (whole, fours) = (run / 4, run.div_ceil(4));
    let mut inputs = [&[][..]; P];
    for (inputs, x) in inputs.iter_mut().zip(&x) {
        *inputs = x.as_chunks::<4>().0.get(..whole).unwrap_or(&[]);
    }
    // So that the compiler knows the lengths.
    if inputs.iter().any(|inputs| inputs.len() != whole) || weights.iter().any(|w| w.len() != fours) {
        debug_assert!(false, "the window and the weights are as long as the stage says");
        return;
    }
    for first in (0..whole).step_by(FOURS) {
        let count = FOURS.min(whole - first);
        let [live, large] = if skips || S::HAS_LOW { live(simd, &x, first, whole) } else { [u64::MAX; 2] };
        if !S::HAS_LOW && live.count_ones() as usize >= count {
            for k in first..first + count {
                add_dots::<S, P, B, false>(simd, sums, inputs.map(|inputs| inputs[k]), weights.map(|w| &w[k]));
            }
            continue;
        }
        let (mut low, mut large) = (live & !large, live & large);
        // The last bits may be of fours behind the row.
        while let Some(k) = next(&mut low).map(|bit| first + bit).filter(|k| *k < whole) {
            add_dots::<S, P, B, true>(simd, sums, inputs.map(|inputs| inputs[k]), weights.map(|w| &w[k]));
        }
        while let Some(k) = next(&mut large).map(|bit| first + bit).filter(|k| *k < whole) {
            add_dots::<S, P, B, false>(simd, sums, inputs.map(|inputs| inputs[k]), weights.map(|w| &w[k]));
        }
    }
    if whole < fours {
        let last = x.map(|x| {
            let x = rest(x, 4 * whole);
            x.first_chunk().copied().unwrap_or_else(|| filled_up(x))
        });
        add_dots::<S, P, B, false>(simd, sums, last, weights.map(|w| &w[whole]));
    }
}

/// Fours of inputs whose bits lie in a word.
const FOURS: usize = 64;

/// [`Int8Simd::live`] of the fours `first ..` at any of the positions, as many as there are bits; those from `whole` on may be
/// among them.
#[inline(always)]
fn live<S: Int8Simd, const P: usize>(simd: S, x: &[&[i8]; P], first: usize, whole: usize) -> [u64; 2] {
    let mut all = [0; 2];
    for part in (0..FOURS.min(whole - first)).step_by(8) {
        for x in x {
            let x = rest(x, 4 * (first + part));
            let own = match x.first_chunk() {
                Some(x) => simd.live(x),
                None => simd.live(&filled_up(x)),
            };
            for (all, own) in all.iter_mut().zip(own) {
                *all |= u64::from(own) << part;
            }
        }
    }
    all
}

/// The lowest bit, which is taken away.
#[inline(always)]
fn next(bits: &mut u64) -> Option<usize> {
    let bit = (*bits != 0).then(|| bits.trailing_zeros() as usize);
    *bits &= bits.wrapping_sub(1);
    bit
}

/// Adds the products of four inputs at each position with their weights; `LOW` if none of them is large.
#[inline(always)]
fn add_dots<S: Int8Simd, const P: usize, const B: usize, const LOW: bool>(
    simd: S,
    sums: &mut [[S::Partial; B]; P],
    inputs: [[i8; 4]; P],
    weights: [&[i8; 4 * FILTERS]; B],
) {
    // Loops and no closures, which would be compiled for any processor.
    let mut x = [simd.inputs([0; 4]); P];
    for (x, inputs) in x.iter_mut().zip(inputs) {
        *x = simd.inputs(inputs);
    }
    for (b, w) in weights.into_iter().enumerate() {
        let w = simd.weights(w);
        for (sums, x) in sums.iter_mut().zip(x) {
            if let Some(sum) = sums.get_mut(b) {
                *sum = if LOW { simd.add_low_dots(*sum, x, w) } else { simd.add_dots(*sum, x, w) };
            }
        }
    }
}
