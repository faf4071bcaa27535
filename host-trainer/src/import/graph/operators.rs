//! Operators, and the shapes of what they put out. Maps are known by height, width and channels, however the framework lays
//! them out; a flatten says in which order it reads them.

use anyhow::{Context, Result, bail, ensure};
use midge_core::{MAX_DIMENSION, MAX_ELEMENTS, Shape};

use super::windows::Windows;

/// Most operators that a graph has.
const MAX_NODES: usize = 4096;

/// Numbers of several dimensions, the last one fastest.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Numbers for each channel of a map or element of a vector; a single one is for all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Affine {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Image,
    /// What an operator puts out.
    Node(usize),
}

/// In which order a flatten reads a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// PyTorch's: channel, row, column.
    Chw,
    /// Keras's and midge's: row, column, channel.
    Hwc,
}

/// What an operator does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// Weights `[row][column][in channels of a group][out]`; in `groups` parts, of which each reads its own channels.
    Conv {
        weight: Array,
        bias: Option<Vec<f32>>,
        windows: Windows,
        groups: usize,
    },
    /// Weights `[unit][input]`.
    Dense {
        weight: Array,
        bias: Option<Vec<f32>>,
    },
    /// `scale * x + shift`.
    Affine(Affine),
    Relu,
    Relu6,
    /// With a threshold in hundredths.
    ShiftedRelu(u8),
    MaxPool(Windows),
    /// Without the padding in the mean.
    AvgPool(Windows),
    GlobalAvgPool,
    Flatten(Order),
    /// Of two maps.
    Add,
    /// Zeros around a map: `[before, after]` of rows and of columns.
    Pad([[usize; 2]; 2]),
}

/// An operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Its name in the file.
    pub name: String,
    pub op: Op,
    pub inputs: Vec<Value>,
    /// What it puts out: a map, or a vector of so many channels.
    pub shape: Shape,
    pub is_flat: bool,
}

/// Operators, each of which reads what stands before it.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub input: Shape,
    pub nodes: Vec<Node>,
    /// What the logits are.
    pub output: Value,
    /// What was done to the network, in lines.
    pub notes: Vec<String>,
}

impl Graph {
    /// Of images of this shape, without operators.
    ///
    /// # Errors
    /// A shape that midge has no images of.
    pub(crate) fn new(input: Shape) -> Result<Self> {
        check_shape(input).context("the image")?;
        Ok(Self { input, nodes: Vec::new(), output: Value::Image, notes: Vec::new() })
    }

    /// Adds an operator, whose output is that of the graph until another one is added.
    ///
    /// # Errors
    /// By name, an operator that does not fit what it reads.
    pub(crate) fn push(&mut self, name: &str, op: Op, inputs: &[Value]) -> Result<Value> {
        ensure!(self.nodes.len() < MAX_NODES, "more than {MAX_NODES} operators");
        let (shape, is_flat) = self.output_of(&op, inputs).with_context(|| name.to_string())?;
        self.nodes.push(Node { name: name.to_string(), op, inputs: inputs.to_vec(), shape, is_flat });
        self.output = Value::Node(self.nodes.len() - 1);
        Ok(self.output)
    }

    /// The shape of a value, and whether it is a vector.
    pub(crate) fn shape(&self, value: Value) -> (Shape, bool) {
        match value {
            Value::Image => (self.input, false),
            Value::Node(index) => self.nodes.get(index).map_or((self.input, false), |node| (node.shape, node.is_flat)),
        }
    }

    /// How many operators read what `index` puts out.
    pub(super) fn readers(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let reads = move |node: &Node| node.inputs.contains(&Value::Node(index));
        self.nodes.iter().enumerate().filter(move |(_, node)| reads(node)).map(|(reader, _)| reader)
    }

