//! What each node computes: its attributes and constants as an operator of midge's graph.

use anyhow::{Context, Result, bail, ensure};
use midge_core::Shape;

use super::layout::{Axis, Layout};
use super::model::{Constant, Node};
use crate::import::graph::{Affine, Array, Op, Pads, Windows};
use crate::import::norms;
use crate::import::sequence::from_oihw;

/// The constants that a node reads, by the place of its input.
pub(super) type Constants<'c> = dyn Fn(usize) -> Option<&'c Constant> + 'c;

pub(super) fn check_map(layout: &Layout, is_flat: bool) -> Result<()> {
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

pub(super) fn convolution<'c>(node: &Node<'_>, constant: &Constants<'c>) -> Result<Op> {
    let weight = array(constant(1).context("expected constant weights")?);
    let [_, _, rows, columns] = weight.shape[..] else {
        bail!("expected weights of four dimensions, found {:?}", weight.shape)
    };
    let groups = usize::try_from(node.integer("group").unwrap_or(1)).context("a negative number of groups")?;
    let bias = constant(2).map(Constant::floats);
    Ok(Op::Conv { weight: from_oihw(&weight), bias, windows: windows(node, [rows, columns])?, groups })
}

pub(super) fn pooling(node: &Node<'_>) -> Result<Op> {
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
pub(super) fn mean(node: &Node<'_>, layout: &mut Layout, second: Option<&Constant>) -> Result<Op> {
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

pub(super) fn norm<'c>(node: &Node<'_>, constant: &Constants<'c>) -> Result<Op> {
    let floats = |at: usize| constant(at).map(Constant::floats).context("expected constant statistics");
    let (weight, bias, mean, variance) = (floats(1)?, floats(2)?, floats(3)?, floats(4)?);
    let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
    Ok(Op::Affine(norms::affine((&mean, &variance), epsilon, (Some(&weight), Some(&bias)))?))
}

/// A sum, difference, product or quotient of what depends on the image and a constant.
pub(super) fn affine<'c>(node: &Node<'_>, layout: &Layout, shape: Shape, constant: &Constants<'c>) -> Result<Op> {
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

pub(super) fn pad<'c>(node: &Node<'_>, layout: &Layout, constant: &Constants<'c>) -> Result<Op> {
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
pub(super) fn clip<'c>(node: &Node<'_>, constant: &Constants<'c>) -> Result<Op> {
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
pub(super) fn dense<'c>(node: &Node<'_>, constant: &Constants<'c>) -> Result<Op> {
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
