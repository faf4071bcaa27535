//! What a `state_dict` holds: modules with weights, under the names that the model's class gave them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use midge_core::{Header, MAX_LAYERS};
use safetensors::tensor::{Dtype, TensorView};

use super::graph::Array;
use super::module::Module;
use super::norms;
use crate::tensors;

/// Names of what a model is wrapped in: by DataParallel, Lightning, torch.compile.
const PREFIXES: [&str; 5] = ["module.", "model.", "_orig_mod.", "net.", "network."];

/// The modules of a file.
#[derive(Debug)]
pub(super) struct State {
    pub(super) modules: Vec<Module>,
    /// Whether the modules are in the order in which the model's class made them; a safetensors file is sorted by name.
    pub(super) is_ordered: bool,
    /// What was unwrapped.
    pub(super) notes: Vec<String>,
    /// What was assumed about normalisations.
    pub(super) assumed: Vec<String>,
}

/// The tensors of a safetensors file.
///
/// # Errors
/// If it is none, or a model of midge's.
pub(super) fn read_safetensors(bytes: &[u8]) -> Result<Vec<(String, Array)>> {
    ensure!(Header::read(bytes).is_err(), "it is a model of midge's already, and --model reads it");
    let file = tensors::read(bytes).context("not a sound safetensors file")?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        if !name.ends_with("num_batches_tracked") {
            let data = to_f32(&view).with_context(|| format!("tensor {name:?}"))?;
            tensors.push((name, Array { shape: view.shape().to_vec(), data }));
        }
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(tensors)
}

/// The modules that tensors are of.
///
/// # Errors
/// Naming the tensors that are nothing that midge has.
pub(super) fn state(mut tensors: Vec<(String, Array)>, is_ordered: bool, mut notes: Vec<String>) -> Result<State> {
    unwrap(&mut tensors, &mut notes);
    let mut modules: Vec<Module> = Vec::new();
    let mut parts: BTreeMap<String, BTreeMap<String, Array>> = BTreeMap::new();
    let mut order = Vec::new();
    for (name, tensor) in tensors {
        let (module, kind) = name.rsplit_once('.').unwrap_or(("", &name));
        if !parts.contains_key(module) {
            order.push(module.to_string());
        }
        let old = parts.entry(module.to_string()).or_default().insert(kind.to_string(), tensor);
        ensure!(old.is_none(), "tensor {name:?} is there twice");
    }
    let mut norms = Vec::new();
    let mut others = Vec::new();
    for name in order {
        let mut parts = parts.remove(&name).unwrap_or_default();
        if norms::is_norm(&parts) {
            norms.push((modules.len(), norms::norm(&name, &parts)?));
            continue;
        }
        let (weight, bias) = (parts.remove("weight"), parts.remove("bias"));
        others.extend(parts.keys().map(|kind| format!("{name}.{kind}").trim_start_matches('.').to_string()));
        match weight {
            Some(weight) => modules.push(module(name, weight, bias)?),
            None => ensure!(bias.is_none(), "{name}.bias has no {name}.weight beside it"),
        }
    }
    if let Some(first) = others.first() {
        bail!("tensor {first:?}: expected names that end in .weight or .bias, of convolutions and linear layers");
    }
    ensure!(!modules.is_empty(), "the file has no weights of convolutions or linear layers");
    let count = modules.len();
    ensure!(count <= MAX_LAYERS, "the file has {count} modules with weights: expected at most {MAX_LAYERS}");
    let assumed = norms::attach(&mut modules, norms, is_ordered)?;
    Ok(State { modules, is_ordered, notes, assumed })
}

/// Takes off what all names begin with, if a wrapper put it there.
fn unwrap(tensors: &mut [(String, Array)], notes: &mut Vec<String>) {
    let mut taken = String::new();
    while let Some(prefix) = PREFIXES.iter().find(|prefix| {
        let is_deep = |name: &str| name.strip_prefix(**prefix).is_some_and(|rest| rest.contains('.'));
        !tensors.is_empty() && tensors.iter().all(|(name, _)| is_deep(name))
    }) {
        tensors.iter_mut().for_each(|(name, _)| *name = name[prefix.len()..].to_string());
        taken += prefix;
    }
    if !taken.is_empty() {
        notes.push(format!("{taken} taken off all names"));
    }
}

fn module(name: String, weight: Array, bias: Option<Array>) -> Result<Module> {
    check_weight(&name, &weight.shape)?;
    if let Some(bias) = &bias {
        let expected = &weight.shape[..1];
        ensure!(bias.shape == expected, "{name}.bias: expected dimensions {expected:?}, found {:?}", bias.shape);
    }
    Ok(Module { name, weight, bias, norm: None })
}

fn check_weight(name: &str, shape: &[usize]) -> Result<()> {
    ensure!(!shape.contains(&0), "{name}.weight has dimensions {shape:?}: one of them is zero");
    match shape {
        [_, _] | [_, _, _, _] => Ok(()),
        [_] => bail!(
            "{name}.weight has one dimension and no running_mean beside it: a LayerNorm, GroupNorm or PReLU, which midge does \
             not have"
        ),
        _ => bail!("{name}.weight has dimensions {shape:?}: expected [out, in, rows, columns] or [out, in]"),
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
