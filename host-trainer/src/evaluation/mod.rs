//! Measurements over a data set: accuracy, and accuracy under attack. Images are spread over all cores; results are
//! collected in the data set's order, so they do not depend on the number of threads.
//!
//! [`attack`] is an attack with its options, [`batch`] runs it on many images, [`seeds`] gives each image random numbers of
//! its own, [`counts`] counts; [`robust`] is the worst case over many [`probe`]s with [`gates`] that tell whether to believe
//! it, [`minimal`] the smallest eps of each image, [`camera`] what is left of an attack on its way through a display and a
//! lens.
//!
//! Robust means one thing everywhere: the image is read correctly before the attack *and* after it.

pub mod attack;
pub(crate) mod attacker;
pub mod batch;
pub mod camera;
pub mod counts;
pub mod gates;
pub mod minimal;
pub mod probe;
pub mod robust;
pub mod seeds;

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use midge_core::{Shape, loss};
use serde::Serialize;

use crate::data::Dataset;
use crate::weights::Weights;

pub use attack::{Attack, Method};
use batch::for_each_part;
pub use batch::{Attacked, Job, attack_all, read};
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
}

/// Loss and accuracy of a model on a data set.
///
/// # Errors
/// If the images do not fit the model, or logits overflow.
pub fn evaluate(weights: &Weights, data: &Dataset, progress: &ProgressBar) -> Result<Evaluation> {
    check_fit(weights, data)?;
    let results = for_each_part(weights, data.len(), progress, |attacker, part| {
        let classes = attacker.classes();
        let logits = attacker.logits(part.len(), |i| data.image(part[i]))?.chunks(classes);
        let result = |(index, logits): (&usize, &[f32])| {
            let label = data.label(*index);
            (loss::cross_entropy(logits, label), loss::argmax(logits) == label)
        };
        Ok(part.iter().zip(logits).map(result).collect())
    })?;
    let correct = results.iter().filter(|(_, correct)| *correct).count();
    let loss: f64 = results.iter().map(|(loss, _)| f64::from(*loss)).sum();
    Ok(Evaluation {
        loss: loss / data.len() as f64,
        accuracy: fraction(correct, data.len()),
        correct,
        samples: data.len(),
    })
}

/// The images must have the model's shape, the labels be among its classes, and there must be one.
///
/// # Errors
/// Naming both sides.
pub fn check_fit(weights: &Weights, data: &Dataset) -> Result<()> {
    let [height, width, channels] = data.shape;
    let (expected, classes) = (weights.network.input(), weights.network.classes());
    if data.is_empty() {
        bail!("{}: no images", data.name);
    }
    if Shape::hwc(height, width, channels) != expected {
        bail!(
            "{}: images are {height}x{width}x{channels}, but the model expects {}x{}x{}",
            data.name,
            expected.height,
            expected.width,
            expected.channels
        );
    }
    if let Some(label) = data.labels.iter().find(|label| usize::from(**label) >= classes) {
        bail!("{}: label {label}, but the model has {classes} classes", data.name);
    }
    Ok(())
}
