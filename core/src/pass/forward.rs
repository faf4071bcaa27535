//! Image to logits.
//!
//! The spatial stages run row by row. Whatever leaves the last of them goes to the first dense layer at once, which adds its
//! rows of weights to its sums; so the features never lie in memory together. The other dense layers follow one by one.

use super::arithmetic::Arithmetic;
use super::keep::Keep;
use super::rows::{ForwardRows, Sink};
use crate::kernels::dense::Dense;
use crate::kernels::rectify::cap_values;
use crate::model::Model;
use crate::span::{span, span_mut, split_mut, take};
use crate::vector::{Kernel, Simd};

struct Forward<'m, 'a, 'b, T: Arithmetic<Value = f32>> {
    model: &'a Model<'m, T>,
    image: &'a [f32],
    logits: &'b mut [f32],
    masks: &'b mut [u32],
    work: &'b mut [f32],
}

/// Runs the network. `masks` keeps the bits for [`backward`](super::backward::backward) unless it is empty. `work` has
/// [`Lengths::inference`](crate::network::plan::Stages::lengths) elements, less the logits', or more. With more, the last
/// convolution makes several columns at once.
// Not inlined, so that only the stack of the pass that runs is in use.
#[inline(never)]
pub(crate) fn forward<T: Arithmetic<Value = f32>>(
    model: &Model<'_, T>,
    image: &[f32],
    logits: &mut [f32],
    masks: &mut [u32],
    work: &mut [f32],
) {
    model.level().run(Forward { model, image, logits, masks, work });
}

/// A dense layer takes its inputs as they come. Without one, they are the logits.
struct Flat<'a, 'b, T: Arithmetic<Value = f32>> {
    dense: Option<Dense<'a, T::Number>>,
    sums: &'b mut [f32],
}

impl<T: Arithmetic<Value = f32>> Sink<f32> for Flat<'_, '_, T> {
    #[cfg_attr(cortex_m_fpu, inline(never))]
    #[cfg_attr(not(cortex_m_fpu), inline(always))]
    fn accept<S: Simd>(&mut self, simd: S, first: usize, x: &[f32]) {
        match &self.dense {
            Some(dense) => dense.accumulate(simd, first, x, self.sums),
            None => (&mut *self.sums).accept(simd, first, x),
        }
    }
}

impl<T: Arithmetic<Value = f32>> Kernel for Forward<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { model, image, logits, masks, mut work } = self;
        let plan = model.network().plan();
        let (first, count) = (plan.spatial_count(), plan.count());
        let rows = take(&mut work, plan.lengths().forward_rows);
        // Two vectors take turns as output and input of the dense layers.
        let mut output = take(&mut work, plan.lengths().hidden[0]);
        let mut input = take(&mut work, plan.lengths().hidden[1]);
        // No bits are kept where there is no place for them.
        let spatial_masks_len = plan.mask_range(first).start.min(masks.len());
        let (spatial_masks, mut dense_masks) = split_mut(masks, spatial_masks_len);
        let places = &Keep::Window.places::<T>(plan);
        let mut spatial = Some(ForwardRows {
            packs: false,
            model,
            image: image.into(),
            keep: Keep::Window,
            places,
            rows,
            masks: spatial_masks,
            tail: work,
            scratch: &mut [],
        });
        let mut index = first;
        loop {
            let dense = model.dense(index);
            index += 1;
            let (inputs, units, masks) = dense.map_or((0, plan.lengths().classes, 0), |dense| {
                (dense.stage.inputs, dense.stage.units, dense.stage.mask_len())
            });
            let sums = span_mut(if index < count { &mut *output } else { &mut *logits }, 0, units);
            if let Some(dense) = &dense {
                dense.start(sums);
            }
            let mut flat = Flat::<'_, '_, T> { dense, sums: &mut *sums };
            match spatial.take() {
                Some(spatial) => spatial.run(simd, flat),
                None => flat.accept(simd, 0, span(input, 0, inputs)),
            }
            if let Some(dense) = &dense {
                let len = masks.min(dense_masks.len());
                let masks = take(&mut dense_masks, len);
                dense.finish(sums, masks);
                if T::GRAPHS && dense.stage.capped {
                    cap_values(sums, masks);
                }
            }
            if index >= count {
                return;
            }
            core::mem::swap(&mut input, &mut output);
        }
    }
}
