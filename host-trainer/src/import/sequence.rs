//! Modules of a `state_dict` in the places of an architecture that is known.

use anyhow::{Context, Result};
use midge_core::{Layer, Network, Size};

use super::graph::{Array, Graph, Op, Order, Pads, Value, Windows};
use super::module::Module;

/// The graph of a network in midge's words, with the weights of these modules, which PyTorch has laid out.
pub(super) fn fill(graph: &mut Graph, start: Value, network: &Network, modules: &[&Module]) -> Result<()> {
    let mut modules = modules.iter();
    let mut values = Vec::new();
    let mut current = start;
    for (index, layer) in network.layers().iter().enumerate() {
        let module = match layer {
            Layer::Conv2d { .. } | Layer::DepthwiseConv2d { .. } | Layer::Dense { .. } => {
                Some(modules.next().context("a layer without a module")?)
            }
            _ => None,
        };
        let name = module.map_or_else(|| format!("layer {index}"), |module| module.name.clone());
        let earlier = |layer: usize| values.get(layer).copied().context("an earlier layer");
        current = match *layer {
            Layer::From { layer } => earlier(layer)?,
            Layer::Add { layer } => graph.push(&name, Op::Add, &[current, earlier(layer)?])?,
            ref layer => graph.push(&name, operator(layer, network, index, module.copied())?, &[current])?,
        };
        if let Some((name, affine)) = module.and_then(|module| module.norm.clone()) {
            current = graph.push(&name, Op::Affine(affine), &[current])?;
        }
        values.push(current);
    }
    graph.output = current;
    Ok(())
}

fn operator(layer: &Layer, network: &Network, index: usize, module: Option<&Module>) -> Result<Op> {
    let bias = || module.and_then(|module| module.bias.as_ref()).map(|bias| bias.data.clone());
    let weight = || module.map(|module| &module.weight).context("a layer without weights");
    let windows =
        |kernel, stride, padding| Windows { kernel: pair(kernel), stride: pair(stride), pads: Pads::As(padding) };
    Ok(match *layer {
        Layer::Conv2d { kernel, stride, padding, .. } => Op::Conv {
            weight: from_oihw(weight()?),
            bias: bias(),
            windows: windows(kernel, stride, padding),
            groups: 1,
        },
        Layer::DepthwiseConv2d { kernel, stride, padding, .. } => {
            let groups = network.input_shape(index).map_or(1, |map| map.channels);
            Op::Conv { weight: from_oihw(weight()?), bias: bias(), windows: windows(kernel, stride, padding), groups }
        }
        Layer::Dense { .. } => Op::Dense { weight: weight()?.clone(), bias: bias() },
        Layer::Relu => Op::Relu,
        Layer::Relu6 => Op::Relu6,
        Layer::ShiftedRelu { hundredths } => Op::ShiftedRelu(hundredths),
        Layer::MaxPool2d { pool, padding } => {
            Op::MaxPool(Windows { kernel: [pool; 2], stride: [pool; 2], pads: Pads::As(padding) })
        }
        Layer::AvgPool2d { pool, padding } => Op::AvgPool(windows(pool, pool, padding)),
        Layer::Flatten | Layer::From { .. } | Layer::Add { .. } => Op::Flatten(Order::Chw),
    })
}

fn pair(size: Size) -> [usize; 2] {
    [size.height.into(), size.width.into()]
}

/// `[out, in, row, column]` to `[row, column, in, out]`.
pub(super) fn from_oihw(array: &Array) -> Array {
    let [filters, channels, rows, columns] = array.shape[..] else { return array.clone() };
    let mut data = Vec::with_capacity(array.data.len());
    for position in 0..rows * columns {
        for channel in 0..channels {
            let at = |filter: usize| (filter * channels + channel) * rows * columns + position;
            data.extend((0..filters).map(|filter| array.data[at(filter)]));
        }
    }
    Array { shape: vec![rows, columns, channels, filters], data }
}
