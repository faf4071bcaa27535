//! The inputs of all workers: images, the lecture's model, and the weights that training starts from.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;
use midge_core::MNIST_CNN;
use midge_trainer::data::{self, Input, Part, Reading, Source, Split};
use midge_trainer::files::write_atomically;
use midge_trainer::training::{self, Recipe, Training, initialise};
use midge_trainer::weights::{DType, Weights};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::protocol::{PIXELS, Result};

/// Images of the set `dense`.
const DENSE: usize = 1000;

const SEED: u64 = 1;

/// What the lecture's network takes.
const INPUT: Input = Input::pixels([28, 28, 1], 10);

/// Writes `inputs.safetensors`, with up to `train` training and `test` test images, `model.safetensors` and
/// `initial.safetensors` into `folder`.
///
/// # Errors
/// If there is no such data set or a file cannot be written.
pub(crate) fn prepare(folder: &Path, data: &str, train: &str, test: &str) -> Result<()> {
    let train: usize = train.parse().map_err(|error| format!("TRAIN {train:?}: {error}"))?;
    let test: usize = test.parse().map_err(|error| format!("TEST {test:?}: {error}"))?;
    let source = match Source::from_option(Some(OsStr::new(data)).filter(|data| *data != "default"), SEED) {
        Source::Synthetic { seed, .. } => Source::Synthetic { seed, train, test },
        source => source,
    };
    let mut sets = Vec::new();
    for (name, split, count) in [("digits", Split::Test, test), ("train", Split::Train, train)] {
        let set = data::load(&source, split, &INPUT, Part { offset: 0, limit: Some(count) }, &Reading::default())?
            .labelled()?;
        println!("{name}: {} images of {}", set.len(), set.name);
        sets.push((name, set.images, set.labels));
    }
    sets.push(("dense", random_pixels(), (0..DENSE).map(|i| (i % 10) as u16).collect()));
    write_atomically(&folder.join("inputs.safetensors"), &to_bytes(&sets)?)?;
    let initial = initialise(MNIST_CNN, SEED);
    initial.save(&folder.join("initial.safetensors"), DType::F32)?;
    Ok(lecture_model(initial, &source)?.save(&folder.join("model.safetensors"), DType::F32)?)
}

/// The lecture's training. A better model is so sure of many images that the gradients of the other libraries, whose
/// label term is `p - 1`, vanish; then there is nothing to compare.
fn lecture_model(initial: Weights, source: &Source) -> Result<Weights> {
    let (data, recipe) = (
        data::load(source, Split::Train, &INPUT, Part::ALL, &Reading::default())?.labelled()?,
        Recipe::plain(32, 0.01, SEED),
    );
    let mut training = Training::new(initial, &recipe.optimiser);
    for epoch in 1..=3 {
        training::train_epoch(&mut training, &data, &recipe, epoch, &ProgressBar::hidden(), &AtomicBool::new(false))?;
    }
    Ok(training.weights)
}

/// Uniform in [0, 1): no pixel is zero, so nothing can be skipped in the first layer.
fn random_pixels() -> Vec<f32> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(SEED);
    (0..DENSE * PIXELS).map(|_| (generator.next_u64() >> 40) as f32 / (1 << 24) as f32).collect()
}

fn to_bytes(sets: &[(&str, Vec<f32>, Vec<u16>)]) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for (name, images, labels) in sets {
        let images: Vec<u8> = images.iter().flat_map(|x| x.to_le_bytes()).collect();
        tensors.push((format!("{name}.images"), Dtype::F32, vec![labels.len(), 28, 28, 1], images));
        let bytes: Vec<u8> = labels.iter().flat_map(|label| i64::from(*label).to_le_bytes()).collect();
        tensors.push((format!("{name}.labels"), Dtype::I64, vec![labels.len()], bytes));
    }
    let views: std::result::Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, kind, shape, data)| Ok((name, TensorView::new(*kind, shape.clone(), data)?)))
        .collect();
    Ok(safetensors::serialize(views.map_err(|error: safetensors::SafeTensorError| error)?, None)?)
}
