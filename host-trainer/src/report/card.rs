//! What a model is, and what it needs of a device.

use anyhow::Result;
use serde::Serialize;

use super::settings::Subject;
use crate::evaluation::classifier::Classifier as _;
use crate::summary::{Memory, Quantisation, Row, rows};
use crate::training::history::{DATA, EPOCHS, RECIPE};

/// A model's card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// The file, or the name of a bundled model.
    pub source: String,
    /// The type of the file's weights; arithmetic is f32, but of i8.
    pub dtype: String,
    /// Its layers.
    pub layers: Vec<Row>,
    /// Number of weights.
    pub parameters: usize,
    /// Of a dense forward pass.
    pub multiply_adds: u64,
    /// Of a model of integers.
    pub quantisation: Option<Quantisation>,
    /// Bytes on a device.
    pub memory: Memory,
    /// Epochs that the weights have seen.
    pub epochs: Option<usize>,
    /// How it was trained, with the seed.
    pub recipe: Option<String>,
    /// What it was trained on.
    pub trained_on: Option<String>,
}

/// The card of `subject`.
///
/// # Errors
/// If a weight does not fit f16.
pub fn of(subject: &Subject) -> Result<Card> {
    let Subject { source, weights, .. } = subject;
    let network = weights.network();
    let note = |key| weights.metadata().get(key).cloned();
    Ok(Card {
        source: source.clone(),
        dtype: weights.dtype(),
        layers: rows(weights),
        parameters: network.parameters(),
        multiply_adds: network.multiply_adds(),
        quantisation: Quantisation::of(weights),
        memory: Memory::of(weights)?,
        epochs: note(EPOCHS).and_then(|epochs| epochs.parse().ok()),
        recipe: note(RECIPE),
        trained_on: note(DATA),
    })
}
