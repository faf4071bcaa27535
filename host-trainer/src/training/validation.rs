//! Clean and PGD accuracy on a part of the training images that is kept for it: what tells the best epoch, and a collapse.

use anyhow::Result;
use midge_core::attack::{Goal, Pgd, Walk, perturb_len};
use midge_core::batch::Batch;
use midge_core::{Error, loss};
use rayon::prelude::*;
use serde::Serialize;

use super::Epoch;
use super::adversarial::Adversarial;
use crate::data::Dataset;
use crate::evaluation::{check_fit, fraction};
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
}

impl Validation {
    /// More right after adversarial training under attack, else on clean images; the other accuracy decides between equals.
    pub fn is_better_than(&self, other: &Self, adversarial: bool) -> bool {
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
    let counts = parts.map_init(
        || (vec![0.0; perturb_len(network, PART).max(batch.buffer_len())], vec![0.0; PART * pixels]),
        |(buffer, adversarial), (part, images)| {
            let labels: Vec<usize> = (0..images.len() / pixels).map(|i| data.label(part * PART + i)).collect();
            let correct = |images: &[f32], buffer: &mut [f32]| -> Result<usize, Error> {
                batch.forward(&model, labels.len(), |i| &images[i * pixels..][..pixels], buffer)?;
                let logits = batch.logits(buffer).chunks(classes);
                Ok(logits.zip(&labels).filter(|(logits, label)| loss::argmax(logits) == **label).count())
            };
            let clean = correct(images, buffer)?;
            let adversarial = &mut adversarial[..images.len()];
            let pgd = Pgd::with_steps(eps, STEPS, seed.wrapping_add((part * PART) as u64));
            let mut walks: Vec<_> = Walk::all(pixels, images, adversarial).collect();
            let goals: Vec<_> = labels.iter().map(|label| Goal::Away(*label)).collect();
            pgd.perturb_batch(&model, &mut walks, &goals, buffer)?;
            Ok([clean, correct(adversarial, buffer)?])
        },
    );
    let counts: Result<Vec<[usize; 2]>, Error> = counts.collect();
    let [clean, pgd] = counts?.iter().fold([0, 0], |sum, count| [sum[0] + count[0], sum[1] + count[1]]);
    let share = |count| fraction(count, data.len());
    Ok(Validation { clean_accuracy: share(clean), pgd_accuracy: share(pgd), held_out: data.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::adversarial::Method;

    const FOOLED: Validation = Validation { clean_accuracy: 0.98, pgd_accuracy: 0.02, held_out: 100 };

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
        let robust = Validation { clean_accuracy: 0.97, pgd_accuracy: 0.9, held_out: 100 };
        assert!(robust.is_better_than(&FOOLED, true) && !FOOLED.is_better_than(&robust, true));
        assert!(FOOLED.is_better_than(&robust, false) && !robust.is_better_than(&FOOLED, false));
        assert!(!robust.is_better_than(&robust, true) && !robust.is_better_than(&robust, false));
    }
}
