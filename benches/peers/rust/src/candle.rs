//! candle: its gradient is not the gradient. The backward of max-pooling is scaled by 1/4 and ReLU'(0) is 1.

use std::io::{stdin, stdout};
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use serde_json::json;

use crate::Weight;
use crate::protocol::{self, Answer, EPS};

struct Cnn {
    /// `[filters][channels][3][3]`.
    convolutions: [Tensor; 2],
    /// `[inputs][units]`, inputs flattened channel first, and biases.
    dense: [(Tensor, Tensor); 2],
}

impl Cnn {
    fn read(folder: &Path) -> protocol::Result<Self> {
        let weights = crate::weights(folder)?;
        let tensor = |name: &str| -> protocol::Result<Tensor> {
            let Weight { shape, values } = weights.get(name).ok_or_else(|| format!("no tensor {name}"))?;
            Ok(Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?)
        };
        let convolution =
            |name: &str| -> protocol::Result<Tensor> { Ok(tensor(name)?.permute((3, 2, 0, 1))?.contiguous()?) };
        let first = tensor("7.weight")?.reshape((7, 7, 64, 256))?.permute((2, 0, 1, 3))?.reshape((3136, 256))?;
        Ok(Self {
            convolutions: [convolution("0.weight")?, convolution("3.weight")?],
            dense: [(first.contiguous()?, tensor("7.bias")?), (tensor("9.weight")?, tensor("9.bias")?)],
        })
    }

    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = images.clone();
        for filters in &self.convolutions {
            x = x.conv2d(filters, 1, 1, 1, 1)?.relu()?.max_pool2d(2)?;
        }
        let [(w1, b1), (w2, b2)] = &self.dense;
        let x = x.flatten_from(1)?.matmul(w1)?.broadcast_add(b1)?.relu()?;
        x.matmul(w2)?.broadcast_add(b2)
    }

    /// Gradient of the sum of the losses.
    fn gradient(&self, images: &Tensor, labels: &[usize]) -> Result<Tensor> {
        let images = Var::from_tensor(images)?;
        let labels: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
        let labels = Tensor::new(labels, &Device::Cpu)?;
        let mean = candle_nn::loss::cross_entropy(&self.logits(&images)?, &labels)?;
        let mut gradients = (mean * labels.elem_count() as f64)?.backward()?;
        gradients.remove(&images).ok_or_else(|| candle_core::Error::Msg("no gradient".into()))
    }

    fn fgsm(&self, images: &Tensor, labels: &[usize]) -> Result<Tensor> {
        let step = (self.gradient(images, labels)?.sign()? * f64::from(EPS))?;
        (images + step)?.clamp(0f32, 1f32)
    }
}

/// Answers the driver.
pub(crate) fn serve(folder: &Path) -> protocol::Result<()> {
    let sets = protocol::read_inputs(folder)?;
    let cnn = Cnn::read(folder)?;
    let settings = ["default"];
    let work = json!({ "forward": settings, "gradient": settings, "fgsm": settings });
    let hello = json!({ "name": "candle", "version": "0.11.1", "work": work });
    protocol::serve(&hello, stdin().lock(), stdout(), |request| {
        let set = crate::set(&sets, request)?;
        let mut values = Vec::new();
        let start = Instant::now();
        for (images, labels) in crate::batches(set, request) {
            let images = Tensor::from_slice(images, (labels.len(), 1, 28, 28), &Device::Cpu)?;
            let result = match request.work.as_str() {
                "forward" => cnn.logits(&images)?,
                "gradient" => cnn.gradient(&images, labels)?,
                "fgsm" => cnn.fgsm(&images, labels)?,
                other => return Err(format!("no work {other:?}").into()),
            };
            values.extend(result.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Answer { seconds: start.elapsed().as_secs_f64(), values, ..Answer::default() })
    })
}
