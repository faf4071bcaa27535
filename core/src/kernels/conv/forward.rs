//! Forward: which way a stage's columns are made, and the way that suits every stage.

use super::views::{Columns, Conv, Window};
use super::winograd::Winograd;
use crate::kernels::pool::Pooled;
use crate::kernels::sparse::{ROW, add_live_rows, bits_at, load_all};
use crate::network::plan::WORD_BITS;
use crate::number::Number;
use crate::span::{reach_mut, reach_rest, rest, span};
use crate::vector::{Kernel, Simd};

impl<T: Number> Columns<'_, '_, T> {
    /// Blocks of filters outside, columns inside: the weights of a block stay in the cache.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        self.masks.fill(0);
        let filters = self.conv.stage.output().channels;
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

impl<T: Number, const N: usize> Kernel for Blocks<'_, '_, '_, T, N> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let Self { columns, mut o } = self;
        let stage = columns.conv.stage;
        let filters = stage.output().channels;
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
                pooled.finish(simd, stage, o, out, reach_mut(columns.masks, column * mask_len, mask_len));
            }
            o += N * S::LANES;
        }
        o
    }
}

impl<T: Number> Conv<'_, T> {
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
        for wy in 0..stage.pool() {
            for wx in 0..stage.pool() {
                // Counted from the padded border, so that nothing is negative.
                let (y, x) = (window.row * stage.pool() + wy, q * stage.pool() + wx);
                let inside = |at: usize, pad: u8, size: usize| at >= usize::from(pad) && at < size + usize::from(pad);
                if inside(y, stage.pool_pad.0, stage.conv_height()) && inside(x, stage.pool_pad.1, stage.conv_width()) {
                    let start = (q * stage.column_step() + wx * stage.column_stride()) * stage.input().channels;
                    let some = self.position::<S, N>(simd, (window, wy * stage.row_stride(), start), o, &mut values);
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
        let (stage, filters) = (self.stage, self.stage.output().channels);
        if !stage.convolves() {
            let x = span(window.input_row(row).values, start + o, filters.saturating_sub(o));
            load_all(simd, x, values);
            return true;
        }
        let mut some = !self.bias.is_empty();
        load_all(simd, reach_rest(self.bias, o), values);
        let run = stage.run_len();
        for ky in 0..stage.kernel_height() {
            let row = window.input_row(row + ky);
            let mut at = 0;
            while at < run {
                let live = bits_at(row.live, start + at, WORD_BITS.min(run - at));
                if live != 0 {
                    some = true;
                    let x = rest(row.values, start + at);
                    let weights = rest(self.weights, (ky * run + at) * filters + o);
                    add_live_rows(simd, values, (x, live), (weights, filters));
                }
                at += WORD_BITS;
            }
        }
        some
    }
}
