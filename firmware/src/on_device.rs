//! The attacks with as little memory as a type of weights allows: images of integers for models of integers.

use midge_core::attack::{Fgsm, Outcome, Stepwise};
use midge_core::{Chain, Element, Error, Model, f16};

/// What a device runs.
pub(crate) trait OnDevice: Element {
    /// A pixel.
    type Pixel: Copy + Default + 'static;

    /// A pixel of the model's range.
    fn pixel(model: &Model<'_, Self>, x: f32) -> Self::Pixel;

    /// [`Model::logits`].
    fn logits<'b>(
        model: &Model<'_, Self>,
        image: &[Self::Pixel],
        buffer: &'b mut [f32],
    ) -> Result<&'b mut [f32], Error>;

    /// [`Attack::attack`](midge_core::attack::Attack::attack).
    fn attack(
        attack: &impl Stepwise,
        model: &Model<'_, Self>,
        path: (&[Self::Pixel], usize),
        adversarial: &mut [Self::Pixel],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error>;

    /// [`Attack::buffer_len`](midge_core::attack::Attack::buffer_len).
    fn buffer_len(attack: &impl Stepwise, model: &Model<'_, Self>) -> usize;

    /// [`Fgsm::perturb`].
    fn perturb(
        attack: &Fgsm,
        model: &Model<'_, Self>,
        path: (&[Self::Pixel], usize),
        adversarial: &mut [Self::Pixel],
        buffer: &mut [f32],
    ) -> Result<bool, Error>;
}

macro_rules! float {
    ($weights:ty) => {
        impl OnDevice for $weights {
            type Pixel = f32;

            #[inline(always)]
            fn pixel(_: &Model<'_, Self>, x: f32) -> f32 {
                x
            }

            #[inline(always)]
            fn logits<'b>(
                model: &Model<'_, Self>,
                image: &[f32],
                buffer: &'b mut [f32],
            ) -> Result<&'b mut [f32], Error> {
                model.logits(image, buffer)
            }

            #[inline(always)]
            fn attack(
                attack: &impl Stepwise,
                model: &Model<'_, Self>,
                (image, label): (&[f32], usize),
                adversarial: &mut [f32],
                buffer: &mut [f32],
            ) -> Result<Outcome, Error> {
                attack.attack(model, image, label, adversarial, buffer)
            }

            #[inline(always)]
            fn buffer_len(attack: &impl Stepwise, model: &Model<'_, Self>) -> usize {
                attack.buffer_len(model)
            }

            #[inline(always)]
            fn perturb(
                attack: &Fgsm,
                model: &Model<'_, Self>,
                (image, label): (&[f32], usize),
                adversarial: &mut [f32],
                buffer: &mut [f32],
            ) -> Result<bool, Error> {
                attack.perturb(model, image, label, adversarial, buffer)
            }
        }
    };
}

float!(f32);
float!(f16);
float!(Chain<f32>);
float!(Chain<f16>);

impl OnDevice for i8 {
    type Pixel = i8;

    #[inline(always)]
    fn pixel(model: &Model<'_, Self>, x: f32) -> i8 {
        model.image_grid().round(x)
    }

    #[inline(always)]
    fn logits<'b>(model: &Model<'_, Self>, image: &[i8], buffer: &'b mut [f32]) -> Result<&'b mut [f32], Error> {
        model.logits_of_integers(image, buffer)
    }

    #[inline(always)]
    fn attack(
        attack: &impl Stepwise,
        model: &Model<'_, Self>,
        (image, label): (&[i8], usize),
        adversarial: &mut [i8],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        attack.attack_integers(model, image, label, adversarial, buffer)
    }

    #[inline(always)]
    fn buffer_len(attack: &impl Stepwise, model: &Model<'_, Self>) -> usize {
        attack.integers_buffer_len(model)
    }

    #[inline(always)]
    fn perturb(
        attack: &Fgsm,
        model: &Model<'_, Self>,
        (image, label): (&[i8], usize),
        adversarial: &mut [i8],
        buffer: &mut [f32],
    ) -> Result<bool, Error> {
        attack.perturb_integers(model, image, label, adversarial, buffer)
    }
}
