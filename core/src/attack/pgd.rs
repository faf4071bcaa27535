//! Projected gradient descent with random starts.
//!
//! ```text
//! x <- clip(x0 + uniform(-eps, eps))          then T times          x <- clip(x + alpha * sign(grad_x J(x, y)))
//! ```
//! Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, section 2.1. Restarts keep
//! the worst image: the first that reaches the goal, or else the one with the highest loss (towards a target: the
//! lowest).

use super::Attack;
use super::course::Steps;
use super::step::{Starts, Step};
use crate::loss::Loss;

/// From each of `restarts` random points, `steps` steps of size `alpha` away from the label.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Pgd}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; NETWORK.attack_len()]);
/// let pgd = Pgd { restarts: 3, ..Pgd::new(0.2, 1) };
/// assert_eq!(pgd.buffer_len(&model), NETWORK.attack_len());
/// let outcome = pgd.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!(outcome.after.class, 1);
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pgd {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    /// Number of steps from each start, T.
    pub steps: usize,
    /// Number of random starts, at least 1. After the first that reaches the goal no other is tried.
    pub restarts: usize,
    /// Seed of the starts. Give every image a seed of its own.
    pub seed: u64,
    /// What to raise; cross-entropy in the paper.
    pub loss: Loss,
}

impl Pgd {
    /// The paper's setting for MNIST, scaled to `eps`: 40 steps of `eps / 30` from one start, cross-entropy.
    pub fn new(eps: f32, seed: u64) -> Self {
        Self::with_steps(eps, 40, seed)
    }

    /// Steps of `eps / 30`, or longer ones where that would not cross the radius of the ball with a third to spare.
    pub fn with_steps(eps: f32, steps: usize, seed: u64) -> Self {
        let alpha = eps / f32::min(30.0, 0.75 * steps.max(1) as f32);
        Self { eps, alpha, steps, restarts: 1, seed, loss: Loss::CrossEntropy }
    }
}

impl Attack for Pgd {
    type Course = Steps;

    #[inline(always)]
    fn course(&self) -> Steps {
        let step = Step { eps: self.eps, alpha: self.alpha, steps: self.steps, decay: None, loss: self.loss };
        Steps { step, starts: Some(Starts { restarts: self.restarts, seed: self.seed }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_papers() {
        let pgd = Pgd::new(0.3, 0);
        assert!((pgd.alpha - 0.01).abs() < 1e-7 && pgd.steps == 40, "{pgd:?}");
        assert_eq!(Pgd::with_steps(0.3, 100, 0).alpha, pgd.alpha);
        assert!(Pgd::with_steps(0.3, 2, 0).alpha > 0.15);
    }
}
