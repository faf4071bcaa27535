//! Networks of floats made to networks of integers: against TensorFlow's converter, against the floats themselves, and through
//! a `.tflite` file.

mod converter;
mod floats;
mod round_trip;
mod tflm;

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use midge_core::Network;
use midge_trainer::quantise::{Ends, Images, quantise};
use midge_trainer::quantised::Int8Weights;
use midge_trainer::weights::{Tensor, Weights, tensor, tensor_infos};
use safetensors::SafeTensors;

/// A network of a file of reference values, and its images.
struct Case {
    name: String,
    weights: Weights,
    images: Vec<f32>,
}

fn f32s(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    bytemuck::pod_collect_to_vec(tensor.data())
}

/// The network of a file of reference values, and its images.
fn case(path: &Path) -> Case {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let network: Network = header.metadata().as_ref().unwrap()["network"].parse().unwrap();
    let tensors: Vec<Tensor> = tensor_infos(&network).iter().map(|info| tensor(&f32s(&file, &info.name))).collect();
    Case {
        name: path.file_stem().unwrap().to_str().unwrap().into(),
        weights: Weights::new(network, tensors),
        images: f32s(&file, "images"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files of reference values in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    files.sort();
    files
}

/// All networks whose logits are known.
fn cases() -> Vec<Case> {
    let folder = folder().join("reference");
    let cases: Vec<Case> = [folder.clone(), folder.join("pytorch")]
        .iter()
        .flat_map(|folder| files(folder))
        .map(|file| case(&file))
        .collect();
    assert!(cases.len() > 50, "{}", cases.len());
    cases
}

impl Case {
    fn image(&self, index: usize) -> &[f32] {
        let len = self.weights.network.input().len();
        &self.images[index * len..][..len]
    }

    fn len(&self) -> usize {
        self.images.len() / self.weights.network.input().len()
    }

    fn quantised(&self, ends: Ends) -> Result<Int8Weights, String> {
        let image = |index: usize| self.image(index);
        let images = Images { count: self.len(), image: &image };
        quantise(&self.weights, images, ends, &ProgressBar::hidden()).map_err(|error| format!("{error:#}"))
    }
}
