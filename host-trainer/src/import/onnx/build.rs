//! Nodes to operators. Values are known by name: constants, or what an operator puts out and how it lies.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use midge_core::Shape;

use super::constants::{evaluate, integers, reshaped};
use super::error::OnnxError;
use super::layout::{Axis, Layout};
use super::model::{Constant, Model, Node};
use super::order::order;
use crate::import::graph::{Affine, Array, Graph, Op, Pads, Value, Windows};
use crate::import::hints::Hints;
use crate::import::norms;
use crate::import::sequence::from_oihw;

/// Versions of the operators that are known.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// Operators that can stand on the way from an image to logits, or make the shapes on it.
const KNOWN: [&str; 30] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Dropout",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "LogSoftmax",
    "MatMul",
    "MaxPool",
    "Mul",
    "Pad",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Shape",
    "Slice",
    "Softmax",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

/// A value of the graph.
#[derive(Debug, Clone)]
enum Known {
    Constant(Constant),
    /// Behind `over`, a softmax or the like, nothing may follow.
    Map {
        value: Value,
        layout: Layout,
        over: Option<&'static str>,
    },
}

struct Build<'m, 'b> {
    model: &'m Model<'b>,
    folder: Option<&'m Path>,
    graph: Graph,
    values: BTreeMap<&'b str, Known>,
}

/// The graph of a model, and what was assumed.
pub(super) fn build(model: &Model<'_>, folder: Option<&Path>, hints: &Hints) -> Result<(Graph, Vec<String>)> {
    ensure!(hints.network.is_none(), "an ONNX file says its architecture itself: expected no --network");
    let newest = *OPSETS.end();
    ensure!(OPSETS.contains(&model.opset), OnnxError::Opset { found: model.opset, newest });
    let output = *model.outputs.first().context("expected an output of the graph, found none")?;
    let nodes = order(model, output)?;
    check_operators(&nodes)?;
    let is_constant = |name: &str| model.constants.iter().any(|constant| constant.name == name);
    let images: Vec<_> = model.inputs.iter().filter(|input| !is_constant(input.name)).collect();
    let [image] = images[..] else {
        let names: Vec<&str> = images.iter().map(|input| input.name).collect();
        bail!("expected one input, the image, found {names:?}")
    };
    let mut assumed = Vec::new();
    let (shape, layout) = input(&image.dimensions, &nodes, image.name, hints, &mut assumed)?;
    let (graph, value) = hints.start(shape)?;
    let mut build = Build { model, folder, graph, values: BTreeMap::new() };
    build.values.insert(image.name, Known::Map { value, layout, over: None });
    for node in &nodes {
        build.node(node).with_context(|| format!("node {:?} ({})", node.title(), node.operator))?;
    }
    let Some(Known::Map { value, .. }) = build.values.remove(output) else {
        bail!("the output {output:?} does not depend on the image")
    };
    build.graph.output = value;
    if model.outputs.len() > 1 {
        assumed.push(format!("of the outputs {:?} the first has the logits", model.outputs));
    }
    Ok((build.graph, assumed))
}

