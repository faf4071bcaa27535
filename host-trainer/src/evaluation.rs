//! Measurements over a data set: accuracy, and accuracy under attack. Samples are spread over all cores; results
//! are collected in the data set's order, so they do not depend on the number of threads.

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use midge_core::attack::{Fgsm, MiFgsm, Otcm, Outcome, Target, to_8_bits};
use midge_core::{Error, Model, Shape, loss};
use rayon::prelude::*;
use serde::Serialize;

use crate::data::Dataset;
use crate::weights::Weights;

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
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    let results = for_each(data.len(), weights.network.inference_len(), progress, |i, buffer| {
        let logits = model.logits(data.image(i), buffer)?;
        let label = data.label(i);
        Ok((loss::cross_entropy(logits, label), loss::argmax(logits) == label))
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

/// `part / whole`, 0 of 0 being 0.
pub fn fraction(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
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

/// Runs `work` for `0..samples` on all cores, each with a buffer of `buffer_len` elements; results in order.
fn for_each<R: Send>(
    samples: usize,
    buffer_len: usize,
    progress: &ProgressBar,
    work: impl Fn(usize, &mut [f32]) -> Result<R, Error> + Sync,
) -> Result<Vec<R>> {
    let results: Result<Vec<R>, Error> = (0..samples)
        .into_par_iter()
        .map_init(
            || vec![0.0; buffer_len],
            |buffer, i| {
                let result = work(i, buffer);
                progress.inc(1);
                result
            },
        )
        .collect();
    Ok(results?)
}

/// An attack with its options but `eps`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attack {
    /// See [`Fgsm`].
    Fgsm,
    /// See [`MiFgsm`].
    MiFgsm {
        /// Number of steps.
        steps: usize,
        /// Decay of the momentum.
        decay: f32,
        /// Step size; `eps / steps` if absent.
        alpha: Option<f32>,
    },
    /// See [`Otcm`]. The seed of a random target is mixed with the image's index.
    Otcm {
        /// The class to reach.
        target: Target,
    },
}

impl Attack {
    /// Attacks one image; `index` is its place in the data set.
    ///
    /// # Errors
    /// Those of the attack.
    #[expect(clippy::too_many_arguments, reason = "the union of all attacks' arguments")]
    pub fn run(
        &self,
        model: &Model<'_, f32>,
        eps: f32,
        index: usize,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        match *self {
            Self::Fgsm => Fgsm { eps }.attack(model, image, label, adversarial, buffer),
            Self::MiFgsm { steps, decay, alpha } => {
                let default = MiFgsm::with_steps(eps, steps);
                let attack = MiFgsm { decay, alpha: alpha.unwrap_or(default.alpha), ..default };
                attack.attack(model, image, label, adversarial, buffer)
            }
            Self::Otcm { target } => {
                let target = match target {
                    Target::Random(seed) => Target::Random(sample_seed(seed, index)),
                    other => other,
                };
                Otcm { eps, target }.attack(model, image, label, adversarial, buffer)
            }
        }
    }

    /// The attack's name as papers write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fgsm => "FGSM",
            Self::MiFgsm { .. } => "MI-FGSM",
            Self::Otcm { .. } => "OTCM",
        }
    }

    /// Whether the attack aims at a class.
    pub fn is_targeted(&self) -> bool {
        matches!(self, Self::Otcm { .. })
    }
}

