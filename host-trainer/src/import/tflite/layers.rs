//! Operators to layers. Each operator becomes a layer or two, in their order; where one reads what is not the last result, a
//! branch starts. The layer at which an operator began is where its tensors belong.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use midge_core::{Layer, Padding, Shape, Size};

use super::folds::{Pad, check_mean};
use crate::tflite::{self, Activation, Conv2d, ElementType, Graph, Kind, Operator, Pool2d};

/// A graph as layers.
pub(super) struct Lowered {
    pub input: Shape,
    pub layers: Vec<Layer>,
    /// The operator that each layer began with, by the layer's index.
    pub operators: BTreeMap<usize, usize>,
    /// The operators that add to their second input, and not to their first.
    pub swapped: BTreeSet<usize>,
}

/// The layers so far.
struct Lowering<'g> {
    graph: &'g Graph<'g>,
    layers: Vec<Layer>,
    operators: BTreeMap<usize, usize>,
    /// The layer whose output each tensor is; `None` for the image.
    tensors: BTreeMap<usize, Option<usize>>,
    swapped: BTreeSet<usize>,
    /// What a PAD puts out.
    pads: BTreeMap<usize, Pad>,
    /// The tensor that the last layer put out.
    current: usize,
    input: Shape,
    is_flat: bool,
    /// Whether a softmax or the like has come, behind which nothing may.
    is_over: bool,
}

/// The layers of the graph up to tensor `end`, or up to its output.
pub(super) fn lower(graph: &Graph<'_>, end: Option<usize>) -> Result<Lowered> {
    tflite::check(graph)?;
    let &[image] = &graph.inputs[..] else { bail!("expected one input, found {}", graph.inputs.len()) };
    let mut lowering = Lowering {
        graph,
        layers: Vec::new(),
        operators: BTreeMap::new(),
        tensors: BTreeMap::from([(image, None)]),
        swapped: BTreeSet::new(),
        pads: BTreeMap::new(),
        current: image,
        input: map(&graph.tensors[image].shape)?,
        is_flat: false,
        is_over: false,
    };
    for (index, operator) in graph.operators.iter().enumerate() {
        let lowered = lowering.operator(index, operator);
        lowered.with_context(|| format!("operator {index} ({})", operator.kind.name()))?;
        if end.is_some_and(|end| operator.outputs.contains(&end)) {
            break;
        }
    }
    lowering.flatten();
    let Lowering { layers, operators, input, swapped, .. } = lowering;
    Ok(Lowered { input, layers, operators, swapped })
}

/// A tensor's dimensions as a map: those behind the batch.
fn map(shape: &[usize]) -> Result<Shape> {
    Ok(match *shape {
        [1, height, width, channels] => Shape::hwc(height, width, channels),
        [1, height, width] => Shape::hwc(height, width, 1),
        [1, length] | [length] => Shape::hwc(1, 1, length),
        _ => bail!("expected a tensor of one image, found dimensions {shape:?}"),
    })
}

fn size([height, width]: [usize; 2]) -> Result<Size> {
    let side =
        |n: usize| u8::try_from(n).with_context(|| format!("expected a window or stride of at most 255, found {n}"));
    Ok(Size::hw(side(height)?, side(width)?))
}

fn padding(padding: tflite::Padding) -> Padding {
    match padding {
        tflite::Padding::Same => Padding::Same,
        tflite::Padding::Valid => Padding::Valid,
    }
}

fn max_pool(pool: &Pool2d) -> Result<Layer> {
    let [height, width] = pool.filter;
    ensure!(
        pool.stride == pool.filter && height == width,
        "expected a square window whose stride is its size, found {:?} with a stride of {:?}",
        pool.filter,
        pool.stride
    );
    Ok(Layer::MaxPool2d { pool: height, padding: padding(pool.padding) })
}

