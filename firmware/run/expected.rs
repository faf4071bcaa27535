//! What the host computes, for the device's self-test to compare with: `expected FILE` writes it. (An example of
//! `midge-trainer`, which is built already where midge was used; the runner starts it.)
//!
//! One value at a time, without vectors and without transposed weights: sums are added in the device's order. With another
//! order a sum near zero may open another ReLU, and a pixel with a gradient near zero goes the other way.
//!
//! ```text
//! for the plain and then the robust model, or only for that of MIDGE_MODEL:
//!     u32 number of cases, then for each case, all little endian:
//!         f32 image[pixels]   u32 label   f32 logits[classes]   f32 input_gradient[pixels]
//!         for each attack:   f32 adversarial[pixels]   u32 predicted class
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result};
use midge_core::attack::Apgd;
use midge_core::{Element, Level, Model};
use midge_trainer::any_weights::AnyWeights;
use midge_trainer::bundled;
use midge_trainer::data::{self, Dataset, Input, Part, Reading, Source, Split};
use midge_trainer::weights::{Tensor, Weights};

#[path = "../src/selftest_attacks.rs"]
mod attacks;
mod own_model;

/// What the bundled models take.
const INPUT: Input = Input::pixels([28, 28, 1], 10);

/// Images of a test set beside the bundled digits.
const TEST_IMAGES: usize = 16;

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).context("expected the name of a file to write")?);
    let bytes = if let Some((name, own)) = own_model::chosen()? {
        of_own_model(&name, &own)?
    } else {
        let more = test_images(Source::from_option(None, 1))?;
        if more.is_none() {
            println!("NOT RUN: no MNIST images are compared, because MIDGE_DATA is not set");
        }
        of_bundled_models(more)?
    };
    std::fs::write(&path, bytes).with_context(|| format!("{}: cannot be written", path.display()))
}

/// The images that are embedded with a model of the user's.
fn of_own_model(name: &str, own: &AnyWeights) -> Result<Vec<u8>> {
    let (images, images_are) = own_model::images(own, std::env::var_os("MIDGE_DATA").as_deref())?;
    println!("{name}: {} images, {images_are}", images.len());
    let mut bytes = Vec::new();
    match own {
        AnyWeights::Int8(weights) => cases(&weights.model()?, &[&images], &mut bytes)?,
        AnyWeights::Float(weights) => cases_of_floats(weights, &[&images], &mut bytes)?,
    }
    Ok(bytes)
}

/// The first test images of the data that `MIDGE_DATA` names. Nothing is downloaded for this.
fn test_images(source: Source) -> Result<Option<Dataset>> {
    let source = match source {
        Source::Cache => return Ok(None),
        Source::Synthetic { seed, .. } => Source::Synthetic { seed, train: 0, test: TEST_IMAGES },
        folder => folder,
    };
    let part = Part { offset: 0, limit: Some(TEST_IMAGES) };
    Ok(Some(data::load(&source, Split::Test, &INPUT, part, &Reading::default())?.labelled()?))
}

/// The bundled digits for both models, and `more` images for the plain one.
fn of_bundled_models(more: Option<Dataset>) -> Result<Vec<u8>> {
    let digits = bundled::digits()?;
    let mut bytes = Vec::new();
    for (name, _) in bundled::MODELS {
        let more = more.as_ref().filter(|_| name == "plain");
        let sets: Vec<&Dataset> = [&digits].into_iter().chain(more).collect();
        cases_of_floats(&bundled::model(name).context("no bundled model")??, &sets, &mut bytes)?;
    }
    Ok(bytes)
}

fn cases_of_floats(weights: &Weights, sets: &[&Dataset], bytes: &mut Vec<u8>) -> Result<()> {
    let tensors: Vec<&[f32]> = weights.tensors.iter().map(Tensor::as_slice).collect();
    let model = Model::<f32>::from_tensors(&weights.network, &tensors)?.with_range(weights.range)?;
    cases(&model.with_level(Level::Scalar), sets, bytes)
}

fn cases<T: Element>(model: &Model<'_, T>, sets: &[&Dataset], bytes: &mut Vec<u8>) -> Result<()> {
    let count: usize = sets.iter().map(|data| data.len()).sum();
    bytes.extend(u32::try_from(count)?.to_le_bytes());
    sets.iter().try_for_each(|data| (0..data.len()).try_for_each(|i| case(model, data.image(i), data.label(i), bytes)))
}

fn case<T: Element>(model: &Model<'_, T>, image: &[f32], label: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let mut buffer = vec![0.0; Apgd::len(model.network())];
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
            let bytes = of_bundled_models(test_images(source).unwrap()).unwrap();
            assert_eq!(bytes.len(), 2 * 4 + (2 * 20 + more) * CASE);
            assert_eq!(bytes[..4], (20 + more as u32).to_le_bytes());
        }
        assert!(test_images(Source::Path("no such folder".into())).is_err());
    }
}
