//! Weights and biases of floating-point numbers in the order of a `.tflite` file.

use anyhow::{Context, Result};
use midge_core::Layer;

use super::Step;
use crate::weights::{Weights, tensor_infos};

/// What an operator with weights multiplies with and adds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameters {
    /// `[filters, height, width, channels]`, of a depthwise convolution `[1, height, width, filters]`, of a dense layer
    /// `[units, inputs]`.
    pub shape: Vec<usize>,
    /// The weights, in that order.
    pub weights: Vec<f32>,
    /// One for each output, less the threshold behind it; none of a dense layer with neither.
    pub bias: Option<Vec<f32>>,
    /// The dimension of the outputs.
    pub dimension: usize,
}

impl Parameters {
    /// Those of a step with weights.
    pub(crate) fn of(weights: &Weights, step: &Step) -> Result<Self> {
        let network = &weights.network;
        let find = |name: &str| {
            let name = format!("{}.{name}", step.layer);
            let all = tensor_infos(network).into_iter().zip(&weights.tensors);
            all.into_iter().find(|(info, _)| info.name == name)
        };
        let (info, values) = find("weight").context("its weights are missing")?;
        let outputs = *info.shape.last().context("its weights have no dimension")?;
        let is_depthwise = matches!(network.layers()[step.layer], Layer::DepthwiseConv2d { .. });
        let (shape, weights) = if is_depthwise {
            ([vec![1], info.shape].concat(), values.to_vec())
        } else {
            let inputs = values.len() / outputs.max(1);
            let before = &info.shape[..info.shape.len() - 1];
            // [row][column][channel][filter] to [filter][row][column][channel].
            let turned = (0..values.len()).map(|i| values[i % inputs * outputs + i / inputs]).collect();
            ([&[outputs], before].concat(), turned)
        };
        // TensorFlow Lite's convolutions have biases.
        let is_dense = matches!(network.layers()[step.layer], Layer::Dense { .. });
        let bias = match find("bias") {
            None if is_dense && step.threshold == 0.0 => None,
            None => Some(vec![0.0 - step.threshold; outputs]),
            Some((_, bias)) => Some(bias.iter().map(|b| b - step.threshold).collect()),
        };
        Ok(Self { shape, weights, bias, dimension: if is_depthwise { 3 } else { 0 } })
    }

    /// Number of outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.shape[self.dimension]
    }

    /// The output that weight `index` belongs to.
    pub(crate) fn output_of(&self, index: usize) -> usize {
        if self.dimension == 0 { index / (self.weights.len() / self.outputs()) } else { index % self.outputs() }
    }
}
