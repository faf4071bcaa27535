//! The class that an attack is to reach.

use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::error::{Error, check_class};
use crate::model::Model;
use crate::pass::Element;

/// The class to reach.
///
/// ```
/// use midge_core::{Error, Layer, Model, Network, Shape, attack::Target};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 3, 1), &[Layer::Flatten, Layer::Dense { units: 3, bias: false }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]])?;
/// // A model whose logits are the three pixels.
/// let (image, mut buffer) = ([0.5, 0.2, 0.9], [0.0; NETWORK.inference_len()]);
/// let mut class = |target: Target| target.class(&model, &image, 2, &mut buffer);
/// assert_eq!(class(Target::LeastLikely)?, 1);
/// assert_eq!(class(Target::Next)?, 0);
/// assert_eq!(class(Target::Random(7))?, class(Target::Random(7))?);
/// assert_eq!(class(Target::Class(2)), Err(Error::TargetIsLabel { class: 2 }));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This class.
    Class(usize),
    /// The class of the smallest logit on the clean image; costs a forward pass. If that is the true class itself,
    /// the smallest among the others.
    LeastLikely,
    /// The class after the true one, and the first after the last.
    Next,
    /// Any class but the true one, drawn from this seed. Give every image a seed of its own.
    Random(u64),
}

impl Target {
    /// The target class for an image of class `label`; the buffer is that of [`Model::logits`].
    ///
    /// # Errors
    /// Those of [`Model::logits`], a class that does not exist, and a target that is the label.
    pub fn class<T: Element>(
        self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        buffer: &mut [f32],
    ) -> Result<usize, Error> {
        self.class_or_else(model.network().classes(), label, || Ok(least_likely(model.logits(image, buffer)?, label)))
    }

    /// [`Self::class`] of one of `classes`, with another way to the least likely.
    pub(super) fn class_or_else(
        self,
        classes: usize,
        label: usize,
        least_likely: impl FnOnce() -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        check_class(label, classes)?;
        match self {
            Self::Class(class) if class == label => Err(Error::TargetIsLabel { class }),
            Self::Class(class) => check_class(class, classes).map(|()| class),
            Self::Next => Ok((label + 1) % classes),
            Self::Random(seed) => {
                // A multiply keeps the draw in range; for at most 2^14 classes its bias is below 2^-18.
                let draw = u64::from(Xoshiro128PlusPlus::seed_from_u64(seed).next_u32());
                let other = ((draw * (classes as u64 - 1)) >> 32) as usize;
                Ok(if other < label { other } else { other + 1 })
            }
            Self::LeastLikely => least_likely(),
        }
    }
}

/// The class of the smallest logit but the label's, the lowest of equal ones: [`Target::LeastLikely`].
pub fn least_likely(logits: &[f32], label: usize) -> usize {
    let others = logits.iter().enumerate().filter(|(class, _)| *class != label);
    others.reduce(|least, other| if other.1 < least.1 { other } else { least }).map_or(label, |(class, _)| class)
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