impl Lowering<'_> {
    fn operator(&mut self, index: usize, operator: &Operator) -> Result<()> {
        let input = operator.inputs.first().copied().flatten().context("its input is missing")?;
        let output = *operator.outputs.first().context("its output is missing")?;
        let reads_pad = operator.inputs.iter().flatten().any(|input| self.pads.contains_key(input));
        ensure!(
            !reads_pad || matches!(operator.kind, Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. }),
            "it reads what a PAD puts out, and midge pads in front of a convolution only"
        );
        match &operator.kind {
            Kind::Pad | Kind::PadV2 => {
                self.pads.insert(output, Pad::of(self.graph, operator)?);
                return Ok(());
            }
            Kind::Reshape(_) => return self.reshape(input, output),
            Kind::Quantize => {
                ensure!(self.layers.is_empty(), "expected it before the first layer, found it behind one");
                return self.pass(input, output);
            }
            Kind::Dequantize | Kind::Softmax { .. } => {
                ensure!(!self.layers.is_empty(), "expected it behind the last layer, found it before the first");
                self.is_over = true;
                return self.pass(input, output);
            }
            _ => self.layer(index, operator, (input, output))?,
        }
        self.current = output;
        self.tensors.insert(output, self.layers.len().checked_sub(1));
        Ok(())
    }

    /// An operator that computes something.
    fn layer(&mut self, index: usize, operator: &Operator, (input, output): (usize, usize)) -> Result<()> {
        match &operator.kind {
            Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. } | Kind::FullyConnected { .. } => {
                self.weighted(index, input, operator)?;
            }
            Kind::MaxPool2d(pool) => {
                let layer = max_pool(pool)?;
                self.push(index, input, layer, pool.activation)?;
            }
            Kind::AveragePool2d(pool) => {
                let layer = self.average(input, output, pool)?;
                self.push(index, input, layer, pool.activation)?;
            }
            Kind::Mean { .. } => {
                let layer = self.mean(input, operator)?;
                self.push(index, input, layer, Activation::None)?;
            }
            Kind::Add(activation) => self.add(index, operator, *activation)?,
            Kind::Relu => self.push(index, input, Layer::Relu, Activation::None)?,
            Kind::Relu6 => self.push(index, input, Layer::Relu6, Activation::None)?,
            other => bail!("midge has no layer that is {} there", other.name()),
        }
        Ok(())
    }

    /// A layer with weights.
    fn weighted(&mut self, index: usize, input: usize, operator: &Operator) -> Result<()> {
        let bias = operator.inputs.get(2).copied().flatten().and_then(|bias| self.graph.tensors[bias].data.as_deref());
        // TensorFlow Lite's convolutions have biases, of zeros if the network has none.
        let is_needed =
            |bias: &[u8]| matches!(operator.kind, Kind::FullyConnected { .. }) || bias.iter().any(|b| *b != 0);
        let bias = bias.is_some_and(is_needed);
        match &operator.kind {
            Kind::Conv2d(conv) => {
                let [filters, height, width, _] = self.weights(operator)?;
                let (input, padding) = self.unpadded(input, *conv, [height, width])?;
                let layer = self.convolution(conv, [height, width], |kernel, stride| Layer::Conv2d {
                    filters,
                    kernel,
                    stride,
                    padding,
                    bias,
                })?;
                self.push(index, input, layer, conv.activation)?;
            }
            Kind::DepthwiseConv2d { conv, multiplier } => {
                let [_, height, width, _] = self.weights(operator)?;
                let (input, padding) = self.unpadded(input, *conv, [height, width])?;
                let layer = self.convolution(conv, [height, width], |kernel, stride| Layer::DepthwiseConv2d {
                    multiplier: *multiplier,
                    kernel,
                    stride,
                    padding,
                    bias,
                })?;
                self.push(index, input, layer, conv.activation)?;
            }
            Kind::FullyConnected { activation, .. } => {
                let weights = operator.inputs.get(1).copied().flatten().context("its weights are missing")?;
                let units = *self.graph.tensors[weights].shape.first().context("its weights have no dimension")?;
                self.read(input)?;
                self.flatten();
                self.current = input;
                self.push(index, input, Layer::Dense { units, bias }, *activation)?;
            }
            other => bail!("{} has no weights", other.name()),
        }
        Ok(())
    }

    /// What a convolution reads if there is no PAD before it, and its padding.
    fn unpadded(&self, input: usize, conv: Conv2d, kernel: [usize; 2]) -> Result<(usize, Padding)> {
        match self.pads.get(&input) {
            Some(pad) => Ok((pad.source, pad.fold(self.graph, conv, kernel)?)),
            None => Ok((input, padding(conv.padding))),
        }
    }

    /// Dimensions of a convolution's weights.
    fn weights(&self, operator: &Operator) -> Result<[usize; 4]> {
        let weights = operator.inputs.get(1).copied().flatten().context("its weights are missing")?;
        let shape = &self.graph.tensors[weights].shape;
        shape[..].try_into().with_context(|| format!("expected weights of four dimensions, found {shape:?}"))
    }

    fn convolution(&self, conv: &Conv2d, kernel: [usize; 2], layer: impl Fn(Size, Size) -> Layer) -> Result<Layer> {
        ensure!(conv.dilation == [1, 1], "expected a dilation of 1, found {:?}", conv.dilation);
        Ok(layer(size(kernel)?, size(conv.stride)?))
    }

    fn average(&self, input: usize, output: usize, pool: &Pool2d) -> Result<Layer> {
        let output = map(&self.graph.tensors[output].shape)?;
        let is_one = (output.height, output.width) == (1, 1);
        ensure!(
            pool.stride == pool.filter || is_one,
            "expected a window whose stride is its size, found {:?} with a stride of {:?}",
            pool.filter,
            pool.stride
        );
        let map = map(&self.graph.tensors[input].shape)?;
        // One window over all of the map, whatever its padding.
        let whole = is_one && pool.filter[0] >= map.height && pool.filter[1] >= map.width;
        let window = if whole { [map.height, map.width] } else { pool.filter };
        Ok(Layer::AvgPool2d {
            pool: size(window)?,
            padding: if whole { Padding::Valid } else { padding(pool.padding) },
        })
    }

    fn mean(&self, input: usize, operator: &Operator) -> Result<Layer> {
        let map = map(&self.graph.tensors[input].shape)?;
        let whole = [map.height, map.width];
        check_mean(self.graph, operator)?;
        let (padding, bias) = (Padding::Valid, false);
        if self.graph.tensors[input].element != ElementType::I8 {
            return Ok(Layer::AvgPool2d { pool: size(whole)?, padding });
        }
        Ok(Layer::DepthwiseConv2d { multiplier: 1, kernel: size(whole)?, stride: Size::ONE, padding, bias })
    }

    fn add(&mut self, index: usize, operator: &Operator, activation: Activation) -> Result<()> {
        let [Some(first), Some(second)] = operator.inputs[..] else { bail!("expected two inputs") };
        let is_swapped = second == self.current;
        let (main, other) = if is_swapped { (second, first) } else { (first, second) };
        if is_swapped {
            self.swapped.insert(index);
        }
        let other =
            self.tensors.get(&other).copied().context("what it adds is a constant, which midge does not add")?;
        let layer = other.context("it adds the image itself, which midge does not")?;
        self.push(index, main, Layer::Add { layer }, activation)
    }

    /// What leaves no layer: the output is the input.
    fn pass(&mut self, input: usize, output: usize) -> Result<()> {
        self.read(input)?;
        self.current = output;
        self.tensors.insert(output, self.tensors[&input]);
        Ok(())
    }

    /// A vector, or another shape of the image: neither moves a byte.
    fn reshape(&mut self, input: usize, output: usize) -> Result<()> {
        let to = map(&self.graph.tensors[output].shape)?;
        let layer = *self.tensors.get(&input).context("it reshapes a constant")?;
        if self.layers.is_empty() {
            self.input = to;
        } else if !self.is_flat {
            let from = map(&self.graph.tensors[input].shape)?;
            let is_vector = to.height * to.width == 1;
            ensure!(is_vector || from == to, "expected a reshape to a vector, found {from:?} to {to:?}");
        }
        self.tensors.insert(input, layer);
        self.pass(input, output)
    }

    /// Makes `input` what the next layer reads.
    fn read(&mut self, input: usize) -> Result<()> {
        if input == self.current {
            return Ok(());
        }
        let layer = self.tensors.get(&input).copied().context("its input is a constant")?;
        let layer = layer.context("the image is read a second time, which midge does not")?;
        self.layers.push(Layer::From { layer });
        self.current = input;
        Ok(())
    }

    fn push(&mut self, operator: usize, input: usize, layer: Layer, activation: Activation) -> Result<()> {
        ensure!(!self.is_over, "expected nothing behind SOFTMAX and DEQUANTIZE");
        self.read(input)?;
        self.operators.insert(self.layers.len(), operator);
        self.layers.push(layer);
        match activation {
            Activation::None => {}
            Activation::Relu => self.layers.push(Layer::Relu),
            Activation::Relu6 => self.layers.push(Layer::Relu6),
            other => bail!("midge has no activation {other:?}"),
        }
        Ok(())
    }

    fn flatten(&mut self) {
        if !self.is_flat {
            self.layers.push(Layer::Flatten);
            self.is_flat = true;
        }
    }
}
