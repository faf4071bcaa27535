//! What a `state_dict` holds: modules with weights, under the names that the model's class gave them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use midge_core::{Header, MAX_LAYERS};
use safetensors::tensor::{Dtype, TensorView};

use crate::tensors;

/// A tensor in PyTorch's order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f32>,
}

/// A module with weights: a convolution or a linear layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Module {
    /// Its name, such as `0` or `features.conv1`; empty if the whole model is one module.
    pub(super) name: String,
    /// `[out, in, rows, columns]` or `[out, in]`.
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

impl Module {
    pub(super) fn is_linear(&self) -> bool {
        self.weight.shape.len() == 2
    }

    /// Channels or numbers that it reads.
    pub(super) fn inputs(&self) -> usize {
        self.weight.shape[1]
    }

    /// Channels or numbers that it gives.
    pub(super) fn outputs(&self) -> usize {
        self.weight.shape[0]
    }

    /// The names of the sequence it stands in and its index there: `features.3` is the fourth of `features`.
    pub(super) fn place(&self) -> Option<(&str, usize)> {
        let (parent, index) = self.name.rsplit_once('.').unwrap_or(("", &self.name));
        Some((parent, index.parse().ok()?))
    }
}

/// All modules, by name.
///
/// # Errors
/// Naming the tensors that are nothing that midge has.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Module>> {
    ensure!(Header::read(bytes).is_err(), "it is a model of midge's already, and --model reads it");
    let file = tensors::read(bytes).context("not a sound safetensors file")?;
    let mut weights = BTreeMap::new();
    let mut biases = BTreeMap::new();
    let mut others = Vec::new();
    for (name, view) in file.tensors() {
        let (module, kind) = name.rsplit_once('.').unwrap_or(("", &name));
        let group = match kind {
            "weight" => &mut weights,
            "bias" => &mut biases,
            _ => {
                others.push(name);
                continue;
            }
        };
        let data = to_f32(&view).with_context(|| format!("tensor {name:?}"))?;
        group.insert(module.to_string(), Tensor { shape: view.shape().to_vec(), data });
    }
    check_others(&others)?;
    let mut modules = Vec::new();
    for (name, weight) in weights {
        check_weight(&name, &weight.shape)?;
        let bias = biases.remove(&name);
        if let Some(bias) = &bias {
            let expected = &weight.shape[..1];
            ensure!(bias.shape == expected, "{name}.bias: expected dimensions {expected:?}, found {:?}", bias.shape);
        }
        modules.push(Module { name, weight, bias });
    }
    if let Some(name) = biases.keys().next() {
        bail!("{name}.bias has no {name}.weight beside it");
    }
    ensure!(!modules.is_empty(), "the file has no tensors");
    let count = modules.len();
    ensure!(count <= MAX_LAYERS, "the file has {count} modules with weights: expected at most {MAX_LAYERS}");
    Ok(modules)
}

/// Tensors that are neither weight nor bias.
fn check_others(names: &[String]) -> Result<()> {
    let Some(first) = names.first() else { return Ok(()) };
    let is_norm =
        |name: &String| ["running_mean", "running_var", "num_batches_tracked"].iter().any(|kind| name.ends_with(kind));
    if names.iter().any(is_norm) {
        bail!(
            "tensor {first:?} belongs to a BatchNorm, which midge does not have: fold it into the convolution before it \
             (torch.nn.utils.fusion.fuse_conv_bn_eval) and save the state_dict again"
        );
    }
    bail!("tensor {first:?}: expected names that end in .weight or .bias, of convolutions and linear layers");
}

fn check_weight(name: &str, shape: &[usize]) -> Result<()> {
    ensure!(!shape.contains(&0), "{name}.weight has dimensions {shape:?}: one of them is zero");
    match shape {
        [_, _] => Ok(()),
        [_, _, rows, columns] if rows == columns => Ok(()),
        [_, _, rows, columns] => bail!("{name}.weight: a kernel of {rows}x{columns}: expected a square one"),
        [_] => bail!("{name}.weight has one dimension: a normalisation or PReLU, which midge does not have"),
        _ => bail!("{name}.weight has dimensions {shape:?}: expected [out, in, k, k] or [out, in]"),
    }
}

fn to_f32(view: &TensorView<'_>) -> Result<Vec<f32>> {
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => bytemuck::pod_collect_to_vec(bytes),
        Dtype::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(bytes).into_iter().map(|x| x as f32).collect(),
        Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f16::to_f32).collect(),
        Dtype::BF16 => bytemuck::pod_collect_to_vec::<u8, bf16>(bytes).into_iter().map(bf16::to_f32).collect(),
        other => bail!("expected elements of type F32, F64, F16 or BF16, found {other:?}"),
    })
}
