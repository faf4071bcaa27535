//! Fast gradient sign method.
//!
//! ```text
//! x' = clip(x + eps * sign(grad_x J(x, y)))
//! ```
//! Goodfellow, Shlens, Szegedy: Explaining and Harnessing Adversarial Examples, ICLR 2015, section 4.

use super::step::{Goal, Outcome, Step};
use crate::element::Element;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;

/// One step of size `eps` away from the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fgsm {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
}

impl Fgsm {
    pub(super) fn step(&self) -> Step {
        Step { eps: self.eps, alpha: self.eps, steps: 1, decay: None, loss: Loss::CrossEntropy }
    }

    /// Attacks `image` (pixels in [0, 1], row, column, channel) of class `label`; writes `adversarial`, of the same
    /// length. The buffer has [`Network::gradient_len`](crate::Network::gradient_len) elements or more.
    ///
    /// # Errors
    /// Wrong lengths, a bad pixel, class or `eps`, and a gradient that is not finite.
    pub fn attack<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        self.step().outcome(model, image, Goal::Away(label), adversarial, buffer)
    }

    /// [`Self::attack`] without the forward pass that looks at the result; says whether the gradient was zero.
    ///
    /// # Errors
    /// Those of [`Self::attack`].
    pub fn perturb<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<bool, Error> {
        let (_, zero) = self.step().walk(model, image, Goal::Away(label), adversarial, buffer)?;
        Ok(zero > 0)
    }
}
