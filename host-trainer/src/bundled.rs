//! What comes with the program: two models trained by `midge train` on MNIST, on clean and on adversarial images, both also in
//! integers, and digits that midge drew.

use std::path::Path;

use anyhow::Result;

use crate::any_weights::{AnyWeights, checksum_in};
use crate::data::{Dataset, idx, synthetic};
use crate::evaluation::classifier::Classifier as _;
use crate::quantise::with_ranges;
use crate::weights::Weights;

/// The bundled models of floating-point numbers: name and file.
pub const MODELS: [(&str, &[u8]); 2] = [
    ("plain", include_bytes!("../assets/plain.safetensors")),
    ("robust", include_bytes!("../assets/robust.safetensors")),
];

/// A model of integers: its name, that of the model of floating-point numbers that it is made of, and where the values of each
/// layer end.
type Int8 = (&'static str, &'static str, [(usize, [f32; 2]); 4]);

/// The same in integers of 8 bits, which take no place: all that calibration adds are ranges, here those that
/// `midge export --model plain --dtype i8 --calibrate --verbose` prints for 1000 images of MNIST.
const INT8_MODELS: [Int8; 2] = [
    (
        "plain-int8",
        "plain",
        [(0, [0.0, 2.505_920_4]), (3, [0.0, 6.648_137]), (7, [0.0, 12.406_919_5]), (9, [-18.367_786, 33.526_203])],
    ),
    (
        "robust-int8",
        "robust",
        [(0, [0.0, 0.228_984]), (3, [0.0, 0.674_663_3]), (7, [0.0, 16.555_243]), (9, [-37.960_556, 26.367_834])],
    ),
];

/// The bundled digits, two of each class, as IDX files (28x28, u8).
const IMAGES: &[u8] = include_bytes!("../assets/digits-images.idx3-ubyte");
const LABELS: &[u8] = include_bytes!("../assets/digits-labels.idx1-ubyte");

/// Seed of the bundled digits; `examples/bundle.rs` draws them again.
const DIGITS_SEED: u64 = 7;

/// The names of all bundled models.
pub fn names() -> impl Iterator<Item = &'static str> {
    let floats = MODELS.into_iter().map(|(name, _)| name);
    floats.chain(INT8_MODELS.into_iter().map(|(name, ..)| name))
}

/// A bundled model of any kind by name.
pub fn any_model(name: &str) -> Option<Result<AnyWeights>> {
    match INT8_MODELS.iter().find(|(known, ..)| *known == name) {
        Some((_, float, ranges)) => {
            let weights = model(float)?;
            Some(
                weights
                    .and_then(|weights| with_ranges(&weights, &ranges.iter().copied().collect()))
                    .map(AnyWeights::Int8),
            )
        }
        None => model(name).map(|weights| weights.map(AnyWeights::Float)),
    }
}

/// A bundled model of floating-point numbers by name.
pub fn model(name: &str) -> Option<Result<Weights>> {
    MODELS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| Weights::from_bytes(bytes))
}

/// The bundled model of that checksum, with its name. That of a file is another than that of the same model written anew, where
/// the text of the network has changed since.
pub fn with_checksum(checksum: &str) -> Option<(&'static str, AnyWeights)> {
    let in_file = |name| MODELS.iter().find(|(known, _)| *known == name).and_then(|(_, file)| checksum_in(file).ok());
    names().find_map(|name| {
        let model = any_model(name)?.ok()?;
        let is_it =
            in_file(name).is_some_and(|sum| sum == checksum) || model.checksum().is_ok_and(|sum| sum == checksum);
        is_it.then_some((name, model))
    })
}

/// A bundled model other than `model` that reads the same kind of images, with its name.
///
/// # Errors
/// Only if the program was built from damaged files.
pub fn other_than(model: &AnyWeights) -> Result<Option<(&'static str, AnyWeights)>> {
    let input = model.input();
    for (name, bytes) in MODELS {
        let other = AnyWeights::Float(Weights::from_bytes(bytes)?);
        let takes_the_same = other.input().has_shape_of(&input) && other.input().range == input.range;
        if takes_the_same && !other.has_tensors_of(model) {
            return Ok(Some((name, other)));
        }
    }
    Ok(None)
}

/// The bundled digits.
///
/// # Errors
/// Only if the program was built from damaged files.
pub fn digits() -> Result<Dataset> {
    let file = Path::new("the bundled digits");
    let images = idx::images_from(IMAGES).map_err(|problem| problem.at(file))?;
    let labels = idx::labels_from(LABELS).map_err(|problem| problem.at(file))?;
    Ok(Dataset::from_idx(&images, labels, file, "bundled digits".into())?)
}

/// The bundled digits drawn anew: two of each class.
pub fn draw_digits() -> Dataset {
    synthetic::dataset(DIGITS_SEED, 20, 0)
}

#[cfg(test)]
mod tests {
    use midge_core::{MNIST_CNN, MNIST_CNN_SHIFTED};

    use super::*;
    use crate::evaluation::evaluate;

    #[test]
    fn the_bundled_digits_are_those_that_midge_draws() {
        let (bundled, drawn) = (digits().unwrap(), draw_digits());
        assert_eq!(bundled.labels, drawn.labels);
        assert_eq!(bundled.images, drawn.images);
    }

    #[test]
    fn every_bundled_model_reads_every_bundled_digit() {
        assert_eq!(model("plain").unwrap().unwrap().network, MNIST_CNN);
        assert_eq!(with_checksum(&checksum_in(MODELS[1].1).unwrap()).unwrap().0, "robust");
        assert!(with_checksum("").is_none());
        assert_eq!(model("robust").unwrap().unwrap().network, MNIST_CNN_SHIFTED);
        for name in names() {
            let weights = any_model(name).unwrap().unwrap();
            assert_eq!(with_checksum(&weights.checksum().unwrap()).unwrap().0, name);
            let result = evaluate(&weights, &digits().unwrap(), &indicatif::ProgressBar::hidden()).unwrap();
            assert_eq!(result.correct, result.samples, "{name}");
        }
    }
}
