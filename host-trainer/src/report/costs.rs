//! What an attack costs: gradients by its definition, and milliseconds on the machine that makes the report.

use std::time::Instant;

use anyhow::Result;
use midge_core::attack::Target;
use serde::Serialize;

use super::settings::{Settings, Subject};
use crate::evaluation::attack::Sample;
use crate::evaluation::attacker::Attacker;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Method};

/// Images that are timed.
const TIMED: usize = 20;

/// The cost of one attack on one image.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// The attack's name.
    pub attack: String,
    /// Input gradients, each a forward and a backward pass.
    pub gradients: usize,
    /// Median time on one thread of this host, in milliseconds.
    pub host_ms: f64,
    /// How many images it is the median of.
    pub timed_images: usize,
}

/// Times each attack, alone and on one thread.
///
/// # Errors
/// Those of the attacks.
pub fn measure(subject: &Subject, settings: &Settings) -> Result<Vec<Cost>> {
    let pgd = settings.pgd();
    let mut attacks = vec![Attack::new(Method::Fgsm), Attack::new(Method::MiFgsm), pgd];
    if subject.weights.network().classes() > 1 {
        attacks.push(pgd.towards(Target::Next));
    }
    attacks.into_iter().map(|attack| cost(subject, attack, settings.robust_eps)).collect()
}

fn cost(Subject { weights, data, .. }: &Subject, attack: Attack, eps: f32) -> Result<Cost> {
    let mut memory = vec![0.0; weights.memory_len()];
    let model = weights.any_model(&mut memory)?;
    let mut out = vec![0.0; weights.network().input().len()];
    let mut attacker = Attacker::new(&model);
    let mut times = Vec::new();
    for index in 0..TIMED.min(data.len()) {
        let sample = Sample::of(data, index);
        let start = Instant::now();
        attacker.attack(&attack, eps, &[sample], &mut out)?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let host_ms = times.get(times.len() / 2).copied().unwrap_or(0.0);
    let gradients = attack.steps() * attack.starts();
    Ok(Cost { attack: attack.long_name(), gradients, host_ms, timed_images: times.len() })
}
