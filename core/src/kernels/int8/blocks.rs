//! Convolution by blocks of up to four positions, which share each load of a filter's weights, and what else processors do so that
//! have few registers and multiply pairs of 16 bits at once: depthwise convolution, dense layers. [`conv`](super::conv) and
//! [`dense`](super::dense) have the same sums one by one.

use super::Int8Layer;
use super::alive::put_alive;
use super::conv::Int8Columns;
use super::depthwise;
use super::dots::{add_all_dots, begin, patch_words};
use super::outputs::{requantise_all, requantise_rows};
use super::unpack::unpack;
use crate::kernels::conv::Window;
use crate::network::plan::{FILTERS, Operation, Spatial, WORD_BITS};
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
    let mut row = Row { stage, layer: &layer, window, first, out, masks, scratch };
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
    window: &'b Window<'b, i8>,
    first: usize,
    out: &'b mut [i8],
    masks: &'b mut [u32],
    scratch: &'b mut [u32],
}

/// A position of the kernel: its first row in the window, and its first element in that.
type Position = (usize, usize);

impl Row<'_, '_> {
    /// A depthwise convolution.
    #[inline(never)]
    fn depthwise(&mut self) {
        let (stage, layer) = (self.stage, self.layer);
        let channels = stage.output().channels;
        let sums: &mut [i32] = bytemuck::cast_slice_mut(span_mut(self.scratch, 0, channels));
        for (column, out) in self.out.chunks_exact_mut(channels.max(1)).enumerate() {
            let start = (self.first + column) * stage.column_step() * channels;
            depthwise::sums(stage, layer, self.window, start, sums);
            requantise_all((sums, 1), layer.multipliers, &layer.range, out);
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
        let (mut column, columns) = (0, self.out.len() / stage.output().channels.max(1));
        while column < columns {
            let place = |i: usize| (0, (self.first + column + i) * stage.column_step() * stage.input().channels);
            column += match columns - column {
                4.. => self.block(column, [0, 1, 2, 3].map(place)),
                2.. => self.block(column, [0, 1].map(place)),
                _ => self.block(column, [0].map(place)),
            };
        }
    }

    /// The columns at `places`, from `column` on; returns how many.
    #[inline(never)]
    fn block<const P: usize>(&mut self, column: usize, places: [Position; P]) -> usize {
        let (stage, layer, filters) = (self.stage, self.layer, self.stage.output().channels);
        let out = rest_mut(self.out, column * filters);
        let masks = reach_rest_mut(self.masks, column * stage.words());
        let sums = Sums { stage: self.stage, layer: self.layer, window: self.window, scratch: &mut *self.scratch };
        let range = self.layer.range;
        sums.for_each_block(&places, |first, sums, multipliers| {
            let out = rest_mut(out, first);
            requantise_rows::<P>(sums, multipliers, &range, (&mut *out, filters));
            if stage.relu && !masks.is_empty() {
                for p in 0..P {
                    let (sums, out) = (rest(sums, p), span(out, p * filters, multipliers.len()));
                    put_alive((stage, layer), (sums, P), out, rest_mut(masks, p * stage.words() + first / WORD_BITS));
                }
            }
        });
        P
    }

    /// A convolution with pooling: one window at a time.
    #[inline(never)]
    fn windows(&mut self) {
        self.masks.fill(0);
        for column in 0..self.out.len() / self.stage.output().channels.max(1) {
            self.pool(column);
        }
    }

    /// The places of one window that lie on the convolution's map.
    #[inline(always)]
    fn pool(&mut self, column: usize) {
        let (stage, q) = (self.stage, self.first + column);
        let inside = |at: usize, pad: u8, size: usize| at >= usize::from(pad) && at < size + usize::from(pad);
        let rows = [0, 1].map(|wy| inside(self.window.row * 2 + wy, stage.pool_pad.0, stage.conv_height()));
        let columns = [0, 1].map(|wx| inside(q * 2 + wx, stage.pool_pad.1, stage.conv_width()));
        let (wy, wx) = (usize::from(!rows[0]), usize::from(!columns[0]));
        match (rows, columns) {
            ([true, true], [true, true]) => self.largest(column, [(0, 0), (0, 1), (1, 0), (1, 1)]),
            ([true, true], _) => self.largest(column, [(0, wx), (1, wx)]),
            (_, [true, true]) => self.largest(column, [(wy, 0), (wy, 1)]),
            _ => self.largest(column, [(wy, wx)]),
        }
    }

    /// The largest of a window's places. Of equal sums the first wins.
    #[inline(never)]
    fn largest<const P: usize>(&mut self, column: usize, window: [(usize, usize); P]) {
        let (stage, layer) = (self.stage, self.layer);
        let (filters, mask_len) = (stage.output().channels, stage.planes() * stage.words());
        let start = (self.first + column) * stage.column_step();
        let places = window
            .map(|(wy, wx)| (wy * stage.row_stride(), (start + wx * stage.column_stride()) * stage.input().channels));
        let out = rest_mut(self.out, column * filters);
        let masks = reach_mut(self.masks, column * mask_len, mask_len);
        let sums = Sums { stage, layer, window: self.window, scratch: &mut *self.scratch };
        sums.for_each_block(&places, |first, sums, multipliers| {
            let out = reach_mut(out, first, multipliers.len());
            if masks.is_empty() {
                for sums in sums.as_chunks_mut::<P>().0 {
                    sums[0] = sums.iter().fold(sums[0], |best, sum| best.max(*sum));
                }
                return requantise_all((sums, P), multipliers, &layer.range, out);
            }
            let mut bits = [0; WINNER_PLANES];
            for (o, sums) in sums.as_chunks_mut::<P>().0.iter_mut().enumerate() {
                let mut best = (sums[0], window[0]);
                for (sum, at) in sums.iter().zip(window) {
                    if *sum > best.0 {
                        best = (*sum, at);
                    }
                }
                sums[0] = best.0;
                bits = [bits[0] | (best.1.0 as u32) << (o % WORD_BITS), bits[1] | (best.1.1 as u32) << (o % WORD_BITS)];
                if o % WORD_BITS == WORD_BITS - 1 || o + 1 == multipliers.len() {
                    put_winners(stage, masks, (first + o) / WORD_BITS, core::mem::take(&mut bits));
                }
            }
            requantise_all((sums, P), multipliers, &layer.range, out);
            if stage.relu {
                put_alive((stage, layer), (sums, P), out, rest_mut(masks, first / WORD_BITS));
            }
        });
    }
}

/// Planes of the winner in a window of 2x2: row and column.
const WINNER_PLANES: usize = 2;

/// Word `word` of the planes of winners.
fn put_winners(stage: &Spatial, masks: &mut [u32], word: usize, bits: [u32; WINNER_PLANES]) {
    let first = usize::from(stage.relu);
    for (plane, bits) in (first..).zip(bits) {
        if let Some(target) = masks.get_mut(plane * stage.words() + word) {
            *target = bits;
        }
    }
}

/// A convolution, the rows under one of its output rows, and memory for a patch and sums.
struct Sums<'a, 'b> {
    stage: &'a Spatial,
    layer: &'b Int8Layer<'a>,
    window: &'b Window<'b, i8>,
    scratch: &'b mut [u32],
}

impl Sums<'_, '_> {
    /// The sums at `positions`, `[filter][position]`, some filters at a time: `put` gets the first of them, and their multipliers.
    #[inline(always)]
    fn for_each_block<const P: usize>(
        self,
        positions: &[Position; P],
        mut put: impl FnMut(usize, &mut [i32], &[[i32; 2]]),
    ) {
        let Self { stage, layer, window, scratch } = self;
        let (height, run) = (stage.kernel_height(), stage.run_len());
        let (patch, rest_of_scratch) = split_mut(scratch, stage.patch_len());
        let (staged, sums) = split_mut(rest_of_scratch, stage.staged_len());
        let staged = bytemuck::cast_slice_mut(staged);
        let mut o = 0;
        for (bias, multipliers) in layer.bias.chunks(FILTERS).zip(layer.multipliers.chunks(FILTERS)) {
            let sums: &mut [i32] = bytemuck::cast_slice_mut(span_mut(sums, 0, P * bias.len()));
            begin::<P>(sums, bias);
            let mut first = 0;
            while first < height {
                let rows = stage.unpacked_rows().min(height - first);
                // One patch serves all filters.
                if o == 0 || rows < height {
                    fill((stage, layer), window, (first, rows), positions, (&mut *patch, &mut *staged));
                }
                let weights = rest(layer.weights, (o * height + first) * run);
                add_all_dots::<P>(sums, patch, weights, (rows * run, height * run));
                first += rows;
            }
            put(o, sums, multipliers);
            o += FILTERS;
        }
    }
}

/// Unpacks what lies under `positions` in `rows` rows of the kernel.
#[inline(never)]
fn fill(
    (stage, layer): (&Spatial, &Int8Layer<'_>),
    window: &Window<'_, i8>,
    (first, rows): (usize, usize),
    positions: &[Position],
    (patch, staged): (&mut [u32], &mut [i8]),
) {
    let (run, zero, count) = (stage.run_len(), layer.range.input as i16, positions.len());
    for (p, (row, start)) in positions.iter().enumerate() {
        let x = |ky: usize| span(window.input_row(row + first + ky).values, *start, run);
        if run.is_multiple_of(4) {
            for ky in 0..rows {
                let patch = span_mut(patch, patch_words(count, ky * run), patch_words(count, run));
                unpack_all(x(ky), zero, (p, count), patch);
            }
        } else {
            // Rows of the kernel follow each other without a gap, and zeros come behind them.
            let staged = span_mut(staged, 0, (rows * run).next_multiple_of(4));
            staged.iter_mut().rev().take(3).for_each(|byte| *byte = zero as i8);
            for ky in 0..rows {
                copy(x(ky), span_mut(staged, ky * run, run));
            }
            unpack_all(staged, zero, (p, count), patch);
        }
    }
}

/// Inputs of a dense layer that are unpacked at a time.
const INPUTS: usize = 128;

/// Adds the inputs `first ..` to the sums of a dense layer of `inputs` inputs.
#[inline(never)]
pub(super) fn accumulate(layer: Int8Layer<'_>, inputs: usize, (first, x): (usize, &[i8]), sums: &mut [i32]) {
    let zero = layer.range.input as i16;
    let mut patch = [0; patch_words(1, INPUTS)];
    for (piece, x) in x.chunks(INPUTS).enumerate() {
        let (whole, tail) = x.as_chunks::<4>();
        unpack_all(whole.as_flattened(), zero, (0, 1), &mut patch);
        if !tail.is_empty() {
            let mut last = [zero as i8; 4];
            last.iter_mut().zip(tail).for_each(|(last, x)| *last = *x);
            unpack_all(&last, zero, (0, 1), rest_mut(&mut patch, patch_words(1, 4 * whole.len())));
        }
        let weights = rest(layer.weights, first + piece * INPUTS);
        add_all_dots::<1>(sums, &patch, weights, (x.len(), inputs));
    }
}

/// Copies bytes, by words as far as they go.
#[inline(always)]
fn copy(from: &[i8], to: &mut [i8]) {
    let (words, bytes) = from.as_chunks::<4>();
    let (to_words, to_bytes) = to.as_chunks_mut::<4>();
    to_words.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
    to_bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

/// Unpacks elements, a multiple of 4, to the words of position `p` of `positions`.
#[inline(always)]
fn unpack_all(x: &[i8], zero: i16, (p, positions): (usize, usize), patch: &mut [u32]) {
    for (patch, x) in patch.chunks_exact_mut(2 * positions).zip(x.as_chunks::<4>().0) {
        let [even, odd] = unpack(*x, zero);
        if let Some(word) = patch.get_mut(p) {
            *word = even;
        }
        if let Some(word) = patch.get_mut(positions + p) {
            *word = odd;
        }
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
        let values = numbers(generator, stage.values_len(rows), byte);
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
        for (seed, layers) in layers.into_iter().enumerate() {
            let network: Network = format!("{layers} flatten dense(units=2)").parse().unwrap();
            let network = network.int8();
            for row in 0..network.plan().spatial(0).unwrap().output().height {
                let [blocks, one_by_one] = both_ways(&network, row, seed as u64 * 17 + row as u64);
                assert!(blocks == one_by_one, "{layers} row {row}\n{blocks:?}\n{one_by_one:?}");
            }
        }
    }
}