    fn output_of(&self, op: &Op, inputs: &[Value]) -> Result<(Shape, bool)> {
        let &input = inputs.first().context("it reads nothing")?;
        let (shape, is_flat) = self.shape(input);
        let is_of_maps =
            matches!(op, Op::Conv { .. } | Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool | Op::Add | Op::Pad(_));
        ensure!(!is_flat || !is_of_maps, "expected a map, found a vector of {} numbers", shape.channels);
        let output = match op {
            Op::Conv { weight, bias, windows, groups } => {
                let filters = check_conv(weight, bias.as_deref(), *groups, shape)?;
                windows.output(shape, filters)?
            }
            Op::Dense { weight, bias } => return Ok((check_dense(weight, bias.as_deref(), shape, is_flat)?, true)),
            Op::Affine(affine) => {
                check_affine(affine, shape.channels)?;
                shape
            }
            Op::Relu | Op::Relu6 | Op::ShiftedRelu(_) => shape,
            Op::MaxPool(windows) | Op::AvgPool(windows) => windows.output(shape, shape.channels)?,
            Op::GlobalAvgPool => Shape::hwc(1, 1, shape.channels),
            Op::Flatten(_) => return Ok((Shape::hwc(1, 1, shape.len()), true)),
            Op::Add => {
                let &[_, other] = inputs else { bail!("expected two inputs, found {}", inputs.len()) };
                let (other, _) = self.shape(other);
                ensure!(other == shape, "expected maps of one shape, found {} and {}", words(shape), words(other));
                shape
            }
            Op::Pad([rows, columns]) => {
                let padded = |n: usize, [before, after]: [usize; 2]| n.saturating_add(before).saturating_add(after);
                Shape::hwc(padded(shape.height, *rows), padded(shape.width, *columns), shape.channels)
            }
        };
        check_shape(output)?;
        Ok((output, is_flat))
    }
}

/// Height, width and channels, as messages have them.
pub(crate) fn words(Shape { height, width, channels }: Shape) -> String {
    format!("{height}x{width}x{channels}")
}

fn check_shape(shape: Shape) -> Result<()> {
    let sides = [shape.height, shape.width, shape.channels];
    let elements = sides.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
    ensure!(
        sides.iter().all(|side| (1..=MAX_DIMENSION).contains(side)) && elements.is_some_and(|n| n <= MAX_ELEMENTS),
        "expected height, width and channels from 1 to {MAX_DIMENSION}, found {}",
        words(shape)
    );
    Ok(())
}

fn check_affine(Affine { scale, shift }: &Affine, channels: usize) -> Result<()> {
    let fits = |numbers: &[f64]| numbers.len() == 1 || numbers.len() == channels;
    ensure!(
        fits(scale) && fits(shift),
        "expected numbers for 1 or {channels} channels, found {} and {}",
        scale.len(),
        shift.len()
    );
    Ok(())
}

/// The filters of a convolution that reads a map of this shape.
fn check_conv(weight: &Array, bias: Option<&[f32]>, groups: usize, input: Shape) -> Result<usize> {
    let &[rows, columns, channels, filters] = &weight.shape[..] else {
        bail!("expected weights of four dimensions, found {:?}", weight.shape)
    };
    let all = [rows, columns, channels, filters].iter().try_fold(1usize, |product, side| product.checked_mul(*side));
    ensure!(all == Some(weight.data.len()) && all > Some(0), "expected weights that fill {:?}", weight.shape);
    ensure!(
        groups > 0 && channels.checked_mul(groups) == Some(input.channels) && filters.is_multiple_of(groups),
        "expected weights for {} channels, found {channels} in {groups} group(s) and {filters} filters",
        input.channels
    );
    check_bias(bias, filters)?;
    Ok(filters)
}

fn check_dense(weight: &Array, bias: Option<&[f32]>, input: Shape, is_flat: bool) -> Result<Shape> {
    let &[units, inputs] = &weight.shape[..] else {
        bail!("expected weights of two dimensions, found {:?}", weight.shape)
    };
    ensure!(units.checked_mul(inputs) == Some(weight.data.len()) && units > 0, "expected {units} x {inputs} weights");
    let is_vector = is_flat || input.height * input.width == 1;
    ensure!(is_vector, "expected a flatten before a dense layer, found a map of {}", words(input));
    ensure!(input.channels == inputs, "expected weights for {} inputs, found {inputs}", input.channels);
    check_bias(bias, units)?;
    let output = Shape::hwc(1, 1, units);
    check_shape(output)?;
    Ok(output)
}

fn check_bias(bias: Option<&[f32]>, outputs: usize) -> Result<()> {
    let found = bias.map_or(outputs, <[f32]>::len);
    ensure!(found == outputs, "expected {outputs} biases, found {found}");
    Ok(())
}
