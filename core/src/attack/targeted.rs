//! Iterated attacks aimed at a class: targeted MI-FGSM, PGD and BIM.
//!
//! ```text
//! x <- clip(x - alpha * sign(g))          g: gradient of J(x, y_target), with momentum or without
//! ```
//! Dong et al.: Boosting Adversarial Attacks with Momentum, CVPR 2018, section 3.4; without momentum, Kurakin,
//! Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, section 2.3.

use super::Attack;
use super::step::{Starts, Step};
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
    #[inline(always)]
    fn step(&self) -> Step {
        self.attack.step()
    }

    #[inline(always)]
    fn starts(&self) -> Option<Starts> {
        self.attack.starts()
    }

    #[inline(always)]
    fn target(&self) -> Option<Target> {
        Some(self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Layer, Network, Shape};
    use std::vec::Vec;

    #[test]
    fn targets_are_other_classes() {
        let network = Network::new(Shape::hwc(1, 3, 1), &[Layer::Flatten]);
        let model = Model::<f32>::from_tensors(&network, &[]).unwrap();
        let mut buffer = std::vec![0.0; network.inference_len()];
        let mut class = |target: Target, label| target.class(&model, &[0.2, 0.1, 0.1], label, &mut buffer);
        assert_eq!([0, 1, 2].map(|label| class(Target::Next, label)), [Ok(1), Ok(2), Ok(0)]);
        assert_eq!([0, 1, 2].map(|label| class(Target::LeastLikely, label)), [Ok(1), Ok(2), Ok(1)]);
        assert_eq!(class(Target::Class(2), 1), Ok(2));
        assert_eq!(class(Target::Class(1), 1), Err(Error::TargetIsLabel { class: 1 }));
        assert_eq!(class(Target::Class(3), 1), Err(Error::Class { class: 3, classes: 3 }));
        assert_eq!(class(Target::Next, 3), Err(Error::Class { class: 3, classes: 3 }));
        for label in 0..3 {
            let drawn: Vec<usize> = (0..300).filter_map(|seed| class(Target::Random(seed), label).ok()).collect();
            let count = |class: usize| drawn.iter().filter(|drawn| **drawn == class).count();
            let others = [(label + 1) % 3, (label + 2) % 3].map(count);
            assert!(count(label) == 0 && others.iter().all(|n| (110..190).contains(n)), "{label}: {others:?}");
        }
    }
}
