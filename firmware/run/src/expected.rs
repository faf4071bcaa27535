//! What the host computes, for the device's self-test to compare with.
//!
//! ```text
//! for the plain and then the robust model: u32 number of cases, then for each case, all little endian:
//!     f32 image[784]   u32 label   f32 logits[10]   f32 input_gradient[784]
//!     for each attack:   f32 adversarial[784]   u32 predicted class
//! ```

use std::path::Path;

use anyhow::{Context, Result};
use midge_core::Model;
use midge_trainer::bundled;
use midge_trainer::data::{self, Dataset, Source, Split};

#[path = "../../src/selftest_attacks.rs"]
mod attacks;

/// Images of the MNIST test set, if it is there.
const MNIST_IMAGES: usize = 16;

/// Writes the cases: the bundled digits and, for the plain model and with `MIDGE_DATA` naming MNIST's folder, its first
/// test images.
pub(crate) fn write(path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    for (name, _) in bundled::MODELS {
        model(name, &mut bytes)?;
    }
    std::fs::write(path, bytes).with_context(|| format!("{}: cannot be written", path.display()))
}

fn model(name: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let weights = bundled::model(name).context("no bundled model")??;
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    let mut cases = vec![bundled::digits()?];
    match Source::variable_folder() {
        _ if name != "plain" => {}
        Some(folder) => cases.push(data::folder::load(&folder, Split::Test)?.slice(0, Some(MNIST_IMAGES))?),
        None => println!("NOT RUN: no MNIST images are compared, because MIDGE_DATA names no folder"),
    }
    let count: usize = cases.iter().map(Dataset::len).sum();
    bytes.extend(u32::try_from(count)?.to_le_bytes());
    for data in &cases {
        for i in 0..data.len() {
            case(&model, data.image(i), data.label(i), bytes)?;
        }
    }
    Ok(())
}

fn case(model: &Model<'_, f32>, image: &[f32], label: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let network = model.network();
    let mut buffer = vec![0.0; network.attack_len()];
    put(bytes, image);
    bytes.extend(u32::try_from(label)?.to_le_bytes());
    let result = model.input_gradient(image, label, &mut buffer)?;
    put(bytes, result.logits);
    put(bytes, result.gradient);
    let mut adversarial = vec![0.0; image.len()];
    for attack in 0..attacks::COUNT {
        let outcome = attacks::run(attack, model, (image, label), &mut adversarial, &mut buffer)?;
        put(bytes, &adversarial);
        bytes.extend(u32::try_from(outcome.after.class)?.to_le_bytes());
    }
    Ok(())
}

fn put(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
