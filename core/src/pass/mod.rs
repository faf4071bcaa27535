//! Depth first through the stages: forward to the logits, backward to the image.

mod backward;
mod forward;
mod rows;
pub mod training;

use crate::model::Model;

/// The passes of a model with weights of one type. Written out for each type and not generic, so that they are
/// compiled here once and not again in every crate that uses them.
pub trait Passes: Sized {
    #[doc(hidden)]
    fn forward(model: &Model<'_, Self>, image: &[f32], logits: &mut [f32], masks: &mut [u32], work: &mut [f32]);
    #[doc(hidden)]
    fn backward(
        model: &Model<'_, Self>,
        output: (&[f32], usize),
        masks: &[u32],
        gradient: &mut [f32],
        work: &mut [f32],
    );
}

macro_rules! passes {
    ($element:ty) => {
        impl Passes for $element {
            fn forward(
                model: &Model<'_, Self>,
                image: &[f32],
                logits: &mut [f32],
                masks: &mut [u32],
                work: &mut [f32],
            ) {
                forward::forward(model, image, logits, masks, work);
            }

            fn backward(
                model: &Model<'_, Self>,
                (logits, label): (&[f32], usize),
                masks: &[u32],
                gradient: &mut [f32],
                work: &mut [f32],
            ) {
                backward::backward(model, logits, label, masks, gradient, work);
            }
        }
    };
}

passes!(f32);
passes!(half::f16);
