//! One-step target class method.
//!
//! ```text
//! x' = clip(x - eps * sign(grad_x J(x, y_target)))
//! ```
//! Kurakin, Goodfellow, Bengio: Adversarial Machine Learning at Scale, ICLR 2017, section 2.

use super::step::{Goal, Outcome, Step};
use super::targeted::Target;
use crate::element::Element;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;

/// One step of size `eps` towards the target class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Otcm {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// The class to reach.
    pub target: Target,
}

impl Otcm {
    /// Attacks `image` (pixels in [0, 1], row, column, channel) of class `label`; writes `adversarial`, of the same
    /// length. The buffer has [`Network::gradient_len`](crate::Network::gradient_len) elements or more. The losses
    /// of the outcome are those at the target class, so success lowers them.
    ///
    /// # Errors
    /// Wrong lengths, a bad pixel, class or `eps`, a target that is the label, and a gradient that is not finite.
    pub fn attack<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        let target = self.target.class(model, image, label, buffer)?;
        let step = Step { eps: self.eps, alpha: self.eps, steps: 1, decay: None, loss: Loss::CrossEntropy };
        step.outcome(model, image, Goal::Toward(target), adversarial, buffer)
    }
}
