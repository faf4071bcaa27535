//! Measurements over a data set: accuracy, and accuracy under attack. Images are spread over all cores; results are
//! collected in the data set's order, so they do not depend on the number of threads.
//!
//! [`classifier`] is a model whatever its weights are, [`levels`] the pixels that it can be shown; [`attack`] is an attack with
//! its options, [`batch`] runs it on many images, [`seeds`] gives each image random numbers of
//! its own, [`counts`] counts; [`robust`] is the worst case over many [`probe`]s within a [`budget`], with [`gates`] that tell whether to believe
//! it, [`minimal`] the smallest eps of each image, [`camera`] what is left of an attack on its way through a display and a
//! lens; [`mod@verify`] compares a model with a [`mod@reference`].
//!
//! Robust means one thing everywhere: the image is read correctly before the attack *and* after it.

pub mod attack;
pub(crate) mod attacker;
pub mod batch;
pub mod budget;
pub mod camera;
pub mod classifier;
pub mod counts;
pub mod gates;
pub mod levels;
pub mod minimal;
pub mod probe;
pub mod reference;
pub mod robust;
pub mod seeds;
pub mod verify;

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::loss;
use serde::Serialize;

use crate::data::Dataset;

pub use attack::{Attack, Method};
pub use attacker::Passes;
use batch::for_each_part;
pub use batch::{Attacked, Job, attack_all, input_gradients, logits, read};
use classifier::Classifier;
pub use counts::{Robustness, Share, fraction};

/// Accuracy and mean loss over a data set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Fraction of correct predictions.
    pub accuracy: f64,
    /// Number of correct predictions.
    pub correct: usize,
    /// Number of images.
    pub samples: usize,
    /// Whether all images or nearly all get the same answer, although they are of several classes.
    pub constant: bool,
}

/// Loss and accuracy of a model on a data set.
///
/// # Errors
/// If the images do not fit the model, or logits overflow.
pub fn evaluate(model: &dyn Classifier, data: &Dataset, progress: &ProgressBar) -> Result<Evaluation> {
    check_fit(model, data)?;
    let results = for_each_part(model, data.len(), progress, |attacker, part| {
        let classes = attacker.classes();
        let logits = attacker.logits(part.len(), |i| data.image(part[i]))?.chunks(classes);
        let result = |(index, logits): (&usize, &[f32])| {
            let label = data.label(*index);
            (loss::cross_entropy(logits, label), loss::argmax(logits))
        };
        Ok(part.iter().zip(logits).map(result).collect())
    })?;
    let answers = || results.iter().map(|(_, answer)| *answer);
    let correct = answers().enumerate().filter(|(index, answer)| data.label(*index) == *answer).count();
    let loss: f64 = results.iter().map(|(loss, _)| f64::from(*loss)).sum();
    Ok(Evaluation {
        loss: loss / data.len() as f64,
        accuracy: fraction(correct, data.len()),
        correct,
        samples: data.len(),
        constant: is_constant(answers(), &data.labels),
    })
}

/// Whether at most 1 in 50 of `answers` differs from the most frequent one for each of `labels` that does.
pub(crate) fn is_constant(answers: impl Iterator<Item = usize>, labels: &[u16]) -> bool {
    let labels = others(labels.iter().map(|label| usize::from(*label)));
    labels > 0 && 50 * others(answers) <= labels
}

/// How many of `classes` are not the most frequent one.
fn others(classes: impl Iterator<Item = usize>) -> usize {
    let mut counts: Vec<usize> = Vec::new();
    for class in classes {
        counts.resize(counts.len().max(class + 1), 0);
        counts[class] += 1;
    }
    counts.iter().sum::<usize>() - counts.iter().max().unwrap_or(&0)
}

/// The images must have the model's shape, the labels be among its classes, and there must be one.
///
/// # Errors
/// Naming both sides.
pub fn check_fit(model: &dyn Classifier, data: &Dataset) -> Result<()> {
    Ok(data.check(&model.input())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_answer_is_told_from_images_of_one_class() {
        let constant = |answers: &[usize], labels: &[u16]| is_constant(answers.iter().copied(), labels);
        assert!(constant(&[3; 4], &[3, 1, 3, 3]) && constant(&[0, 0], &[0, 1]));
        assert!(!constant(&[3; 4], &[3; 4]) && !constant(&[3; 4], &[1; 4]) && !constant(&[1, 0], &[0, 1]));
        assert!(!constant(&[], &[]) && !constant(&[5], &[4]));
        // 50 of 100 labels are another class.
        let labels: Vec<u16> = (0..100).map(|i| i % 2).collect();
        let answers = |others: usize| (0..100).map(move |i| usize::from(i < others));
        assert!(is_constant(answers(1), &labels) && !is_constant(answers(2), &labels));
        assert!(is_constant(answers(99), &labels));
    }
}
