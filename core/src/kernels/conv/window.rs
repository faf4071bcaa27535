//! Forward with vectors where 2x2 windows are pooled: the four positions of a window are a block of registers that shares
//! each load of weights. Zeros are skipped where all four positions have one.

use super::views::{Columns, InputRow};
use crate::kernels::pool::pool_2x2;
use crate::kernels::sparse::{add_shared_rows, bits_at, load_all, load_block, store_all};
use crate::network::plan::{Spatial, WORD_BITS};
use crate::network::{MAX_KERNEL, MAX_STRIDE};
use crate::number::Number;
use crate::span::{reach_mut, reach_rest, rest, rest_mut};
use crate::vector::Simd;

/// Most input rows under a row of windows.
const MAX_ROWS: usize = MAX_STRIDE + MAX_KERNEL;

/// The input rows under a row of windows.
type Rows<'a> = [InputRow<'a>; MAX_ROWS];

impl<'a, T: Number> Columns<'a, '_, T> {
    /// Whether this is the way for these vectors and this stage: all windows of this row are whole.
    #[inline(always)]
    pub(super) fn are_whole_2x2<S: Simd>(&self) -> bool {
        let stage = self.conv.stage;
        let fits = |windows: usize, conv: usize| 2 * windows <= conv;
        S::LANES > 1
            && stage.pool() == 2
            && stage.relu
            && stage.convolves()
            && stage.pool_pad == (0, 0)
            && fits(self.window.row + 1, stage.conv_height())
            && fits(stage.output().width, stage.conv_width())
    }

    /// The filters of `N` vectors from filter `o` on.
    #[inline(always)]
    pub(super) fn run_2x2<S: Simd, const N: usize>(&mut self, simd: S, o: usize) {
        let stage = self.conv.stage;
        let (filters, mask_len) = (stage.output().channels, stage.planes() * stage.words());
        let mut rows: Rows<'_> = [InputRow { values: &[], live: &[] }; MAX_ROWS];
        for (index, row) in rows.iter_mut().enumerate().take(stage.row_extent()) {
            *row = self.window.input_row(index);
        }
        let step = stage.column_step() * stage.input().channels;
        for (column, out) in self.out.chunks_exact_mut(filters.max(1)).enumerate() {
            let start = (self.first + column) * step;
            let mut values = [[simd.splat(0.0); N]; 4];
            let kernels = Kernels { stage, weights: self.conv.weights, bias: self.conv.bias, rows: &rows };
            if !kernels.convolve(simd, start, o, &mut values) {
                // All filters are dead; the bits are 0 from the start.
                store_all(simd, &values[0], rest_mut(out, o));
                continue;
            }
            let masks = reach_mut(self.masks, column * mask_len, mask_len);
            pool_2x2(simd, stage, &values, (o, out, masks));
        }
    }
}

/// A bit for each of `count` elements, from `left` on, that is not zero at one of the four positions.
#[inline(always)]
fn live_of_four((top, bottom): (&InputRow<'_>, &InputRow<'_>), left: usize, right: usize, count: usize) -> u32 {
    let pair = |row: &InputRow<'_>| bits_at(row.live, left, count) | bits_at(row.live, left + right, count);
    pair(top) | pair(bottom)
}

/// The convolution at the four positions of one window.
struct Kernels<'a, 'b, T> {
    stage: &'a Spatial,
    weights: &'a [T],
    bias: &'a [T],
    rows: &'b Rows<'b>,
}

impl<T: Number> Kernels<'_, '_, T> {
    /// For the window whose first element in the padded rows is `start`. False if all values are zero because nothing
    /// under the window is not.
    #[inline(always)]
    fn convolve<S: Simd, const N: usize>(
        &self,
        simd: S,
        start: usize,
        o: usize,
        values: &mut [[S::Vector; N]; 4],
    ) -> bool {
        let (stage, filters) = (self.stage, self.stage.output().channels);
        if !self.bias.is_empty() {
            for values in values.iter_mut() {
                load_all(simd, reach_rest(self.bias, o), values);
            }
        }
        let run = stage.run_len();
        let (down, right) = (stage.row_stride(), stage.column_stride() * stage.input().channels);
        let is_small = stage.kernel_height() * run + right <= WORD_BITS;
        if (stage.kernel_height(), run, right, down) == (3, 3, 1, 1) {
            return self.convolve_3x3(simd, start, o, values);
        }
        if is_small && !self.is_live(start, run + right) {
            return !self.bias.is_empty();
        }
        for ky in 0..stage.kernel_height() {
            let (Some(top), Some(bottom)) = (self.rows.get(ky), self.rows.get(ky + down)) else { return true };
            let mut at = 0;
            while at < run {
                let (left, count) = (start + at, WORD_BITS.min(run - at));
                let live = if is_small { (1 << count) - 1 } else { live_of_four((top, bottom), left, right, count) };
                if live != 0 {
                    let x = [top.from(left), top.from(left + right), bottom.from(left), bottom.from(left + right)];
                    let weights = rest(self.weights, (ky * run + at) * filters + o);
                    add_shared_rows(simd, values, (x, live), (weights, filters));
                }
                at += WORD_BITS;
            }
        }
        true
    }

    /// [`Self::convolve`] with 3x3 kernels on one channel, without loops that depend on the stage.
    #[inline(always)]
    fn convolve_3x3<S: Simd, const N: usize>(
        &self,
        simd: S,
        start: usize,
        o: usize,
        values: &mut [[S::Vector; N]; 4],
    ) -> bool {
        let mut patch = [[0.0; 4]; 4];
        for (patch, row) in patch.iter_mut().zip(self.rows) {
            let Some(x) = row.from(start).first_chunk() else { return true };
            *patch = *x;
        }
        if patch.as_flattened().iter().fold(0, |bits, x| bits | x.to_bits()) == 0 {
            return !self.bias.is_empty();
        }
        let mut own = *values;
        let mut weights = rest(self.weights, o);
        for ky in 0..3 {
            for kx in 0..3 {
                let mut tap = [simd.splat(0.0); N];
                load_block(simd, weights, &mut tap);
                // Nothing is left behind the last tap.
                weights = reach_rest(weights, self.stage.output().channels);
                for (p, own) in own.iter_mut().enumerate() {
                    let x = simd.splat(patch[ky + p / 2][kx + p % 2]);
                    for (sum, w) in own.iter_mut().zip(tap) {
                        *sum = simd.mul_add(x, w, *sum);
                    }
                }
            }
        }
        *values = own;
        true
    }

    /// Whether any of the elements under the window, `count` of each row from `start` on, is not zero.
    #[inline(always)]
    fn is_live(&self, start: usize, count: usize) -> bool {
        let mut live = 0;
        for row in self.rows.iter().take(self.stage.row_extent()) {
            live |= bits_at(row.live, start, count);
        }
        live != 0
    }
}
