//! Input rows of every spatial stage, and the walk that fills them.
//!
//! A stage keeps the padded input rows under one output row. As soon as they are there it makes that output
//! row, straight into the next stage's rows, and the oldest rows give way to new ones. Training keeps all
//! rows, because weight gradients read them again. Beside each row lies a bit for each of its elements that tells
//! whether it is worth multiplying.
//!
//! ```text
//! the ring of a stage with a 3x3 kernel and a 2x2 pooling: four slots; r0, r1, .. are input rows, - is padding
//!
//! slot                 0    1    2    3
//! for output row 0     -    r0   r1   r2       first = 0
//! for output row 1     r3   r4   r1   r2       first = 2: the window's rows are r1, r2, r3, r4
//! for output row 2     r3   r4   r5   r6       first = 0
//!
//! the rows of one stage: | slot 0 | slot 1 | slot 2 | slot 3 | bits of slot 0, 1, 2, 3 |
//! ```
//! One cursor walks over the stages. It goes down to the stage whose row is missing. When a row was made it goes up: in a
//! chain to the next stage, in a graph to the last one, which asks again.
//!
//! What is done once a row is not inlined: on a device its code would be there many times.

use core::ops::Range;

use super::arithmetic::Arithmetic;
use super::progress::Progress;
use super::sources::{NewRow, Sources};
use bytemuck::Zeroable as _;

use crate::kernels::conv::Window;
use crate::model::Model;
use crate::network::plan::{Operation, Spatial, Stages};
use crate::span::{CACHE_LINE, reach, reach_mut, rest, rest_mut, span, span_mut, split_mut};
use crate::vector::Simd;

/// Which input rows stay in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those under one output row.
    Window,
    /// All.
    All,
}

impl Keep {
    /// Input rows that `stage` has room for.
    const fn slots(self, stage: &Spatial) -> usize {
        match self {
            Self::Window => stage.input_slots(),
            // An average adds its rows up; nobody reads them again.
            Self::All if matches!(stage.operation, Operation::Average) => 1,
            Self::All => stage.whole_height(),
        }
    }

    /// Elements of the rows of one stage. Where all are kept, the next stage's start at a cache line, if these do.
    #[inline(always)]
    fn stage_len<T: Arithmetic>(self, stage: &Spatial) -> usize {
        let mut len = T::input_rows_len(stage, self.slots(stage));
        if T::GRAPHS {
            len += stage.skip_slots() * T::own_row_len(stage);
        }
        match self {
            Self::Window => len,
            Self::All => len.next_multiple_of(CACHE_LINE),
        }
    }

    /// Elements of the rows of all spatial stages.
    pub(crate) fn rows_len<T: Arithmetic>(self, plan: &Stages) -> usize {
        self.offset::<T>(plan, plan.spatial_count())
    }

    /// Where the rows of stage `index` start: those of its input, then those of its output's size.
    #[inline(never)]
    fn offset<T: Arithmetic>(self, plan: &Stages, index: usize) -> usize {
        (0..index).filter_map(|i| plan.spatial(i)).map(|stage| self.stage_len::<T>(stage)).sum()
    }

    /// Where row `row` of the output's size lies that stage `index` keeps: one that it adds, or sums.
    fn own_row<T: Arithmetic>(self, plan: &Stages, (index, stage): (usize, &Spatial), row: usize) -> Range<usize> {
        let (len, slot) = (T::own_row_len(stage), row % stage.skip_slots().max(1));
        let start = self.offset::<T>(plan, index) + T::input_rows_len(stage, self.slots(stage)) + slot * len;
        start..start + len
    }

    /// The window of a stage under its output row `row`; `rows` are those of all stages, or of the first ones.
    #[inline(never)]
    pub(crate) fn window<'b, T: Arithmetic>(
        self,
        plan: &Stages,
        rows: &'b [T::Value],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> Window<'b, T::Value> {
        let slots = self.slots(stage).max(1);
        let own = span(rows, self.offset::<T>(plan, index), T::input_rows_len(stage, slots));
        let (values, live) = T::split(own, stage, slots);
        let lengths = [stage.padded_row_len(), stage.padded_row_step(), T::row_words(stage)];
        Window { values, live, lengths, slots, first: row * stage.row_step() % slots, row }
    }

