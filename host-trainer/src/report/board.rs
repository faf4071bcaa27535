//! A board beside the host.

use serde::Serialize;

use crate::device::table::Table;

/// What a board made of the images of the model that it runs.
#[derive(Debug, Serialize)]
pub struct OnBoard {
    /// Its name.
    pub board: String,
    /// What it calls the model.
    pub model: String,
    /// The type of its weights.
    pub dtype: &'static str,
    /// The checksum of the model's file.
    pub fingerprint: String,
    /// Largest change of a pixel.
    pub eps: f32,
    /// One after the other.
    pub attacks: Vec<BoardAttack>,
}

/// One attack, made by hosts and board.
#[derive(Debug, Serialize)]
pub struct BoardAttack {
    /// Its name.
    pub attack: String,
    /// Who reads what, and what it cost.
    pub table: Table,
}
