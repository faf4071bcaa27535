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
//! One cursor walks over the stages. It goes down to the stage before while a row is missing, and up when one was made.
//!
//! What is done once a row is not inlined: on a device its code would be there many times.

use super::progress::Progress;
use crate::kernels::conv::{Columns, Window};
use crate::kernels::sparse::live_bits;
use crate::model::{Model, Weights};
use crate::network::plan::{Spatial, Stages, WORD_BITS};
use crate::span::{CACHE_LINE, reach_mut, rest, rest_mut, span, span_mut, split, split_mut};
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
            Self::All => stage.padded_height(),
        }
    }

    /// Elements of the rows of one stage. Where all are kept, the next stage's start at a cache line, if these do.
    const fn stage_len(self, stage: &Spatial) -> usize {
        let len = stage.rows_len(self.slots(stage));
        match self {
            Self::Window => len,
            Self::All => len.next_multiple_of(CACHE_LINE),
        }
    }

    /// Elements of the rows of all spatial stages.
    pub(crate) fn rows_len(self, plan: &Stages) -> usize {
        self.offset(plan, plan.spatial_count())
    }

    /// Where the rows of stage `index` start.
    #[inline(never)]
    fn offset(self, plan: &Stages, index: usize) -> usize {
        (0..index).filter_map(|i| plan.spatial(i)).map(|stage| self.stage_len(stage)).sum()
    }

    /// The window of a stage under its output row `row`; `rows` are those of all stages, or of the first ones.
    #[inline(never)]
    pub(crate) fn window<'b>(
        self,
        plan: &Stages,
        rows: &'b [f32],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> Window<'b> {
        let slots = self.slots(stage).max(1);
        let own = span(rows, self.offset(plan, index), stage.rows_len(slots));
        let (values, live) = split(own, stage.values_len(slots));
        let lengths = [stage.padded_row_len(), stage.padded_row_step(), stage.row_words()];
        Window { values, live: bytemuck::cast_slice(live), lengths, slots, first: row * stage.row_step() % slots, row }
    }

    /// The whole padded input of a stage and what lies behind it, if all rows are kept.
    pub(crate) fn map<'b>(self, plan: &Stages, rows: &'b [f32], index: usize) -> &'b [f32] {
        rest(rows, self.offset(plan, index))
    }

    /// The rows of the stages before stage `index`, and its own padded row number `row` (padding rows count).
    #[inline(never)]
    fn next_row<'b>(
        self,
        plan: &Stages,
        rows: &'b mut [f32],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> (&'b [f32], NewRow<'b>) {
        let (before, own) = split_mut(rows, self.offset(plan, index));
        let slots = self.slots(stage);
        let slot = row % slots.max(1);
        let (values, live) = split_mut(own, stage.values_len(slots));
        let live: &mut [u32] = bytemuck::cast_slice_mut(live);
        let values = span_mut(values, slot * stage.padded_row_step(), stage.padded_row_len());
        (before, NewRow { stage, values, live: span_mut(live, slot * stage.row_words(), stage.row_words()) })
    }
}

/// A padded input row to be written.
struct NewRow<'b> {
    stage: &'b Spatial,
    values: &'b mut [f32],
    live: &'b mut [u32],
}

impl NewRow<'_> {
    /// A row of padding.
    #[inline(never)]
    fn clear(self) {
        self.values.fill(0.0);
        self.live.fill(0);
    }

    /// The row between its paddings.
    #[inline(never)]
    fn content(&mut self) -> &mut [f32] {
        let (left, content) = (self.stage.pad_left() * self.stage.input().channels, self.stage.input().row_len());
        span_mut(self.values, 0, left).fill(0.0);
        rest_mut(self.values, left + content).fill(0.0);
        span_mut(self.values, left, content)
    }

    /// Notes which elements are not zero, after the content was written.
    #[cfg_attr(cortex_m_fpu, inline(never))]
    #[cfg_attr(not(cortex_m_fpu), inline(always))]
    fn finish<S: Simd>(self, simd: S) {
        for (live, x) in self.live.iter_mut().zip(self.values.chunks(WORD_BITS)) {
            *live = live_bits(simd, x);
        }
    }
}

