//! Models of PyTorch, ONNX and Keras against the frameworks' own logits; `make_torch.py` and `make_keras.py` made the files.

mod hostile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use midge_trainer::import::{Hints, Imported, Normalisation, from_bytes};
use midge_trainer::weights::Weights;
use safetensors::SafeTensors;

/// Largest difference from a framework's logits.
const TOLERANCE: f32 = 1e-4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import")
}

/// Images and what a framework made of them.
struct Check {
    /// Row, column, channel; from 0 to 1.
    images: Vec<Vec<f32>>,
    logits: Vec<f32>,
    metadata: std::collections::HashMap<String, String>,
}

impl Check {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(folder().join(format!("{name}.check.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap_or_default();
        let inputs = file.tensor("inputs").unwrap();
        let [count, a, b, c] = inputs.shape().try_into().unwrap();
        // PyTorch has channels first.
        let [channels, rows, columns] = if metadata.contains_key("network") { [a, b, c] } else { [c, a, b] };
        let (of_row, of_column, of_channel) =
            if metadata.contains_key("network") { (c, 1, b * c) } else { (b * c, c, 1) };
        let image = |pixels: &[u8]| {
            let mut image = Vec::new();
            for row in 0..rows {
                for column in 0..columns {
                    let at = |channel| row * of_row + column * of_column + channel * of_channel;
                    image.extend((0..channels).map(|channel| f32::from(pixels[at(channel)]) / 255.0));
                }
            }
            image
        };
        let images: Vec<_> = inputs.data().chunks(a * b * c).map(image).collect();
        assert_eq!((images.len(), count), (32, 32));
        Self { images, logits: bytemuck::pod_collect_to_vec(file.tensor("outputs").unwrap().data()), metadata }
    }

    fn hints(&self, with_network: bool) -> Hints {
        let numbers = |key: &str| -> Option<Vec<f64>> {
            Some(self.metadata.get(key)?.split(',').map(|number| number.parse().unwrap()).collect())
        };
        let network = self.metadata.get("network").filter(|_| with_network).cloned();
        let normalisation = numbers("mean").zip(numbers("std")).map(|(mean, std)| Normalisation { mean, std });
        Hints { network, size: None, normalisation }
    }

    fn difference(&self, weights: &Weights) -> f32 {
        let mut memory = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut memory).unwrap();
        let mut buffer = vec![0.0; weights.network.inference_len()];
        let found = self.images.iter().flat_map(|image| model.logits(image, &mut buffer).unwrap().to_vec());
        let found: Vec<f32> = found.collect();
        assert_eq!(found.len(), self.logits.len());
        let difference = found.iter().zip(&self.logits).map(|(a, b)| (a - b).abs());
        difference.fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
    }
}

/// The files of models whose names end with one of these.
fn models(ends: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.filter_map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_model = ends.iter().any(|end| name.ends_with(end)) && !name.ends_with(".check.safetensors");
        is_model.then(|| (name, std::fs::read(path).unwrap()))
    });
    names.collect()
}

/// Imports all models of some formats and compares their logits; `least` says how many there are.
fn compare(ends: &[&str], least: usize, is_state_dict: bool) -> BTreeMap<String, Imported> {
    let models = models(ends);
    assert!(models.len() >= least, "{} models", models.len());
    let imported = models.into_iter().map(|(name, bytes)| {
        let check = Check::read(name.split('.').next().unwrap());
        let imported = from_bytes(&bytes, &check.hints(is_state_dict)).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        let difference = check.difference(&imported.weights);
        println!("{name}: largest difference {difference:.1e}, {}", imported.weights.network);
        // Weights of 16 bits are other weights.
        let tolerance = if name.contains("float16") { 0.1 } else { TOLERANCE };
        assert!(difference < tolerance, "{name}: {difference}");
        (name, imported)
    });
    imported.collect()
}

#[test]
fn state_dicts_have_pytorchs_logits() {
    let imported = compare(&[".safetensors", ".pt", ".pth", ".ckpt"], 27, true);
    let changed = |name: &str| imported[name].changed.join("\n");
    assert!(changed("cnn.safetensors").contains("bn4: folded into conv4"));
    assert!(changed("cnn.lightning.ckpt").contains("\"state_dict\" in a dictionary of epoch, global_step"));
    assert!(changed("lenet.parallel.pth").contains("module. taken off"));
    assert!(changed("lenet.compiled.safetensors").contains("_orig_mod. taken off"));
    assert!(changed("lenet.pt").contains("inputs turned"));
    // Padded with zeros behind the normalisation: a layer of its own. Without a padding: a part of the first one.
    assert!(changed("cnn.pt").contains("normalisation: a layer of its own"));
    assert!(changed("mnist.pt").contains("normalisation: folded into conv1"));
    assert!(imported["residual.pt"].assumed.iter().any(|line| line.contains("eps=1e-5")));
}

#[test]
fn onnx_files_have_pytorchs_logits() {
    let imported = compare(&[".onnx"], 15, false);
    let changed = |name: &str| imported[name].changed.join("\n");
    assert!(changed("mnist.dynamo.onnx").contains("LogSoftmax at the end dropped"));
    assert!(changed("cnn.opset7.onnx").contains("folded into"));
}

#[test]
fn keras_files_have_keras_logits() {
    let imported = compare(&[".keras", ".h5"], 6, false);
    let changed = |name: &str| imported[name].changed.join("\n");
    assert!(changed("keras_mnist.keras").contains("softmax at the end dropped"));
    assert!(changed("keras_mnist.keras").contains("dropout: Dropout dropped"));
    assert!(changed("keras_cnn.h5").contains("padding folded into conv2d_1"));
    assert!(changed("keras_cnn.h5").contains("rescaling: a layer of its own"));
}
