//! burn with its `flex` backend.

use std::io::{stdin, stdout};
use std::path::Path;
use std::time::Instant;

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::json;

use crate::Weight;
use crate::protocol::{self, Answer, EPS, Result};

struct Cnn {
    device: Device,
    /// `[filters][channels][3][3]`.
    convolutions: [Tensor<4>; 2],
    /// `[inputs][units]`, inputs flattened channel first, and biases.
    dense: [(Tensor<2>, Tensor<2>); 2],
}

impl Cnn {
    fn read(folder: &Path, device: Device) -> Result<Self> {
        let weights = crate::weights(folder)?;
        let data = |name: &str| -> Result<TensorData> {
            let Weight { shape, values } = weights.get(name).ok_or_else(|| format!("no tensor {name}"))?;
            Ok(TensorData::new(values.clone(), shape.clone()))
        };
        let convolution =
            |name: &str| -> Result<Tensor<4>> { Ok(Tensor::from_data(data(name)?, &device).permute([3, 2, 0, 1])) };
        let bias = |name: &str| -> Result<Tensor<2>> { Ok(Tensor::<1>::from_data(data(name)?, &device).unsqueeze()) };
        let first = Tensor::<2>::from_data(data("7.weight")?, &device).reshape([7, 7, 64, 256]);
        let first = first.permute([2, 0, 1, 3]).reshape([3136, 256]);
        let last = Tensor::<2>::from_data(data("9.weight")?, &device);
        let dense = [(first, bias("7.bias")?), (last, bias("9.bias")?)];
        let convolutions = [convolution("0.weight")?, convolution("3.weight")?];
        Ok(Self { convolutions, dense, device })
    }

    fn images(&self, pixels: &[f32]) -> Tensor<4> {
        let shape = [pixels.len() / protocol::PIXELS, 1, 28, 28];
        Tensor::from_data(TensorData::new(pixels.to_vec(), shape), &self.device)
    }

    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for filters in &self.convolutions {
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            x = relu(conv2d(x, filters.clone(), None, options));
            x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
        }
        let [(w1, b1), (w2, b2)] = self.dense.clone();
        let x = relu(x.flatten::<2>(1, 3).matmul(w1) + b1);
        x.matmul(w2) + b2
    }

    /// Gradient of the sum of the losses.
    fn gradient(&self, pixels: &[f32], labels: &[usize]) -> Result<Tensor<4>> {
        let images = self.images(pixels).require_grad();
        let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &self.device).unsqueeze_dim::<2>(1);
        let loss = log_softmax(self.logits(images.clone()), 1).gather(1, labels).sum().neg();
        Ok(images.grad(&loss.backward()).ok_or("no gradient")?)
    }

    fn fgsm(&self, pixels: &[f32], labels: &[usize]) -> Result<Tensor<4>> {
        let gradient = self.gradient(pixels, labels)?;
        Ok((self.images(pixels).inner() + gradient.sign() * EPS).clamp(0.0, 1.0))
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_to_vec().map_err(|error| format!("{error:?}").into())
}

/// Answers the driver.
pub(crate) fn serve(folder: &Path) -> Result<()> {
    let sets = protocol::read_inputs(folder)?;
    let forward = Cnn::read(folder, Device::flex())?;
    let backward = Cnn::read(folder, Device::flex().autodiff())?;
    let settings = ["flex"];
    let work = json!({ "forward": settings, "gradient": settings, "fgsm": settings });
    let hello = json!({ "name": "burn", "version": "0.22.1", "work": work });
    protocol::serve(&hello, stdin().lock(), stdout(), |request| {
        let set = crate::set(&sets, request)?;
        let mut results = Vec::new();
        let start = Instant::now();
        for (images, labels) in crate::batches(set, request) {
            results.extend(match request.work.as_str() {
                "forward" => values(forward.logits(forward.images(images)))?,
                "gradient" => values(backward.gradient(images, labels)?)?,
                "fgsm" => values(backward.fgsm(images, labels)?)?,
                other => return Err(format!("no work {other:?}").into()),
            });
        }
        Ok(Answer { seconds: start.elapsed().as_secs_f64(), values: results, ..Answer::default() })
    })
}
