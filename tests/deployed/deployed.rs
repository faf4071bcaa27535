//! `.tflite` files that run on real microcontrollers, and what the runtime's own tools read in them.
//!
//! These tests are ignored, so that a run without the files says so. With `MIDGE_DEPLOYED` naming a folder that holds them in
//! `models`, and in `reference` what TFLite Micro computed:
//!
//! ```console
//! $ cargo test --release -p midge-trainer --test deployed -- --include-ignored
//! ```
//!
//! Expected figures were computed with Python's packages `tflite` and `numpy`, which share no code with midge.

mod attack;
mod damage;
mod expected;
mod read;
mod run;

use std::path::PathBuf;

fn folder() -> PathBuf {
    let folder = std::env::var_os("MIDGE_DEPLOYED").expect("MIDGE_DEPLOYED must name the folder of the models");
    PathBuf::from(folder)
}

/// The bytes of a model.
fn model(name: &str) -> Vec<u8> {
    let path = folder().join("models").join(format!("{name}.tflite"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
