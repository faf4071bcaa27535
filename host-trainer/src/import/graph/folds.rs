//! What goes into the weights beside it: a padding into the convolution behind it, a BatchNorm and whatever else is
//! `scale * x + shift` into the convolution or dense layer before it, or into the one behind it.
//!
//! Into the one behind it only where no padding lies between: frameworks pad with zeros behind the normalisation, which are not
//! the zeros before it. Where neither is possible it stays, as a depthwise convolution of 1x1, which is exact everywhere.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use midge_core::{Padding, Shape};

use super::operators::{Affine, Array, Graph, Node, Op, Order, Value};
use super::windows::{Pads, Windows};

/// Folds all that can be folded.
///
/// # Errors
/// By name, what is neither a part of a layer nor one of midge's.
pub(super) fn fold(graph: &mut Graph) -> Result<()> {
    prune(graph);
    for index in 0..graph.nodes.len() {
        match graph.nodes[index].op {
            Op::Pad(pads) => fold_pad(graph, index, pads)?,
            Op::Affine(_) => fold_affine(graph, index)?,
            _ => {}
        }
    }
    prune(graph);
    Ok(())
}

/// Drops what does not lead to the output.
fn prune(graph: &mut Graph) {
    let mut used = BTreeSet::new();
    let mut waiting = vec![graph.output];
    while let Some(value) = waiting.pop() {
        if let Value::Node(index) = value
            && used.insert(index)
        {
            waiting.extend(&graph.nodes[index].inputs);
        }
    }
    // Places in order, so a node's new number is how many stand before it.
    let places: Vec<usize> = used.into_iter().collect();
    let moved = |value: Value| match value {
        Value::Node(index) => Value::Node(places.binary_search(&index).unwrap_or(0)),
        Value::Image => Value::Image,
    };
    graph.output = moved(graph.output);
    let mut nodes = std::mem::take(&mut graph.nodes);
    graph.nodes = places.iter().map(|index| std::mem::replace(&mut nodes[*index], nothing())).collect();
    for node in &mut graph.nodes {
        node.inputs = node.inputs.iter().map(|value| moved(*value)).collect();
    }
}

/// What stands where a node was.
fn nothing() -> Node {
    Node { name: String::new(), op: Op::Relu, inputs: Vec::new(), shape: Shape::hwc(1, 1, 1), is_flat: false }
}

/// Lets everyone read what `index` reads.
fn bypass(graph: &mut Graph, index: usize) {
    let input = graph.nodes[index].inputs[0];
    let values = graph.nodes.iter_mut().flat_map(|node| &mut node.inputs).chain([&mut graph.output]);
    values.filter(|value| **value == Value::Node(index)).for_each(|value| *value = input);
    // It reads nothing any more, so it is no reader of what stands before it.
    graph.nodes[index].inputs.clear();
}

fn fold_pad(graph: &mut Graph, index: usize, pads: [[usize; 2]; 2]) -> Result<()> {
    let readers: Vec<usize> = graph.readers(index).collect();
    let name = graph.nodes[index].name.clone();
    for reader in &readers {
        let Node { op, name: other, .. } = &mut graph.nodes[*reader];
        match op {
            Op::Conv { windows: Windows { pads: Pads::Explicit(own), .. }, .. } => {
                for (own, more) in own.iter_mut().flatten().zip(pads.iter().flatten()) {
                    *own = own.saturating_add(*more);
                }
            }
            _ => anyhow::bail!("{name}: a padding in front of {other}: expected a convolution behind it"),
        }
        graph.notes.push(format!("{name}: padding folded into {other}"));
    }
    ensure!(graph.output != Value::Node(index), "{name}: a padding at the end of the network");
    bypass(graph, index);
    Ok(())
}

fn fold_affine(graph: &mut Graph, index: usize) -> Result<()> {
    let Op::Affine(affine) = graph.nodes[index].op.clone() else { return Ok(()) };
    let name = graph.nodes[index].name.clone();
    if let Value::Node(before) = graph.nodes[index].inputs[0]
        && graph.readers(before).count() == 1
        && multiply_outputs(&mut graph.nodes[before].op, &affine)
    {
        graph.notes.push(format!("{name}: folded into {}", graph.nodes[before].name));
        bypass(graph, index);
        return Ok(());
    }
    let readers: Vec<usize> = graph.readers(index).collect();
    if let [reader] = readers[..]
        && let Op::Flatten(order) = graph.nodes[reader].op
    {
        swap_with_flatten(graph, index, reader, &affine, order);
        return Ok(());
    }
    let map = graph.nodes[index].shape;
    let is_output = graph.output == Value::Node(index);
    if !is_output && readers.iter().all(|reader| takes_inputs(&graph.nodes[*reader].op, &affine, map)) {
        for reader in readers {
            multiply_inputs(&mut graph.nodes[reader].op, &affine);
            graph.notes.push(format!("{name}: folded into {}", graph.nodes[reader].name));
        }
        bypass(graph, index);
        return Ok(());
    }
    let Node { op, shape, is_flat, .. } = &mut graph.nodes[index];
    ensure!(!*is_flat, "{name}: a normalisation of a vector, with no dense layer beside it that it could go into");
    *op = pointwise(&affine, shape.channels);
    let why =
        "a depthwise convolution of 1x1, because what stands behind it pads its map with zeros or is no convolution";
    graph.notes.push(format!("{name}: a layer of its own ({why})"));
    Ok(())
}

