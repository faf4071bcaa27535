//! The models on the host beside a board.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::super::ModelName;
use crate::any_weights::AnyWeights;
use crate::device::evaluation::Host;
use crate::device::plan::Plan;
use crate::evaluation::classifier::Classifier as _;
use crate::progress;
use crate::twin::float_twin;
use crate::weights::DType;

/// Models that a user names beside the board's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Others<'a> {
    /// Whose attacks are tried on the board.
    pub source: Option<&'a ModelName>,
    /// The board's in f32.
    pub reference: Option<&'a ModelName>,
}

/// Reads and attacks the images: the source of attacks, if there is one; the model in f32; and with the board's type of weights, if
/// that is another one, which comes last.
pub(super) fn measure(stop: &AtomicBool, model: AnyWeights, others: Others<'_>, plan: &Plan<'_>) -> Result<Vec<Host>> {
    let dtype = model.dtype();
    let bar = progress::bar(plan.data.len() as u64, "on the host");
    let measure = |name: &str, model| Host::measure((name.into(), model), plan, stop, &bar);
    let mut hosts = Vec::new();
    if let Some(source) = others.source {
        hosts.push(measure("source", like("--source", source, &model)?)?);
    }
    if let Some(reference) = reference(others.reference, &model)? {
        hosts.push(measure("host f32", reference)?);
    }
    let name = format!("host {dtype}");
    match hosts.iter().find(|host| host.model.has_tensors_of(&model)) {
        Some(same) => hosts.push(Host { name, ..same.clone() }),
        None => hosts.push(measure(&name, model)?),
    }
    bar.finish_and_clear();
    Ok(hosts)
}

/// The model in f32, if the board's is not.
fn reference(named: Option<&ModelName>, model: &AnyWeights) -> Result<Option<AnyWeights>> {
    Ok(match (named, model) {
        (Some(name), _) => Some(like("--reference", name, model)?),
        (None, AnyWeights::Int8(weights)) => Some(AnyWeights::Float(float_twin(weights)?)),
        // The same weights in f32, which holds every f16.
        (None, AnyWeights::Float(weights)) => (weights.dtype != DType::F32).then(|| model.clone()),
    })
}

/// The model of an option, which takes the images of the board's model.
fn like(option: &str, name: &ModelName, model: &AnyWeights) -> Result<AnyWeights> {
    let other = name.load_classifier()?;
    let is_fit = other.input().has_shape_of(&model.input());
    ensure!(is_fit, "{option} {}: it takes other images than the board's model", name.shown());
    Ok(other.taking_pixels_of(&model.input()))
}
