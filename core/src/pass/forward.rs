//! Image to logits.

use super::rows::{ForwardRows, Keep, Sink};
use crate::element::Element;
use crate::layers::Dense;
use crate::model::Model;
use crate::simd::{Kernel, Simd};
use crate::span::{span, span_mut, take};

struct Forward<'a, 'b, T> {
    model: &'a Model<'a, T>,
    image: &'a [f32],
    logits: &'b mut [f32],
    masks: &'b mut [u32],
    work: &'b mut [f32],
}

/// Runs the network. `masks` keeps the bits for [`backward`](super::backward) unless it is empty; `work` has
/// `forward_len` elements or more. More let the last convolution make several columns at once.
pub(crate) fn forward<T: Element>(
    model: &Model<'_, T>,
    image: &[f32],
    logits: &mut [f32],
    masks: &mut [u32],
    work: &mut [f32],
) {
    model.level().run(Forward { model, image, logits, masks, work });
}

/// The first dense layer takes its inputs as they come.
struct FirstDense<'a, 'b, T> {
    dense: Dense<'a, T>,
    sums: &'b mut [f32],
}

impl<T: Element> Sink for FirstDense<'_, '_, T> {
    #[inline(always)]
    fn accept<S: Simd>(&mut self, simd: S, first: usize, x: &[f32]) {
        self.dense.accumulate(simd, first, x, self.sums);
    }
}

impl<T: Element> Kernel for Forward<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { model, image, logits, masks, mut work } = self;
        let plan = model.network().plan();
        let (first, count) = (plan.spatial_count(), plan.count());
        let rows = take(&mut work, plan.forward_rows_len());
        // Two vectors take turns as input and output of the dense layers.
        let mut input = take(&mut work, plan.dense_len(0, false));
        let mut output = take(&mut work, plan.dense_len(1, false));
        let (spatial_masks, mut dense_masks) =
            masks.split_at_mut_checked(plan.mask_range(first).start).unwrap_or((&mut [], &mut []));
        let spatial = ForwardRows { model, image, keep: Keep::Window, rows, masks: spatial_masks, tail: work };
        let Some(dense) = model.dense(first) else {
            return spatial.run(simd, logits);
        };
        let target = if first + 1 == count { &mut *logits } else { &mut *input };
        let sums = span_mut(target, 0, dense.stage.units);
        dense.start(sums);
        spatial.run(simd, FirstDense { dense, sums: &mut *sums });
        dense.finish(sums, take(&mut dense_masks, dense.stage.mask_len()));
        for index in first + 1..count {
            let Some(dense) = model.dense(index) else { return };
            let target = if index + 1 == count { &mut *logits } else { &mut *output };
            let sums = span_mut(target, 0, dense.stage.units);
            dense.start(sums);
            dense.accumulate(simd, 0, span(input, 0, dense.stage.inputs), sums);
            dense.finish(sums, take(&mut dense_masks, dense.stage.mask_len()));
            core::mem::swap(&mut input, &mut output);
        }
    }
}
