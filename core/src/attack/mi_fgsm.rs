//! Momentum iterative fast gradient sign method.
//!
//! ```text
//! g <- mu * g + grad / ||grad||_1          x <- clip(x + alpha * sign(g))          T times, g = 0 before
//! ```
//! Dong et al.: Boosting Adversarial Attacks with Momentum, CVPR 2018, algorithm 1. `||.||_1` is the sum of absolute
//! values of one image's gradient; there is no random start and no early stop.

use super::Attack;
use super::course::Steps;
use super::step::Step;
use crate::loss::Loss;

/// `steps` steps of size `alpha` along the accumulated gradient, away from the label.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, MiFgsm}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; NETWORK.attack_len()]);
/// let outcome = MiFgsm::new(0.2).attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!((outcome.after.class, outcome.zero_gradient_steps), (1, 0));
/// # Ok::<(), midge_core::Error>(())
/// ```
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
}

impl Attack for MiFgsm {
    type Course = Steps;

    #[inline(always)]
    fn course(&self) -> Steps {
        Step { eps: self.eps, alpha: self.alpha, steps: self.steps, decay: Some(self.decay), loss: self.loss }.into()
    }
}
