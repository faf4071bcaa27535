//! The file of `midge attack --out`: what went in, what came out, and how.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use midge_core::Grid;

use super::tensor_file::{self, Tensor, Values};
use crate::evaluation::classifier::AnyModel;
use crate::evaluation::{Attacked, Job};

/// The tensors.
#[derive(Default)]
struct Results {
    images: Vec<f32>,
    adversarial: Vec<f32>,
    /// True classes.
    labels: Vec<i32>,
    /// Classes that the attack walked away from.
    attacked_labels: Vec<i32>,
    /// -1 without a target.
    targets: Vec<i32>,
    /// Places in the data set.
    places: Vec<i32>,
    logits: Vec<f32>,
    adversarial_logits: Vec<f32>,
    /// Cross-entropy of the clean images at `labels`.
    loss: Vec<f32>,
    /// Its gradient.
    input_gradient: Vec<f32>,
    /// Of a model of integers.
    integers: Option<Integers>,
}

/// Images and logits as a model of integers takes and gives them.
#[derive(Default)]
struct Integers {
    images: Vec<i8>,
    adversarial: Vec<i8>,
    logits: Vec<i8>,
    adversarial_logits: Vec<i8>,
}

impl Integers {
    /// The integers of `results`; none of a model of floating-point numbers.
    fn of(results: &Results, job: &Job<'_>, model: &AnyModel<'_>) -> Option<Self> {
        let (grid, logits) = (job.model.input().grid?, model.logit_grid()?);
        let round = |grid: Grid, values: &[f32]| values.iter().map(|x| grid.round(*x)).collect();
        Some(Self {
            images: round(grid, &results.images),
            adversarial: round(grid, &results.adversarial),
            logits: round(logits, &results.logits),
            adversarial_logits: round(logits, &results.adversarial_logits),
        })
    }
}

/// Writes the results of a job with `metadata` on how they came about.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(
    path: &Path,
    job: &Job<'_>,
    attacked: &[Attacked],
    metadata: BTreeMap<&'static str, String>,
) -> Result<()> {
    let results = Results::of(job, attacked)?;
    tensor_file::write(path, results.tensors(job), metadata)
}

impl Results {
    fn of(job: &Job<'_>, attacked: &[Attacked]) -> Result<Self> {
        let Job { model, data, labels, .. } = *job;
        let mut memory = vec![0.0; model.memory_len()];
        let model = model.any_model(&mut memory)?;
        let mut buffer = vec![0.0; model.gradient_len()];
        let mut results = Self::default();
        for (i, attacked) in attacked.iter().enumerate() {
            let gradient = model.input_gradient(data.image(i), data.label(i), &mut buffer)?;
            results.loss.push(gradient.loss);
            results.logits.extend_from_slice(gradient.logits);
            results.input_gradient.extend_from_slice(gradient.gradient);
            results.adversarial_logits.extend_from_slice(model.logits(&attacked.adversarial, &mut buffer)?);
            results.images.extend_from_slice(data.image(i));
            results.adversarial.extend_from_slice(&attacked.adversarial);
            results.labels.push(i32::from(data.labels[i]));
            results.attacked_labels.push(labels[i].try_into()?);
            results.targets.push(attacked.outcome.target.map_or(Ok(-1), i32::try_from)?);
            results.places.push(data.places[i].try_into()?);
        }
        results.integers = Integers::of(&results, job, &model);
        Ok(results)
    }

    fn tensors(&self, job: &Job<'_>) -> Vec<Tensor<'_>> {
        let (n, classes) = (job.data.len(), job.model.network().classes());
        let image = [vec![n], job.data.shape.to_vec()].concat();
        let int8 = self.integers.iter().flat_map(|integers| {
            [
                ("input_int8", image.clone(), Values::I8(&integers.images)),
                ("adversarial_int8", image.clone(), Values::I8(&integers.adversarial)),
                ("logits_int8", vec![n, classes], Values::I8(&integers.logits)),
                ("adversarial_logits_int8", vec![n, classes], Values::I8(&integers.adversarial_logits)),
            ]
        });
        let int8: Vec<_> = int8.collect();
        let floats = [
            ("images", &self.images, image.clone()),
            ("adversarial", &self.adversarial, image.clone()),
            ("input_gradient", &self.input_gradient, image),
            ("logits", &self.logits, vec![n, classes]),
            ("adversarial_logits", &self.adversarial_logits, vec![n, classes]),
            ("loss", &self.loss, vec![n]),
        ];
        let integers = [
            ("labels", &self.labels),
            ("attacked_labels", &self.attacked_labels),
            ("targets", &self.targets),
            ("places", &self.places),
        ];
        let floats = floats.map(|(name, values, shape)| (name, shape, Values::F32(values)));
        let integers = integers.map(|(name, values)| (name, vec![n], Values::I32(values)));
        floats.into_iter().chain(integers).chain(int8).collect()
    }
}
