//! One-step target class method.
//!
//! ```text
//! x' = clip(x - eps * sign(grad_x J(x, y_target)))
//! ```
//! Kurakin, Goodfellow, Bengio: Adversarial Machine Learning at Scale, ICLR 2017, section 2.

use super::Attack;
use super::course::Steps;
use super::fgsm::Fgsm;
use super::target::Target;

/// One step of size `eps` towards the target class.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Otcm, Target}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; NETWORK.gradient_len()]);
/// let otcm = Otcm { eps: 0.2, target: Target::Class(1) };
/// let outcome = otcm.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!((outcome.target, outcome.after.class), (Some(1), 1));
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Otcm {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// The class to reach.
    pub target: Target,
}

impl Attack for Otcm {
    type Course = Steps;

    #[inline(always)]
    fn course(&self) -> Steps {
        Fgsm { eps: self.eps }.course()
    }

    #[inline(always)]
    fn target(&self) -> Option<Target> {
        Some(self.target)
    }
}
