//! Fast gradient sign method.
//!
//! ```text
//! x' = clip(x + eps * sign(grad_x J(x, y)))
//! ```
//! Goodfellow, Shlens, Szegedy: Explaining and Harnessing Adversarial Examples, ICLR 2015, section 4.

use super::course::Steps;
use super::goal::Goal;
use super::quantize::to_grid;
use super::step::Step;
use super::{Attack, integers};
use crate::error::{Error, check_len};
use crate::loss::Loss;
use crate::model::Model;
use crate::pass::Element;

/// One step of size `eps` away from the label.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Fgsm}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; NETWORK.gradient_len()]);
/// let outcome = Fgsm { eps: 0.2 }.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!(outcome.after.class, 1);
/// assert!((adversarial[0] - 0.4).abs() < 1e-6 && (adversarial[1] - 0.6).abs() < 1e-6);
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fgsm {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
}

impl Fgsm {
    #[inline(always)]
    fn step(&self) -> Step {
        Step { eps: self.eps, alpha: self.eps, steps: 1, decay: None, loss: Loss::CrossEntropy }
    }

    /// [`Attack::attack`] without the forward pass that looks at the result; says whether the gradient was zero. In
    /// adversarial training nobody looks, and a forward pass is a third of the work.
    ///
    /// # Errors
    /// Those of [`Attack::attack`].
    pub fn perturb<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<bool, Error> {
        let step = self.step();
        step.check_options()?;
        check_len("adversarial image", image.len(), adversarial.len())?;
        let gradient = model.loss_gradient(step.loss, image, label, buffer)?.gradient;
        adversarial.iter_mut().zip(image).for_each(|(x, clean)| *x = *clean);
        step.advance((image, model.range()), gradient, step.alpha, adversarial);
        if T::IS_INT8
            && let Some(grid) = model.grid()
        {
            adversarial.iter_mut().zip(image).for_each(|(x, clean)| *x = to_grid(grid, *x, *clean, step.eps));
        }
        Ok(gradient.iter().all(|g| *g == 0.0))
    }

    /// [`Self::perturb`] of an image of integers: [`Attack::attack_integers`] without the look at the result.
    ///
    /// # Errors
    /// Those of [`Attack::attack_integers`].
    pub fn perturb_integers(
        &self,
        model: &Model<'_, i8>,
        image: &[i8],
        label: usize,
        adversarial: &mut [i8],
        buffer: &mut [f32],
    ) -> Result<bool, Error> {
        integers::perturb(model, self.step(), (image, Goal::Away(label)), adversarial, buffer)
    }
}

impl Attack for Fgsm {
    type Course = Steps;

    #[inline(always)]
    fn course(&self) -> Steps {
        self.step().into()
    }
}
