//! midge against TensorFlow and PyTorch (float64) on small random networks of every kind; `make_reference.py` and
//! `pytorch/make_reference.py` made the values. Every comparison prints its largest difference.

use std::path::Path;

use midge_core::batch::{Batch, Differentiable, ForwardPass};
use midge_core::{Error, Level, Model, Network, loss};
use safetensors::SafeTensors;

/// One file of reference values.
struct Case {
    name: String,
    bytes: Vec<u8>,
    network: Network,
}

impl Case {
    fn all() -> Vec<Self> {
        let tensorflow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference");
        let folders = [tensorflow.join("pytorch"), tensorflow];
        let entries =
            folders.into_iter().flat_map(|f| std::fs::read_dir(f).unwrap()).map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
        files.sort();
        assert!(files.len() >= 50, "{} reference files", files.len());
        let read = |path: std::path::PathBuf| {
            let bytes = std::fs::read(&path).unwrap();
            let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
            let network = metadata.metadata().as_ref().unwrap()["network"].parse().unwrap();
            Self { name: path.file_stem().unwrap().to_string_lossy().into_owned(), bytes, network }
        };
        files.into_iter().map(read).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).unwrap().data())
    }

    fn labels(&self) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let labels: Vec<i32> = bytemuck::pod_collect_to_vec(file.tensor("labels").unwrap().data());
        labels.into_iter().map(|label| label as usize).collect()
    }

    /// Name and shape of each tensor, in the order of the network.
    fn infos(&self) -> Vec<(String, Vec<usize>)> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let layers = 0..self.network.layers().len();
        let names = layers.flat_map(|layer| ["weight", "bias"].map(|name| format!("{layer}.{name}")));
        names.filter_map(|name| file.tensor(&name).ok().map(|tensor| (name, tensor.shape().to_vec()))).collect()
    }

    fn tensors(&self) -> Vec<Vec<f32>> {
        self.infos().iter().map(|(name, _)| self.floats(name)).collect()
    }

    /// Runs `check` at every level of this processor, with a model as a device has it and with transposed weights.
    fn at_every_level(&self, check: impl Fn(&str, &Model<'_, f32>)) {
        let tensors = self.tensors();
        let slices: Vec<&[f32]> = tensors.iter().map(Vec::as_slice).collect();
        for level in Level::all() {
            let model = Model::from_tensors(&self.network, &slices).unwrap();
            check(&format!("{}, {level:?}, in place", self.name), &model.clone().with_level(level));
            let mut buffer = vec![0.0; Model::<f32>::transposed_len(&self.network)];
            let model = model.with_transposed(level, &mut buffer).unwrap();
            check(&format!("{}, {level:?}", self.name), &model);
        }
    }
}

/// Largest difference, relative to the largest expected value where that is above 1.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs() / scale)
        .fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    let difference = difference(found, expected);
    println!("{what}: largest difference {difference:.1e}");
    assert!(difference <= tolerance, "{what}: {difference} > {tolerance}");
}

#[test]
fn logits_loss_and_input_gradient() {
    for case in Case::all() {
        let (images, labels) = (case.floats("images"), case.labels());
        let (logits, losses, gradients) = (case.floats("logits"), case.floats("loss"), case.floats("input_gradient"));
        case.at_every_level(|name, model| {
            let (pixels, classes) = (model.network().input().len(), model.network().classes());
            let mut buffer = vec![f32::NAN; model.gradient_len()];
            let (mut all_logits, mut all_gradients) = (Vec::new(), Vec::new());
            for (i, label) in labels.iter().enumerate() {
                let image = &images[i * pixels..][..pixels];
                let alone = model.logits(image, &mut buffer).unwrap().to_vec();
                assert_close(&format!("{name}: logits"), &alone, &logits[i * classes..][..classes], 1e-5);
                let result = model.input_gradient(image, *label, &mut buffer).unwrap();
                assert_eq!(result.logits, alone, "{name}");
                assert_close(&format!("{name}: loss"), &[result.loss], &losses[i..=i], 1e-5);
                let expected = &gradients[i * pixels..][..pixels];
                assert_close(&format!("{name}: image {i} gradient"), result.gradient, expected, 1e-5);
                all_logits.extend_from_slice(result.logits);
                all_gradients.extend_from_slice(result.gradient);
            }
            // Together, in a batch with room for one more.
            let batch = Batch::gradient(model.network(), labels.len() + 1);
            let mut buffer = vec![f32::NAN; batch.buffer_len()];
            let image = |sample: usize| &images[sample * pixels..][..pixels];
            let mut pass = batch.forward(model, labels.len(), image, &mut buffer).unwrap();
            assert_eq!(pass.logits(), all_logits, "{name}: batch");
            fill_logit_gradient(&mut pass, &labels);
            let mut gradients = vec![f32::NAN; all_gradients.len()];
            match pass.input_gradient(&mut gradients) {
                // Only the model in place, as a device has it.
                Err(Error::Length { what: "transposed weights", .. }) if name.ends_with("in place") => {}
                logits => {
                    assert_eq!((logits.as_deref(), gradients), (Ok(&*all_logits), all_gradients), "{name}: batch")
                }
            }
        });
    }
}

