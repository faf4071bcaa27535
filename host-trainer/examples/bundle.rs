//! Makes the bundled files anew: draws the digits, and stores a trained model in f16.
//!
//! ```text
//! midge train --out plain-f32.safetensors
//! cargo run --release -p midge-trainer --example bundle -- plain-f32.safetensors
//! ```

use std::path::Path;

use anyhow::{Context, Result};
use midge_trainer::bundled;
use midge_trainer::data::idx::{self, Images};
use midge_trainer::weights::{DType, Weights};

fn main() -> Result<()> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let digits = bundled::draw_digits();
    let [height, width, _] = digits.shape;
    let pixels = digits.images.iter().map(|v| (v * 255.0).round() as u8).collect();
    let images = Images { shape: [digits.len(), height, width], pixels };
    idx::write_images(&assets.join("digits-images.idx3-ubyte"), &images)?;
    idx::write_labels(&assets.join("digits-labels.idx1-ubyte"), &digits.labels)?;
    let trained = std::env::args().nth(1).context("expected the file that midge train wrote")?;
    Weights::load(trained.as_ref())?.save(&assets.join("plain.safetensors"), DType::F16)
}
