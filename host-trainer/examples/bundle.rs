//! Makes the bundled files anew: draws the digits, and stores trained models in f16.
//!
//! ```text
//! midge train ... --out plain-f32.safetensors          # both as README says
//! midge train --adversarial trades ... --out robust-f32.safetensors
//! cargo run --release -p midge-trainer --example bundle -- plain=plain-f32.safetensors robust=robust-f32.safetensors
//! ```

use std::path::Path;

use anyhow::{Context, Result, ensure};
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
    let labels: Vec<u8> = digits.labels.iter().map(|label| u8::try_from(*label)).collect::<Result<_, _>>()?;
    idx::write_labels(&assets.join("digits-labels.idx1-ubyte"), &labels)?;
    for model in std::env::args().skip(1) {
        let (name, trained) = model.split_once('=').context("expected NAME=FILE, a file that midge train wrote")?;
        ensure!(bundled::MODELS.iter().any(|(known, _)| *known == name), "{name}: no bundled model has this name");
        Weights::load(trained.as_ref())?.save(&assets.join(format!("{name}.safetensors")), DType::F16)?;
    }
    Ok(())
}