#[test]
fn weight_gradients() {
    for case in Case::all() {
        let (images, labels) = (case.floats("images"), case.labels());
        let infos = case.infos();
        let expected: Vec<_> = infos.iter().map(|(name, _)| case.floats(&format!("gradient.{name}"))).collect();
        case.at_every_level(|name, model| {
            if name.ends_with("in place") && Model::<f32>::transposed_len(model.network()) > 0 {
                return;
            }
            // In two parts, as threads would.
            let images: Vec<&[f32]> = images.chunks(model.network().input().len()).collect();
            let batch = Batch::training(model.network(), labels.len());
            let mut conv = vec![vec![0.0; batch.conv_parameters()]];
            let mut buffers = vec![vec![f32::NAN; batch.buffer_len()]; 2];
            let cut = labels.len() / 3;
            let parts = [(&images[..cut], &labels[..cut]), (&images[cut..], &labels[cut..])];
            let pass = |((images, labels), buffer)| {
                let (images, labels, buffer): (&[&[f32]], &[usize], &mut Vec<f32>) = (images, labels, buffer);
                let mut pass = batch.forward(model, images.len(), |sample| images[sample], buffer).unwrap();
                fill_logit_gradient(&mut pass, labels);
                pass.weight_gradient(&mut conv, labels.len().max(1)).unwrap()
            };
            let records: Vec<_> = parts.into_iter().zip(&mut buffers).map(pass).collect();
            let mut found = conv.remove(0);
            for layer in batch.dense_layers() {
                let mut weight = vec![0.0; layer.inputs() * layer.units()];
                let (front, back) = weight.split_at_mut(layer.inputs() / 2 * layer.units());
                layer.add_weight_gradient(&records, 0, front);
                layer.add_weight_gradient(&records, layer.inputs() / 2, back);
                found.extend(weight);
                if layer.has_bias() {
                    let mut gradient = vec![0.0; layer.units()];
                    layer.add_bias_gradient(&records, &mut gradient);
                    found.extend(gradient);
                }
            }
            let mut rest = found.as_slice();
            for ((tensor, shape), expected) in infos.iter().zip(&expected) {
                let (own, others) = rest.split_at(expected.len());
                let expected = if shape.len() == 4 { &filters_first(shape, expected) } else { expected };
                assert_close(&format!("{name}: gradient of {tensor}"), own, expected, 1e-5);
                rest = others;
            }
            assert!(rest.is_empty());
        });
    }
}

/// The gradient of every sample's cross-entropy.
fn fill_logit_gradient<P: Differentiable>(pass: &mut ForwardPass<'_, '_, '_, '_, P, f32>, labels: &[usize]) {
    let (logits, gradient) = pass.logit_gradient();
    let classes = logits.len() / labels.len().max(1);
    let rows = logits.chunks(classes.max(1)).zip(gradient.chunks_mut(classes.max(1))).zip(labels);
    rows.for_each(|((logits, gradient), label)| loss::cross_entropy_gradient(logits, *label, gradient));
}

/// `[row][column][in][out]` to `[out][row][column][in]`, the order of a convolution's gradient.
fn filters_first(shape: &[usize], x: &[f32]) -> Vec<f32> {
    let filters = shape[3];
    (0..x.len()).map(|k| x[k % (x.len() / filters) * filters + k / (x.len() / filters)]).collect()
}
