//! Basic iterative method, also called I-FGSM.
//!
//! ```text
//! x <- clip(x + alpha * sign(grad_x J(x, y)))          T times, from the image itself
//! ```
//! Kurakin, Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, section 2.2. There
//! `alpha` is one of 256 grey levels; 10 steps of `eps / 10` are the setting in which Dong et al. (CVPR 2018) compare
//! it with MI-FGSM.

use super::step::{Attack, Goal, Outcome, Step};
use crate::element::Element;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;

/// `steps` steps of size `alpha` away from the label, without momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bim {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    /// Number of steps, T.
    pub steps: usize,
    /// What to raise; cross-entropy in the paper.
    pub loss: Loss,
}

impl Bim {
    /// 10 steps of `eps / 10`, cross-entropy.
    pub fn new(eps: f32) -> Self {
        Self::with_steps(eps, 10)
    }

    /// `steps` steps of `eps / steps`, cross-entropy.
    pub fn with_steps(eps: f32, steps: usize) -> Self {
        Self { eps, alpha: eps / steps.max(1) as f32, steps, loss: Loss::CrossEntropy }
    }

    pub(super) fn step(&self) -> Step {
        Step { eps: self.eps, alpha: self.alpha, steps: self.steps, decay: None, loss: self.loss }
    }

    /// Attacks `image` (pixels in [0, 1], row, column, channel) of class `label`; writes `adversarial`, of the same
    /// length. The buffer has [`Network::gradient_len`](crate::Network::gradient_len) elements or more.
    ///
    /// # Errors
    /// Wrong lengths, a bad pixel, class or option, and a gradient that is not finite.
    pub fn attack<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        self.run(model, image, Goal::Away(label), adversarial, buffer)
    }
}

impl Attack for Bim {
    fn run<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        self.step().outcome(model, image, goal, adversarial, buffer)
    }
}
