//! The two passes over a batch: forward, and backward to the images or to the weights.

use super::{Batch, Parts};
use crate::element::Element;
use crate::layers::dense;
use crate::model::Model;
use crate::pass::maps::{BackwardMaps, Wanted};
use crate::pass::rows::{ForwardRows, Keep};
use crate::plan::DenseStage;
use crate::simd::{Kernel, Simd};
use crate::span::{span, span_mut, take};

pub(in crate::pass) struct Forward<'a, 'b, T> {
    pub(super) batch: Batch<'a>,
    pub(in crate::pass) model: &'a Model<'a, T>,
    pub(super) count: usize,
    pub(super) image: &'a dyn Fn(usize) -> &'a [f32],
    pub(super) parts: Parts<'b>,
}

impl<T: Element> Kernel for Forward<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Self { batch, model, count, image, parts } = &mut self;
        let plan = model.network().plan();
        let (keep, features, mask_len) = (batch.keep(), batch.features_len(), parts.masks.len() / batch.samples.max(1));
        let rows_len = if keep == Keep::All { keep.rows_len(plan) } else { 0 };
        for sample in 0..*count {
            let image = image(sample);
            let rows = parts.rows.get_mut(sample * rows_len..).unwrap_or(&mut []);
            let masks = span_mut(parts.masks, sample * mask_len, mask_len);
            let spatial = ForwardRows { model, image, keep, rows, masks, tail: &mut *parts.tail };
            spatial.run(simd, span_mut(parts.features, sample * features, features));
        }
        let (first, count) = (plan.spatial_count(), *count);
        let mut input = span(parts.features, 0, count * features);
        if first == plan.count() {
            parts.outputs.iter_mut().zip(input).for_each(|(logit, x)| *logit = *x);
        }
        let mut rest = &mut *parts.outputs;
        for index in first..plan.count() {
            let Some(dense) = model.dense(index) else { return };
            let units = dense.stage.units;
            let sums = span_mut(take(&mut rest, batch.samples * units), 0, count * units);
            sums.chunks_exact_mut(units.max(1)).for_each(|sums| dense.start(sums));
            dense.accumulate_batch(simd, input, sums);
            for (sample, sums) in sums.chunks_exact_mut(units.max(1)).enumerate() {
                let masks = span_mut(parts.masks, sample * mask_len, mask_len);
                dense.finish(sums, masks.get_mut(plan.mask_range(index)).unwrap_or(&mut []));
            }
            input = sums;
        }
    }
}

/// Gradients of the convolutions, in whatever holds them.
pub(super) trait Gradients {
    fn get_mut(&mut self, index: usize) -> Option<&mut [f32]>;
}

impl<C: AsMut<[f32]>> Gradients for &mut [C] {
    fn get_mut(&mut self, index: usize) -> Option<&mut [f32]> {
        <[C]>::get_mut(self, index).map(AsMut::as_mut)
    }
}

/// Where a backward pass ends.
pub(super) enum Target<'b> {
    Images(&'b mut [f32]),
    /// Gradients of the convolutions, and how many samples share one.
    Weights(&'b mut dyn Gradients, usize),
}

pub(in crate::pass) struct Backward<'a, 'b, T> {
    pub(super) batch: Batch<'a>,
    pub(in crate::pass) model: &'a Model<'a, T>,
    pub(super) count: usize,
    pub(super) parts: Parts<'b>,
    pub(super) target: Target<'b>,
}

impl<T: Element> Kernel for Backward<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.dense_layers(simd);
        let Self { batch, model, count, parts, mut target } = self;
        let plan = model.network().plan();
        let (features, pixels) = (batch.features_len(), batch.network.input().len());
        let (mask_len, rows_len) = (plan.lengths().masks, batch.keep().rows_len(plan));
        for sample in 0..count {
            let gradient = span(parts.feature_gradient, sample * features, features);
            let masks = span(parts.masks, sample * mask_len, mask_len);
            let wanted = match &mut target {
                Target::Images(images) => {
                    let image = span_mut(images, sample * pixels, pixels);
                    if plan.spatial_count() == 0 {
                        image.iter_mut().zip(gradient).for_each(|(target, g)| *target = *g);
                    }
                    Wanted::Image(image)
                }
                Target::Weights(gradients, share) => {
                    let Some(gradient) = gradients.get_mut(sample / *share) else { return };
                    Wanted::Weights { rows: span(parts.rows, sample * rows_len, rows_len), gradient }
                }
            };
            BackwardMaps { model, features: gradient, masks, maps: &mut *parts.maps, wanted }.run(simd);
        }
    }
}

impl<T: Element> Backward<'_, '_, T> {
    /// From the gradient of the logits to that of the features.
    #[inline(always)]
    fn dense_layers<S: Simd>(&mut self, simd: S) {
        let Self { batch, model, count, parts, target } = self;
        let plan = model.network().plan();
        let (first, count, mask_len) = (plan.spatial_count(), *count, plan.lengths().masks);
        let mut end = parts.gradients.len() - batch.samples * plan.lengths().classes;
        if first == plan.count() {
            let gradient = span(parts.gradients, end, count * plan.lengths().classes);
            return parts.feature_gradient.iter_mut().zip(gradient).for_each(|(target, g)| *target = *g);
        }
        for index in (first..plan.count()).rev() {
            let Some(dense) = model.dense(index) else { return };
            let DenseStage { inputs, units, .. } = *dense.stage;
            let (before, own) = parts.gradients.split_at_mut_checked(end).unwrap_or((&mut [], &mut []));
            let own = span_mut(own, 0, count * units);
            for (sample, gradient) in own.chunks_exact_mut(units.max(1)).enumerate() {
                let masks = span(parts.masks, sample * mask_len, mask_len);
                dense::mask_gradient(masks.get(plan.mask_range(index)).unwrap_or(&[]), gradient);
            }
            if index > first {
                end = end.saturating_sub(batch.samples * inputs);
                dense.input_gradient_batch(simd, own, &[], span_mut(before, end, count * inputs));
            } else if first > 0 || matches!(target, Target::Images(_)) {
                // Nobody looks at the gradient of a dead input.
                let relu = first.checked_sub(1).and_then(|last| plan.spatial(last)).is_some_and(|stage| stage.relu);
                let x = if relu { span(parts.features, 0, count * inputs) } else { &[] };
                dense.input_gradient_batch(simd, own, x, span_mut(parts.feature_gradient, 0, count * inputs));
            }
        }
    }
}
