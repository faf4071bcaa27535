//! Convolution by blocks of up to four positions, which share each load of a filter's weights, and what else processors do so that
//! have few registers and multiply pairs of 16 bits at once: depthwise convolution, dense layers. [`conv`](super::conv) and
//! [`dense`](super::dense) have the same sums one by one.

use super::Int8Layer;
use super::alive::put_alive;
use super::conv::Int8Columns;
use super::depthwise;
use super::dots::{add_dots, begin};
use super::largest::keep_largest;
use super::outputs::Outputs;
use super::patch::{Lines, Patch, patch_words};
use crate::kernels::conv::Window;
use crate::network::plan::{FILTERS, Operation, POSITIONS, Spatial, WORD_BITS};
use crate::span::{reach_mut, reach_rest_mut, rest, rest_mut, span, span_mut, split_mut};

/// Whether a stage can be computed so.
pub(super) fn suit(stage: &Spatial) -> bool {
    match stage.operation {
        Operation::Conv => stage.pool() <= 2,
        Operation::Depthwise => {
            let filters = stage.output().channels;
            stage.pool() == 1 && filters == stage.input().channels && filters.is_multiple_of(depthwise::CHANNELS)
        }
        _ => false,
    }
}

/// Makes the columns of a stage that [`suit`]s.
#[inline(always)]
pub(super) fn run(Int8Columns { stage, layer, window, first, out, masks, scratch }: Int8Columns<'_, '_>) {
    let (patch, sums) = split_mut(scratch, stage.patch_len());
    let (patch, sums, outputs) = (Patch::new(patch), bytemuck::cast_slice_mut(sums), Outputs::of(&layer));
    let mut row = Row { stage, layer: &layer, outputs, window, first, out, masks, patch, sums };
    match stage.operation {
        Operation::Depthwise => row.depthwise(),
        _ if stage.pool() > 1 => row.windows(),
        _ => row.neighbours(),
    }
}

/// A row, or some columns of it from `first` on.
struct Row<'a, 'b> {
    stage: &'a Spatial,
    layer: &'b Int8Layer<'a>,
    outputs: Outputs<'a>,
    window: &'b Window<'b, i8>,
    first: usize,
    out: &'b mut [i8],
    masks: &'b mut [u32],
    patch: Patch<'b>,
    /// `[filter][position]`
    sums: &'b mut [i32],
}

/// Positions whose sums are made together.
#[derive(Clone, Copy)]
struct Block {
    count: usize,
    /// Of the first position of [`Lines::x`] and of [`Lines::y`]: its first row in the window, and its first element in that.
    lines: [(usize, usize); 2],
    /// Elements from a position to its neighbour.
    step: usize,
}

impl Row<'_, '_> {
    /// Columns to be made.
    fn columns(&self) -> usize {
        self.out.len() / self.stage.output().channels.max(1)
    }

    /// A depthwise convolution.
    #[inline(never)]
    fn depthwise(&mut self) {
        let (stage, layer) = (self.stage, self.layer);
        let channels = stage.output().channels;
        let sums = span_mut(self.sums, 0, channels);
        for (column, out) in self.out.chunks_exact_mut(channels.max(1)).enumerate() {
            let start = (self.first + column) * stage.column_step() * channels;
            depthwise::sums(stage, layer, self.window, start, sums);
            self.outputs.every((sums, 1), out);
            if stage.relu && !self.masks.is_empty() {
                let masks = reach_mut(self.masks, column * stage.words(), stage.words());
                put_alive((stage, layer), (sums, 1), out, masks);
            }
        }
    }

    /// A convolution without pooling: neighbouring columns at a time.
    #[inline(never)]
    fn neighbours(&mut self) {
        let stage = self.stage;
        let step = stage.column_step() * stage.input().channels;
        let (mut column, columns) = (0, self.columns());
        while column < columns {
            let count = POSITIONS.min(columns - column);
            let start = (self.first + column) * step;
            let second = if count == 2 { start + step } else { start + 2 * step };
            let block = Block { count, lines: [(0, start), (0, second)], step };
            self.fill_whole(&block);
            self.put_columns(column, &block);
            column += count;
        }
    }

