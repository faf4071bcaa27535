//! The file beside a model from which a run goes on: weights and the optimiser's moments after the last epoch, where the
//! model file holds the best. A safetensors file with `weights.<tensor>`, `moments.<tensor>` (a dimension of two more) and
//! as metadata the network, the number of updates and that of [`Weights::metadata`]; devices never read it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use midge_core::METADATA_NETWORK;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::Training;
use super::optimiser::{Optimiser, State};
use crate::files::write_atomically;
use crate::tensors;
use crate::weights::{TensorInfo, Weights, tensor, tensor_infos};

const UPDATES: &str = "training.updates";

/// The checkpoint of the model file `model`: `<model>.checkpoint`.
pub fn path(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

/// Writes a checkpoint.
///
/// # Errors
/// If the file cannot be written.
pub fn save(training: &Training, path: &Path) -> Result<()> {
    let Training { weights, state } = training;
    let mut views = Vec::new();
    for (info, (tensor, moments)) in
        tensor_infos(&weights.network).into_iter().zip(weights.tensors.iter().zip(&state.moments))
    {
        let view = TensorView::new(Dtype::F32, info.shape.clone(), bytemuck::cast_slice(tensor))?;
        views.push((format!("weights.{}", info.name), view));
        if !moments.is_empty() {
            let shape = [info.shape.as_slice(), &[2]].concat();
            let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(moments))?;
            views.push((format!("moments.{}", info.name), view));
        }
    }
    let mut metadata: HashMap<String, String> = weights.metadata.clone().into_iter().collect();
    metadata.insert(METADATA_NETWORK.into(), weights.network.to_string());
    metadata.insert(UPDATES.into(), state.updates.to_string());
    write_atomically(path, &serialize(views, Some(metadata))?)
}

/// Reads a checkpoint of a run with `optimiser`.
///
/// # Errors
/// Naming the file and what is wrong with it.
pub fn load(path: &Path, optimiser: &Optimiser) -> Result<Training> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    from_bytes(&bytes, optimiser).with_context(|| format!("{}: not a checkpoint of this run", path.display()))
}

fn from_bytes(bytes: &[u8], optimiser: &Optimiser) -> Result<Training> {
    let file = tensors::read(bytes).context("not a safetensors file")?;
    let header = tensors::header_of(bytes)?;
    let mut metadata = header.metadata().clone().unwrap_or_default();
    let mut take = |key: &str| metadata.remove(key).with_context(|| format!("no metadata {key}"));
    let network = take(METADATA_NETWORK)?.parse()?;
    let updates = take(UPDATES)?.parse().context(UPDATES)?;
    let (mut tensors, mut moments) = (Vec::new(), Vec::new());
    for info in tensor_infos(&network) {
        tensors.push(tensor(&floats(&file, "weights", &info, &[])?));
        moments.push(match optimiser.remembers() {
            true => bytemuck::pod_collect_to_vec(&floats(&file, "moments", &info, &[2])?),
            false => Vec::new(),
        });
    }
    let weights = Weights { metadata: metadata.into_iter().collect(), ..Weights::new(network, tensors) };
    Ok(Training { weights, state: State { updates, moments } })
}

/// The tensor `<kind>.<name>`, of the weight's shape and `more` dimensions; its numbers must be finite.
fn floats(file: &SafeTensors<'_>, kind: &str, info: &TensorInfo, more: &[usize]) -> Result<Vec<f32>> {
    let name = format!("{kind}.{}", info.name);
    let tensor = file.tensor(&name).with_context(|| name.clone())?;
    let shape = [info.shape.as_slice(), more].concat();
    ensure!(
        tensor.dtype() == Dtype::F32 && tensor.shape() == shape,
        "{name}: expected F32 of shape {shape:?}, found {:?} of {:?}",
        tensor.dtype(),
        tensor.shape()
    );
    let floats: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
    let bad = floats.iter().position(|x| !x.is_finite());
    ensure!(bad.is_none(), "{name}: number {} is not finite", bad.unwrap_or(0));
    Ok(floats)
}
