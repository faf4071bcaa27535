//! Input rows of every spatial stage, and the walk that fills them.
//!
//! A stage keeps the padded input rows under one output row. As soon as they are there it makes that output
//! row, straight into the next stage's rows, and the oldest rows give way to new ones. Training keeps all
//! rows, because weight gradients read them again.

use crate::element::Element;
use crate::layers::conv::{Columns, Window};
use crate::model::Model;
use crate::plan::{MAX_EXTENT, MAX_STAGES, Spatial, Stages};
use crate::simd::{Scalar, Simd};
use crate::span::{span, span_mut};

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
    pub(crate) const fn slots(self, stage: &Spatial) -> usize {
        match self {
            Self::Window => stage.extent(),
            Self::All => stage.padded_height(),
        }
    }

    /// Elements of the rows of all spatial stages.
    pub(crate) fn rows_len(self, plan: &Stages) -> usize {
        self.offset(plan, plan.spatial_count())
    }

    /// Where the rows of stage `index` start.
    fn offset(self, plan: &Stages, index: usize) -> usize {
        let stages = (0..index).filter_map(|i| plan.spatial(i));
        stages.map(|stage| self.slots(stage) * stage.padded_row_len()).sum()
    }

    /// The rows of stage `index` under its output row `row`. Row numbers count padding rows.
    #[inline(always)]
    pub(crate) fn window<'b>(self, rows: &'b [f32], stage: &Spatial, row: usize) -> Window<'b> {
        let len = stage.padded_row_len();
        let mut window = Window { rows: [&[]; MAX_EXTENT], row };
        for (i, slot) in window.rows.iter_mut().enumerate().take(stage.extent()) {
            *slot = span(rows, (row * stage.step() + i) % self.slots(stage).max(1) * len, len);
        }
        window
    }

    /// The rows of stage `index` within those of all stages.
    #[inline(always)]
    pub(crate) fn of_stage<'b>(self, plan: &Stages, rows: &'b [f32], index: usize) -> &'b [f32] {
        let start = self.offset(plan, index);
        span(rows, start, self.offset(plan, index + 1) - start)
    }

    /// The content of padded row `row` of stage `index`, with zeros already around it, for writing; and the
    /// rows of the stage before.
    #[inline(always)]
    fn next_row<'b>(
        self,
        plan: &Stages,
        rows: &'b mut [f32],
        index: usize,
        stage: &Spatial,
        row: usize,
    ) -> (&'b [f32], &'b mut [f32]) {
        let (before, own) = rows.split_at_mut_checked(self.offset(plan, index)).unwrap_or((&mut [], &mut []));
        let before_start = index.checked_sub(1).map_or(0, |previous| self.offset(plan, previous));
        let len = stage.padded_row_len();
        let padded = span_mut(own, row % self.slots(stage).max(1) * len, len);
        let (left, content) = (stage.pad_left() * stage.input.channels, stage.input.row_len());
        span_mut(padded, 0, left).fill(0.0);
        padded.get_mut(left + content..).unwrap_or(&mut []).fill(0.0);
        (before.get(before_start..).unwrap_or(&[]), span_mut(padded, left, content))
    }
}

/// Where a forward pass through the spatial stages reads and writes.
pub(crate) struct ForwardRows<'a, 'b, T> {
    pub model: &'a Model<'a, T>,
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

/// How far a stage has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Padded input rows written.
    received: usize,
    /// Output rows made.
    made: usize,
}

impl<T: Element> ForwardRows<'_, '_, T> {
    /// Runs the spatial stages into `sink`.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S, mut sink: impl Sink) {
        let plan = self.model.network().plan();
        let Some(last) = plan.spatial_count().checked_sub(1) else {
            return sink.accept(simd, 0, self.image);
        };
        let mut progress = [Progress::default(); MAX_STAGES];
        let mut index = last;
        // One cursor walks up while rows are missing and down when one was made.
        while let (Some(stage), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
            if state.received >= state.made * stage.step() + stage.extent() {
                let row = state.made;
                state.made += 1;
                if index == last {
                    self.last_row(simd, index, stage, row, &mut sink);
                    if row + 1 == stage.output.height {
                        return;
                    }
                } else {
                    self.inner_row(simd, index, stage, row, &mut progress);
                    index += 1;
                }
            } else if state.received < stage.pad_top() || state.received >= stage.pad_top() + stage.input.height {
                self.keep.next_row(plan, self.rows, index, stage, state.received).1.fill(0.0);
                state.received += 1;
            } else if index == 0 {
                let len = stage.input.row_len();
                let image = span(self.image, (state.received - stage.pad_top()) * len, len);
                let (_, target) = self.keep.next_row(plan, self.rows, index, stage, state.received);
                target.iter_mut().zip(image).for_each(|(target, x)| *target = *x);
                state.received += 1;
            } else {
                index -= 1;
            }
        }
    }

    /// Makes output row `row` of a stage that has another one behind it.
    #[inline(always)]
    fn inner_row<S: Simd>(
        &mut self,
        simd: S,
        index: usize,
        stage: &Spatial,
        row: usize,
        progress: &mut [Progress; MAX_STAGES],
    ) {
        let plan = self.model.network().plan();
        let (Some(next), Some(state)) = (plan.spatial(index + 1), progress.get_mut(index + 1)) else {
            return;
        };
        let (rows, target) = self.keep.next_row(plan, self.rows, index + 1, next, state.received);
        state.received += 1;
        let window = self.keep.window(rows, stage, row);
        let masks = row_masks(plan, self.masks, index, stage, row);
        make(simd, self.model, (index, stage), &window, 0, (target, masks));
    }

    /// Makes output row `row` of the last spatial stage, in pieces that fit `tail`.
    #[inline(always)]
    fn last_row<S: Simd>(&mut self, simd: S, index: usize, stage: &Spatial, row: usize, sink: &mut impl Sink) {
        let plan = self.model.network().plan();
        let window = self.keep.window(self.keep.of_stage(plan, self.rows, index), stage, row);
        let masks = row_masks(plan, self.masks, index, stage, row);
        let (channels, width) = (stage.output.channels, stage.output.width);
        let piece = (self.tail.len() / channels.max(1)).clamp(1, width);
        let mask_len = stage.planes() * stage.words();
        let mut first = 0;
        while first < width {
            let count = piece.min(width - first);
            let out = span_mut(self.tail, 0, count * channels);
            let masks = span_mut(masks, first * mask_len, count * mask_len);
            make(simd, self.model, (index, stage), &window, first, (out, masks));
            sink.accept(simd, (row * width + first) * channels, out);
            first += count;
        }
    }
}

/// The bits of output row `row` of stage `index`, or nothing if none are kept.
fn row_masks<'b>(plan: &Stages, masks: &'b mut [u32], index: usize, stage: &Spatial, row: usize) -> &'b mut [u32] {
    let start = plan.mask_range(index).start + row * stage.mask_row_len();
    span_mut(masks, start, stage.mask_row_len())
}

/// Makes some columns of an output row of stage `index`, with packed weights if the model has them.
#[inline(always)]
fn make<S: Simd, T: Element>(
    simd: S,
    model: &Model<'_, T>,
    (index, stage): (usize, &Spatial),
    window: &Window<'_>,
    first: usize,
    (out, masks): (&mut [f32], &mut [u32]),
) {
    match model.packed_conv(index, stage) {
        Some(conv) => simd.call(Columns { conv, window, first, out, masks }),
        None => Scalar.call(Columns { conv: model.conv(index, stage), window, first, out, masks }),
    }
}
