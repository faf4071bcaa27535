//! What a report is about.

use serde::Serialize;

use crate::evaluation::{Attack, Method};
use crate::training::history::Entry;
use crate::weights::Weights;

/// Points of the grid of minimal eps, and their distance.
pub const GRID_POINTS: usize = 20;
const GRID_STEPS_PER_UNIT: f32 = 40.0;

/// Largest eps of the grid.
pub const GRID_END: f32 = GRID_POINTS as f32 / GRID_STEPS_PER_UNIT;

/// The grid of minimal eps.
pub(super) fn grid() -> Vec<f32> {
    (1..=GRID_POINTS).map(|k| k as f32 / GRID_STEPS_PER_UNIT).collect()
}

/// What is measured, and on what.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Name of the data set.
    pub data: String,
    /// Number of images.
    pub images: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// eps of the curves, ascending, without 0.
    pub eps: Vec<f32>,
    /// eps of the robust evaluation, the examples and the matrix.
    pub robust_eps: f32,
    /// Steps of PGD.
    pub steps: usize,
    /// Random starts of PGD in the robust evaluation; elsewhere there is one.
    pub restarts: usize,
}

impl Settings {
    /// PGD from one start.
    pub fn pgd(&self) -> Attack {
        Attack { steps: self.steps, seed: self.seed, ..Attack::new(Method::Pgd) }
    }
}

/// A model to report on.
#[derive(Debug)]
pub struct Subject {
    /// A short name for headings.
    pub name: String,
    /// What the user typed: a file, or the name of a bundled model.
    pub source: String,
    /// The model.
    pub weights: Weights,
    /// Every epoch of its training, as far as it is known.
    pub training: Vec<Entry>,
}
