//! What a report is about.

use serde::Serialize;

use crate::any_weights::AnyWeights;
use crate::data::{Dataset, Input};
use crate::evaluation::{Attack, Method};
use crate::training::history::Entry;

/// Points of the grid of minimal eps.
pub const GRID_POINTS: usize = 20;
/// Their number in the range of a pixel, for a model that takes pixels from 0 to 1.
const GRID_STEPS_PER_UNIT: f32 = 40.0;

/// eps of the curves where nobody gave others: of pixels from 0 to 1, and in steps of another grid.
const CURVE: [f32; 8] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4];
const CURVE_STEPS: [f32; 8] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];

/// eps of the curves for a model that takes `input`, unless others are asked for.
pub fn default_curve(input: &Input) -> Vec<f32> {
    match other_grid(input) {
        Some(step) => CURVE_STEPS.map(|steps| steps * step).to_vec(),
        None => CURVE.map(|part| part * input.width()).to_vec(),
    }
}

/// The grid of minimal eps for a model that takes `input`.
pub fn default_grid(input: &Input) -> Vec<f32> {
    let points = (1..=GRID_POINTS).map(|k| k as f32);
    match other_grid(input) {
        Some(step) => points.map(|k| k * step).collect(),
        None => points.map(|k| k / GRID_STEPS_PER_UNIT * input.width()).collect(),
    }
}

/// The step of a grid of other pixels than 0 to 1.
fn other_grid(input: &Input) -> Option<f32> {
    input.grid.filter(|_| input.range != [0.0, 1.0]).map(|grid| grid.scale)
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
    /// Queries of Square.
    pub queries: usize,
    /// The grid of minimal eps.
    #[serde(skip)]
    pub grid: Vec<f32>,
    /// A step of the pixels' grid of the models of integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation_step: Option<f32>,
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
    pub weights: AnyWeights,
    /// The images, as the model sees them.
    pub data: Dataset,
    /// Every epoch of its training, as far as it is known.
    pub training: Vec<Entry>,
}
