//! The types of weights that models run with, and the passes of each, compiled once.

use super::batch::{int8 as int8_batch, kernels};
use super::{backward, forward, int8, int8_backward};
use crate::loss::Loss;
use crate::model::{Chain, Model, Weights};

/// What a [`Model`] can run with: the types of [`Weights`].
pub trait Element: Weights + Passes {}

impl<T: Weights + Passes> Element for T {}

/// The passes of a model with weights of one type. Written out for each type and not generic, so that those of f32 are
/// compiled here once and not again in every crate that uses them.
pub trait Passes: Weights {
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
    fn batch_forward(pass: kernels::Forward<'_, '_, '_, Self>);
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn batch_backward(pass: kernels::Backward<'_, '_, '_, Self>);
}

/// The passes of one type. `$compiled` says where they are compiled: those of f32 here, once; those of f16, which a host
/// widens when it reads a file and never runs, only in a program that uses them. Five programs of the tests do, so a debug
/// build for a host has them here too.
macro_rules! passes {
    ($element:ty, $($compiled:tt)+) => {
        impl Passes for $element {
            #[$($compiled)+]
            fn forward(
                model: &Model<'_, Self>,
                image: &[f32],
                logits: &mut [f32],
                masks: &mut [u32],
                work: &mut [f32],
            ) {
                forward::forward(model, image, logits, masks, work);
            }

            #[$($compiled)+]
            fn backward(
                model: &Model<'_, Self>,
                output: (&[f32], Loss, usize),
                masks: &[u32],
                gradient: &mut [f32],
                work: &mut [f32],
            ) {
                backward::backward(model, output, masks, gradient, work);
            }

            #[$($compiled)+]
            #[allow(private_interfaces, reason = "only called in this crate")]
            fn batch_forward(pass: kernels::Forward<'_, '_, '_, Self>) {
                kernels::forward(pass);
            }

            #[$($compiled)+]
            #[allow(private_interfaces, reason = "only called in this crate")]
            fn batch_backward(pass: kernels::Backward<'_, '_, '_, Self>) {
                kernels::backward(pass);
            }
        }
    };
}

impl Passes for i8 {
    fn forward(model: &Model<'_, Self>, image: &[f32], logits: &mut [f32], masks: &mut [u32], work: &mut [f32]) {
        int8::forward(model, image.into(), logits, (masks, true), work);
    }

    fn backward(
        model: &Model<'_, Self>,
        output: (&[f32], Loss, usize),
        masks: &[u32],
        gradient: &mut [f32],
        work: &mut [f32],
    ) {
        let (logits, loss, class) = output;
        let fill = &|target: &mut [f32]| loss.gradient(logits, class, target);
        int8_backward::backward_to_pixels(model, fill, masks, gradient, work);
    }

    #[allow(private_interfaces, reason = "only called in this crate")]
    fn batch_forward(pass: kernels::Forward<'_, '_, '_, Self>) {
        int8_batch::forward(pass);
    }

    #[allow(private_interfaces, reason = "only called in this crate")]
    fn batch_backward(pass: kernels::Backward<'_, '_, '_, Self>) {
        int8_batch::backward(pass);
    }
}

passes!(f32, inline(never));
passes!(half::f16, cfg_attr(not(all(debug_assertions, feature = "std")), inline));
passes!(Chain<f32>, inline);
passes!(Chain<half::f16>, inline);
