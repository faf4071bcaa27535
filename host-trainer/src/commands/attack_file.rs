//! The file of `midge attack --out`: what went in, what came out, and how.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use midge_core::METADATA_CHECKSUM;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::evaluation::{Attacked, Job};
use crate::files::write_atomically;
use crate::weights::Weights;

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
    write_atomically(path, &results.to_bytes(job, metadata)?)
}

/// The checksum that a model file with these weights has.
///
/// # Errors
/// None that a model that was read can have.
pub(super) fn model_checksum(weights: &Weights) -> Result<String> {
    let bytes = weights.to_bytes(weights.dtype)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let checksum = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_CHECKSUM));
    checksum.cloned().context("a model file without a checksum")
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

    fn to_bytes(&self, job: &Job<'_>, metadata: BTreeMap<&'static str, String>) -> Result<Vec<u8>> {
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
        let mut views = Vec::new();
        for (name, values, shape) in &floats {
            views.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))?));
        }
        for (name, values) in &integers {
            views.push((*name, TensorView::new(Dtype::I32, vec![n], bytemuck::cast_slice(values))?));
        }
        if cfg!(target_endian = "big") {
            bail!("safetensors files are little endian, this processor is not");
        }
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let bytes =
            safetensors::serialize(views, Some(metadata)).context("the results do not fit a safetensors file")?;
        sort_header(&bytes)
    }
}

/// The safetensors crate writes metadata in the order of a hash map; sorted, the same model gives the same bytes.
fn sort_header(bytes: &[u8]) -> Result<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<8>().context("no header")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, tensors) = rest.split_at_checked(length).context("no header")?;
    let entries: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(header)?;
    let mut header = serde_json::to_vec(&entries)?;
    // The tensors stay aligned to 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), tensors].concat())
}
