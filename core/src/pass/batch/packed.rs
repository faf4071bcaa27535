//! The two passes over a batch of a network of integers, with the vectors of a host and prepared weights.
//!
//! ```text
//! forward    each sample: ForwardRows -> features, in bytes       then all samples: dense layer after dense layer
//! backward   that of the real-valued network, at the bits of the pass in integers
//! ```
//! Bytes lie in parts that the backward pass does not read: features where their gradient will be, if there is to be one, and
//! outputs of dense layers where other networks have f32.

use super::kernels::{self, Backward, Forward};
use super::samples::by_rows;
use crate::kernels::int8::packed::{PackedDense, Target};
use crate::kernels::masks::RowMasks;
use crate::model::Model;
use crate::network::plan::{MAX_STAGES, PLACE, Stages, WORD_BITS};
use crate::pass::keep::Keep;
use crate::pass::rows::{ForwardRows, Sink};
use crate::span::{reach_mut, rest, span, span_mut, take};
use crate::vector::{Kernel, Simd};

/// Runs the network on a batch.
#[inline(never)]
pub(super) fn forward(pass: Forward<'_, '_, '_, i8>) {
    pass.model.level().run(PackedForward(pass));
}

/// From the gradient of the logits to that of the images. (No batch of integers is made for training.)
pub(super) fn backward(pass: Backward<'_, '_, '_, i8>) {
    let Backward { layout, model, count, parts, target } = pass;
    kernels::backward(Backward { layout, model: &model.real_valued(), count, parts, target });
}

struct PackedForward<'m, 'a, 'b>(Forward<'m, 'a, 'b, i8>);

/// Keeps the bytes.
impl Sink<i8> for &mut [i8] {
    #[inline(always)]
    fn accept<S: Simd>(&mut self, _: S, first: usize, x: &[i8]) {
        span_mut(self, first, x.len()).iter_mut().zip(x).for_each(|(target, x)| *target = *x);
    }
}

impl Kernel for PackedForward<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if !S::HAS_INT8 {
            return by_rows(self.0, false);
        }
        let Forward { layout, model, count, image, parts } = self.0;
        let plan = model.network().plan();
        let (features, mask_len) = (layout.features_len(), parts.masks.len() / layout.samples.max(1));
        let (bytes, live) = match parts.feature_gradient {
            [] => (parts.features, &mut [][..]),
            place => (place, parts.features),
        };
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(bytes);
        let mut places = [0; PLACE * MAX_STAGES];
        let places = Keep::int8_places(plan, false, &mut places);
        for sample in 0..count {
            let masks = span_mut(parts.masks, sample * mask_len, mask_len);
            let (rows, tail) = (bytemuck::cast_slice_mut(parts.rows), bytemuck::cast_slice_mut(parts.tail));
            let (image, keep, scratch) = (image(sample).into(), Keep::Window, &mut [][..]);
            let spatial =
                ForwardRows { model, image, keep, places, rows, masks: &mut *masks, packs: false, tail, scratch };
            spatial.run(simd, span_mut(bytes, sample * features, features));
            note_live(plan, masks, reach_mut(live, sample * features, features));
        }
        let bytes = span(bytes, 0, count * features);
        dense_layers(simd, model, (bytes, count), (layout.samples, &mut *parts.outputs), (parts.masks, mask_len));
    }
}

/// All samples from their features, in bytes, to their logits.
#[inline(always)]
fn dense_layers<S: Simd>(
    simd: S,
    model: &Model<'_, i8>,
    (bytes, count): (&[i8], usize),
    (samples, outputs): (usize, &mut [f32]),
    (masks, mask_len): (&mut [u32], usize),
) {
    let (plan, grid) = (model.network().plan(), model.logit_grid());
    let first = plan.spatial_count();
    if first == plan.count() {
        return outputs.iter_mut().zip(bytes).for_each(|(logit, byte)| *logit = grid.value(*byte));
    }
    let mut x = (bytes, bytes.len() / count.max(1));
    let mut rest = outputs;
    for index in first..plan.count() {
        let Some(stage) = plan.dense(index).copied() else { return };
        let own = take(&mut rest, samples * stage.units);
        let at = plan.mask_range(index).start.min(mask_len);
        let masks = (reach_mut(masks, at, masks.len() - at), mask_len);
        let layer = model.quantised(index);
        if index + 1 == plan.count() {
            let target = Target::Logits(span_mut(own, 0, count * stage.units), grid);
            return simd.call_int8(PackedDense { stage, layer, samples: count, x, target, masks });
        }
        let own: &mut [i8] = bytemuck::cast_slice_mut(own);
        let target = Target::Bytes(&mut *own, stage.units);
        simd.call_int8(PackedDense { stage, layer, samples: count, x, target, masks });
        x = (own, stage.units);
    }
}

/// Writes a number for each feature of a sample that is 0 where the ReLU before it is closed, as [`kernels`] asks for.
fn note_live(plan: &Stages, masks: &[u32], live: &mut [f32]) {
    // Where there is no way back, no bits are kept.
    if live.is_empty() {
        return;
    }
    let Some(last) = plan.spatial_count().checked_sub(1) else { return };
    let Some(stage) = plan.spatial(last).filter(|stage| stage.relu) else { return };
    let rows = rest(masks, plan.mask_range(last).start).chunks_exact(stage.mask_row_len().max(1));
    let shape = stage.output();
    for (words, live) in rows.zip(live.chunks_exact_mut(shape.row_len().max(1))) {
        let masks = RowMasks { stage, words };
        for (column, live) in live.chunks_exact_mut(shape.channels.max(1)).enumerate() {
            for (word, live) in live.chunks_mut(WORD_BITS).enumerate() {
                let alive = masks.alive(column, word);
                live.iter_mut().enumerate().for_each(|(bit, live)| *live = (alive >> bit & 1) as f32);
            }
        }
    }
}