    /// The whole padded input of a stage and what lies behind it, if all rows are kept.
    pub(crate) fn map<'b, T: Arithmetic>(self, plan: &Stages, rows: &'b [T::Value], index: usize) -> &'b [T::Value] {
        rest(rows, self.offset::<T>(plan, index))
    }

    /// Where the content of padded input row `row` of stage `index` lies.
    fn content<T: Arithmetic>(self, plan: &Stages, (index, stage): (usize, &Spatial), row: usize) -> Range<usize> {
        let slot = row % self.slots(stage).max(1);
        let left = stage.pad_left() * stage.input().channels;
        let start = self.offset::<T>(plan, index) + slot * stage.padded_row_step() + left;
        start..start + stage.input().row_len()
    }

    /// The rows of the stages before stage `index`, and its own padded row number `row` (padding rows count).
    #[inline(never)]
    pub(super) fn next_row<'b, T: Arithmetic>(
        self,
        plan: &Stages,
        rows: &'b mut [T::Value],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> (&'b [T::Value], NewRow<'b, T::Value>) {
        let (before, own) = split_mut(rows, self.offset::<T>(plan, index));
        let slots = self.slots(stage);
        let slot = row % slots.max(1);
        let (values, live) = T::split_mut(own, stage, slots);
        let values = span_mut(values, slot * stage.padded_row_step(), stage.padded_row_len());
        let words = T::row_words(stage);
        (before, NewRow { stage, values, live: span_mut(live, slot * words, words) })
    }
}

impl<V: Copy> NewRow<'_, V> {
    /// A row of padding.
    #[inline(never)]
    fn clear(self, zero: V) {
        self.values.fill(zero);
        self.live.fill(0);
    }

    /// The row between its paddings.
    #[inline(never)]
    fn content(&mut self, zero: V) -> &mut [V] {
        let (left, content) = (self.stage.pad_left() * self.stage.input().channels, self.stage.input().row_len());
        span_mut(self.values, 0, left).fill(zero);
        rest_mut(self.values, left + content).fill(zero);
        span_mut(self.values, left, content)
    }
}

/// Where a forward pass through the spatial stages reads and writes.
pub(crate) struct ForwardRows<'m, 'a, 'b, T: Arithmetic> {
    pub model: &'a Model<'m, T>,
    pub image: &'a [f32],
    pub keep: Keep,
    /// Input rows of all spatial stages.
    pub rows: &'b mut [T::Value],
    /// Bits of all stages, or empty to keep none.
    pub masks: &'b mut [u32],
    /// Takes some columns (at least one) of the last stage's output row at a time.
    pub tail: &'b mut [T::Value],
}

/// Takes the output of the spatial stages piece by piece. (A trait and not a closure, which would be compiled for
/// any processor and stay a call.)
pub(crate) trait Sink<V> {
    /// `x` starts at element `first` of the output.
    fn accept<S: Simd>(&mut self, simd: S, first: usize, x: &[V]);
}

/// Keeps the output.
impl Sink<f32> for &mut [f32] {
    #[inline(always)]
    fn accept<S: Simd>(&mut self, _: S, first: usize, x: &[f32]) {
        span_mut(self, first, x.len()).iter_mut().zip(x).for_each(|(target, x)| *target = *x);
    }
}

