//! One step of training against the weight gradients of `tests/reference`, which TensorFlow and PyTorch computed.

use std::path::Path;

use indicatif::ProgressBar;
use midge_core::Network;
use safetensors::SafeTensors;

use super::*;
use crate::weights::{Weights, tensor, tensor_infos};

/// The weights of one file, its images, and the gradient of the sum of their losses, tensor by tensor.
fn read(path: &Path) -> (Weights, Dataset, Vec<Vec<f32>>) {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let network: Network = header.metadata().as_ref().unwrap()["network"].parse().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> { bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data()) };
    let labels: Vec<i32> = bytemuck::pod_collect_to_vec(file.tensor("labels").unwrap().data());
    let infos = tensor_infos(&network);
    let tensors = infos.iter().map(|info| tensor(&floats(&info.name))).collect();
    let gradients = infos.iter().map(|info| floats(&format!("gradient.{}", info.name))).collect();
    let input = network.input();
    let labels = labels.into_iter().map(|label| label as u16).collect();
    let shape = [input.height, input.width, input.channels];
    let data = Dataset::new(floats("images"), labels, shape, path.display().to_string());
    (Weights::new(network, tensors), data, gradients)
}

/// `w - lr * gradient / samples`, in f64, for every weight of every network.
#[test]
fn one_step_of_sgd_is_that_of_the_reference_gradients() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference");
    let entries = [folder.join("pytorch"), folder].map(|folder| std::fs::read_dir(folder).unwrap());
    let files = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).collect();
    assert!(files.len() >= 50, "{} reference files", files.len());
    for path in files {
        let (weights, data, gradients) = read(&path);
        let learning_rate = 0.5;
        let recipe = Recipe::plain(data.len(), learning_rate, 1);
        let mut training = Training::new(weights.clone(), &recipe.optimiser);
        let stop = AtomicBool::new(false);
        train_epoch(&mut training, &data, &recipe, 1, &ProgressBar::hidden(), &stop).unwrap().unwrap();
        let tensors = training.weights.tensors.iter().zip(&weights.tensors).zip(&gradients);
        for (info, ((after, before), gradient)) in tensor_infos(&weights.network).iter().zip(tensors) {
            let scale = gradient.iter().fold(1.0, |most: f32, g| most.max(g.abs()));
            for (i, ((after, before), g)) in after.iter().zip(before.iter()).zip(gradient).enumerate() {
                let step = f64::from(learning_rate) * f64::from(*g) / data.len() as f64;
                let off = (f64::from(*after) - (f64::from(*before) - step)).abs();
                assert!(off <= 1e-5 * f64::from(scale), "{}: {} {i}: {off}", path.display(), info.name);
            }
        }
    }
}
