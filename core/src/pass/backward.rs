//! Logits to the gradient of the loss with respect to the image.
//!
//! ```text
//! the lecture's CNN; `last_row` and the like are functions of this file
//!
//! logits -- Loss::gradient --> 10 -- dense_stages --> 256, the gradient of the first dense layer's output
//!
//! stage 1 wants      last_row makes       and inner_row makes, from the rows of    add_to_image adds to
//! input row          output row           stage 1 that a window over it has        the image's rows
//!   0                  0                    row 0 of stage 0    from 0               0..3
//!   1                  1                    row 1               from 0, 1            1..5
//!   2                                       row 2               from 0, 1            3..7
//!   3                  2                    row 3               from 1, 2            5..9
//!   4                                       row 4               from 1, 2            7..11
//! ```
//! Stage 1 keeps two rows of 7x64 gradients in a ring, stage 0 one of 14x32: that is all between the dense layers and the
//! image. A row is made only for channels whose bit says that they are alive.

use super::arithmetic::FloatArithmetic;
use super::progress::Progress;
use crate::kernels::conv::{GradientRow, InputGradientRow, WindowGradients};
use crate::kernels::dense;
use crate::kernels::masks::RowMasks;
use crate::loss::Loss;
use crate::model::Model;
use crate::network::plan::{Spatial, Stages};
use crate::span::{reach_mut, span, span_mut, split_mut, take};
use crate::vector::{Kernel, Simd};

struct Backward<'m, 'a, 'b, T: FloatArithmetic> {
    model: &'a Model<'m, T>,
    /// Logits, and the loss at a class.
    output: (&'a [f32], Loss, usize),
    masks: &'a [u32],
    gradient: &'b mut [f32],
    work: &'b mut [f32],
}

/// Gradient of a loss at a class, into `gradient` (one element per pixel). The logits of `output` and `masks` are
/// those of the forward pass. `work` takes the gradient rows and the two vectors of the dense stages: see `lengths.rs`.
// Not inlined, so that only the stack of the pass that runs is in use.
#[inline(never)]
pub(crate) fn backward<T: FloatArithmetic>(
    model: &Model<'_, T>,
    output: (&[f32], Loss, usize),
    masks: &[u32],
    gradient: &mut [f32],
    work: &mut [f32],
) {
    model.level().run(Backward { model, output, masks, gradient, work });
}

impl<T: FloatArithmetic> Kernel for Backward<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { model, output, masks, gradient, mut work } = self;
        let plan = model.network().plan();
        gradient.fill(0.0);
        let rows = take(&mut work, plan.lengths().backward_rows);
        let flat = dense_stages(simd, model, output, masks, work);
        if plan.spatial_count() == 0 {
            return match plan.dense(0) {
                Some(_) => T::dense_gradient(simd, model, 0, flat, (0, &[]), gradient),
                None => gradient.iter_mut().zip(flat).for_each(|(g, flat)| *g = *flat),
            };
        }
        let walk = BackwardRows { model, flat, masks, rows, gradient };
        walk.run(simd);
    }
}

/// Backward through the dense stages but the first; returns the gradient of that one's output, or of the
/// logits where there is no dense stage.
#[inline(always)]
fn dense_stages<'b, S: Simd, T: FloatArithmetic>(
    simd: S,
    model: &Model<'_, T>,
    (logits, loss, class): (&[f32], Loss, usize),
    masks: &[u32],
    mut work: &'b mut [f32],
) -> &'b [f32] {
    let plan = model.network().plan();
    let (first, count) = (plan.spatial_count(), plan.count());
    if first == count {
        let flat = take(&mut work, plan.lengths().classes);
        loss.gradient(logits, class, flat);
        return flat;
    }
    let even = take(&mut work, plan.lengths().dense[0]);
    let odd = take(&mut work, plan.lengths().dense[1]);
    let (mut own, mut input) = if (count - first) % 2 == 1 { (even, odd) } else { (odd, even) };
    let mask = |index: usize| {
        let range = plan.mask_range(index);
        span(masks, range.start, range.len())
    };
    let classes = plan.lengths().classes;
    loss.gradient(logits, class, span_mut(own, 0, classes));
    dense::mask_gradient(mask(count - 1), span_mut(own, 0, classes));
    for index in (first + 1..count).rev() {
        if let Some(stage) = plan.dense(index) {
            let (inputs, units) = (stage.inputs, stage.units);
            let (wanted, target) = (mask(index - 1), span_mut(input, 0, inputs));
            T::dense_gradient(simd, model, index, span(own, 0, units), (0, wanted), target);
        }
        core::mem::swap(&mut own, &mut input);
    }
    let units = plan.dense(first).map_or(0, |stage| stage.units);
    span(own, 0, units)
}

