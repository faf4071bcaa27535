//! The file of `midge attack --out`: what went in, what came out, and how.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::tensor_file::{self, Tensor, Values};
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
        let Job { weights, data, labels, .. } = *job;
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed)?;
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
        Ok(results)
    }

    fn tensors(&self, job: &Job<'_>) -> Vec<Tensor<'_>> {
        let (n, classes) = (job.data.len(), job.weights.network.classes());
        let image = [vec![n], job.data.shape.to_vec()].concat();
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
        floats.into_iter().chain(integers).collect()
    }
}