impl<T: Arithmetic> ForwardRows<'_, '_, '_, T> {
    /// Runs the spatial stages into `sink`.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S, mut sink: impl Sink<T::Value>) {
        let plan = self.model.network().plan();
        let Some(last) = plan.spatial_count().checked_sub(1) else {
            return sink.accept(simd, 0, T::whole_image(self.model, self.image, self.tail));
        };
        let mut progress = T::PerStage::<Progress>::default();
        T::fill(&mut progress, plan.spatial_count());
        let mut skipped = T::PerStage::<u16>::default();
        if T::GRAPHS {
            T::fill(&mut skipped, plan.spatial_count());
            self.clear_top_paddings(&mut progress);
        }
        let mut index = last;
        while let (Some(stage), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
            let received = state.received();
            if received >= state.made() * stage.row_step() + stage.row_extent() {
                if T::GRAPHS
                    && let Some(value) = stage.missing_skip(state.made(), skipped.get(index))
                {
                    index = value - 1;
                    continue;
                }
                let row = state.make();
                if index == last {
                    self.last_row(simd, index, stage, row, &mut sink);
                    if row + 1 == stage.output().height {
                        return;
                    }
                    if T::GRAPHS {
                        self.clear_sums((index, stage), row);
                    }
                } else if T::GRAPHS {
                    self.row_for_all(simd, (index, stage), row, (&mut progress, &mut skipped));
                    index = last;
                } else {
                    index += 1;
                    if let (Some(next), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
                        self.inner_row(simd, (index, next), state.receive(), (stage, row));
                    }
                }
            } else if received < stage.pad_top() || received >= stage.pad_top() + stage.input().height {
                self.keep
                    .next_row::<T>(plan, self.rows, (index, stage), state.receive())
                    .1
                    .clear(T::zero(self.model, index));
            } else if if T::GRAPHS { stage.source() == 0 } else { index == 0 } {
                let len = stage.input().row_len();
                let image = span(self.image, (received - stage.pad_top()) * len, len);
                let row = state.receive();
                let (_, mut new) = self.keep.next_row::<T>(plan, self.rows, (index, stage), row);
                T::read_image(self.model, image, new.content(T::zero(self.model, index)));
                T::finish(simd, new);
                if T::GRAPHS {
                    self.add_up((index, stage), row);
                }
            } else {
                index = if T::GRAPHS { stage.source() } else { index } - 1;
            }
        }
    }

    /// Makes input row `target_row` of stage `index` from output row `row` of the stage before.
    #[inline(always)]
    fn inner_row<S: Simd>(
        &mut self,
        simd: S,
        target: (usize, &Spatial),
        target_row: usize,
        (stage, row): (&Spatial, usize),
    ) {
        let plan = self.model.network().plan();
        let index = target.0 - 1;
        let (rows, mut new) = self.keep.next_row::<T>(plan, self.rows, target, target_row);
        let window = &self.keep.window::<T>(plan, rows, (index, stage), row);
        let masks = row_masks(plan, self.masks, index, stage, row);
        let out = new.content(T::zero(self.model, target.0));
        T::make(simd, self.model, (index, stage), Sources { window, own: &[], first: 0 }, out, masks);
        T::finish(simd, new);
    }

    /// Makes output row `row` of the last spatial stage, in pieces that fit `tail`.
    #[inline(always)]
    fn last_row<S: Simd>(
        &mut self,
        simd: S,
        index: usize,
        stage: &Spatial,
        row: usize,
        sink: &mut impl Sink<T::Value>,
    ) {
        let plan = self.model.network().plan();
        let window = &self.keep.window::<T>(plan, self.rows, (index, stage), row);
        let masks = row_masks(plan, self.masks, index, stage, row);
        let (channels, width) = (stage.output().channels, stage.output().width);
        let piece = (self.tail.len() / channels.max(1)).max(1).min(width);
        let mask_len = stage.planes() * stage.words();
        let mut first = 0;
        while first < width {
            let count = piece.min(width - first);
            let out = span_mut(self.tail, 0, count * channels);
            let masks = reach_mut(masks, first * mask_len, count * mask_len);
            let mut own = &[][..];
            if T::GRAPHS {
                let place = self.keep.own_row::<T>(plan, (index, stage), row);
                own = reach(self.rows, place.start, place.len());
            }
            T::make(simd, self.model, (index, stage), Sources { window, own, first }, out, masks);
            sink.accept(simd, (row * width + first) * channels, span(self.tail, 0, count * channels));
            first += count;
        }
    }
}