/// The walk from the last spatial stage to the image, a few rows of gradient at a time.
///
/// Every stage keeps the rows of its output gradient that one input row needs. The first stage adds each row
/// to the image's gradient at once.
pub(super) struct BackwardRows<'m, 'a, 'b, T: FloatArithmetic> {
    pub(super) model: &'a Model<'m, T>,
    /// Gradient of the first dense stage's output, or of the logits.
    flat: &'a [f32],
    pub(super) masks: &'a [u32],
    /// Rows of output gradient of all spatial stages.
    pub(super) rows: &'b mut [f32],
    /// Of the image.
    pub(super) gradient: &'b mut [f32],
}

impl<T: FloatArithmetic> BackwardRows<'_, '_, '_, T> {
    /// Runs the walk.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if T::GRAPHS { self.run_graph(simd) } else { self.run_chain(simd) }
    }

    /// The walk through a chain, in which a stage's only reader is the next one.
    #[inline(always)]
    fn run_chain<S: Simd>(mut self, simd: S) {
        let plan = self.model.network().plan();
        let mut progress = T::PerStage::<Progress>::default();
        T::fill(&mut progress, plan.spatial_count());
        let mut index = 0;
        while let (Some(stage), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
            // What a stage receives are rows of output gradient; what it makes are rows of input gradient, but the first
            // stage passes its rows on one by one.
            let needed = if index == 0 { state.made() } else { stage.covering_rows(state.made()).1 };
            if state.received() <= needed {
                if index + 1 < plan.spatial_count() {
                    index += 1;
                    continue;
                }
                let row = state.receive();
                self.last_row(simd, index, stage, row);
            } else if index == 0 {
                let row = state.make();
                self.add_to_image(simd, stage, row);
                if row + 1 == stage.output().height {
                    return;
                }
            } else {
                let row = state.make();
                self.inner_row(simd, index, stage, row);
                index -= 1;
                if let Some(state) = progress.get_mut(index) {
                    state.receive();
                }
            }
        }
    }

    /// The rows kept for stage `index`: where they start and how many.
    #[inline(never)]
    pub(super) fn ring(plan: &Stages, index: usize) -> (usize, usize) {
        let len = |i: usize| plan.spatial(i).map_or(0, |s| s.gradient_slots() * s.output().row_len());
        let slots = plan.spatial(index).map_or(1, |s| s.gradient_slots());
        ((0..index).map(len).sum(), slots.max(1))
    }

    /// Row `row` of the output gradient of stage `index`, with its bits.
    #[inline(always)]
    pub(super) fn gradient_row<'s>(&'s self, index: usize, stage: &'s Spatial, row: usize) -> GradientRow<'s> {
        let plan = self.model.network().plan();
        let (start, slots) = Self::ring(plan, index);
        let len = stage.output().row_len();
        GradientRow {
            row,
            gradient: span(self.rows, start + row % slots * len, len),
            masks: masks_of_row(plan, self.masks, index, stage, row),
        }
    }

    /// Output gradient of the last spatial stage: from the first dense layer, for live units only.
    #[inline(always)]
    pub(super) fn last_row<S: Simd>(&mut self, simd: S, index: usize, stage: &Spatial, row: usize) {
        let plan = self.model.network().plan();
        let (start, slots) = Self::ring(plan, index);
        let (len, channels) = (stage.output().row_len(), stage.output().channels);
        let masks = masks_of_row(plan, self.masks, index, stage, row);
        let target = span_mut(self.rows, start + row % slots * len, len);
        if plan.dense(index + 1).is_none() {
            let flat = span(self.flat, row * len, len);
            return target.iter_mut().zip(flat).for_each(|(target, g)| *target = *g);
        }
        for (column, target) in target.chunks_exact_mut(channels.max(1)).enumerate() {
            let first = row * len + column * channels;
            T::dense_gradient(simd, self.model, index + 1, self.flat, (first, masks.alive_words(column)), target);
        }
    }

    /// Input row `row` of stage `index`, which is output row `row` of the stage before.
    #[inline(always)]
    fn inner_row<S: Simd>(&mut self, simd: S, index: usize, stage: &Spatial, row: usize) {
        let plan = self.model.network().plan();
        let (own, _) = Self::ring(plan, index);
        let (before, slots) = Self::ring(plan, index.saturating_sub(1));
        let (rows_before, rows) = split_mut(self.rows, own);
        let len = stage.input().row_len();
        let target = span_mut(rows_before, before + row % slots * len, len);
        target.fill(0.0);
        let conv = self.model.conv(index, stage);
        let before = index.saturating_sub(1);
        let wanted = plan.spatial(before).map(|stage| masks_of_row(plan, self.masks, before, stage, row));
        let (first, last) = stage.covering_rows(row);
        for p in first..=last {
            let out = stage.output().row_len();
            let slots = stage.gradient_slots().max(1);
            let output = GradientRow {
                row: p,
                gradient: span(rows, p % slots * out, out),
                masks: masks_of_row(plan, self.masks, index, stage, p),
            };
            simd.call(InputGradientRow { conv, output: &output, input_row: row, wanted, target: &mut *target });
        }
    }

    /// Adds what output row `row` of the first stage contributes to the image's gradient.
    #[inline(always)]
    pub(super) fn add_to_image<S: Simd>(&mut self, simd: S, stage: &Spatial, row: usize) {
        // Taken out, so that the rows can be borrowed beside it.
        let gradient = core::mem::take(&mut self.gradient);
        let output = self.gradient_row(0, stage, row);
        let conv = self.model.conv(0, stage);
        let windows = WindowGradients { conv, output: &output, target: &mut *gradient };
        if windows.suits() {
            simd.call(windows);
            self.gradient = gradient;
            return;
        }
        let len = stage.input().row_len();
        for padded in row * stage.row_step()..row * stage.row_step() + stage.row_extent() {
            if let Some(input_row) = padded.checked_sub(stage.pad_top()) {
                // Windows may hang over the last row.
                let target = reach_mut(gradient, input_row * len, len);
                if !target.is_empty() {
                    simd.call(InputGradientRow { conv, output: &output, input_row, wanted: None, target });
                }
            }
        }
        self.gradient = gradient;
    }
}

/// The bits of output row `row` of stage `index`.
#[inline(never)]
pub(super) fn masks_of_row<'s>(
    plan: &Stages,
    masks: &'s [u32],
    index: usize,
    stage: &'s Spatial,
    row: usize,
) -> RowMasks<'s> {
    let start = plan.mask_range(index).start + row * stage.mask_row_len();
    RowMasks { stage, words: span(masks, start, stage.mask_row_len()) }
}

#[cfg(test)]
mod tests {
    use crate::network::MNIST_CNN;

    #[test]
    fn the_walk_is_the_one_that_is_drawn() {
        let plan = MNIST_CNN.plan();
        let [before, stage] = [0, 1].map(|index| plan.spatial(index).unwrap());
        let rows = [0, 1, 2, 3, 4].map(|row| stage.covering_rows(row));
        assert_eq!(rows, [(0, 0), (0, 1), (0, 1), (1, 2), (1, 2)]);
        assert_eq!((before.gradient_slots(), stage.gradient_slots()), (1, 2));
        // Rows of the image, padding counted.
        assert_eq!((before.row_step(), before.row_extent(), before.pad_top()), (2, 4, 1));
    }
}
