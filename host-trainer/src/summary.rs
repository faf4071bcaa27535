//! The layers of a model, and what it needs of a device's flash and RAM.

use std::fmt::Display;

use anyhow::Result;
use midge_core::{Layer, Network, Padding, Shape, Size};
use serde::Serialize;

use crate::weights::{DType, Weights};

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name with its options.
    pub layer: String,
    /// Dimensions of its output: rows, columns and channels, or one number once the network is flat.
    pub output: Vec<usize>,
    /// Number of its weights.
    pub parameters: usize,
}

/// The layers of a network.
pub fn rows(network: &Network) -> Vec<Row> {
    let layers = network.layers().iter().enumerate().map(|(i, layer)| {
        let (weight, bias) = network.layer_parameters(i);
        Row { layer: title(layer), output: dimensions(network, i), parameters: weight + bias }
    });
    layers.collect()
}

fn title(layer: &Layer) -> String {
    match layer {
        Layer::Conv2d { kernel, stride, padding, .. } => format!("Conv2d {}", window(*kernel, *stride, *padding)),
        Layer::DepthwiseConv2d { kernel, stride, padding, .. } => {
            format!("DepthwiseConv2d {}", window(*kernel, *stride, *padding))
        }
        Layer::Relu => "ReLU".into(),
        Layer::Relu6 => "ReLU6".into(),
        Layer::ShiftedRelu { hundredths } => format!("ReLU above {}", f32::from(*hundredths) / 100.0),
        Layer::MaxPool2d { pool, .. } => format!("MaxPool2d {pool}x{pool}"),
        Layer::AvgPool2d { pool: Size { height, width }, .. } => format!("AvgPool2d {height}x{width}"),
        Layer::From { layer } => format!("from layer {layer}"),
        Layer::Add { layer } => format!("Add layer {layer}"),
        Layer::Flatten => "Flatten".into(),
        Layer::Dense { .. } => "Dense".into(),
    }
}

fn window(kernel: Size, stride: Size, padding: Padding) -> String {
    let stride = if stride == Size::ONE { String::new() } else { format!(", stride {stride}") };
    format!("{}x{}, {padding}{stride}", kernel.height, kernel.width)
}

fn dimensions(network: &Network, layer: usize) -> Vec<usize> {
    let Shape { height, width, channels } = network.output_shape(layer).unwrap_or(network.input());
    let flat = network.layers()[..=layer].contains(&Layer::Flatten);
    if flat { vec![channels] } else { vec![height, width, channels] }
}

/// Bytes on a device. RAM is images and all buffers, without the stack; weights stay in flash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The model file with f32 weights.
    pub flash_bytes_f32: usize,
    /// The model file with f16 weights.
    pub flash_bytes_f16: usize,
    /// Classification, with the image. RAM is the same for both types of weights: arithmetic is f32.
    pub ram_bytes_inference: usize,
    /// FGSM, with the clean and the adversarial image; BIM needs no more.
    pub ram_bytes_fgsm: usize,
    /// OTCM.
    pub ram_bytes_otcm: usize,
    /// MI-FGSM.
    pub ram_bytes_mi_fgsm: usize,
    /// PGD from one start.
    pub ram_bytes_pgd: usize,
    /// PGD from several, which keeps the worst image.
    pub ram_bytes_pgd_restarts: usize,
}

impl Memory {
    /// What `weights` need.
    ///
    /// # Errors
    /// If a weight does not fit f16.
    pub fn of(weights: &Weights) -> Result<Self> {
        let network = &weights.network;
        // An attack holds the clean and the adversarial image beside its buffer, classification one image.
        let image = network.input().len();
        let attack = |buffer: usize| 4 * (2 * image + buffer);
        Ok(Self {
            flash_bytes_f32: weights.to_bytes(DType::F32)?.len(),
            flash_bytes_f16: weights.to_bytes(DType::F16)?.len(),
            ram_bytes_inference: 4 * (image + network.inference_len()),
            ram_bytes_fgsm: attack(network.gradient_len()),
            ram_bytes_otcm: attack(network.gradient_len()),
            ram_bytes_mi_fgsm: attack(network.attack_len()),
            ram_bytes_pgd: attack(network.gradient_len()),
            ram_bytes_pgd_restarts: attack(network.attack_len()),
        })
    }
}

/// `824362` as `824,362`.
pub fn thousands(n: impl Display) -> String {
    let digits = n.to_string();
    let groups: Vec<String> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            ["7", "28", "288", "2,570", "824,362"].map(String::from),
            [7, 28, 288, 2570, 824_362].map(super::thousands)
        );
    }
}
