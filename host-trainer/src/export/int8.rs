//! The numbers of a network of integers. A `.tflite` file has the scales of the weights, from which multipliers follow; midge's
//! file has the multipliers. A multiplier has 31 bits and a scale 24, so the scale that it was made of is the one nearest to
//! what it says.

use anyhow::{Context, Result};
use midge_core::Layer;

use super::{Constants, Numbers, Step};
use crate::import::tflite::folds::mean_multiplier;
use crate::import::tflite::multiplier::{Scales, product};
use crate::quantised::{Int8Stage, Int8Weights};
use crate::tflite::{Activation, ElementType, Kind, Quantisation};

/// A network with its tensors.
pub(super) struct Int8<'w> {
    pub weights: &'w Int8Weights,
}

impl Int8<'_> {
    fn stage(&self, step: &Step) -> Result<&Int8Stage> {
        self.weights.stages.get(step.stage).context("its tensors are missing")
    }
}

/// A scale for each output, or one for all of them, that the multipliers follow from. If there is none, what is nearest.
fn scales(stage: &Int8Stage, is_dense: bool) -> Vec<f32> {
    let [input, output] = stage.scales;
    let first = stage.multipliers.first().copied().unwrap_or_default();
    let of = |multiplier: [i32; 2], is_one: bool| {
        let scales = Scales { input, output, is_product_f32: is_dense && is_one };
        scales.inverse(multiplier)
    };
    let is_one = stage.multipliers.iter().all(|multiplier| *multiplier == first);
    if is_one && let (scale, true) = of(first, true) {
        return vec![scale];
    }
    stage.multipliers.iter().map(|multiplier| of(*multiplier, false).0).collect()
}

/// A depthwise convolution that is a mean over rows and columns becomes one again: its multipliers do not follow from scales.
pub(super) fn turn_into_mean(weights: &Int8Weights, step: &mut Step) {
    let Some(stage) = weights.stages.get(step.stage) else { return };
    let map = weights.network.input_shape(step.layer).unwrap_or(midge_core::Shape::hwc(1, 1, 1));
    let multiplier = mean_multiplier(stage.scales[0], stage.scales[1], map.height * map.width);
    let is_mean = matches!(&step.kind, Kind::DepthwiseConv2d { multiplier: 1, .. })
        && step.kind.activation() == Activation::None
        && stage.weights.len() == map.len()
        && stage.weights.iter().all(|w| *w == 1)
        && stage.bias.iter().all(|b| *b == 0)
        && stage.multipliers.iter().all(|own| *own == multiplier);
    if is_mean {
        step.kind = Kind::Mean { keep_dims: false };
        step.shape = vec![1, map.channels];
    }
}

impl Numbers for Int8<'_> {
    const ELEMENTS: [ElementType; 2] = [ElementType::I8, ElementType::I32];

    fn image(&self) -> Result<Quantisation> {
        let first = self.weights.stages.first().context("expected a layer")?;
        Ok(Quantisation::per_tensor(first.scales[0], first.range[0].into()))
    }

    fn output(&mut self, step: &Step, _: &Quantisation) -> Result<Quantisation> {
        let stage = self.stage(step)?;
        Ok(Quantisation::per_tensor(stage.scales[1], stage.range[1].into()))
    }

    fn constants(&mut self, step: &Step, _: &Quantisation) -> Result<Constants> {
        let stage = self.stage(step)?;
        let shape = weight_shape(self.weights, step)?;
        let is_dense = matches!(step.kind, Kind::FullyConnected { .. });
        let dimension = if matches!(step.kind, Kind::DepthwiseConv2d { .. }) { 3 } else { 0 };
        let scales = scales(stage, is_dense);
        let of_bias = scales.iter().map(|scale| product(stage.scales[0], *scale) as f32).collect();
        let with = |scales: Vec<f32>, dimension| Quantisation { zero_points: vec![0; scales.len()], scales, dimension };
        let bytes = stage.weights.iter().map(|w| *w as u8).collect();
        let has_bias = stage.bias.iter().any(|b| *b != 0) || has_bias(&self.weights.network.layers()[step.layer]);
        let bias = has_bias.then(|| (stage.bias.iter().flat_map(|b| b.to_le_bytes()).collect(), with(of_bias, 0)));
        Ok(Constants { weights: (shape, bytes, with(scales, dimension)), bias })
    }
}

fn has_bias(layer: &Layer) -> bool {
    match layer {
        Layer::Dense { bias, .. } => *bias,
        // TensorFlow Lite's convolutions have biases.
        _ => true,
    }
}

/// The dimensions of a step's weights.
fn weight_shape(weights: &Int8Weights, step: &Step) -> Result<Vec<usize>> {
    let shape = weights.network.weight_shape(step.layer);
    Ok(match (&step.kind, &shape[..]) {
        (Kind::DepthwiseConv2d { .. }, shape) => [&[1], shape].concat(),
        (_, [before @ .., outputs]) => [&[*outputs], before].concat(),
        _ => anyhow::bail!("its weights have no dimension"),
    })
}