    /// The columns of a block, from `column` on.
    fn put_columns(&mut self, column: usize, block: &Block) {
        let (stage, layer, filters) = (self.stage, self.layer, self.stage.output().channels);
        for first in (0..filters).step_by(FILTERS) {
            let len = FILTERS.min(filters - first);
            self.add_up(block, (first, len));
            let sums = span(self.sums, 0, block.count * len);
            let out = rest_mut(self.out, column * filters + first);
            self.outputs.channels(first, len).rows(sums, block.count, (&mut *out, filters));
            if !stage.relu || self.masks.is_empty() {
                continue;
            }
            for p in 0..block.count {
                let masks = reach_rest_mut(self.masks, (column + p) * stage.words() + first / WORD_BITS);
                put_alive((stage, layer), (rest(sums, p), block.count), span(out, p * filters, len), masks);
            }
        }
    }

    /// A convolution with pooling: one window at a time.
    #[inline(never)]
    fn windows(&mut self) {
        self.masks.fill(0);
        let mut was_blank = false;
        for column in 0..self.columns() {
            let (block, slots) = self.places(column);
            // Where there is nothing under whole windows, all are the same.
            let is_blank = self.fill_whole(&block) && block.count == POSITIONS;
            if is_blank && was_blank {
                let (filters, mask_len) = (self.stage.output().channels, self.stage.planes() * self.stage.words());
                repeat(self.out, column * filters, filters);
                if !self.masks.is_empty() {
                    repeat(self.masks, column * mask_len, mask_len);
                }
            } else {
                self.put_largest(column, &block, &slots);
            }
            was_blank = is_blank;
        }
    }

    /// The places of one window that lie on the convolution's map, and for each the row (times 2) and the column in the window.
    fn places(&self, column: usize) -> (Block, [usize; POSITIONS]) {
        let (stage, q) = (self.stage, self.first + column);
        let (rows, columns) = (
            ends(self.window.row, stage.pool_pad.0, stage.conv_height()),
            ends(q, stage.pool_pad.1, stage.conv_width()),
        );
        let (mut slots, mut count) = ([0; POSITIONS], 0);
        for wy in rows.0..rows.1 {
            for wx in columns.0..columns.1 {
                slots.iter_mut().skip(count).take(1).for_each(|slot| *slot = 2 * wy + wx);
                count += 1;
            }
        }
        let step = stage.column_stride() * stage.input().channels;
        let start = q * stage.column_step() * stage.input().channels;
        let place = |slot: usize| (slot / 2 * stage.row_stride(), start + slot % 2 * step);
        let second = if count == POSITIONS { slots[2] } else { slots[1] };
        (Block { count, lines: [place(slots[0]), place(second)], step }, slots)
    }

    /// The largest of a window's places. Of equal sums the first wins.
    fn put_largest(&mut self, column: usize, block: &Block, slots: &[usize; POSITIONS]) {
        let (stage, layer) = (self.stage, self.layer);
        let (filters, mask_len) = (stage.output().channels, stage.planes() * stage.words());
        for first in (0..filters).step_by(FILTERS) {
            let len = FILTERS.min(filters - first);
            self.add_up(block, (first, len));
            let sums = span_mut(self.sums, 0, block.count * len);
            let masks = reach_mut(self.masks, column * mask_len, mask_len);
            keep_largest(stage, &mut *sums, (block.count, slots), (&mut *masks, first / WORD_BITS));
            let out = span_mut(self.out, column * filters + first, len);
            self.outputs.channels(first, len).every((sums, block.count), out);
            if stage.relu && !masks.is_empty() {
                put_alive((stage, layer), (sums, block.count), out, rest_mut(masks, first / WORD_BITS));
            }
        }
    }