/// Where a forward pass through the spatial stages reads and writes.
pub(crate) struct ForwardRows<'m, 'a, 'b, T: Weights> {
    pub model: &'a Model<'m, T>,
    pub image: &'a [f32],
    pub keep: Keep,
    /// Input rows of all spatial stages.
    pub rows: &'b mut [f32],
    /// Bits of all stages, or empty to keep none.
    pub masks: &'b mut [u32],
    /// Takes some columns (at least one) of the last stage's output row at a time.
    pub tail: &'b mut [f32],
}

/// Takes the output of the spatial stages piece by piece. (A trait and not a closure, which would be compiled for
/// any processor and stay a call.)
pub(crate) trait Sink {
    /// `x` starts at element `first` of the output.
    fn accept<S: Simd>(&mut self, simd: S, first: usize, x: &[f32]);
}

/// Keeps the output.
impl Sink for &mut [f32] {
    #[inline(always)]
    fn accept<S: Simd>(&mut self, _: S, first: usize, x: &[f32]) {
        span_mut(self, first, x.len()).iter_mut().zip(x).for_each(|(target, x)| *target = *x);
    }
}

impl<T: Weights> ForwardRows<'_, '_, '_, T> {
    /// Runs the spatial stages into `sink`.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S, mut sink: impl Sink) {
        let plan = self.model.network().plan();
        let Some(last) = plan.spatial_count().checked_sub(1) else {
            return sink.accept(simd, 0, self.image);
        };
        let mut progress = T::PerStage::<Progress>::default();
        T::fill(&mut progress, plan.spatial_count());
        let mut index = last;
        // One cursor walks up while rows are missing and down when one was made.
        while let (Some(stage), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
            let received = state.received();
            if received >= state.made() * stage.row_step() + stage.row_extent() {
                let row = state.make();
                if index == last {
                    self.last_row(simd, index, stage, row, &mut sink);
                    if row + 1 == stage.output().height {
                        return;
                    }
                } else {
                    index += 1;
                    if let (Some(next), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
                        self.inner_row(simd, (index, next), state.receive(), (stage, row));
                    }
                }
            } else if received < stage.pad_top() || received >= stage.pad_top() + stage.input().height {
                self.keep.next_row(plan, self.rows, (index, stage), state.receive()).1.clear();
            } else if index == 0 {
                let len = stage.input().row_len();
                let image = span(self.image, (received - stage.pad_top()) * len, len);
                let (_, mut new) = self.keep.next_row(plan, self.rows, (index, stage), state.receive());
                new.content().iter_mut().zip(image).for_each(|(target, x)| *target = *x);
                new.finish(simd);
            } else {
                index -= 1;
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
        let (rows, mut new) = self.keep.next_row(plan, self.rows, target, target_row);
        let window = &self.keep.window(plan, rows, (index, stage), row);
        let masks = row_masks(plan, self.masks, index, stage, row);
        let conv = self.model.conv(index, stage);
        Columns { conv, window, first: 0, out: new.content(), masks }.run(simd);
        new.finish(simd);
    }

    /// Makes output row `row` of the last spatial stage, in pieces that fit `tail`.
    #[inline(always)]
    fn last_row<S: Simd>(&mut self, simd: S, index: usize, stage: &Spatial, row: usize, sink: &mut impl Sink) {
        let plan = self.model.network().plan();
        let window = &self.keep.window(plan, self.rows, (index, stage), row);
        let masks = row_masks(plan, self.masks, index, stage, row);
        let conv = self.model.conv(index, stage);
        let (channels, width) = (stage.output().channels, stage.output().width);
        let piece = (self.tail.len() / channels.max(1)).max(1).min(width);
        let mask_len = stage.planes() * stage.words();
        let mut first = 0;
        while first < width {
            let count = piece.min(width - first);
            let out = span_mut(self.tail, 0, count * channels);
            let masks = reach_mut(masks, first * mask_len, count * mask_len);
            Columns { conv, window, first, out, masks }.run(simd);
            sink.accept(simd, (row * width + first) * channels, span(self.tail, 0, count * channels));
            first += count;
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
        let first = [0, 1, 2].map(|row| Keep::Window.window(plan, &rows, (0, stage), row).first);
        assert_eq!((Keep::Window.slots(stage), first), (4, [0, 2, 0]));
    }
}
