//! Everything that a report says.

use serde::Serialize;

use super::board::OnBoard;
use super::card::Card;
use super::costs::Cost;
use super::gradients::Gradients;
use super::settings::Settings;
use crate::evaluation::Share;
use crate::evaluation::gates::{Gate, Point};
use crate::picture::Example;
use crate::training::history::Entry;

/// Everything on the page.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub version: &'static str,
    /// When the report was made, UTC.
    pub date: String,
    /// What was measured.
    pub settings: Settings,
    /// One or two.
    pub models: Vec<Figures>,
    /// Of two models, one of them of integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradients: Option<Gradients>,
    /// Of a board that runs one of the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<OnBoard>,
}

/// The figures of one model.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// A short name for headings.
    pub name: String,
    /// Mean cross-entropy of the images in nats.
    pub loss: f64,
    /// Images that are read correctly without an attack.
    pub clean: Share,
    /// Accuracy against eps, for each attack.
    pub curves: Vec<Curve>,
    /// The worst case at the robust eps.
    pub robust: Robust,
    /// How much it takes to fool the model.
    pub minimal: Minimal,
    /// Success of targeted attacks.
    pub matrix: Matrix,
    /// One attack on one image each.
    #[serde(skip)]
    pub examples: Vec<Example>,
    /// Every epoch of the training; empty if the file does not say.
    pub training: Vec<Entry>,
    /// The epoch of the weights, if the run kept the best.
    pub best_epoch: Option<usize>,
    /// What an attack costs.
    pub costs: Vec<Cost>,
    /// What the model is.
    pub card: Card,
}

/// Accuracy under one attack.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The attack's name.
    pub attack: String,
    /// By eps, from 0 on.
    pub points: Vec<Point>,
}

/// The robust evaluation: [`crate::evaluation::robust`].
#[derive(Debug, Clone, Serialize)]
pub struct Robust {
    /// Images that are right under every attack.
    pub worst: Share,
    /// Each attack alone.
    pub attacks: Vec<AttackRow>,
    /// The model that transfer starts from.
    pub transfer_from: Option<String>,
    /// Checks of whether to believe it.
    pub gates: Vec<Gate>,
}

/// One attack of the robust evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct AttackRow {
    /// The attack's name.
    pub attack: String,
    /// Images that are right under it.
    pub right: Share,
    /// Images that fell to this attack and to none above it.
    pub first: usize,
}

/// The smallest eps of a grid that fools the model: [`crate::evaluation::minimal`].
#[derive(Debug, Clone, Serialize)]
pub struct Minimal {
    /// Images by the smallest eps.
    pub bins: Vec<Bin>,
    /// Images that no eps of the grid fools, of those read correctly.
    pub not_found: Share,
    /// A quarter, half and three quarters are fooled at this eps; null beyond the grid.
    pub quartiles: [Option<f32>; 3],
}

/// Images whose minimal eps is this point of the grid.
#[derive(Debug, Clone, Serialize)]
pub struct Bin {
    /// The point.
    pub eps: f32,
    /// Number of images.
    pub images: usize,
}

/// How often the images of each class, read correctly, are led to each other class.
#[derive(Debug, Clone, Serialize)]
pub struct Matrix {
    /// What the classes are called.
    pub classes: Vec<String>,
    /// By true class, then by target; null on the diagonal.
    pub cells: Vec<Vec<Option<Share>>>,
    /// All cells together.
    pub all: Share,
}
