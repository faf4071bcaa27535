//! What the host computes, for the device's self-test to compare with: `expected FILE` writes it. (An example of
//! `midge-trainer`, which is built already where midge was used; the runner starts it.)
//!
//! ```text
//! for the plain and then the robust model: u32 number of cases, then for each case, all little endian:
//!     f32 image[784]   u32 label   f32 logits[10]   f32 input_gradient[784]
//!     for each attack:   f32 adversarial[784]   u32 predicted class
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result};
use midge_core::Model;
use midge_trainer::bundled;
use midge_trainer::data::{self, Dataset, Source, Split};

#[path = "../src/selftest_attacks.rs"]
mod attacks;

/// Images of a test set beside the bundled digits.
const TEST_IMAGES: usize = 16;

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).context("expected the name of a file to write")?);
    let more = test_images(Source::from_option(None, 1))?;
    if more.is_none() {
        println!("NOT RUN: no MNIST images are compared, because MIDGE_DATA is not set");
    }
    std::fs::write(&path, cases(more)?).with_context(|| format!("{}: cannot be written", path.display()))
}

/// The first test images of the data that `MIDGE_DATA` names. Nothing is downloaded for this.
fn test_images(source: Source) -> Result<Option<Dataset>> {
    if source == Source::Cache {
        return Ok(None);
    }
    Ok(Some(data::load_part(&source, Split::Test, 0, Some(TEST_IMAGES))?))
}

/// The bundled digits for both models, and `more` images for the plain one.
fn cases(more: Option<Dataset>) -> Result<Vec<u8>> {
    let digits = bundled::digits()?;
    let mut bytes = Vec::new();
    for (name, _) in bundled::MODELS {
        let more = more.as_ref().filter(|_| name == "plain");
        let sets: Vec<&Dataset> = [&digits].into_iter().chain(more).collect();
        let weights = bundled::model(name).context("no bundled model")??;
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed)?;
        let count: usize = sets.iter().map(|data| data.len()).sum();
        bytes.extend(u32::try_from(count)?.to_le_bytes());
        for data in sets {
            (0..data.len()).try_for_each(|i| case(&model, data.image(i), data.label(i), &mut bytes))?;
        }
    }
    Ok(bytes)
}

fn case(model: &Model<'_, f32>, image: &[f32], label: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let mut buffer = vec![0.0; model.attack_len()];
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a case.
    const CASE: usize = 4 * (784 + 1 + 10 + 784 + attacks::COUNT * (784 + 1));

    #[test]
    fn every_source_of_images_gives_cases() {
        let synthetic = Source::Synthetic { seed: 1, train: 60_000, test: 10_000 };
        for (source, more) in [(Source::Cache, 0), (synthetic, TEST_IMAGES)] {
            let bytes = cases(test_images(source).unwrap()).unwrap();
            assert_eq!(bytes.len(), 2 * 4 + (2 * 20 + more) * CASE);
            assert_eq!(bytes[..4], (20 + more as u32).to_le_bytes());
        }
        assert!(test_images(Source::Folder("no such folder".into())).is_err());
    }
}
