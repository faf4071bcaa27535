//! The float twin of a model of integers: the real-valued network whose rounding the integers are.

use anyhow::Result;
use midge_core::{Layer, Network};

use crate::quantised::{Int8Stage, Int8Weights};
use crate::weights::{Tensor, Weights, tensor, tensor_infos};

/// The network with the weights and biases that the integers stand for. It takes the same pixels.
///
/// # Errors
/// None that a model that was read can have.
pub fn float_twin(weights: &Int8Weights) -> Result<Weights> {
    let network = Network::try_new(weights.network.input(), weights.network.layers())?;
    let stages: Vec<(usize, &Int8Stage)> = weights.network.int8_stages().zip(&weights.stages).collect();
    let mut tensors = Vec::new();
    for info in tensor_infos(&network) {
        let Some((_, stage)) = stages.iter().find(|(layer, _)| *layer == info.layer) else {
            anyhow::bail!("layer {} begins no stage of integers", info.layer);
        };
        tensors.push(if info.name.ends_with("bias") {
            bias(stage)
        } else {
            let is_depthwise = matches!(network.layers()[info.layer], Layer::DepthwiseConv2d { .. });
            weight(stage, is_depthwise)
        });
    }
    let input = weights.input();
    let range = input.grid.map_or(input.range, |grid| grid.range());
    Ok(Weights { range, metadata: weights.metadata.clone(), ..Weights::new(network, tensors) })
}

/// A bias of integers has the unit of the sums, and starts from them.
fn bias(stage: &Int8Stage) -> Tensor {
    let input = f64::from(stage.scales[0]);
    let real = |(o, bias): (usize, &i32)| (f64::from(*bias) * stage.weight_scale(o) * input) as f32;
    tensor(&stage.bias.iter().enumerate().map(real).collect::<Vec<_>>())
}

/// `[filter][row][column][channel]` to `[row][column][channel][filter]`, `[unit][input]` to `[input][unit]`; the weights of a
/// depthwise convolution are in midge's order.
fn weight(stage: &Int8Stage, is_depthwise: bool) -> Tensor {
    let outputs = stage.bias.len().max(1);
    let inputs = stage.weights.len() / outputs;
    let scales: Vec<f64> = (0..outputs).map(|o| stage.weight_scale(o)).collect();
    let real = |i: usize| {
        let o = i % outputs;
        let w = if is_depthwise { stage.weights[i] } else { stage.weights[o * inputs + i / outputs] };
        (f64::from(w) * scales[o]) as f32
    };
    tensor(&(0..inputs * outputs).map(real).collect::<Vec<_>>())
}
