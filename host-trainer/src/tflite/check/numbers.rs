//! Types of elements and quantisation.

use super::step::{Operand, Step};
use crate::tflite::element::ElementType;
use crate::tflite::error::{Error, Problem};
use crate::tflite::graph::{Activation, Kind, WeightsFormat};

/// Operators get the types and the quantisation that they are defined for.
pub(super) fn check(step: &Step<'_>) -> Result<(), Error> {
    use ElementType::{F32, I8};
    options(step)?;
    let (input, output) = (step.input(0)?, step.output()?);
    quantised(&input)?;
    quantised(&output)?;
    match step.kind() {
        Kind::Quantize => return element(&output, I8),
        Kind::Dequantize => return element(&input, I8).and_then(|()| element(&output, F32)),
        _ => element(&output, input.element)?,
    }
    match step.kind() {
        Kind::Conv2d(_) | Kind::FullyConnected { .. } => weights(step, 0),
        Kind::DepthwiseConv2d { .. } => weights(step, 3),
        Kind::Add(_) | Kind::Mul(_) => {
            let other = step.input(1)?;
            element(&other, input.element)?;
            quantised(&other)
        }
        Kind::MaxPool2d(_) | Kind::AveragePool2d(_) | Kind::Reshape(_) | Kind::Pad => same_integers(&output, &input),
        Kind::PadV2 => same_integers(&step.input(2)?, &input).and_then(|()| same_integers(&output, &input)),
        Kind::Concatenation { .. } => step.inputs().try_for_each(|other| same_integers(&other, &output)),
        // Results from 0 to 1, with the only quantisation that runtimes have for them.
        Kind::Softmax { .. } | Kind::Logistic if output.element == I8 => quantised_as(&output, (1.0 / 256.0, -128)),
        _ => Ok(()),
    }
}

fn options(step: &Step<'_>) -> Result<(), Error> {
    let activation = step.kind().activation();
    let refuse = |what, expected, found: String| Err(step.error(Problem::Option { what, expected, found }));
    if !matches!(activation, Activation::None | Activation::Relu | Activation::Relu6) {
        return refuse("fused activation", "none, ReLU or ReLU6", format!("{activation:?}"));
    }
    match step.kind() {
        Kind::FullyConnected { format, .. } if *format != WeightsFormat::Default => {
            refuse("weights format", "row by row", format!("{format:?}"))
        }
        Kind::Softmax { beta } if !(beta.is_finite() && *beta > 0.0) => {
            refuse("beta", "a positive number", beta.to_string())
        }
        _ => Ok(()),
    }
}

fn element(operand: &Operand<'_>, expected: ElementType) -> Result<(), Error> {
    if operand.element == expected {
        return Ok(());
    }
    Err(operand.error(Problem::Element { expected: expected.name(), found: operand.element }))
}

/// Real numbers, or integers with one scale and zero point.
fn quantised(operand: &Operand<'_>) -> Result<(), Error> {
    match operand.element {
        ElementType::F32 => Ok(()),
        ElementType::I8 => {
            scales(operand, &[1])?;
            let outside = operand.quantisation.zero_points.iter().find(|zero| i8::try_from(**zero).is_err());
            outside.map_or(Ok(()), |found| Err(zero_point(operand, "-128 to 127", *found)))
        }
        found => Err(operand.error(Problem::Element { expected: "INT8 or FLOAT32", found })),
    }
}

fn zero_point(operand: &Operand<'_>, expected: &'static str, found: i64) -> Error {
    operand.error(Problem::Number { what: "zero point", expected, found })
}

/// As many scales as one of the numbers, and a zero point for each.
fn scales(operand: &Operand<'_>, counts: &[usize]) -> Result<(), Error> {
    let quantisation = &operand.quantisation;
    let (found, zero_points) = (quantisation.scales.len(), quantisation.zero_points.len());
    if !counts.contains(&found) {
        let expected = counts.last().copied().unwrap_or(1);
        return Err(operand.error(Problem::Quantities { what: "scales", expected, found }));
    }
    if zero_points != found {
        let problem = Problem::Quantities { what: "zero points", expected: found, found: zero_points };
        return Err(operand.error(problem));
    }
    let wrong = quantisation.scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0));
    wrong.map_or(Ok(()), |scale| Err(operand.error(Problem::Scale(*scale))))
}

/// Weights of the type of the input, with one scale or one for each output channel, and their biases.
fn weights(step: &Step<'_>, channels: usize) -> Result<(), Error> {
    let (input, weights) = (step.input(0)?, step.input(1)?);
    element(&weights, input.element)?;
    let is_integer = input.element == ElementType::I8;
    if let Some(bias) = step.optional(2) {
        element(&bias, if is_integer { ElementType::I32 } else { ElementType::F32 })?;
    }
    if !is_integer {
        return Ok(());
    }
    let quantisation = &weights.quantisation;
    scales(&weights, &[1, weights.shape.get(channels).copied().unwrap_or(1)])?;
    if quantisation.scales.len() > 1 && quantisation.dimension != channels {
        let expected = if channels == 0 { "0" } else { "3" };
        let found = quantisation.dimension as i64;
        return Err(weights.error(Problem::Number { what: "quantised dimension", expected, found }));
    }
    let shifted = quantisation.zero_points.iter().find(|zero| **zero != 0);
    shifted.map_or(Ok(()), |found| Err(zero_point(&weights, "0", *found)))
}

/// The elements of one go into the other as they are.
fn same_integers(operand: &Operand<'_>, other: &Operand<'_>) -> Result<(), Error> {
    element(operand, other.element)?;
    quantised(operand)?;
    match (other.element, other.quantisation.whole()) {
        (ElementType::I8, Some(expected)) => quantised_as(operand, expected),
        _ => Ok(()),
    }
}

fn quantised_as(operand: &Operand<'_>, expected: (f32, i64)) -> Result<(), Error> {
    let found = operand.quantisation.whole();
    if found == Some(expected) {
        return Ok(());
    }
    Err(operand.error(Problem::OtherQuantisation { expected, found }))
}
