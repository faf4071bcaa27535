//! Operators to layers: one each, in their order; where one reads what is not the last result, a branch starts.

use anyhow::{Context, Result, anyhow, bail, ensure};
use midge_core::{Layer, Network, NetworkError, Padding, Shape};

use super::folds::fold;
use super::operators::{Array, Graph, Node, Op, Order, Value, words};
use super::windows::{Windows, size};
use crate::weights::{Tensor, Weights, tensor};

/// A graph as a model of midge's.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub weights: Weights,
    /// What was folded, turned and dropped.
    pub notes: Vec<String>,
}

/// The layers so far.
struct Lowering {
    layers: Vec<Layer>,
    /// The name of the operator that each layer is of.
    names: Vec<String>,
    tensors: Vec<Tensor>,
    /// The layer whose output each operator's is.
    values: Vec<usize>,
    current: Value,
    is_flat: bool,
    /// The map whose channels come first in the vector, if one does.
    turned: Option<Shape>,
    notes: Vec<String>,
}

/// Makes midge's layers of a graph.
///
/// # Errors
/// By name, an operator that midge does not have there.
pub(crate) fn lower(mut graph: Graph) -> Result<Lowered> {
    fold(&mut graph)?;
    let mut lowering = Lowering {
        layers: Vec::new(),
        names: Vec::new(),
        tensors: Vec::new(),
        values: Vec::new(),
        current: Value::Image,
        is_flat: false,
        turned: None,
        notes: Vec::new(),
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        let (input, _) = graph.shape(*node.inputs.first().context("an operator that reads nothing")?);
        lowering.node(node, input).with_context(|| node.name.clone())?;
        lowering.values.push(lowering.layers.len().saturating_sub(1));
        lowering.current = Value::Node(index);
    }
    ensure!(!graph.nodes.is_empty() && lowering.current == graph.output, "the network has no layers");
    lowering.end(graph.shape(graph.output).0)?;
    let Lowering { layers, names, tensors, notes, .. } = lowering;
    let network = Network::try_new(graph.input, &layers).map_err(|error| located(error, &layers, &names))?;
    Ok(Lowered { weights: Weights::new(network, tensors), notes: [graph.notes, notes].concat() })
}

/// An error with the name of the operator.
fn located(error: NetworkError, layers: &[Layer], names: &[String]) -> anyhow::Error {
    let at = match error {
        NetworkError::Dimension { layer }
        | NetworkError::Window { layer }
        | NetworkError::TooSmall { layer }
        | NetworkError::Order { layer }
        | NetworkError::Multiplier { layer }
        | NetworkError::Reference { layer }
        | NetworkError::Unread { layer }
        | NetworkError::SkipRows { layer }
        | NetworkError::Threshold { layer } => layer,
        _ => return anyhow!("{error}"),
    };
    match (names.get(at), layers.get(at)) {
        (Some(name), Some(layer)) => anyhow!("{name}, {layer}: {}", error.message()),
        _ => anyhow!("{error}"),
    }
}

impl Lowering {
    fn push(&mut self, name: &str, layer: Layer, tensors: &[&[f32]]) {
        self.layers.push(layer);
        self.names.push(name.to_string());
        self.tensors.extend(tensors.iter().map(|numbers| tensor(numbers)));
    }

    /// Makes `value` what the next layer reads.
    fn read(&mut self, name: &str, value: Value) -> Result<()> {
        if value == self.current {
            return Ok(());
        }
        let Value::Node(index) = value else { bail!("the image is read a second time, which midge does not") };
        ensure!(!self.is_flat, "a branch behind the flatten, which midge does not have");
        let layer = self.values[index];
        self.push(name, Layer::From { layer }, &[]);
        self.current = value;
        Ok(())
    }

    fn node(&mut self, node: &Node, input: Shape) -> Result<()> {
        let (name, source) = (node.name.as_str(), node.inputs[0]);
        if matches!(node.op, Op::Add) {
            return self.add(name, &node.inputs);
        }
        self.read(name, source)?;
        match &node.op {
            Op::Conv { weight, bias, windows, groups } => {
                self.convolution(name, weight, bias.as_deref(), (windows, *groups), input)?;
            }
            Op::Dense { weight, bias } => self.dense(name, weight, bias.as_deref()),
            Op::Relu => self.push(name, Layer::Relu, &[]),
            Op::Relu6 => self.push(name, Layer::Relu6, &[]),
            Op::ShiftedRelu(hundredths) => self.push(name, Layer::ShiftedRelu { hundredths: *hundredths }, &[]),
            Op::MaxPool(windows) => {
                let [height, width] = windows.kernel;
                ensure!(
                    windows.stride == windows.kernel && height == width && (2..=3).contains(&height),
                    "a maximum over {height}x{width} with a stride of {:?}: midge has 2x2 and 3x3, with strides of that size",
                    windows.stride
                );
                let padding = windows.padding(input, false)?;
                self.push(name, Layer::MaxPool2d { pool: height, padding }, &[]);
            }
            Op::AvgPool(windows) => {
                let layer = average(windows, input)?;
                self.push(name, layer, &[]);
            }
            Op::GlobalAvgPool => {
                let pool = size([input.height, input.width])?;
                self.push(name, Layer::AvgPool2d { pool, padding: Padding::Valid }, &[]);
            }
            Op::Flatten(order) => self.flatten(name, input, *order),
            Op::Affine(_) | Op::Pad(_) | Op::Add => bail!("it is no layer of midge's"),
        }
        Ok(())
    }

