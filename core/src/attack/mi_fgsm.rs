//! Momentum iterative fast gradient sign method.
//!
//! ```text
//! g <- mu * g + grad / ||grad||_1          x <- clip(x + alpha * sign(g))          T times, g = 0 before
//! ```
//! Dong et al.: Boosting Adversarial Attacks with Momentum, CVPR 2018, algorithm 1. `||.||_1` is the sum of absolute
//! values of one image's gradient; there is no random start and no early stop.

use super::step::{Attack, Goal, Outcome, Step};
use crate::element::Element;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;

/// `steps` steps of size `alpha` along the accumulated gradient, away from the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MiFgsm {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    /// Number of steps, T.
    pub steps: usize,
    /// Decay of the momentum, mu.
    pub decay: f32,
    /// What to raise; cross-entropy in the paper.
    pub loss: Loss,
}

impl MiFgsm {
    /// The paper's setting: 10 steps of `eps / 10`, decay 1, cross-entropy.
    pub fn new(eps: f32) -> Self {
        Self::with_steps(eps, 10)
    }

    /// `steps` steps of `eps / steps`, decay 1, cross-entropy.
    pub fn with_steps(eps: f32, steps: usize) -> Self {
        Self { eps, alpha: eps / steps.max(1) as f32, steps, decay: 1.0, loss: Loss::CrossEntropy }
    }

    pub(super) fn step(&self) -> Step {
        Step { eps: self.eps, alpha: self.alpha, steps: self.steps, decay: Some(self.decay), loss: self.loss }
    }

    /// Attacks `image` (pixels in [0, 1], row, column, channel) of class `label`; writes `adversarial`, of the same
    /// length. The buffer has [`Network::attack_len`](crate::Network::attack_len) elements or more.
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

impl Attack for MiFgsm {
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
