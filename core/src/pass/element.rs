//! The types of weights that models run with, and the passes of each, compiled once.

use super::batch::kernels;
use super::{backward, forward};
use crate::loss::Loss;
use crate::model::Model;
use crate::number::Number;

/// Type of stored weights with which a [`Model`] runs: `f32` or [`f16`](struct@half::f16).
pub trait Element: Number + Passes {}

impl<T: Number + Passes> Element for T {}

/// The passes of a model with weights of one type. Written out for each type and not generic, so that they are
/// compiled here once and not again in every crate that uses them.
pub trait Passes: Number {
    #[doc(hidden)]
    fn forward(model: &Model<'_, Self>, image: &[f32], logits: &mut [f32], masks: &mut [u32], work: &mut [f32]);
    #[doc(hidden)]
    fn backward(
        model: &Model<'_, Self>,
        output: (&[f32], Loss, usize),
        masks: &[u32],
        gradient: &mut [f32],
        work: &mut [f32],
    );
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn batch_forward(pass: kernels::Forward<'_, '_, Self>);
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn batch_backward(pass: kernels::Backward<'_, '_, Self>);
}

// Not inlined, so that only the stack of the pass that runs is in use.
macro_rules! passes {
    ($element:ty) => {
        impl Passes for $element {
            #[inline(never)]
            fn forward(
                model: &Model<'_, Self>,
                image: &[f32],
                logits: &mut [f32],
                masks: &mut [u32],
                work: &mut [f32],
            ) {
                forward::forward(model, image, logits, masks, work);
            }

            #[inline(never)]
            fn backward(
                model: &Model<'_, Self>,
                output: (&[f32], Loss, usize),
                masks: &[u32],
                gradient: &mut [f32],
                work: &mut [f32],
            ) {
                backward::backward(model, output, masks, gradient, work);
            }

            #[inline(never)]
            #[allow(private_interfaces, reason = "only called in this crate")]
            fn batch_forward(pass: kernels::Forward<'_, '_, Self>) {
                pass.model.level().run(pass);
            }

            #[inline(never)]
            #[allow(private_interfaces, reason = "only called in this crate")]
            fn batch_backward(pass: kernels::Backward<'_, '_, Self>) {
                pass.model.level().run(pass);
            }
        }
    };
}

passes!(f32);
passes!(half::f16);