/// All operators that midge does not have, at once.
fn check_operators(nodes: &[&Node<'_>]) -> Result<(), OnnxError> {
    let mut unknown: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        let is_standard = matches!(node.domain, "" | "ai.onnx");
        if !is_standard || !KNOWN.contains(&node.operator) {
            let name =
                if is_standard { node.operator.to_string() } else { format!("{}.{}", node.domain, node.operator) };
            unknown.entry(name).or_default().push(node.title());
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let named = unknown.iter().map(|(operator, nodes)| {
        let more = if nodes.len() > 4 { format!(" and {} more", nodes.len() - 4) } else { String::new() };
        format!("{operator} ({}{more})", nodes[..nodes.len().min(4)].join(", "))
    });
    Err(OnnxError::Operators(named.collect()))
}

/// The image's shape, and how it lies.
fn input(
    dimensions: &[Option<usize>],
    nodes: &[&Node<'_>],
    name: &str,
    hints: &Hints,
    assumed: &mut Vec<String>,
) -> Result<(Shape, Layout)> {
    let (height, width) = hints.size.map_or((None, None), |(height, width)| (Some(height), Some(width)));
    let side = |size: Option<usize>, hint: Option<usize>| {
        ensure!(size.is_none() || hint.is_none() || size == hint, "--size: the model has images of {dimensions:?}");
        size.or(hint)
            .with_context(|| format!("image {name:?} has open dimensions {dimensions:?}: say --size HEIGHTxWIDTH"))
    };
    match *dimensions {
        [_, a, b, c] if is_turned_first(nodes, name, c) => {
            let channels = c.context("expected a number of channels, found an open one")?;
            Ok((Shape::hwc(side(a, height)?, side(b, width)?, channels), Layout::nhwc()))
        }
        [_, a, b, c] => {
            let channels = a.context("expected a number of channels, found an open one")?;
            Ok((Shape::hwc(side(b, height)?, side(c, width)?, channels), Layout::nchw()))
        }
        [_, a, b] => {
            Ok((Shape::hwc(side(a, height)?, side(b, width)?, 1), Layout(vec![Axis::Batch, Axis::Row, Axis::Column])))
        }
        [_, Some(length)] => {
            let (height, width) = hints.size.unwrap_or(if length == 28 * 28 { (28, 28) } else { (1, 1) });
            let pixels = height.saturating_mul(width).max(1);
            ensure!(length.is_multiple_of(pixels), "--size {height}x{width}: the model has images of {length} numbers");
            assumed.push(format!("images of {height}x{width}x{}, whose rows the {length} inputs are", length / pixels));
            Ok((Shape::hwc(height, width, length / pixels), Layout(vec![Axis::Batch, Axis::One])))
        }
        _ => bail!("expected an image of 2 to 4 dimensions, the batch first, found {dimensions:?}"),
    }
}

/// Whether the image is turned to channels first before anything needs to know where they are.
fn is_turned_first(nodes: &[&Node<'_>], image: &str, last: Option<usize>) -> bool {
    let mut name = image;
    // Every node may lead on once.
    for node in nodes {
        if node.inputs.contains(&name) {
            match node.operator {
                "Transpose" => return node.integers("perm").is_ok_and(|order| order == [0, 3, 1, 2]),
                // With one channel that is the same, and a flatten in front of it all needs no turning.
                "Reshape" => return last == Some(1),
                "Add" | "Sub" | "Mul" | "Div" | "Cast" | "Identity" => {
                    name = node.outputs.first().copied().unwrap_or("")
                }
                _ => return false,
            }
        }
    }
    false
}

impl<'m, 'b> Build<'m, 'b> {
    fn known(&mut self, name: &'b str) -> Result<Option<Known>> {
        if name.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.values.get(name) {
            return Ok(Some(known.clone()));
        }
        let tensor = self.model.constants.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.with_context(|| format!("its input {name:?} is not there"))?;
        Ok(Some(Known::Constant(tensor.constant(self.folder)?)))
    }

    fn node(&mut self, node: &Node<'b>) -> Result<()> {
        let mut inputs = Vec::new();
        for name in &node.inputs {
            inputs.push(self.known(name)?);
        }
        let Some(output) = node.outputs.first().copied() else { bail!("it has no output") };
        let known = match self.constant(node, &inputs)? {
            Some(constant) => Known::Constant(constant),
            None => self.operator(node, &inputs)?,
        };
        self.values.insert(output, known);
        Ok(())
    }

    /// What a node makes of constants alone, or of a shape.
    fn constant(&self, node: &Node<'b>, inputs: &[Option<Known>]) -> Result<Option<Constant>> {
        if node.operator == "Constant" {
            return self.literal(node).map(Some);
        }
        if node.operator == "Shape"
            && let Some(Some(Known::Map { value, layout, .. })) = inputs.first()
        {
            let sizes = layout.dimensions(self.graph.shape(*value).0);
            return Ok(Some(integers(sizes.iter().map(|n| *n as i64).collect())));
        }
        let constants: Option<Vec<Option<&Constant>>> = inputs
            .iter()
            .map(|input| match input {
                None => Some(None),
                Some(Known::Constant(constant)) => Some(Some(constant)),
                Some(Known::Map { .. }) => None,
            })
            .collect();
        match constants {
            Some(constants) => match evaluate(node, &constants)? {
                Some(constant) => Ok(Some(constant)),
                None => bail!("it reads constants only, which midge does not compute"),
            },
            None => Ok(None),
        }
    }

    fn literal(&self, node: &Node<'b>) -> Result<Constant> {
        if let Some(tensor) = node.tensor("value") {
            return Ok(tensor.constant(self.folder)?);
        }
        if let Some(number) = node.integer("value_int") {
            let mut constant = integers(vec![number]);
            constant.shape.clear();
            return Ok(constant);
        }
        if node.has("value_ints") {
            return Ok(integers(node.integers("value_ints")?));
        }
        let (shape, floats) = match node.float("value_float") {
            Some(number) => (Vec::new(), vec![number]),
            None => {
                let floats = node.floats("value_floats");
                (vec![floats.len()], floats)
            }
        };
        ensure!(!floats.is_empty(), "expected a constant of numbers");
        Ok(Constant { shape, numbers: super::model::Numbers::Floats(floats) })
    }

    /// A node that reads what depends on the image.
    fn operator(&mut self, node: &Node<'b>, inputs: &[Option<Known>]) -> Result<Known> {
        let maps: Vec<(Value, Layout, Option<&'static str>)> = inputs
            .iter()
            .flatten()
            .filter_map(|input| match input {
                Known::Map { value, layout, over } => Some((*value, layout.clone(), *over)),
                Known::Constant(_) => None,
            })
            .collect();
        let (value, layout, over) = maps.first().cloned().context("its input is missing")?;
        let constant = |at: usize| match inputs.get(at) {
            Some(Some(Known::Constant(constant))) => Some(constant),
            _ => None,
        };
        if matches!(node.operator, "Identity" | "Cast" | "Dropout") {
            if node.operator == "Dropout" {
                self.graph.notes.push(format!("{}: Dropout dropped", node.title()));
            }
            return Ok(Known::Map { value, layout, over });
        }
        if let Some(what) = ["Softmax", "LogSoftmax"].into_iter().find(|what| *what == node.operator) {
            self.graph.notes.push(format!("{}: {what} at the end dropped, which changes no class", node.title()));
            return Ok(Known::Map { value, layout, over: Some(what) });
        }
        if matches!(node.operator, "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze") {
            let (value, layout) = self.relaid(node, (value, layout), constant(1))?;
            return Ok(Known::Map { value, layout, over });
        }
        if let Some(what) = over {
            bail!("it reads what a {what} puts out, and midge has that at the end only");
        }
        let (value, layout) = match (&maps[..], node.operator) {
            ([(a, first, _), (b, second, _)], "Add") => {
                ensure!(first == second, "expected a sum of maps that lie the same way");
                (self.graph.push(node.title(), Op::Add, &[*a, *b])?, layout)
            }
            ([_], _) => self.compute(node, (value, layout), &constant)?,
            _ => bail!("expected one input that depends on the image, found {}", maps.len()),
        };
        Ok(Known::Map { value, layout, over: None })
    }

    fn compute<'c>(
        &mut self,
        node: &Node<'b>,
        (value, layout): (Value, Layout),
        constant: &dyn Fn(usize) -> Option<&'c Constant>,
    ) -> Result<(Value, Layout)> {
        let (shape, is_flat) = self.graph.shape(value);
        let mut layout = layout;
        let mut value = value;
        let op = match node.operator {
            "Relu" => Op::Relu,
            "Clip" => clip(node, constant)?,
            "Conv" => {
                check_map(&layout, is_flat)?;
                convolution(node, constant)?
            }
            "MaxPool" | "AveragePool" => {
                check_map(&layout, is_flat)?;
                pooling(node)?
            }
            "GlobalAveragePool" => {
                check_map(&layout, is_flat)?;
                Op::GlobalAvgPool
            }
            "ReduceMean" => mean(node, &mut layout, constant(1))?,
            "BatchNormalization" => norm(node, constant)?,
            "Add" | "Sub" | "Mul" | "Div" => affine(node, &layout, shape, constant)?,
            "Pad" => pad(node, &layout, constant)?,
            "Gemm" | "MatMul" => {
                // A vector of its own, or all that is left of a map of one position.
                if !is_flat {
                    ensure!(layout.0.len() == 2, "expected a vector, found dimensions {:?}", layout.dimensions(shape));
                    value = self.graph.push(node.title(), Op::Flatten(layout.order(shape)?), &[value])?;
                    layout = Layout::flat();
                }
                dense(node, constant)?
            }
            other => bail!("midge has no {other} of what depends on the image"),
        };
        Ok((self.graph.push(node.title(), op, &[value])?, layout))
    }

    /// What moves dimensions and changes no number.
    fn relaid(
        &mut self,
        node: &Node<'b>,
        (value, layout): (Value, Layout),
        second: Option<&Constant>,
    ) -> Result<(Value, Layout)> {
        let (shape, is_flat) = self.graph.shape(value);
        let from = layout.dimensions(shape);
        let to = match node.operator {
            "Transpose" => {
                self.graph
                    .notes
                    .push(format!("{}: Transpose dropped, midge has rows, columns, channels", node.title()));
                return Ok((value, layout.transposed(&node.integers("perm")?)?));
            }
            "Reshape" => reshaped(&from, &second.context("expected a constant shape")?.integers())?,
            "Flatten" => {
                let axis = layout.place(node.integer("axis").unwrap_or(1))?;
                vec![from[..axis].iter().product(), from[axis..].iter().product()]
            }
            operator => {
                let mut axes = layout.0.clone();
                let list = match second {
                    Some(axes) => axes.integers(),
                    None => node.integers("axes")?,
                };
                let count = if operator == "Unsqueeze" { axes.len() + list.len() } else { axes.len() };
                let mut places =
                    list.iter().map(|axis| super::layout::place(*axis, count)).collect::<Result<Vec<_>>>()?;
                places.sort_unstable();
                ensure!(places.len() <= 4, "expected at most 4 dimensions");
                if operator == "Unsqueeze" {
                    places.iter().for_each(|place| axes.insert((*place).min(axes.len()), Axis::One));
                } else {
                    for place in places.iter().rev() {
                        ensure!(from.get(*place) == Some(&1) && *place > 0, "expected dimensions of 1, found {from:?}");
                        axes.remove(*place);
                    }
                }
                return Ok((value, Layout(axes)));
            }
        };
        let long = |sizes: &[usize]| sizes.iter().filter(|size| **size != 1).copied().collect::<Vec<_>>();
        match to[..] {
            [1, _] if is_flat => Ok((value, layout)),
            [1, _] => {
                let order = if layout.0.contains(&Axis::One) && from.len() == 2 {
                    crate::import::graph::Order::Hwc
                } else {
                    layout.order(shape)?
                };
                Ok((self.graph.push(node.title(), Op::Flatten(order), &[value])?, Layout::flat()))
            }
            _ if to == from => Ok((value, layout)),
            // The rows of an image that came as a vector.
            [1, a, b, c] if matches!(value, Value::Image) && layout.0[..] == [Axis::Batch, Axis::One] => {
                let Shape { height, width, channels } = shape;
                ensure!(
                    channels == 1 || [a, b, c] == [height, width, channels],
                    "expected the image as rows of pixels"
                );
                Ok((value, if [a, b, c] == [channels, height, width] { Layout::nchw() } else { Layout::nhwc() }))
            }
            [1, 1, _, _] if !is_flat && long(&from) == long(&to) && shape.channels == 1 => Ok((value, Layout::nchw())),
            [1, _, _, 1] if !is_flat && long(&from) == long(&to) && shape.channels == 1 => Ok((value, Layout::nhwc())),
            // A vector as a map of one position.
            [1, _, 1, 1] if shape.height * shape.width == 1 && !is_flat => Ok((value, Layout::nchw())),
            _ => bail!("expected a reshape to a vector, found one from {from:?} to {to:?}"),
        }
    }
}

fn check_map(layout: &Layout, is_flat: bool) -> Result<()> {
    ensure!(
        !is_flat && *layout == Layout::nchw(),
        "expected dimensions batch, channels, rows, columns, found {:?}",
        layout.0
    );
    Ok(())
}

/// Two numbers of an attribute.
fn pair(node: &Node<'_>, name: &str, otherwise: Option<usize>) -> Result<[usize; 2]> {
    let numbers = node.integers(name)?;
    let numbers: Option<Vec<usize>> = numbers.iter().map(|n| usize::try_from(*n).ok()).collect();
    match (numbers.as_deref(), otherwise) {
        (Some([a, b]), _) => Ok([*a, *b]),
        (Some([]), Some(otherwise)) => Ok([otherwise; 2]),
        _ => bail!("expected two numbers for {name}, found {:?}", node.integers(name)?),
    }
}

fn windows(node: &Node<'_>, kernel: [usize; 2]) -> Result<Windows> {
    ensure!(
        pair(node, "dilations", Some(1))? == [1, 1],
        "expected a dilation of 1, found {:?}",
        node.integers("dilations")?
    );
    let pads = node.integers("pads")?;
    let pads: Option<Vec<usize>> = pads.iter().map(|n| usize::try_from(*n).ok()).collect();
    let explicit = match pads.as_deref() {
        Some([]) => [[0; 2]; 2],
        Some([top, left, bottom, right]) => [[*top, *bottom], [*left, *right]],
        _ => bail!("expected four paddings, none of them negative, found {:?}", node.integers("pads")?),
    };
    let pads = match (node.text("auto_pad"), node.integer("ceil_mode")) {
        ("SAME_UPPER", _) => Pads::SameUpper,
        ("SAME_LOWER", _) => Pads::SameLower,
        ("VALID", _) => Pads::NONE,
        (_, Some(1)) => Pads::Ceil(explicit),
        _ => Pads::Explicit(explicit),
    };
    Ok(Windows { kernel, stride: pair(node, "strides", Some(1))?, pads })
}

fn array(constant: &Constant) -> Array {
    Array { shape: constant.shape.clone(), data: constant.floats() }
}

fn convolution<'c>(node: &Node<'_>, constant: &dyn Fn(usize) -> Option<&'c Constant>) -> Result<Op> {
    let weight = array(constant(1).context("expected constant weights")?);
    let [_, _, rows, columns] = weight.shape[..] else {
        bail!("expected weights of four dimensions, found {:?}", weight.shape)
    };
    let groups = usize::try_from(node.integer("group").unwrap_or(1)).context("a negative number of groups")?;
    let bias = constant(2).map(Constant::floats);
    Ok(Op::Conv { weight: from_oihw(&weight), bias, windows: windows(node, [rows, columns])?, groups })
}

fn pooling(node: &Node<'_>) -> Result<Op> {
    let windows = windows(node, pair(node, "kernel_shape", None)?)?;
    if node.operator == "MaxPool" {
        return Ok(Op::MaxPool(windows));
    }
    let is_padded = !matches!(windows.pads, Pads::Explicit([[0, 0], [0, 0]]));
    ensure!(
        !is_padded || node.integer("count_include_pad").unwrap_or(0) == 0,
        "expected an average without its padding, found count_include_pad=1"
    );
    Ok(Op::AvgPool(windows))
}

/// A mean over rows and columns.
fn mean(node: &Node<'_>, layout: &mut Layout, second: Option<&Constant>) -> Result<Op> {
    let axes = match second {
        Some(axes) => axes.integers(),
        None => node.integers("axes")?,
    };
    let mut places = axes.iter().map(|axis| layout.place(*axis)).collect::<Result<Vec<_>>>()?;
    places.sort_unstable();
    let mut over: Vec<Axis> = places.iter().filter_map(|place| layout.0.get(*place)).copied().collect();
    over.sort_by_key(|axis| *axis != Axis::Row);
    ensure!(over == [Axis::Row, Axis::Column], "expected a mean over rows and columns, found one over {over:?}");
    if node.integer("keepdims") == Some(0) {
        layout.0.retain(|axis| !over.contains(axis));
    }
    Ok(Op::GlobalAvgPool)
}

fn norm<'c>(node: &Node<'_>, constant: &dyn Fn(usize) -> Option<&'c Constant>) -> Result<Op> {
    let floats = |at: usize| constant(at).map(Constant::floats).context("expected constant statistics");
    let (weight, bias, mean, variance) = (floats(1)?, floats(2)?, floats(3)?, floats(4)?);
    let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
    Ok(Op::Affine(norms::affine((&mean, &variance), epsilon, (Some(&weight), Some(&bias)))?))
}

/// A sum, difference, product or quotient of what depends on the image and a constant.
fn affine<'c>(
    node: &Node<'_>,
    layout: &Layout,
    shape: Shape,
    constant: &dyn Fn(usize) -> Option<&'c Constant>,
) -> Result<Op> {
    let (constant, is_first) = match (constant(0), constant(1)) {
        (Some(constant), _) => (constant, true),
        (None, Some(constant)) => (constant, false),
        _ => bail!("expected a constant"),
    };
    layout.channels(&constant.shape, shape)?;
    let numbers: Vec<f64> = constant.floats().into_iter().map(f64::from).collect();
    let ones = vec![1.0; numbers.len()];
    let zeros = vec![0.0; numbers.len()];
    let each = |f: &dyn Fn(f64) -> f64| numbers.iter().map(|n| f(*n)).collect::<Vec<f64>>();
    Ok(Op::Affine(match (node.operator, is_first) {
        ("Add", _) => Affine { scale: ones, shift: numbers },
        ("Sub", false) => Affine { scale: ones, shift: each(&|n| -n) },
        ("Sub", true) => Affine { scale: each(&|_| -1.0), shift: numbers },
        ("Mul", _) => Affine { scale: numbers, shift: zeros },
        ("Div", false) => Affine { scale: each(&|n| 1.0 / n), shift: zeros },
        _ => bail!("a constant divided by what depends on the image, which midge does not have"),
    }))
}

fn pad<'c>(node: &Node<'_>, layout: &Layout, constant: &dyn Fn(usize) -> Option<&'c Constant>) -> Result<Op> {
    ensure!(
        matches!(node.text("mode"), "" | "constant"),
        "expected a padding of zeros, found mode {:?}",
        node.text("mode")
    );
    let value = constant(2).map_or_else(|| vec![node.float("value").unwrap_or(0.0)], Constant::floats);
    ensure!(value.iter().all(|value| *value == 0.0), "expected a padding of zeros, found {value:?}");
    let amounts = match constant(1) {
        Some(amounts) => amounts.integers(),
        None => node.integers("pads")?,
    };
    let count = layout.0.len();
    ensure!(amounts.len() == 2 * count, "expected {} paddings, found {amounts:?}", 2 * count);
    let mut around = [[0; 2]; 2];
    for (place, axis) in layout.0.iter().enumerate() {
        let own = [amounts[place], amounts[place + count]].map(usize::try_from);
        let [Ok(before), Ok(after)] = own else { bail!("a padding is negative: {amounts:?}") };
        match axis {
            Axis::Row => around[0] = [before, after],
            Axis::Column => around[1] = [before, after],
            _ => ensure!(before == 0 && after == 0, "expected a padding of rows and columns, found {amounts:?}"),
        }
    }
    Ok(Op::Pad(around))
}

