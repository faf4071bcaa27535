//! The way of the tensors through the operators.

use super::step::{Operand, Step};
use crate::tflite::error::{Error, Problem};
use crate::tflite::graph::{Graph, Kind, Peculiarity};

/// Who gives a tensor its elements.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    Nobody,
    Input,
    Constant,
    Operator,
}

/// Every tensor is written once, and before it is read.
pub(super) fn check(graph: &Graph<'_>) -> Result<(), Error> {
    let is_constant = |constant| if constant { Source::Constant } else { Source::Nobody };
    let mut sources: Vec<_> = graph.tensors.iter().map(|tensor| is_constant(tensor.data.is_some())).collect();
    for (what, indices) in [("inputs of the graph", &graph.inputs), ("outputs of the graph", &graph.outputs)] {
        if indices.is_empty() {
            return Err(Problem::Count { what, expected: "at least 1", found: 0 }.into());
        }
    }
    for index in graph.inputs.iter().copied() {
        write(&mut sources, index, Source::Input).map_err(|problem| graph.tensor_error(index, problem))?;
        activation(graph, index).map_err(|problem| graph.tensor_error(index, problem))?;
    }
    for step in (0..graph.operators.len()).filter_map(|index| Step::of(graph, index)) {
        operands(&step)?;
        reads(&step, &sources)?;
        let output = step.output()?;
        write(&mut sources, output.index, Source::Operator)
            .and_then(|()| activation(graph, output.index))
            .map_err(|problem| output.error(problem))?;
    }
    match graph.outputs.iter().find(|index| sources.get(**index) != Some(&Source::Operator)) {
        Some(index) => Err(graph.tensor_error(*index, Problem::NotWritten)),
        None => Ok(()),
    }
}

fn write(sources: &mut [Source], index: usize, source: Source) -> Result<(), Problem> {
    let Some(place) = sources.get_mut(index) else { return Ok(()) };
    let before = std::mem::replace(place, source);
    Err(Problem::Written(match before {
        Source::Nobody => return Ok(()),
        Source::Input => "an input of the graph",
        Source::Constant => "a constant",
        Source::Operator => "the result of an operator",
    }))
}

/// What is not constant has a batch of 1.
fn activation(graph: &Graph<'_>, index: usize) -> Result<(), Problem> {
    let Some(tensor) = graph.tensors.get(index) else { return Ok(()) };
    plain(tensor.peculiarity)?;
    if tensor.shape.first() == Some(&1) && !tensor.shape.contains(&0) {
        return Ok(());
    }
    Err(Problem::Dimensions { expected: "that begin with a batch of 1, none of them 0", found: tensor.shape.clone() })
}

fn plain(peculiarity: Option<Peculiarity>) -> Result<(), Problem> {
    peculiarity.map_or(Ok(()), |peculiarity| Err(Problem::Peculiar(peculiarity.description())))
}

/// Of an operator: the smallest and the largest number of its inputs, and those that are constants.
fn signature(kind: &Kind) -> (usize, usize, &'static [usize], &'static str) {
    match kind {
        Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. } | Kind::FullyConnected { .. } => (2, 3, &[1, 2], "2 or 3"),
        Kind::Reshape(_) => (1, 2, &[1], "1 or 2"),
        Kind::Pad | Kind::Mean { .. } => (2, 2, &[1], "2"),
        Kind::PadV2 => (3, 3, &[1, 2], "3"),
        Kind::Add(_) | Kind::Mul(_) => (2, 2, &[], "2"),
        Kind::Concatenation { .. } => (1, usize::MAX, &[], "at least 1"),
        _ => (1, 1, &[], "1"),
    }
}

/// The operator has as many inputs and outputs as it needs, and constants where it needs them.
fn operands(step: &Step<'_>) -> Result<(), Error> {
    let (least, most, constants, expected) = signature(step.kind());
    let (inputs, outputs) = (step.operator().inputs.len(), step.operator().outputs.len());
    if inputs < least || inputs > most {
        return Err(step.error(Problem::Count { what: "inputs", expected, found: inputs }));
    }
    if outputs != 1 {
        return Err(step.error(Problem::Count { what: "outputs", expected: "1", found: outputs }));
    }
    // Only the last of a varying number may be left out.
    for place in 0..if most == usize::MAX { inputs } else { least } {
        step.input(place)?;
    }
    for operand in constants.iter().filter_map(|place| step.optional(*place)) {
        if operand.data.is_none() {
            return Err(operand.error(Problem::NotConstant));
        }
    }
    let computed = |place: &usize| !constants.contains(place);
    let data: Vec<_> = (0..inputs).filter(computed).filter_map(|place| step.optional(place)).collect();
    match data.iter().find(|operand| operand.data.is_none()).or(data.first()) {
        Some(operand) if operand.data.is_some() => Err(operand.error(Problem::Constant)),
        _ => Ok(()),
    }
}

/// What an operator reads is there.
fn reads(step: &Step<'_>, sources: &[Source]) -> Result<(), Error> {
    for operand in step.inputs() {
        constant(&operand).map_err(|problem| operand.error(problem))?;
        if sources.get(operand.index) == Some(&Source::Nobody) {
            return Err(operand.error(Problem::NotWritten));
        }
    }
    Ok(())
}

/// If it is a constant it fills its shape, and is nothing else.
fn constant(operand: &Operand<'_>) -> Result<(), Problem> {
    plain(operand.peculiarity)?;
    if operand.shape.contains(&0) {
        return Err(Problem::Dimensions { expected: "of at least 1", found: operand.shape.clone() });
    }
    operand.check_data()
}
