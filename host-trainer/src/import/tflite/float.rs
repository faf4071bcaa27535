//! The tensors of a graph of floating-point numbers, in midge's order.

use anyhow::{Context, Result, ensure};
use midge_core::{Layer, Network};

use super::layers::{Lowered, lower};
use crate::tflite::{Graph, Operator};
use crate::weights::{Tensor, Weights, tensor, tensor_infos};

/// The network of a graph of floating-point numbers.
///
/// # Errors
/// What midge does not have, by name, and a graph that is not well formed.
pub fn float_network(graph: &Graph<'_>) -> Result<Weights> {
    let lowered = lower(graph, None)?;
    let network = Network::try_new(lowered.input, &lowered.layers)?;
    let tensors = tensor_infos(&network).into_iter().map(|info| {
        let index = lowered.operators.get(&info.layer).context("a layer that no operator made")?;
        let operator = &graph.operators[*index];
        let built = if info.name.ends_with("bias") {
            bias(graph, operator)
        } else {
            weight(graph, operator, &info.shape, &lowered, info.layer)
        };
        built.with_context(|| format!("operator {index} ({})", operator.kind.name()))
    });
    let tensors = tensors.collect::<Result<_>>()?;
    Ok(Weights::new(network, tensors))
}

/// The bias, of a layer that has one.
fn bias(graph: &Graph<'_>, operator: &Operator) -> Result<Tensor> {
    let bias = operator.inputs.get(2).copied().flatten().context("its bias is missing")?;
    Ok(tensor(&graph.tensors[bias].f32s()?))
}

/// `[filter][row][column][channel]` to `[row][column][channel][filter]`, `[unit][input]` to `[input][unit]`; the weights of a
/// depthwise convolution are in midge's order.
fn weight(graph: &Graph<'_>, operator: &Operator, shape: &[usize], lowered: &Lowered, layer: usize) -> Result<Tensor> {
    let weights = operator.inputs.get(1).copied().flatten().context("its weights are missing")?;
    let values = graph.tensors[weights].f32s()?;
    let expected = shape.iter().product::<usize>();
    ensure!(values.len() == expected, "expected {expected} weights, found {}", values.len());
    if matches!(lowered.layers[layer], Layer::DepthwiseConv2d { .. }) {
        return Ok(tensor(&values));
    }
    let outputs = *shape.last().context("its weights have no dimension")?;
    let inputs = expected / outputs.max(1);
    Ok(tensor(&(0..expected).map(|i| values[i % outputs * inputs + i / outputs]).collect::<Vec<_>>()))
}