/// ReLU and ReLU6 are all that midge clips.
fn clip<'c>(node: &Node<'_>, constant: &dyn Fn(usize) -> Option<&'c Constant>) -> Result<Op> {
    let end = |at: usize, name: &str| constant(at).and_then(|c| c.floats().first().copied()).or(node.float(name));
    let (low, high) = (end(1, "min"), end(2, "max"));
    match (low, high.unwrap_or(f32::INFINITY)) {
        (Some(0.0), 6.0) => Ok(Op::Relu6),
        (Some(0.0), high) if high >= f32::MAX => Ok(Op::Relu),
        (low, high) => {
            bail!("midge clips to [0, 6] and from 0 on, found [{}, {high}]", low.unwrap_or(f32::NEG_INFINITY))
        }
    }
}

/// A product with a matrix, to `[unit][input]`.
fn dense<'c>(node: &Node<'_>, constant: &dyn Fn(usize) -> Option<&'c Constant>) -> Result<Op> {
    ensure!(constant(0).is_none(), "expected the image's numbers first, then constant weights");
    let weight = constant(1).context("expected constant weights")?;
    let [first, second] = weight.shape[..] else { bail!("expected a matrix, found dimensions {:?}", weight.shape) };
    ensure!(node.integer("transA").unwrap_or(0) == 0, "expected transA=0");
    let (alpha, beta) = (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0));
    let numbers = weight.floats();
    let is_turned = node.integer("transB").unwrap_or(0) == 1;
    let (units, inputs) = if is_turned { (first, second) } else { (second, first) };
    let at = |unit: usize, input: usize| if is_turned { unit * inputs + input } else { input * units + unit };
    let data = (0..units).flat_map(|unit| (0..inputs).map(move |input| (unit, input)));
    let data = data.map(|(unit, input)| numbers[at(unit, input)] * alpha).collect();
    let bias = constant(2).map(|bias| {
        let numbers = bias.floats();
        let of = |unit: usize| numbers.get(if numbers.len() == 1 { 0 } else { unit }).copied();
        let all: Option<Vec<f32>> = (0..units).map(|unit| Some(of(unit)? * beta)).collect();
        all.with_context(|| format!("expected {units} biases, found {}", numbers.len()))
    });
    Ok(Op::Dense { weight: Array { shape: vec![units, inputs], data }, bias: bias.transpose()? })
}