/// A seed of its own for every image, whatever is drawn for the others.
fn sample_seed(seed: u64, index: usize) -> u64 {
    seed ^ (index as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What an attack did to one image.
#[derive(Debug, Clone)]
pub struct Attacked {
    /// The attack's own report.
    pub outcome: Outcome,
    /// The class predicted for the adversarial image rounded to 8 bits.
    pub class_8_bits: usize,
    /// The adversarial image.
    pub adversarial: Vec<f32>,
}

/// Attacks the images of a data set, in order. `labels` are the classes that the attacks walk away from.
///
/// # Errors
/// Those of the attack.
pub fn attack_all(
    weights: &Weights,
    data: &Dataset,
    labels: &[usize],
    attack: Attack,
    eps: f32,
    progress: &ProgressBar,
) -> Result<Vec<Attacked>> {
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    for_each(labels.len(), weights.network.attack_len(), progress, |i, buffer| {
        let (image, label) = (data.image(i), labels.get(i).copied().unwrap_or(0));
        let mut adversarial = vec![0.0; image.len()];
        let outcome = attack.run(&model, eps, i, image, label, &mut adversarial, buffer)?;
        let pixels = adversarial.iter().zip(image);
        let rounded: Vec<f32> = pixels.map(|(x, clean)| f32::from(to_8_bits(*x, *clean, eps)) / 255.0).collect();
        let class_8_bits = loss::argmax(model.logits(&rounded, buffer)?);
        Ok(Attacked { outcome, class_8_bits, adversarial })
    })
}

/// Success of an attack at one eps. Each fraction stands beside its count and its denominator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Robustness {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Images.
    pub samples: usize,
    /// Fraction of clean images classified correctly.
    pub accuracy: f64,
    /// Their number.
    pub correct: usize,
    /// Fraction of all images classified correctly after the attack.
    pub robust_accuracy: f64,
    /// Their number.
    pub robust_correct: usize,
    /// Fraction of the clean-correct images that are wrong after the attack.
    pub success_rate: f64,
    /// Their number, out of `correct`.
    pub successes: usize,
    /// Of the images not at their target before a targeted attack, the fraction that is there after it.
    pub target_rate: Option<f64>,
    /// Their number.
    pub target_hits: Option<usize>,
    /// Number of images not at their target before.
    pub target_candidates: Option<usize>,
    /// `robust_accuracy` with adversarial images rounded to 8 bits per pixel inside the eps ball.
    pub robust_accuracy_8bit: f64,
    /// `success_rate` with those images.
    pub success_rate_8bit: f64,
    /// Images where at least one step had an exactly zero gradient: the attack could do nothing there.
    pub zero_gradients: usize,
    /// Largest change of any pixel.
    pub largest_change: f32,
}

impl Robustness {
    /// Counts the results of [`attack_all`].
    pub fn count(eps: f32, data: &Dataset, attacked: &[Attacked]) -> Self {
        let all = || attacked.iter().enumerate().map(|(i, a)| (a, data.label(i)));
        let samples = attacked.len();
        let correct = all().filter(|(a, label)| a.outcome.before.class == *label).count();
        let after = |class: fn(&Attacked) -> usize| {
            let robust = all().filter(|(a, label)| class(a) == *label).count();
            let was_right = all().filter(|(a, label)| a.outcome.before.class == *label);
            (robust, was_right.filter(|(a, label)| class(a) != *label).count())
        };
        let (robust_correct, successes) = after(|a| a.outcome.after.class);
        let (robust_8bit, successes_8bit) = after(|a| a.class_8_bits);
        let targeted = || attacked.iter().filter_map(|a| a.outcome.target.map(|target| (a.outcome, target)));
        let candidates = || targeted().filter(|(outcome, target)| outcome.before.class != *target);
        let hits = candidates().filter(|(outcome, target)| outcome.after.class == *target).count();
        let is_targeted = targeted().next().is_some();
        Self {
            eps,
            samples,
            accuracy: fraction(correct, samples),
            correct,
            robust_accuracy: fraction(robust_correct, samples),
            robust_correct,
            success_rate: fraction(successes, correct),
            successes,
            target_rate: is_targeted.then(|| fraction(hits, candidates().count())),
            target_hits: is_targeted.then_some(hits),
            target_candidates: is_targeted.then(|| candidates().count()),
            robust_accuracy_8bit: fraction(robust_8bit, samples),
            success_rate_8bit: fraction(successes_8bit, correct),
            zero_gradients: attacked.iter().filter(|a| a.outcome.zero_gradient_steps > 0).count(),
            largest_change: attacked.iter().map(|a| a.outcome.largest_change).fold(0.0, f32::max),
        }
    }
}
