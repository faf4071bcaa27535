//! Basic iterative method, also called I-FGSM.
//!
//! ```text
//! x <- clip(x + alpha * sign(grad_x J(x, y)))          T times, from the image itself
//! ```
//! Kurakin, Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, section 2.2. There
//! `alpha` is one of 256 grey levels; 10 steps of `eps / 10` are the setting in which Dong et al. (CVPR 2018) compare
//! it with MI-FGSM.

use super::Attack;
use super::course::Steps;
use super::step::Step;
use crate::loss::Loss;

/// `steps` steps of size `alpha` away from the label, without momentum.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Bim}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; NETWORK.gradient_len()]);
/// let bim = Bim { alpha: 0.1, ..Bim::with_steps(0.15, 3) };
/// bim.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// // Three steps of 0.1 end at the border of the ball.
/// assert!((adversarial[0] - 0.45).abs() < 1e-6 && (adversarial[1] - 0.55).abs() < 1e-6);
/// # Ok::<(), midge_core::Error>(())
/// ```
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
}

impl Attack for Bim {
    type Course = Steps;

    #[inline(always)]
    fn course(&self) -> Steps {
        Step { eps: self.eps, alpha: self.alpha, steps: self.steps, decay: None, loss: self.loss }.into()
    }
}
