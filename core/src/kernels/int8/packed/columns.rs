//! Convolution, depthwise or not, + ReLU + max-pooling of integers with packed weights.

use super::layout::{Form, bases};
use super::outputs::{Ends, existing, put_bits, put_bytes};
use super::tile::{Operands, PLACES, Place};
use crate::kernels::conv::Window;
use crate::kernels::int8::Int8Layer;
use crate::network::plan::Spatial;
use crate::span::{reach_mut, span_mut};
use crate::vector::int8::{FILTERS, Int8Kernel, Int8Simd};

/// Forward: output columns `first ..` of one row, as many as `out` (`[columns][o]`) takes. `masks` takes their bits
/// (`[columns][planes][words]`); if it is empty, none are kept.
pub(crate) struct PackedColumns<'a, 'b> {
    pub stage: &'a Spatial,
    pub layer: Int8Layer<'a>,
    pub form: Form,
    pub window: &'b Window<'b, i8>,
    pub first: usize,
    pub out: &'b mut [i8],
    pub masks: &'b mut [u32],
}

/// Positions of the windows of some columns.
struct Places {
    places: [Place; PLACES],
    /// Row and column inside the pooling window.
    inside: [(usize, usize); PLACES],
    count: usize,
}

impl Int8Kernel for PackedColumns<'_, '_> {
    #[inline(always)]
    fn run<S: Int8Simd>(mut self, simd: S) {
        self.masks.fill(0);
        let (mut block, blocks) = (0, self.form.blocks());
        while block < blocks {
            let many = if self.form.is_depthwise { 1 } else { S::BLOCKS };
            block += match blocks - block {
                4.. if many >= 4 => self.blocks::<S, 4>(simd, block),
                2.. if many >= 2 => self.blocks::<S, 2>(simd, block),
                _ => self.blocks::<S, 1>(simd, block),
            };
        }
    }
}

impl PackedColumns<'_, '_> {
    /// All columns of `B` blocks of filters; returns `B`.
    #[inline(always)]
    fn blocks<S: Int8Simd, const B: usize>(&mut self, simd: S, block: usize) -> usize {
        let Self { stage, layer, form, window, .. } = *self;
        let blocks: [_; B] = core::array::from_fn(|b| form.block(layer.packed, block + b));
        let operands = Operands {
            form,
            window,
            blocks,
            // So few filters are not worth the look.
            skips: B > 1 && layer.range.input == -S::OFFSET,
            channel: block * FILTERS,
            columns: stage.kernel_width(),
            channels: stage.input().channels,
        };
        let offset = if form.is_depthwise { 0 } else { S::OFFSET };
        let bases = bases(simd, &blocks, layer.range.input, offset);
        let ends = Ends::of(simd, &layer.range, stage.capped);
        if stage.pool() == 1 {
            self.unpooled(simd, &operands, (&bases, &ends), block);
        } else {
            self.pooled(simd, &operands, (&bases, &ends), block);
        }
        B
    }

    /// All columns of a stage that does not pool: a column is a position.
    #[inline(always)]
    fn unpooled<S: Int8Simd, const B: usize>(
        &mut self,
        simd: S,
        operands: &Operands<'_, '_, B>,
        ends: (&[S::Sums; B], &Ends<S::Sums>),
        block: usize,
    ) {
        let columns = self.out.len() / self.form.outputs.max(1);
        let is_wide = S::MANY_REGISTERS || self.form.is_depthwise;
        let mut column = 0;
        while column < columns {
            column += match columns - column {
                4.. if is_wide => self.tile::<S, 4, B>(simd, operands, ends, (block, column)),
                2.. => self.tile::<S, 2, B>(simd, operands, ends, (block, column)),
                _ => self.tile::<S, 1, B>(simd, operands, ends, (block, column)),
            };
        }
    }

    /// `P` columns from column `column` on; returns `P`.
    #[inline(always)]
    fn tile<S: Int8Simd, const P: usize, const B: usize>(
        &mut self,
        simd: S,
        operands: &Operands<'_, '_, B>,
        (bases, ends): (&[S::Sums; B], &Ends<S::Sums>),
        (block, column): (usize, usize),
    ) -> usize {
        let step = self.stage.column_step() * self.stage.input().channels;
        let mut places = [Place::default(); P];
        for (place, q) in places.iter_mut().zip(self.first + column..) {
            place.start = q * step;
        }
        let mut sums = [[simd.splat(0); B]; P];
        operands.tile(simd, &places, &mut sums);
        for (p, sums) in sums.iter().enumerate() {
            for (b, ((sum, base), own)) in sums.iter().zip(bases).zip(&operands.blocks).enumerate() {
                let (bytes, alive) = ends.outputs(simd, own, simd.add(*sum, *base));
                self.put(column + p, (block + b) * FILTERS, &bytes, (alive, [0; 4]));
            }
        }
        P
    }

    /// All columns of a stage that pools.
    #[inline(always)]
    fn pooled<S: Int8Simd, const B: usize>(
        &mut self,
        simd: S,
        operands: &Operands<'_, '_, B>,
        (bases, ends): (&[S::Sums; B], &Ends<S::Sums>),
        block: usize,
    ) {
        let columns = self.out.len() / self.form.outputs.max(1);
        let at_once = (PLACES / (self.stage.pool() * self.stage.pool())).max(1);
        let mut sums = [[simd.splat(0); B]; PLACES];
        let mut column = 0;
        while column < columns {
            let count = at_once.min(columns - column);
            let (places, ends_of) = self.places(column, count);
            operands.sums(simd, places.places.get(..places.count).unwrap_or(&[]), &mut sums);
            let mut from = 0;
            for (c, end) in ends_of.into_iter().take(count).enumerate() {
                let own = sums.get(from..end).unwrap_or(&[]);
                let inside = places.inside.get(from..end).unwrap_or(&[]);
                for (b, (own_block, base)) in operands.blocks.iter().zip(bases).enumerate() {
                    let (sum, winner) = largest(simd, own, b, inside);
                    let (bytes, alive) = ends.outputs(simd, own_block, simd.add(sum, *base));
                    self.put(column + c, (block + b) * FILTERS, &bytes, (alive, winner));
                }
                from = end;
            }
            column += count;
        }
    }

