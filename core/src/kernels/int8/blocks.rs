//! Convolution by blocks: of up to four positions, which share each load of a filter's weights, or, where it is depthwise, of
//! four channels. That is for processors with few registers that multiply pairs of 16 bits at once. [`conv`](super::conv)
//! has the same sums one by one.

use super::Int8Layer;
use super::conv::{Int8Columns, is_alive, note_alive, put_bits};
use super::depthwise;
use super::dots::{add_all_dots, patch_words};
use super::requantise::{requantise, requantise_all};
use super::unpack::unpack;
use crate::kernels::conv::Window;
use crate::network::plan::{FILTERS, Operation, Spatial};
use crate::span::{reach_mut, rest, span, span_mut, split_mut};

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
        _ if stage.pool() > 1 => return row.windows(),
        _ => row.neighbours(),
    }
    note_alive(stage, &layer, row.out, row.masks);
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
        let filters = self.stage.output().channels;
        let out = rest_of(self.out, column * filters);
        let sums = Sums { stage: self.stage, layer: self.layer, window: self.window, scratch: &mut *self.scratch };
        let range = self.layer.range;
        sums.for_each_block(&places, |first, sums, multipliers| {
            for p in 0..P {
                let out = reach_mut(out, p * filters + first, multipliers.len());
                requantise_all((rest(sums, p), P), multipliers, &range, out);
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
        let places = window.map(|(wy, wx)| {
            (wy * stage.row_stride(), (start + wx * stage.column_stride()) * stage.input().channels)
        });
        let out = rest_of(self.out, column * filters);
        let masks = reach_mut(self.masks, column * mask_len, mask_len);
        let sums = Sums { stage, layer, window: self.window, scratch: &mut *self.scratch };
        sums.for_each_block(&places, |first, sums, multipliers| {
            let (sums, _) = sums.as_chunks::<P>();
            for (o, (sums, [multiplier, shift])) in (first..).zip(sums.iter().zip(multipliers)) {
                let mut best = (sums[0], window[0]);
                for (sum, at) in sums.iter().zip(window) {
                    if *sum > best.0 {
                        best = (*sum, at);
                    }
                }
                let value = layer.range.output(requantise(best.0, *multiplier, *shift));
                if let Some(out) = out.get_mut(o) {
                    *out = value;
                }
                put_bits(stage, masks, o, (is_alive(stage, layer, value), best.1));
            }
        });
    }
}

/// The elements from `start` on.
fn rest_of(out: &mut [i8], start: usize) -> &mut [i8] {
    out.get_mut(start..).unwrap_or(&mut [])
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
        mut put: impl FnMut(usize, &[i32], &[[i32; 2]]),
    ) {
        let Self { stage, layer, window, scratch } = self;
        let (height, run) = (stage.kernel_height(), stage.run_len());
        let (patch, sums) = split_mut(scratch, stage.patch_len());
        let mut o = 0;
        for (bias, multipliers) in layer.bias.chunks(FILTERS).zip(layer.multipliers.chunks(FILTERS)) {
            let sums: &mut [i32] = bytemuck::cast_slice_mut(span_mut(sums, 0, P * bias.len()));
            sums.as_chunks_mut::<P>().0.iter_mut().zip(bias).for_each(|(sums, bias)| *sums = [*bias; P]);
            let mut first = 0;
            while first < height {
                let rows = stage.unpacked_rows().min(height - first);
                // One patch serves all filters.
                if o == 0 || rows < height {
                    fill((stage, layer), window, (first, rows), positions, patch);
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
    patch: &mut [u32],
) {
    let (run, zero, count) = (stage.run_len(), layer.range.input as i16, positions.len());
    for (p, (row, start)) in positions.iter().enumerate() {
        for ky in 0..rows {
            let x = span(window.input_row(row + first + ky).values, *start, run);
            if run.is_multiple_of(4) {
                let patch = span_mut(patch, patch_words(count, ky * run), patch_words(count, run));
                unpack_run(x, zero, (p, count), patch);
            } else {
                unpack_elements(x, zero, (ky * run, p, count), patch);
            }
        }
        let taps = rows * run;
        if !taps.is_multiple_of(4) {
            unpack_elements(&[zero as i8; 4][taps % 4..], zero, (taps, p, count), patch);
        }
    }
}

/// Elements by fours.
#[inline(always)]
fn unpack_run(x: &[i8], zero: i16, (p, positions): (usize, usize), patch: &mut [u32]) {
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

/// Single elements, number `first` and so on.
#[inline(never)]
fn unpack_elements(x: &[i8], zero: i16, (first, p, positions): (usize, usize, usize), patch: &mut [u32]) {
    let halves: &mut [i16] = bytemuck::cast_slice_mut(patch);
    for (element, x) in (first..).zip(x) {
        let word = (element / 4 * 2 + element % 2) * positions + p;
        if let Some(half) = halves.get_mut(2 * word + element / 2 % 2) {
            *half = i16::from(*x) - zero;
        }
    }
}
