//! Nodes to operators. Values are known by name: constants, or what an operator puts out and how it lies.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use midge_core::Shape;

use super::constants::{evaluate, integers, reshaped};
use super::error::OnnxError;
use super::layout::{Axis, Layout};
use super::model::{Constant, Model, Node, Numbers};
use super::operators::{self, Constants};
use super::order::order;
use crate::import::graph::{Graph, Op, Order, Value};
use crate::import::hints::Hints;

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
        Ok(Constant { shape, numbers: Numbers::Floats(floats) })
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
            let dropped = (node.operator == "Dropout").then(|| format!("{}: Dropout dropped", node.title()));
            self.graph.notes.extend(dropped);
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
        constant: &Constants<'c>,
    ) -> Result<(Value, Layout)> {
        let (shape, is_flat) = self.graph.shape(value);
        let (mut layout, mut value) = (layout, value);
        let op = match node.operator {
            "Relu" => Op::Relu,
            "Clip" => operators::clip(node, constant)?,
            "Conv" => {
                operators::check_map(&layout, is_flat)?;
                operators::convolution(node, constant)?
            }
            "MaxPool" | "AveragePool" => {
                operators::check_map(&layout, is_flat)?;
                operators::pooling(node)?
            }
            "GlobalAveragePool" => {
                operators::check_map(&layout, is_flat)?;
                Op::GlobalAvgPool
            }
            "ReduceMean" => operators::mean(node, &mut layout, constant(1))?,
            "BatchNormalization" => operators::norm(node, constant)?,
            "Add" | "Sub" | "Mul" | "Div" => operators::affine(node, &layout, shape, constant)?,
            "Pad" => operators::pad(node, &layout, constant)?,
            "Gemm" | "MatMul" => {
                // A vector of its own, or all that is left of a map of one position.
                if !is_flat {
                    ensure!(layout.0.len() == 2, "expected a vector, found dimensions {:?}", layout.dimensions(shape));
                    value = self.graph.push(node.title(), Op::Flatten(layout.order(shape)?), &[value])?;
                    layout = Layout::flat();
                }
                operators::dense(node, constant)?
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
            _ => {
                let axes = second.map_or_else(|| node.integers("axes"), |axes| Ok(axes.integers()))?;
                return Ok((value, layout.stretched(&axes, node.operator == "Unsqueeze", &from)?));
            }
        };
        if is_flat && to.len() == 2 || to == from && to.len() > 2 {
            return Ok((value, layout));
        }
        if let [1, _] = to[..] {
            let order = if layout.is_row() { Order::Hwc } else { layout.order(shape)? };
            return Ok((self.graph.push(node.title(), Op::Flatten(order), &[value])?, Layout::flat()));
        }
        let layout = if is_flat { None } else { layout.reshaped(shape, &to) };
        let layout =
            layout.with_context(|| format!("expected a reshape to a vector, found one from {from:?} to {to:?}"))?;
        Ok((value, layout))
    }
}
