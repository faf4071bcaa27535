//! Normalisations by statistics of the training images (Ioffe and Szegedy, arXiv 1502.03167): in a trained network no more than
//! `scale * x + shift` for each channel.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::graph::{Affine, Array};
use super::module::{Module, place};

/// What PyTorch adds to a variance if nothing else is said, and a `state_dict` does not say it.
const EPSILON: f64 = 1e-5;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, each a number for every channel.
pub(super) fn affine(
    (mean, variance): (&[f32], &[f32]),
    epsilon: f64,
    (weight, bias): (Option<&[f32]>, Option<&[f32]>),
) -> Result<Affine> {
    let channels = mean.len();
    let lengths = [Some(variance), weight, bias].into_iter().flatten().map(<[f32]>::len);
    let lengths: Vec<usize> = lengths.collect();
    ensure!(
        channels > 0 && lengths.iter().all(|length| *length == channels),
        "expected {channels} numbers of each kind, found {lengths:?}"
    );
    ensure!(
        variance.iter().all(|v| f64::from(*v) + epsilon > 0.0),
        "expected variances that are not negative, found another one"
    );
    let of = |numbers: Option<&[f32]>, otherwise: f64, c: usize| numbers.map_or(otherwise, |n| f64::from(n[c]));
    let scale: Vec<f64> =
        (0..channels).map(|c| of(weight, 1.0, c) / (f64::from(variance[c]) + epsilon).sqrt()).collect();
    let shift = (0..channels).map(|c| of(bias, 0.0, c) - f64::from(mean[c]) * scale[c]).collect();
    Ok(Affine { scale, shift })
}

/// Whether the tensors of a module are those of a BatchNorm.
pub(super) fn is_norm(parts: &BTreeMap<String, Array>) -> bool {
    parts.contains_key("running_mean") || parts.contains_key("running_var")
}

/// The name of a BatchNorm and what it does.
pub(super) fn norm(name: &str, parts: &BTreeMap<String, Array>) -> Result<(String, Affine)> {
    let known = ["running_mean", "running_var", "weight", "bias"];
    if let Some(other) = parts.keys().find(|kind| !known.contains(&kind.as_str())) {
        bail!("tensor \"{name}.{other}\": expected {known:?} of a BatchNorm");
    }
    let [mean, variance, weight, bias] = known.map(|kind| parts.get(kind).map(|tensor| &tensor.data[..]));
    let statistics = mean.zip(variance).context("expected running_mean and running_var");
    let built = statistics.and_then(|statistics| affine(statistics, EPSILON, (weight, bias)));
    Ok((name.to_string(), built.with_context(|| name.to_string())?))
}

/// Gives each BatchNorm to the module before it; the number with it says how many modules stand before it in the file.
///
/// # Errors
/// If no module, or more than one, can be the one before it.
pub(super) fn attach(
    modules: &mut [Module],
    norms: Vec<(usize, (String, Affine))>,
    is_ordered: bool,
) -> Result<Vec<String>> {
    let mut assumed = Vec::new();
    for (before, (name, affine)) in norms {
        let index = owner(modules, &name, &affine, is_ordered.then_some(before))?;
        assumed.push(format!("{name}: a BatchNorm right behind {}, with eps={EPSILON:e}", modules[index].name));
        modules[index].norm = Some((name, affine));
    }
    Ok(assumed)
}

/// The module that a BatchNorm stands behind: the one before it in a sequence; or the one of the same number beside it; or,
/// where the order is known, the one before it.
fn owner(modules: &[Module], name: &str, affine: &Affine, before: Option<usize>) -> Result<usize> {
    let fits = |module: &Module| module.norm.is_none() && module.outputs() == affine.scale.len();
    let find = |rule: &dyn Fn(&Module) -> bool| -> Vec<usize> {
        modules.iter().enumerate().filter(|(_, module)| fits(module) && rule(module)).map(|(index, _)| index).collect()
    };
    let in_sequence = place(name);
    let previous = |module: &Module| match (module.place(), in_sequence) {
        (Some((parent, a)), Some((other, b))) => parent == other && a.checked_add(1) == Some(b),
        _ => false,
    };
    let beside = |module: &Module| {
        let (parent, own) = module.name.rsplit_once('.').unwrap_or(("", &module.name));
        let (other, name) = name.rsplit_once('.').unwrap_or(("", name));
        parent == other && in_sequence.is_none() && digits(own) == digits(name)
    };
    let candidates = [find(&previous), find(&beside)];
    let in_order = before.and_then(|before| before.checked_sub(1)).filter(|index| fits(&modules[*index]));
    match (candidates.iter().find(|found| found.len() == 1), in_sequence, in_order) {
        (Some(found), _, _) => Ok(found[0]),
        (None, None, Some(index)) => Ok(index),
        _ => bail!(
            "{name}: a BatchNorm of {} channels, and nothing says which convolution or linear layer it stands right behind: \
             expected it next to one in a Sequential, with the same number (conv1, bn1), or behind one in a file of torch.save; \
             an ONNX file says it: torch.onnx.export",
            affine.scale.len()
        ),
    }
}

/// The number in a name.
fn digits(name: &str) -> &str {
    let text = name.trim_end_matches(|c: char| c.is_ascii_digit());
    &name[text.len()..]
}