    /// Unpacks what lies under a block, if all rows of the kernel fit the patch; returns whether nothing but zeros does.
    fn fill_whole(&mut self, block: &Block) -> bool {
        let height = self.stage.kernel_height();
        let is_whole = self.stage.unpacked_rows() >= height;
        if is_whole {
            self.fill(block, (0, height));
        }
        is_whole && self.patch.words().is_empty()
    }

    /// Unpacks what lies under a block in `rows` rows of the kernel.
    #[inline(never)]
    fn fill(&mut self, block: &Block, (first, rows): (usize, usize)) {
        let (run, zero) = (self.stage.run_len(), self.layer.range.input as i8);
        let [(x_row, x_start), (y_row, y_start)] = block.lines;
        self.patch.clear(block.count);
        for ky in 0..rows {
            let line = |row: usize, start: usize, positions: usize| {
                let len = if positions == 2 { block.step + run } else { run };
                span(self.window.input_row(row + first + ky).values, start, len)
            };
            let x = line(x_row, x_start, if block.count > 2 { 2 } else { 1 });
            let y = if block.count > 1 { line(y_row, y_start, block.count / 2) } else { &[] };
            self.patch.push(&Lines { x, y, step: block.step }, (ky * run, run), zero);
        }
    }

    /// The sums of `len` filters from `o` on, [`FILTERS`] at most. What is under the block lies in the patch already if it fits.
    #[inline(never)]
    fn add_up(&mut self, block: &Block, (o, len): (usize, usize)) {
        let (height, run, rows) = (self.stage.kernel_height(), self.stage.run_len(), self.stage.unpacked_rows().max(1));
        begin(span_mut(self.sums, 0, block.count * len), block.count, span(self.layer.bias, o, len));
        for first in (0..height).step_by(rows) {
            if rows < height {
                self.fill(block, (first, rows.min(height - first)));
            }
            let weights = rest(self.layer.weights, (o * height + first) * run);
            add_dots(span_mut(self.sums, 0, block.count * len), &self.patch, weights, height * run);
        }
    }
}

/// Where window number `index` begins and ends to lie on a map of `size`, `pad` before its first element.
fn ends(index: usize, pad: u8, size: usize) -> (usize, usize) {
    let pad = usize::from(pad);
    (pad.saturating_sub(2 * index).min(1), (size + pad).saturating_sub(2 * index).min(2))
}

/// Copies the `len` elements before `start` to there.
fn repeat<T: Copy>(x: &mut [T], start: usize, len: usize) {
    let (before, x) = split_mut(x, start);
    let before = rest(before, start.saturating_sub(len));
    span_mut(x, 0, len).iter_mut().zip(before).for_each(|(x, before)| *x = *before);
}

/// Inputs of a dense layer that are unpacked at a time.
const INPUTS: usize = 128;

