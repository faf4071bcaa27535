//! The two passes over a batch: forward, and backward to the images or to the weights.
//!
//! ```text
//! forward    each sample: ForwardRows -> features       then all samples: dense layer after dense layer
//! backward   all samples: dense layers, last to first   then each sample: BackwardMaps -> image, or weight gradients
//! ```

use super::layout::{Layout, Parts};
use crate::kernels::dense;
use crate::kernels::rectify::cap_values;
use crate::model::{Model, Weights};
use crate::network::plan::DenseStage;
use crate::pass::arithmetic::Arithmetic;
use crate::pass::keep::Keep;
use crate::pass::maps::{BackwardMaps, Wanted};
use crate::pass::rows::ForwardRows;
use crate::span::{reach_mut, rest_mut, span, span_mut, split_mut, take};
use crate::vector::{Kernel, Simd};

/// Runs the network on a batch.
#[inline(never)]
pub(in crate::pass) fn forward<T: Arithmetic<Value = f32>>(pass: Forward<'_, '_, '_, T>) {
    pass.model.level().run(pass);
}

/// From the gradient of the logits to that of the images or of the weights.
#[inline(never)]
pub(in crate::pass) fn backward<T: Arithmetic<Value = f32>>(pass: Backward<'_, '_, '_, T>) {
    pass.model.level().run(pass);
}

pub(in crate::pass) struct Forward<'m, 'a, 'b, T: Weights> {
    pub(super) layout: Layout<'a>,
    pub(super) model: &'a Model<'m, T>,
    pub(super) count: usize,
    pub(super) image: &'a dyn Fn(usize) -> &'a [f32],
    pub(super) parts: Parts<'b>,
}

impl<T: Arithmetic<Value = f32>> Kernel for Forward<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Self { layout, model, count, image, parts } = &mut self;
        let plan = model.network().plan();
        let (keep, features, mask_len) =
            (layout.keep(), layout.features_len(), parts.masks.len() / layout.samples.max(1));
        let rows_len = if keep == Keep::All { keep.rows_len::<T>(plan) } else { 0 };
        let places = &keep.places::<T>(plan);
        for sample in 0..*count {
            let image = image(sample).into();
            let rows = rest_mut(parts.rows, sample * rows_len);
            let masks = span_mut(parts.masks, sample * mask_len, mask_len);
            let spatial = ForwardRows {
                model,
                image,
                keep,
                places,
                rows,
                masks,
                packs: false,
                tail: &mut *parts.tail,
                scratch: &mut [],
            };
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
            let sums = span_mut(take(&mut rest, layout.samples * units), 0, count * units);
            sums.chunks_exact_mut(units.max(1)).for_each(|sums| dense.start(sums));
            dense.accumulate_batch(simd, input, sums);
            for (sample, sums) in sums.chunks_exact_mut(units.max(1)).enumerate() {
                let masks = span_mut(parts.masks, sample * mask_len, mask_len);
                let masks = reach_mut(masks, plan.mask_range(index).start, dense.stage.mask_len());
                dense.finish(sums, masks);
                if dense.stage.capped {
                    cap_values(sums, masks);
                }
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

pub(in crate::pass) struct Backward<'m, 'a, 'b, T: Weights> {
    pub(super) layout: Layout<'a>,
    pub(super) model: &'a Model<'m, T>,
    pub(super) count: usize,
    pub(super) parts: Parts<'b>,
    pub(super) target: Target<'b>,
}

impl<T: Arithmetic<Value = f32>> Kernel for Backward<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.dense_layers(simd);
        let Self { layout, model, count, parts, mut target } = self;
        let plan = model.network().plan();
        let (features, pixels) = (layout.features_len(), layout.network.input().len());
        let (mask_len, rows_len) = (plan.lengths().masks, layout.keep().rows_len::<T>(plan));
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

impl<T: Arithmetic<Value = f32>> Backward<'_, '_, '_, T> {
    /// From the gradient of the logits to that of the features.
    #[inline(always)]
    fn dense_layers<S: Simd>(&mut self, simd: S) {
        let Self { layout, model, count, parts, target } = self;
        let plan = model.network().plan();
        let (first, count, mask_len) = (plan.spatial_count(), *count, plan.lengths().masks);
        let mut end = parts.gradients.len() - layout.samples * plan.lengths().classes;
        if first == plan.count() {
            let gradient = span(parts.gradients, end, count * plan.lengths().classes);
            return parts.feature_gradient.iter_mut().zip(gradient).for_each(|(target, g)| *target = *g);
        }
        for index in (first..plan.count()).rev() {
            let Some(dense) = model.dense(index) else { return };
            let DenseStage { inputs, units, .. } = *dense.stage;
            let (before, own) = split_mut(parts.gradients, end);
            let own = span_mut(own, 0, count * units);
            for (sample, gradient) in own.chunks_exact_mut(units.max(1)).enumerate() {
                let masks = span(parts.masks, sample * mask_len, mask_len);
                dense::mask_gradient(span(masks, plan.mask_range(index).start, dense.stage.mask_len()), gradient);
            }
            if index > first {
                end = end.saturating_sub(layout.samples * inputs);
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
