//! Clean and PGD accuracy on a part of the training images that is kept for it: what tells the best epoch, and a collapse.

use anyhow::Result;
use midge_core::attack::{Attack, Pgd, Walk, perturb_len};
use midge_core::batch::Batch;
use midge_core::{Error, loss};
use rayon::prelude::*;
use serde::Serialize;

use super::Epoch;
use super::adversarial::Adversarial;
use crate::data::Dataset;
use crate::evaluation::{check_fit, fraction, is_constant};
use crate::weights::Weights;

/// Images that one thread takes together.
const PART: usize = 32;

/// Steps of the attack: more than any that is trained on.
const STEPS: usize = 40;

/// Accuracy on the held-out images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Validation {
    /// Fraction of clean images that are read correctly.
    pub clean_accuracy: f64,
    /// Fraction of images that are read correctly after PGD.
    pub pgd_accuracy: f64,
    /// Number of images.
    pub held_out: usize,
    /// Whether all clean images or nearly all get the same answer, although they are of several classes.
    #[serde(skip)]
    pub constant: bool,
}

impl Validation {
    /// Whether this can be the best epoch, after the best so far. A constant answer never is: no attack changes it, so it
    /// would beat a network that has learnt something but nothing of the attack yet.
    pub fn is_best(&self, before: Option<&Self>, adversarial: bool) -> bool {
        !self.constant && before.is_none_or(|before| self.is_better_than(before, adversarial))
    }

    /// More right after adversarial training under attack, else on clean images; the other accuracy decides between equals.
    fn is_better_than(&self, other: &Self, adversarial: bool) -> bool {
        let key = |v: &Self| match adversarial {
            true => (v.pgd_accuracy, v.clean_accuracy),
            false => (v.clean_accuracy, v.pgd_accuracy),
        };
        key(self) > key(other)
    }

    /// Catastrophic overfitting (Wong et al., ICLR 2020, section 5.2): the network resists the step that it was
    /// trained on in `epoch` and reads clean images, but hardly any after PGD. A few large steps can end like a single
    /// one. Not before eps had its full size for half of the epoch: the attack is easier to resist than PGD until then.
    pub fn has_collapsed(&self, adversarial: &Adversarial, epoch: &Epoch) -> bool {
        let whole_eps = epoch.epoch as f64 - 0.5 >= adversarial.warm_up;
        let resists = epoch.accuracy.min(self.clean_accuracy);
        whole_eps && resists >= 0.5 && self.pgd_accuracy < 0.1
    }
}