/// Adds the inputs `first ..` to the sums of a dense layer of `inputs` inputs.
#[inline(never)]
pub(super) fn accumulate(layer: Int8Layer<'_>, inputs: usize, (first, x): (usize, &[i8]), sums: &mut [i32]) {
    let mut words = [0; patch_words(1, INPUTS)];
    let mut patch = Patch::new(&mut words);
    for (piece, x) in x.chunks(INPUTS).enumerate() {
        patch.clear(1);
        patch.push(&Lines { x, y: &[], step: 0 }, (0, x.len()), layer.range.input as i8);
        add_dots(sums, &patch, rest(layer.weights, first + piece * INPUTS), inputs);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;
    use std::{format, vec};

    use rand_xoshiro::Xoshiro128PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

    use super::super::Range;
    use super::*;
    use crate::network::Network;

    fn numbers<T>(generator: &mut impl Rng, len: usize, number: impl Fn(u32) -> T) -> Vec<T> {
        (0..len).map(|_| number(generator.next_u32())).collect()
    }

    /// Outputs and bits of the first stage's row `row`, by blocks and one by one, from the same noise.
    fn both_ways(network: &Network, row: usize, seed: u64) -> [(Vec<i8>, Vec<u32>); 2] {
        let plan = network.plan();
        let stage = plan.spatial(0).unwrap();
        assert!(suit(stage), "{network}");
        let generator = &mut Xoshiro128PlusPlus::seed_from_u64(seed);
        let filters = stage.output().channels;
        let byte = |x: u32| x as i8;
        let weights = numbers(generator, stage.weight_len(), byte);
        let bias = numbers(generator, filters, |x| x as i16 as i32);
        // Shifts to the left and to the right, and multipliers of 0.
        let multipliers = numbers(generator, filters, |x| match x % 8 {
            0 => [0, 0],
            1 => [1 << 30, 1 + (x >> 8) as i32 % 2],
            _ => [(1 << 30) + (x >> 3) as i32, -1 - (x % 13) as i32],
        });
        let low = [-128, -5][(seed % 2) as usize];
        let range =
            Range { input: (seed % 256) as i32 - 128, output: -7, added: 0, low, high: 127 - (seed % 3) as i32 };
        let (scales, multipliers) = ([1.0; 2], &multipliers[..]);
        let layer = Int8Layer { weights: &weights, bias: &bias, multipliers, range, scales, ..Int8Layer::default() };
        let rows = stage.padded_height();
        // With stretches of nothing, as around a digit, and some zeros between the others.
        let zero = range.input as i8;
        let value = |x: u32| if x.is_multiple_of(3) { zero } else { (x >> 8) as i8 };
        let mut values = numbers(generator, stage.values_len(rows), value);
        let blank = values.len() / 3;
        values[blank..2 * blank].fill(zero);
        let lengths = [stage.padded_row_len(), stage.padded_row_step(), 0];
        let first = row * stage.row_step();
        let window = &Window { values: &values, live: &[], lengths, slots: rows, first, row };
        [true, false].map(|by_blocks| {
            let (mut out, mut masks) = (vec![0; stage.output().row_len()], vec![0; stage.mask_row_len()]);
            let mut scratch = vec![u32::MAX; plan.lengths().scratch];
            let (out_slice, mask_slice, scratch) = (&mut out[..], &mut masks[..], &mut scratch[..]);
            let columns = Int8Columns { stage, layer, window, first: 0, out: out_slice, masks: mask_slice, scratch };
            if by_blocks {
                run(columns)
            } else {
                columns.run_one_by_one()
            }
            (out, masks)
        })
    }

    /// Widths that fall into blocks of 4, 2 and 1; rows of a kernel that are a multiple of 4 and not; patches in one piece and in
    /// several; more filters than are done at a time; windows that hang over the border.
    #[test]
    fn blocks_make_what_one_by_one_makes() {
        let layers = [
            "input(5,7,3) conv2d(filters=6,kernel=3) relu",
            "input(6,9,4) conv2d(filters=70,kernel=1) relu6",
            "input(7,5,1) conv2d(filters=3,kernel=3x2,stride=2x1,padding=valid)",
            "input(9,7,2) conv2d(filters=34,kernel=3) relu maxpool2d(pool=2)",
            "input(9,7,70) conv2d(filters=5,kernel=3) relu maxpool2d(pool=2,padding=same)",
            "input(6,6,3) conv2d(filters=2,kernel=5,stride=2) maxpool2d(pool=2,padding=same)",
            "input(7,5,8) depthwise_conv2d(kernel=3) relu",
            "input(16,3,4) depthwise_conv2d(kernel=15x1,padding=valid) relu",
            "input(9,9,12) depthwise_conv2d(kernel=4x2,stride=2) relu",
        ];
        for (seed, layers) in layers.into_iter().enumerate().step_by(if cfg!(miri) { 3 } else { 1 }) {
            let network: Network = format!("{layers} flatten dense(units=2)").parse().unwrap();
            let network = network.int8();
            // An interpreter takes seconds for a row.
            let height = network.plan().spatial(0).unwrap().output().height;
            for row in (0..height).take(if cfg!(miri) { 1 } else { height }) {
                let [blocks, one_by_one] = both_ways(&network, row, seed as u64 * 17 + row as u64);
                assert!(blocks == one_by_one, "{layers} row {row}\n{blocks:?}\n{one_by_one:?}");
            }
        }
    }
}