/// What a stage of a graph needs beyond that of a chain.
impl<T: Arithmetic> ForwardRows<'_, '_, '_, T> {
    /// Receives the padding above the first row of each stage: a row may come before its reader asks for one.
    fn clear_top_paddings(&mut self, progress: &mut [Progress]) {
        let plan = self.model.network().plan();
        for (index, state) in progress.iter_mut().enumerate() {
            let Some(stage) = plan.spatial(index) else { return };
            for _ in 0..stage.pad_top() {
                self.keep
                    .next_row::<T>(plan, self.rows, (index, stage), state.receive())
                    .1
                    .clear(T::zero(self.model, index));
            }
        }
    }

    /// Makes output row `row` of stage `index`, for all that read it: the first of them gets it where it is made, the others
    /// get copies.
    #[inline(always)]
    fn row_for_all<S: Simd>(
        &mut self,
        simd: S,
        (index, stage): (usize, &Spatial),
        row: usize,
        (progress, skipped): (&mut [Progress], &mut [u16]),
    ) {
        let plan = self.model.network().plan();
        let mut made: Option<Range<usize>> = None;
        for (reader, is_skip) in plan.readers(index) {
            let Some(target) = plan.spatial(reader) else { return };
            let (Some(state), Some(skipped)) = (progress.get_mut(reader), skipped.get_mut(reader)) else { return };
            let at = if is_skip {
                *skipped += 1;
                self.keep.own_row::<T>(plan, (reader, target), usize::from(*skipped - 1))
            } else {
                self.keep.content::<T>(plan, (reader, target), state.receive())
            };
            match &made {
                None => {
                    self.make(simd, (index, stage), row, at.clone());
                    made = Some(at);
                }
                Some(made) => self.rows.copy_within(made.clone(), at.start),
            }
            if !is_skip {
                let received = state.received() - 1;
                let (_, mut new) = self.keep.next_row::<T>(plan, self.rows, (reader, target), received);
                // Clears the paddings.
                new.content(T::zero(self.model, reader));
                T::finish(simd, new);
                self.add_up((reader, target), received);
            }
        }
        self.clear_sums((index, stage), row);
    }

    /// Makes output row `row` of stage `index` at a place behind all rows of that stage.
    #[inline(always)]
    fn make<S: Simd>(&mut self, simd: S, (index, stage): (usize, &Spatial), row: usize, at: Range<usize>) {
        let plan = self.model.network().plan();
        let (rows, target) = split_mut(self.rows, at.start);
        let out = span_mut(target, 0, at.len());
        let window = &self.keep.window::<T>(plan, rows, (index, stage), row);
        let own = self.keep.own_row::<T>(plan, (index, stage), row);
        let own = reach(rows, own.start, own.len());
        let masks = row_masks(plan, self.masks, index, stage, row);
        T::make(simd, self.model, (index, stage), Sources { window, own, first: 0 }, out, masks);
    }

    /// Adds padded input row `row` of an average to its sums.
    fn add_up(&mut self, (index, stage): (usize, &Spatial), row: usize) {
        if stage.operation != Operation::Average {
            return;
        }
        let plan = self.model.network().plan();
        let content = self.keep.content::<T>(plan, (index, stage), row);
        let sums = self.keep.own_row::<T>(plan, (index, stage), 0);
        let (rows, behind) = split_mut(self.rows, sums.start);
        let sums = span_mut(behind, 0, sums.len());
        if row == stage.pad_top() {
            sums.fill(T::Value::zeroed());
        }
        T::add_up(stage, span(rows, content.start, content.len()), sums);
    }

    /// Begins an average's next row.
    fn clear_sums(&mut self, (index, stage): (usize, &Spatial), row: usize) {
        if stage.operation == Operation::Average {
            let own = self.keep.own_row::<T>(self.model.network().plan(), (index, stage), row);
            span_mut(self.rows, own.start, own.len()).fill(T::Value::zeroed());
        }
    }
}

/// The bits of output row `row` of stage `index`, or nothing if none are kept.
#[inline(never)]
fn row_masks<'b>(plan: &Stages, masks: &'b mut [u32], index: usize, stage: &Spatial, row: usize) -> &'b mut [u32] {
    let start = plan.mask_range(index).start + row * stage.mask_row_len();
    reach_mut(masks, start, stage.mask_row_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::MNIST_CNN;

    #[test]
    fn the_ring_is_the_one_that_is_drawn() {
        let plan = MNIST_CNN.plan();
        let (stage, rows) = (plan.spatial(0).unwrap(), std::vec![0.0; plan.lengths().forward_rows]);
        let first = [0, 1, 2].map(|row| Keep::Window.window::<f32>(plan, &rows, (0, stage), row).first);
        assert_eq!((Keep::Window.slots(stage), first), (4, [0, 2, 0]));
    }
}
