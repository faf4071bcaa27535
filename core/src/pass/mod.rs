//! Depth first through the stages: forward to the logits, backward to the image.

mod backward;
pub mod batch;
mod forward;
mod maps;
mod rows;

use crate::loss::Loss;
use crate::model::Model;

/// How many rows a stage has received and made. No stage has more than 2^14 of them and a few of padding.
#[derive(Clone, Copy, Default)]
struct Progress {
    received: u16,
    made: u16,
}

impl Progress {
    fn received(self) -> usize {
        usize::from(self.received)
    }

    fn made(self) -> usize {
        usize::from(self.made)
    }

    /// Counts a received row and returns its number.
    fn receive(&mut self) -> usize {
        self.received += 1;
        usize::from(self.received - 1)
    }

    /// Counts a row that was made and returns its number.
    fn make(&mut self) -> usize {
        self.made += 1;
        usize::from(self.made - 1)
    }
}

/// The passes of a model with weights of one type. Written out for each type and not generic, so that they are
/// compiled here once and not again in every crate that uses them.
pub trait Passes: Sized {
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
    fn batch_forward(pass: batch::Forward<'_, '_, Self>);
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn batch_backward(pass: batch::Backward<'_, '_, Self>);
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
            fn batch_forward(pass: batch::Forward<'_, '_, Self>) {
                pass.model.level().run(pass);
            }

            #[inline(never)]
            #[allow(private_interfaces, reason = "only called in this crate")]
            fn batch_backward(pass: batch::Backward<'_, '_, Self>) {
                pass.model.level().run(pass);
            }
        }
    };
}

passes!(f32);
passes!(half::f16);
