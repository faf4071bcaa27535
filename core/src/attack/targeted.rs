//! Iterated attacks aimed at a class: targeted MI-FGSM, PGD and BIM.
//!
//! ```text
//! x <- clip(x - alpha * sign(g))          g: gradient of J(x, y_target), with momentum or without
//! ```
//! Dong et al.: Boosting Adversarial Attacks with Momentum, CVPR 2018, section 3.4; without momentum, Kurakin,
//! Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, section 2.3.

use super::Attack;
use super::target::Target;

/// An attack that walks towards a target class instead of away from the true one.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Pgd, Target, Targeted}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; NETWORK.gradient_len()]);
/// let attack = Targeted { attack: Pgd::new(0.2, 1), target: Target::LeastLikely };
/// let outcome = attack.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!((outcome.target, outcome.after.class), (Some(1), 1));
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Targeted<A> {
    /// The steps: [`MiFgsm`](super::MiFgsm), [`Pgd`](super::Pgd) or [`Bim`](super::Bim).
    pub attack: A,
    /// The class to reach.
    pub target: Target,
}

impl<A: Attack> Attack for Targeted<A> {
    type Course = A::Course;

    #[inline(always)]
    fn course(&self) -> A::Course {
        self.attack.course()
    }

    #[inline(always)]
    fn target(&self) -> Option<Target> {
        Some(self.target)
    }
}