/// The number for a channel.
fn at(numbers: &[f64], channel: usize) -> f64 {
    if numbers.len() == 1 { numbers[0] } else { numbers[channel] }
}

/// Puts what stands behind a layer into its weights; `false` if it has none.
fn multiply_outputs(op: &mut Op, Affine { scale, shift }: &Affine) -> bool {
    let (weight, bias, outputs) = match op {
        Op::Conv { weight, bias, .. } => {
            let filters = weight.shape[3];
            for (i, w) in weight.data.iter_mut().enumerate() {
                *w = (f64::from(*w) * at(scale, i % filters)) as f32;
            }
            (weight, bias, filters)
        }
        Op::Dense { weight, bias } => {
            let inputs = weight.shape[1].max(1);
            for (i, w) in weight.data.iter_mut().enumerate() {
                *w = (f64::from(*w) * at(scale, i / inputs)) as f32;
            }
            let units = weight.shape[0];
            (weight, bias, units)
        }
        Op::Affine(before) => {
            let channels = [scale, shift, &before.scale, &before.shift].iter().map(|n| n.len()).max().unwrap_or(1);
            let all = 0..channels;
            *before = Affine {
                scale: all.clone().map(|c| at(&before.scale, c) * at(scale, c)).collect(),
                shift: all.map(|c| at(&before.shift, c) * at(scale, c) + at(shift, c)).collect(),
            };
            return true;
        }
        _ => return false,
    };
    let _ = weight;
    let old = bias.take().unwrap_or_else(|| vec![0.0; outputs]);
    let new = old.iter().enumerate().map(|(o, b)| (f64::from(*b) * at(scale, o) + at(shift, o)) as f32);
    *bias = Some(new.collect());
    true
}

/// Whether what stands before a layer can go into its weights.
fn takes_inputs(op: &Op, affine: &Affine, map: Shape) -> bool {
    match op {
        Op::Conv { windows, .. } => {
            let is_padded = windows.padding(map, true).is_ok_and(|padding| padding != Padding::Valid);
            !is_padded || affine.shift.iter().all(|shift| *shift == 0.0)
        }
        Op::Dense { .. } => true,
        _ => false,
    }
}

/// Puts what stands before a layer into its weights.
fn multiply_inputs(op: &mut Op, Affine { scale, shift }: &Affine) {
    let (bias, sums) = match op {
        Op::Conv { weight, bias, groups, .. } => {
            let (channels, filters) = (weight.shape[2], weight.shape[3]);
            let per_group = filters / (*groups).max(1);
            let mut sums = vec![0.0; filters];
            for (i, w) in weight.data.iter_mut().enumerate() {
                let filter = i % filters;
                let channel = i / filters % channels + filter / per_group * channels;
                sums[filter] += f64::from(*w) * at(shift, channel);
                *w = (f64::from(*w) * at(scale, channel)) as f32;
            }
            (bias, sums)
        }
        Op::Dense { weight, bias } => {
            let inputs = weight.shape[1];
            let mut sums = vec![0.0; weight.shape[0]];
            for (i, w) in weight.data.iter_mut().enumerate() {
                sums[i / inputs] += f64::from(*w) * at(shift, i % inputs);
                *w = (f64::from(*w) * at(scale, i % inputs)) as f32;
            }
            (bias, sums)
        }
        _ => return,
    };
    if bias.is_some() || sums.iter().any(|sum| *sum != 0.0) {
        let old = bias.take().unwrap_or_else(|| vec![0.0; sums.len()]);
        *bias = Some(old.iter().zip(&sums).map(|(b, sum)| (f64::from(*b) + sum) as f32).collect());
    }
}

/// Before a flatten and behind it is the same, with a number for each element.
fn swap_with_flatten(graph: &mut Graph, index: usize, flatten: usize, affine: &Affine, order: Order) {
    let map = graph.nodes[index].shape;
    let positions = map.height * map.width;
    let spread = |numbers: &[f64]| -> Vec<f64> {
        if numbers.len() == 1 {
            return numbers.to_vec();
        }
        let channel = |i: usize| if order == Order::Chw { i / positions } else { i % map.channels };
        (0..map.len()).map(|i| at(numbers, channel(i))).collect()
    };
    let spread = Affine { scale: spread(&affine.scale), shift: spread(&affine.shift) };
    graph.nodes[flatten].op = Op::Affine(spread);
    let own = graph.nodes[index].name.clone();
    let name = std::mem::replace(&mut graph.nodes[flatten].name, own);
    let shape = graph.nodes[flatten].shape;
    let node = &mut graph.nodes[index];
    (node.op, node.name, node.shape, node.is_flat) = (Op::Flatten(order), name, shape, true);
}

/// A convolution that does the same.
fn pointwise(Affine { scale, shift }: &Affine, channels: usize) -> Op {
    let spread = |numbers: &[f64]| (0..channels).map(|c| at(numbers, c) as f32).collect::<Vec<_>>();
    Op::Conv {
        weight: Array { shape: vec![1, 1, 1, channels], data: spread(scale) },
        bias: Some(spread(shift)),
        windows: Windows { kernel: [1, 1], stride: [1, 1], pads: Pads::NONE },
        groups: channels,
    }
}