    /// The positions under `count` columns from column `column` on, and where those of each end.
    #[inline(always)]
    fn places(&self, column: usize, count: usize) -> (Places, [usize; PLACES]) {
        let Self { stage, window, first, .. } = *self;
        let mut all = Places { places: [Place::default(); PLACES], inside: [(0, 0); PLACES], count: 0 };
        let mut ends = [0; PLACES];
        for (c, end) in ends.iter_mut().take(count).enumerate() {
            let q = first + column + c;
            for wy in 0..stage.pool() {
                for wx in 0..stage.pool() {
                    // Counted from the padded border, so that nothing is negative.
                    let (y, x) = (window.row * stage.pool() + wy, q * stage.pool() + wx);
                    let inside =
                        |at: usize, pad: u8, size: usize| at >= usize::from(pad) && at < size + usize::from(pad);
                    if !inside(y, stage.pool_pad.0, stage.conv_height())
                        || !inside(x, stage.pool_pad.1, stage.conv_width())
                    {
                        continue;
                    }
                    let start = (q * stage.column_step() + wx * stage.column_stride()) * stage.input().channels;
                    if let (Some(place), Some(inside)) = (all.places.get_mut(all.count), all.inside.get_mut(all.count))
                    {
                        *place = Place { row: wy * stage.row_stride(), start };
                        *inside = (wy, wx);
                        all.count += 1;
                    }
                }
            }
            *end = all.count;
        }
        (all, ends)
    }

    /// Writes 16 outputs and their bits.
    #[inline(always)]
    fn put(&mut self, column: usize, first: usize, bytes: &[i8; FILTERS], (alive, winner): (u32, [u32; 4])) {
        let filters = self.form.outputs;
        put_bytes(span_mut(self.out, column * filters, filters), first, bytes);
        if !self.masks.is_empty() {
            Planes::of(self.stage).put(self.masks, (column, first), (alive, winner), existing(filters, first));
        }
    }
}

/// Where the bits of a column lie: planes of words.
#[derive(Clone, Copy)]
struct Planes {
    words: usize,
    /// Whether the first plane is that of the ReLU.
    relu: bool,
    /// Planes of the winner's row, and as many of its column.
    winner: usize,
}

impl Planes {
    #[inline(always)]
    fn of(stage: &Spatial) -> Self {
        let winner = if stage.pool() > 1 { stage.winner_bits() } else { 0 };
        Self { words: stage.words(), relu: stage.relu, winner }
    }

    /// Sets bits of 16 filters from filter `first` on. (A call of its own: without it the sums' loops have worse code.)
    #[inline(never)]
    fn put(
        &self,
        masks: &mut [u32],
        (column, first): (usize, usize),
        (alive, [y, y_high, x, x_high]): (u32, [u32; 4]),
        existing: u32,
    ) {
        let all = [alive, y, y_high, x, x_high];
        let (relu, two) = (self.relu, self.winner > 1);
        let is_there = [relu, self.winner > 0, two, self.winner > 0, two];
        let mut at = column * (usize::from(relu) + 2 * self.winner) * self.words;
        for (bits, is_there) in all.into_iter().zip(is_there) {
            if is_there {
                put_bits(reach_mut(masks, at, self.words), first, bits & existing);
                at += self.words;
            }
        }
    }
}

/// The largest sums of block `b`, and who they are from: two planes of the row inside the window, two of the column. Of equal
/// sums the first wins.
#[inline(always)]
fn largest<S: Int8Simd, const B: usize>(
    simd: S,
    sums: &[[S::Sums; B]],
    b: usize,
    inside: &[(usize, usize)],
) -> (S::Sums, [u32; 4]) {
    if let ([w, x, y, z], [.., (1, 1)]) = (sums, inside)
        && let (Some(w), Some(x), Some(y), Some(z)) = (w.get(b), x.get(b), y.get(b), z.get(b))
    {
        // A whole window of 2x2, the usual case: the winners of its rows, then of both.
        let (right_above, right_below) = (simd.greater(*x, *w), simd.greater(*z, *y));
        let (above, below) = (simd.max(*w, *x), simd.max(*y, *z));
        let is_below = simd.greater(below, above);
        let is_right = (right_above & !is_below) | (right_below & is_below);
        return (simd.max(above, below), [is_below, 0, is_right, 0]);
    }
    let planes = |(wy, wx): (usize, usize)| [wy, wy >> 1, wx, wx >> 1].map(|bit| (bit as u32 & 1).wrapping_neg());
    let mut all = sums.iter().filter_map(|sums| sums.get(b)).zip(inside);
    let Some((first, place)) = all.next() else { return (simd.splat(0), [0; 4]) };
    let (mut best, mut winner) = (*first, planes(*place));
    for (sum, place) in all {
        let wins = simd.greater(*sum, best);
        best = simd.max(*sum, best);
        for (winner, plane) in winner.iter_mut().zip(planes(*place)) {
            *winner = (*winner & !wins) | (plane & wins);
        }
    }
    (best, winner)
}
