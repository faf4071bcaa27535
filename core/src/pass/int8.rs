//! Image to logits in integers of 8 bits. The spatial stages are those of `rows.rs`; the sums of a dense layer have 32 bits, and
//! become bytes when the last input was added.

use super::keep::Keep;
use super::rows::{ForwardRows, Sink};
use super::sources::Int8Image;
use crate::kernels::int8::Int8Layer;
use crate::kernels::int8::dense::Int8Accumulate;
#[cfg(feature = "std")]
use crate::kernels::int8::packed::PackedAccumulate;
use crate::model::Model;
use crate::network::plan::{DenseStage, PLACE, WORD_BITS};
use crate::span::{reach_mut, span, span_mut, split_mut, take};
use crate::vector::{Kernel, Simd};

struct Int8Forward<'m, 'a, 'b> {
    model: &'a Model<'m, i8>,
    image: Int8Image<'a>,
    logits: &'b mut [f32],
    /// Bits, and whether they are packed.
    masks: (&'b mut [u32], bool),
    work: &'b mut [f32],
}

/// Runs the network; the logits are real numbers. The arguments are those of [`forward`](super::forward::forward), and whether bits are
/// packed, as the way back of integers reads them.
#[inline(never)]
pub(super) fn forward(
    model: &Model<'_, i8>,
    image: Int8Image<'_>,
    logits: &mut [f32],
    masks: (&mut [u32], bool),
    work: &mut [f32],
) {
    model.level().run(Int8Forward { model, image, logits, masks, work });
}

/// A dense layer takes its inputs as they come. Without one, they are the logits.
struct Flat<'a, 'b> {
    dense: Option<(DenseStage, Int8Layer<'a>)>,
    sums: &'b mut [i32],
    /// The logits, and the number that a byte of them stands for.
    logits: &'b mut [f32],
    logit: &'b dyn Fn(i8) -> f32,
}

impl Sink<i8> for Flat<'_, '_> {
    #[inline(always)]
    fn accept<S: Simd>(&mut self, simd: S, first: usize, x: &[i8]) {
        match self.dense {
            #[cfg(feature = "std")]
            Some((stage, layer)) if S::HAS_INT8 && !layer.packed.is_empty() => {
                simd.call_int8(PackedAccumulate { stage, layer, first, x, sums: self.sums });
            }
            Some((stage, layer)) => simd.call(Int8Accumulate { stage, layer, first, x, sums: self.sums }),
            None => {
                let logits = span_mut(self.logits, first, x.len());
                logits.iter_mut().zip(x).for_each(|(logit, x)| *logit = (self.logit)(*x));
            }
        }
    }
}

impl Kernel for Int8Forward<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { model, image, logits, masks: (masks, packs), mut work } = self;
        let plan = model.network().plan();
        let (first, count, lengths) = (plan.spatial_count(), plan.count(), plan.lengths());
        let rows = bytemuck::cast_slice_mut(take(&mut work, lengths.forward_rows));
        // Two vectors take turns as output and input of the dense layers.
        let mut output: &mut [i8] = bytemuck::cast_slice_mut(take(&mut work, lengths.hidden[0]));
        let mut input: &mut [i8] = bytemuck::cast_slice_mut(take(&mut work, lengths.hidden[1]));
        let all_sums: &mut [i32] = bytemuck::cast_slice_mut(take(&mut work, lengths.sums));
        let scratch = bytemuck::cast_slice_mut(take(&mut work, lengths.scratch));
        let places = take(&mut work, PLACE * first);
        let tail = bytemuck::cast_slice_mut(work);
        // No bits are kept where there is no place for them.
        let spatial_masks_len = if packs { plan.packed_start(first) } else { plan.mask_range(first).start };
        let spatial_masks_len = spatial_masks_len.min(masks.len());
        let (spatial_masks, mut dense_masks) = split_mut(masks, spatial_masks_len);
        let grid = model.logit_grid();
        let logit = &|byte: i8| grid.value(byte);
        let places = Keep::int8_places(plan, packs, bytemuck::cast_slice_mut(places));
        let mut spatial = Some(ForwardRows {
            model,
            image,
            keep: Keep::Window,
            places,
            rows,
            masks: spatial_masks,
            packs,
            tail,
            scratch,
        });
        let mut index = first;
        loop {
            let dense = plan.dense(index).map(|stage| (*stage, dense_layer(model, index)));
            index += 1;
            let units = dense.map_or(0, |(stage, _)| stage.units);
            let sums = span_mut(all_sums, 0, units);
            if let Some((_, layer)) = dense {
                sums.iter_mut().zip(layer.bias).for_each(|(sum, bias)| *sum = *bias);
            }
            let mut flat = Flat { dense, sums: &mut *sums, logits: &mut *logits, logit };
            match (spatial.take(), dense) {
                (Some(spatial), _) => spatial.run(simd, flat),
                (None, Some((stage, _))) => flat.accept(simd, 0, span(input, 0, stage.inputs)),
                (None, None) => {}
            }
            let Some((stage, layer)) = dense else { return };
            let mask_len = stage.mask_len().min(dense_masks.len());
            let own = take(&mut dense_masks, mask_len);
            let is_last = index >= count;
            finish((stage, layer), sums, own, |unit, byte| {
                if is_last {
                    reach_mut(logits, unit, 1).fill(logit(byte));
                } else {
                    reach_mut(output, unit, 1).fill(byte);
                }
            });
            if is_last {
                return;
            }
            core::mem::swap(&mut input, &mut output);
        }
    }
}

/// A dense layer; without packed weights where its inputs come in pieces that are no whole fours.
#[inline(always)]
fn dense_layer<'a>(model: &Model<'a, i8>, index: usize) -> Int8Layer<'a> {
    let layer = model.quantised(index);
    #[cfg(feature = "std")]
    let layer = match index.checked_sub(1).and_then(|last| model.network().plan().spatial(last)) {
        Some(stage) if !stage.output().channels.is_multiple_of(4) => Int8Layer { packed: &[], ..layer },
        _ => layer,
    };
    layer
}

/// The bytes of a dense layer's sums, and the bits of its ReLU, unless `masks` is empty.
#[inline(always)]
fn finish(
    (stage, layer): (DenseStage, Int8Layer<'_>),
    sums: &[i32],
    masks: &mut [u32],
    mut put: impl FnMut(usize, i8),
) {
    masks.fill(0);
    for (unit, sum) in sums.iter().enumerate() {
        let byte = layer.output(unit, *sum);
        put(unit, byte);
        if let Some(word) = masks.get_mut(unit / WORD_BITS) {
            *word |= u32::from(layer.is_alive(stage.capped, *sum, byte)) << (unit % WORD_BITS);
        }
    }
}