    fn convolution(
        &mut self,
        name: &str,
        weight: &Array,
        bias: Option<&[f32]>,
        (windows, groups): (&Windows, usize),
        input: Shape,
    ) -> Result<()> {
        let (kernel, stride, padding) = (size(windows.kernel)?, size(windows.stride)?, windows.padding(input, true)?);
        let has_bias = bias.is_some();
        let filters = weight.shape[3];
        let tensors = |weight| [Some(weight), bias].into_iter().flatten().collect::<Vec<&[f32]>>();
        if groups == input.channels && filters == groups && groups > 1 || is_pointwise_of_one(weight, groups) {
            let layer =
                Layer::DepthwiseConv2d { multiplier: filters / groups, kernel, stride, padding, bias: has_bias };
            self.push(name, layer, &tensors(&weight.data));
            return Ok(());
        }
        let layer = Layer::Conv2d { filters, kernel, stride, padding, bias: has_bias };
        if groups == 1 {
            self.push(name, layer, &tensors(&weight.data));
        } else {
            self.notes.push(format!("{name}: {groups} groups written as one, with zeros between them"));
            self.push(name, layer, &tensors(&ungrouped(weight, groups)?));
        }
        Ok(())
    }

    fn dense(&mut self, name: &str, weight: &Array, bias: Option<&[f32]>) {
        self.flat(name);
        let (units, inputs) = (weight.shape[0], weight.shape[1]);
        let source = |input: usize| match self.turned {
            // Midge's row, column and channel to the framework's.
            Some(map) => input % map.channels * (map.height * map.width) + input / map.channels,
            None => input,
        };
        let turned: Vec<f32> = (0..inputs)
            .map(source)
            .flat_map(|input| (0..units).map(move |unit| weight.data[unit * inputs + input]))
            .collect();
        if let Some(map) = self.turned.take() {
            self.notes.push(format!(
                "{name}: inputs turned from channel, row, column of {} to row, column, channel",
                words(map)
            ));
        }
        let tensors: Vec<&[f32]> = [Some(&turned[..]), bias].into_iter().flatten().collect();
        self.push(name, Layer::Dense { units, bias: bias.is_some() }, &tensors);
    }

    fn add(&mut self, name: &str, inputs: &[Value]) -> Result<()> {
        let &[first, second] = inputs else { bail!("expected two inputs, found {}", inputs.len()) };
        let (main, other) = if second == self.current { (second, first) } else { (first, second) };
        let Value::Node(other) = other else { bail!("it adds the image itself, which midge does not") };
        self.read(name, main)?;
        self.push(name, Layer::Add { layer: self.values[other] }, &[]);
        Ok(())
    }

    fn flatten(&mut self, name: &str, map: Shape, order: Order) {
        if !self.is_flat {
            let is_turned = order == Order::Chw && map.channels > 1 && map.height * map.width > 1;
            self.turned = is_turned.then_some(map);
        }
        self.flat(name);
    }

    fn flat(&mut self, name: &str) {
        if !self.is_flat {
            self.push(name, Layer::Flatten, &[]);
            self.is_flat = true;
        }
    }

    /// Behind the last operator.
    fn end(&mut self, output: Shape) -> Result<()> {
        let is_map = !self.is_flat && output.height * output.width > 1;
        ensure!(
            !is_map,
            "the network puts out a map of {}: expected logits, behind a flatten or an average",
            words(output)
        );
        if let Some(map) = self.turned {
            bail!("the network ends with a flatten of {} in another order than midge's", words(map));
        }
        self.flat("the end of the network");
        Ok(())
    }
}

/// Whether it is what a normalisation of grey images has become.
fn is_pointwise_of_one(weight: &Array, groups: usize) -> bool {
    groups == 1 && weight.shape == [1, 1, 1, 1]
}

fn average(windows: &Windows, input: Shape) -> Result<Layer> {
    let [height, width] = windows.kernel;
    let output = windows.output(input, input.channels)?;
    let is_whole = height >= input.height && width >= input.width && (output.height, output.width) == (1, 1);
    if is_whole {
        return Ok(Layer::AvgPool2d { pool: size([input.height, input.width])?, padding: Padding::Valid });
    }
    ensure!(
        windows.stride == windows.kernel,
        "an average over {height}x{width} with a stride of {:?}: midge has strides of the window's size",
        windows.stride
    );
    Ok(Layer::AvgPool2d { pool: size(windows.kernel)?, padding: windows.padding(input, false)? })
}

/// The weights of a convolution in groups as those of one over all channels.
fn ungrouped(weight: &Array, groups: usize) -> Result<Vec<f32>> {
    let &[rows, columns, channels, filters] = &weight.shape[..] else { bail!("expected four dimensions") };
    let all = (rows * columns * channels * filters).checked_mul(groups);
    let all = all
        .filter(|all| *all <= midge_core::MAX_ELEMENTS)
        .context("too many weights for a convolution without groups")?;
    let mut numbers = vec![0.0; all];
    for (i, w) in weight.data.iter().enumerate() {
        let (filter, channel, position) = (i % filters, i / filters % channels, i / filters / channels);
        let channel = channel + filter / (filters / groups) * channels;
        numbers[(position * channels * groups + channel) * filters + filter] = *w;
    }
    Ok(numbers)
}