/// Measures `weights` on `data`, under PGD of radius `eps` with 40 steps.
///
/// # Errors
/// If the data do not fit the network, or logits or gradients are not finite.
pub fn validate(weights: &Weights, data: &Dataset, eps: f32, seed: u64) -> Result<Validation> {
    check_fit(weights, data)?;
    let mut transposed = vec![0.0; weights.transposed_len()];
    let (model, network) = (weights.model(&mut transposed)?, &weights.network);
    let (pixels, classes) = (network.input().len(), network.classes());
    let batch = Batch::inference(network, PART);
    let parts = data.images.par_chunks(PART * pixels).enumerate();
    let answers = parts.map_init(
        || (vec![0.0; perturb_len(network, PART).max(batch.buffer_len())], vec![0.0; PART * pixels]),
        |(buffer, adversarial), (part, images)| {
            let labels: Vec<usize> = (0..images.len() / pixels).map(|i| data.label(part * PART + i)).collect();
            let answers = |images: &[f32], buffer: &mut [f32]| -> Result<Vec<usize>, Error> {
                let pass = batch.forward(&model, labels.len(), |i| &images[i * pixels..][..pixels], buffer)?;
                Ok(pass.logits().chunks(classes).map(loss::argmax).collect())
            };
            let clean = answers(images, buffer)?;
            let adversarial = &mut adversarial[..images.len()];
            let pgd = Pgd::with_steps(eps, STEPS, seed.wrapping_add((part * PART) as u64));
            let mut walks: Vec<_> = Walk::all_away(pixels, images, &labels, adversarial).collect();
            pgd.perturb_batch(&model, &mut walks, buffer)?;
            Ok((clean, answers(adversarial, buffer)?))
        },
    );
    let answers = answers.collect::<Result<Vec<_>, Error>>()?;
    let (clean, pgd): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let (clean, pgd) = (clean.concat(), pgd.concat());
    let right = |answers: &[usize]| answers.iter().zip(&data.labels).filter(|(a, b)| **a == usize::from(**b)).count();
    Ok(Validation {
        clean_accuracy: fraction(right(&clean), data.len()),
        pgd_accuracy: fraction(right(&pgd), data.len()),
        held_out: data.len(),
        constant: is_constant(clean.into_iter(), &data.labels),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::adversarial::Method;

    const FOOLED: Validation = Validation { clean_accuracy: 0.98, pgd_accuracy: 0.02, held_out: 100, constant: false };

    #[test]
    fn a_collapse_is_told_from_a_warm_up_and_from_a_network_that_reads_nothing() {
        let collapses = |found: Validation, epoch, accuracy, warm_up| {
            let adversarial = Adversarial { warm_up, ..Adversarial::new(Method::Fgsm, 0.3) };
            found.has_collapsed(&adversarial, &Epoch { epoch, loss: 0.1, accuracy })
        };
        assert!(collapses(FOOLED, 1, 0.9, 0.0));
        assert!(collapses(FOOLED, 1, 0.9, 0.2), "the default of a run of one epoch");
        assert!(!collapses(FOOLED, 1, 0.9, 1.0), "eps was never whole");
        assert!(collapses(FOOLED, 2, 0.9, 1.0));
        assert!(!collapses(FOOLED, 2, 0.3, 0.0), "does not resist what it is trained on");
        assert!(!collapses(Validation { clean_accuracy: 0.1, ..FOOLED }, 2, 0.9, 0.0));
        assert!(!collapses(Validation { pgd_accuracy: 0.1, ..FOOLED }, 2, 0.9, 0.0));
    }

    #[test]
    fn the_better_epoch_is_the_one_that_the_training_is_for() {
        let robust = Validation { clean_accuracy: 0.97, pgd_accuracy: 0.9, ..FOOLED };
        assert!(robust.is_best(Some(&FOOLED), true) && !FOOLED.is_best(Some(&robust), true));
        assert!(FOOLED.is_best(Some(&robust), false) && !robust.is_best(Some(&FOOLED), false));
        assert!(!robust.is_best(Some(&robust), true) && !robust.is_best(Some(&robust), false));
        assert!(robust.is_best(None, true) && robust.is_best(None, false));
    }

    #[test]
    fn a_constant_answer_is_never_the_best() {
        let constant = Validation { clean_accuracy: 0.11, pgd_accuracy: 0.11, constant: true, ..FOOLED };
        for adversarial in [true, false] {
            assert!(!constant.is_best(None, adversarial) && !constant.is_best(Some(&FOOLED), adversarial));
        }
    }

    #[test]
    fn zero_weights_give_a_constant_answer() {
        let network: midge_core::Network = "input(28,28,1) flatten dense(units=10)".parse().unwrap();
        let mut weights = crate::training::initialise(network, 1);
        let data = crate::data::synthetic::dataset(1, 70, 0);
        assert!(!validate(&weights, &data, 0.1, 1).unwrap().constant);
        weights.tensors[0].fill(0.0);
        let found = validate(&weights, &data, 0.1, 1).unwrap();
        assert_eq!((found.clean_accuracy, found.pgd_accuracy, found.constant), (0.1, 0.1, true));
        let zeros = crate::data::Dataset { labels: vec![0; 70], ..data };
        assert!(!validate(&weights, &zeros, 0.1, 1).unwrap().constant, "the only answer there is");
    }
}
