//! The layers of a model, and what it needs of a device's flash and RAM.

use std::fmt::Display;

use anyhow::Result;
use midge_core::{Grid, Layer, Network, Padding, Shape, Size};
use serde::Serialize;

use crate::any_weights::AnyWeights;
use crate::evaluation::classifier::Classifier as _;
use crate::quantised::{Int8Stage, Int8Weights};
use crate::weights::DType;

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name with its options.
    pub layer: String,
    /// Dimensions of its output: rows, columns and channels, or one number once the network is flat.
    pub output: Vec<usize>,
    /// Number of its weights.
    pub parameters: usize,
    /// In a model of integers, how a layer that begins a stage is quantised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<StageQuantisation>,
}

/// How a stage of a model of integers is quantised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageQuantisation {
    /// Its output, with the ReLU and the pooling behind the layer.
    pub output: Scale,
    /// Whether each output channel of the weights has a scale of its own; null without weights.
    pub per_channel: Option<bool>,
}

/// What integers stand for: `scale * (integer - zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scale {
    /// From one integer to the next.
    pub scale: f32,
    /// The integer of 0.
    pub zero_point: i32,
}

impl From<Grid> for Scale {
    fn from(Grid { scale, zero_point }: Grid) -> Self {
        Self { scale, zero_point }
    }
}

/// How a model of integers is quantised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quantisation {
    /// The image.
    pub input: Scale,
    /// Its smallest and its largest value.
    pub range: [f32; 2],
    /// The logits.
    pub logits: Scale,
    /// Stages whose weights have a scale for each output channel.
    pub per_channel: usize,
    /// Stages whose weights have one scale.
    pub per_tensor: usize,
}

impl Quantisation {
    /// That of a model of integers; others have none.
    pub fn of(weights: &AnyWeights) -> Option<Self> {
        let AnyWeights::Int8(weights) = weights else { return None };
        let (input, last) = (weights.input(), weights.stages.last()?);
        let kinds = || weights.stages.iter().filter_map(per_channel);
        Some(Self {
            input: input.grid?.into(),
            range: input.range,
            logits: output(last),
            per_channel: kinds().filter(|per_channel| *per_channel).count(),
            per_tensor: kinds().filter(|per_channel| !*per_channel).count(),
        })
    }
}

fn output(stage: &Int8Stage) -> Scale {
    Scale { scale: stage.scales[1], zero_point: stage.range[1] }
}

/// Whether the weights of a stage have several scales, which its multipliers hold; nothing is said of a single channel.
fn per_channel(stage: &Int8Stage) -> Option<bool> {
    let first = stage.multipliers.first()?;
    (!stage.weights.is_empty()).then(|| stage.multipliers.iter().any(|multiplier| multiplier != first))
}

/// The layers of a model.
pub fn rows(weights: &AnyWeights) -> Vec<Row> {
    let network = weights.network();
    let layers = network.layers().iter().enumerate().map(|(i, layer)| {
        let (weight, bias) = network.layer_parameters(i);
        let quantisation = if let AnyWeights::Int8(weights) = weights { of_layer(weights, i) } else { None };
        Row { layer: title(layer), output: dimensions(network, i), parameters: weight + bias, quantisation }
    });
    layers.collect()
}

fn of_layer(weights: &Int8Weights, layer: usize) -> Option<StageQuantisation> {
    let (_, stage) = weights.network.int8_stages().zip(&weights.stages).find(|(first, _)| *first == layer)?;
    Some(StageQuantisation { output: output(stage), per_channel: per_channel(stage) })
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
    let padding = if let Padding::Zeros(_) = padding { format!("padding {padding}") } else { padding.to_string() };
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
    /// The model file with f32 weights, of a model of floating-point numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_bytes_f32: Option<usize>,
    /// The model file with f16 weights, of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_bytes_f16: Option<usize>,
    /// The model file of a model of integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_bytes_i8: Option<usize>,
    /// Classification, with the image. RAM is the same for f32 and f16: arithmetic is f32.
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
    pub fn of(weights: &AnyWeights) -> Result<Self> {
        let network = weights.network();
        let [f32, f16, i8] = match weights {
            AnyWeights::Float(weights) => {
                [Some(weights.to_bytes(DType::F32)?.len()), Some(weights.to_bytes(DType::F16)?.len()), None]
            }
            AnyWeights::Int8(weights) => [None, None, Some(weights.to_bytes()?.len())],
        };
        // An attack holds the clean and the adversarial image beside its buffer, classification one image.
        let image = network.input().len();
        let attack = |buffer: usize| 4 * (2 * image + buffer);
        Ok(Self {
            flash_bytes_f32: f32,
            flash_bytes_f16: f16,
            flash_bytes_i8: i8,
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
