//! The shape of each operator's result.

use super::step::{Operand, Step};
use crate::tflite::error::{Error, Problem};
use crate::tflite::graph::{Conv2d, Kind, Padding};
use crate::tflite::reader::MAX_DIMENSIONS;

/// The result has the shape that follows from the operator and its inputs.
pub(super) fn check(step: &Step<'_>) -> Result<(), Error> {
    let (expected, output) = (result(step)?, step.output()?);
    if output.shape == expected {
        return Ok(());
    }
    Err(output.error(Problem::Shape { expected, found: output.shape.clone() }))
}

fn result(step: &Step<'_>) -> Result<Vec<usize>, Error> {
    let input = step.input(0)?;
    match step.kind() {
        Kind::Conv2d(conv) => conv_2d(step, conv),
        Kind::DepthwiseConv2d { conv, multiplier } => depthwise_conv_2d(step, conv, *multiplier),
        Kind::FullyConnected { keep_num_dims, .. } => fully_connected(step, *keep_num_dims),
        Kind::MaxPool2d(pool) | Kind::AveragePool2d(pool) => {
            let [height, width, channels] = map(&input)?;
            let windows = windows([height, width], pool.filter, pool.stride, pool.padding);
            Ok(windows.map(|[height, width]| vec![1, height, width, channels]).ok_or_else(|| too_small(&input))?)
        }
        Kind::Add(_) | Kind::Mul(_) => broadcast(step),
        Kind::Reshape(shape) => reshape(step, shape.as_deref()),
        Kind::Pad | Kind::PadV2 => pad(step),
        Kind::Mean { keep_dims } => mean(step, *keep_dims),
        Kind::Concatenation { axis, .. } => concatenation(step, *axis),
        Kind::Softmax { .. } | Kind::Quantize | Kind::Dequantize | Kind::Relu | Kind::Relu6 | Kind::Logistic => {
            Ok(input.shape.clone())
        }
        Kind::Unsupported(_) => Err(step.unsupported()),
    }
}

/// Height, width and channels.
fn map(operand: &Operand<'_>) -> Result<[usize; 3], Error> {
    match operand.shape[..] {
        [1, height, width, channels] => Ok([height, width, channels]),
        _ => Err(operand.dimensions("[1, height, width, channels]")),
    }
}

fn too_small(input: &Operand<'_>) -> Error {
    input.dimensions("of at least a window of the operator, whose padding is VALID")
}

/// Rows and columns of windows in a map; `None` if not one fits.
fn windows(map: [usize; 2], window: [usize; 2], stride: [usize; 2], padding: Padding) -> Option<[usize; 2]> {
    let along = |size: usize, window: usize, stride: usize| match padding {
        Padding::Same => Some(size.div_ceil(stride)),
        Padding::Valid => Some(size.checked_sub(window)? / stride + 1),
    };
    Some([along(map[0], window[0], stride[0])?, along(map[1], window[1], stride[1])?])
}

fn exactly(operand: &Operand<'_>, expected: &[usize]) -> Result<(), Error> {
    if operand.shape == expected {
        return Ok(());
    }
    Err(operand.error(Problem::Shape { expected: expected.to_vec(), found: operand.shape.clone() }))
}

/// One bias for each channel or unit, if there are any.
fn bias(step: &Step<'_>, channels: usize) -> Result<(), Error> {
    step.optional(2).map_or(Ok(()), |bias| exactly(&bias, &[channels]))
}

/// The map of windows of a convolution.
fn convolved(step: &Step<'_>, conv: &Conv2d, kernel: [usize; 2]) -> Result<[usize; 2], Error> {
    if conv.dilation != [1, 1] {
        let found = format!("{:?}", conv.dilation);
        return Err(step.error(Problem::Option { what: "dilation", expected: "[1, 1]", found }));
    }
    let input = step.input(0)?;
    let [height, width, _] = map(&input)?;
    windows([height, width], kernel, conv.stride, conv.padding).ok_or_else(|| too_small(&input))
}

fn conv_2d(step: &Step<'_>, conv: &Conv2d) -> Result<Vec<usize>, Error> {
    let (input, weights) = (step.input(0)?, step.input(1)?);
    let [_, _, channels] = map(&input)?;
    let [filters, height, width, _] = weights.shape[..] else {
        return Err(weights.dimensions("[filters, height, width, channels]"));
    };
    // Fewer channels would be a grouped convolution.
    exactly(&weights, &[filters, height, width, channels])?;
    bias(step, filters)?;
    let [rows, columns] = convolved(step, conv, [height, width])?;
    Ok(vec![1, rows, columns, filters])
}

fn depthwise_conv_2d(step: &Step<'_>, conv: &Conv2d, multiplier: usize) -> Result<Vec<usize>, Error> {
    let (input, weights) = (step.input(0)?, step.input(1)?);
    let [_, _, channels] = map(&input)?;
    let [_, height, width, _] = weights.shape[..] else {
        return Err(weights.dimensions("[1, height, width, channels * multiplier]"));
    };
    let filters = channels.saturating_mul(multiplier);
    exactly(&weights, &[1, height, width, filters])?;
    bias(step, filters)?;
    let [rows, columns] = convolved(step, conv, [height, width])?;
    Ok(vec![1, rows, columns, filters])
}

fn fully_connected(step: &Step<'_>, keep_num_dims: bool) -> Result<Vec<usize>, Error> {
    let (input, weights) = (step.input(0)?, step.input(1)?);
    let [units, inputs] = weights.shape[..] else { return Err(weights.dimensions("[units, inputs]")) };
    bias(step, units)?;
    let mut shape = input.shape.clone();
    if keep_num_dims {
        match shape.last_mut() {
            Some(last) if *last == inputs => *last = units,
            _ => return Err(input.dimensions("that end with the number of inputs of the weights")),
        }
        return Ok(shape);
    }
    if input.elements() != Some(inputs) {
        return Err(input.dimensions("of as many elements as the weights have inputs"));
    }
    Ok(vec![1, units])
}

/// Integers of which there is one for a dimension. Many operators may share a constant, so a large one is not read.
fn few(operand: &Operand<'_>) -> Result<Vec<i32>, Error> {
    if operand.elements().is_none_or(|elements| elements > MAX_DIMENSIONS) {
        return Err(operand.dimensions("of no more elements than a tensor has dimensions"));
    }
    operand.i32s().map_err(|problem| operand.error(problem))
}

/// Dimensions are aligned from the last one on; one of them may be 1 or not there.
fn broadcast(step: &Step<'_>) -> Result<Vec<usize>, Error> {
    let (a, b) = (step.input(0)?, step.input(1)?);
    let rank = a.shape.len().max(b.shape.len());
    let size = |operand: &Operand<'_>, from_end: usize| {
        operand.shape.len().checked_sub(from_end).and_then(|at| operand.shape.get(at)).copied().unwrap_or(1)
    };
    let sizes = (1..=rank).rev().map(|from_end| match (size(&a, from_end), size(&b, from_end)) {
        (a, b) if a == b || b == 1 => Ok(a),
        (1, b) => Ok(b),
        _ => Err(b.error(Problem::Shape { expected: a.shape.clone(), found: b.shape.clone() })),
    });
    sizes.collect()
}

fn reshape(step: &Step<'_>, options: Option<&[i32]>) -> Result<Vec<usize>, Error> {
    let input = step.input(0)?;
    let constant = step.optional(1).map(|shape| few(&shape)).transpose()?;
    let Some(sizes) = constant.as_deref().or(options) else {
        return Err(step.error(Problem::Missing("the new shape, which is a constant or an option")));
    };
    let elements = input.elements().unwrap_or(usize::MAX);
    let wrong = || step.error(Problem::NewShape { elements, found: sizes.to_vec() });
    let known = sizes.iter().filter(|size| **size != -1).try_fold(1usize, |product, size| {
        usize::try_from(*size).ok().and_then(|size| product.checked_mul(size)).ok_or_else(wrong)
    })?;
    let rest = match sizes.iter().filter(|size| **size == -1).count() {
        0 if known == elements => 1,
        1 if known > 0 && elements.is_multiple_of(known) => elements / known,
        _ => return Err(wrong()),
    };
    // A size that is not -1 was seen not to be negative.
    Ok(sizes.iter().map(|size| usize::try_from(*size).unwrap_or(rest)).collect())
}

fn pad(step: &Step<'_>) -> Result<Vec<usize>, Error> {
    let (input, paddings) = (step.input(0)?, step.input(1)?);
    exactly(&paddings, &[input.shape.len(), 2])?;
    if let Some(value) = step.optional(2).filter(|value| value.elements() != Some(1)) {
        return Err(value.dimensions("of one element"));
    }
    let amounts = paddings.i32s().map_err(|problem| paddings.error(problem))?;
    let wrong = |found: i32| {
        let expected = "at least 0 and no more than a tensor can hold";
        paddings.error(Problem::Number { what: "paddings", expected, found: found.into() })
    };
    let pairs = input.shape.iter().zip(amounts.as_chunks().0);
    let sizes = pairs.map(|(size, [before, after])| {
        let add = |size: usize, amount: i32| {
            usize::try_from(amount).ok().and_then(|amount| size.checked_add(amount)).ok_or_else(|| wrong(amount))
        };
        add(add(*size, *before)?, *after)
    });
    sizes.collect()
}

/// The dimension that an axis names, from the end if it is negative.
fn dimension(axis: i32, rank: usize) -> Option<usize> {
    let from_end = || rank.checked_sub(usize::try_from(axis.unsigned_abs()).ok()?);
    usize::try_from(axis).ok().or_else(from_end).filter(|dimension| *dimension < rank)
}

fn mean(step: &Step<'_>, keep_dims: bool) -> Result<Vec<usize>, Error> {
    let (input, axes) = (step.input(0)?, step.input(1)?);
    let mut sizes: Vec<_> = input.shape.iter().copied().map(Some).collect();
    for axis in few(&axes)? {
        let wrong =
            || axes.error(Problem::Number { what: "axes", expected: "dimensions of the input", found: axis.into() });
        let size = dimension(axis, sizes.len()).and_then(|dimension| sizes.get_mut(dimension)).ok_or_else(wrong)?;
        *size = keep_dims.then_some(1);
    }
    Ok(sizes.into_iter().flatten().collect())
}

fn concatenation(step: &Step<'_>, axis: i32) -> Result<Vec<usize>, Error> {
    let first = step.input(0)?;
    let mut shape = first.shape.clone();
    let wrong = Problem::Number { what: "axis", expected: "a dimension of the inputs", found: axis.into() };
    let at = dimension(axis, shape.len()).ok_or_else(|| step.error(wrong))?;
    shape[at] = 0;
    for input in step.inputs() {
        let mut expected = first.shape.clone();
        if let Some(size) = input.shape.get(at) {
            expected[at] = *size;
            shape[at] = shape[at].saturating_add(*size);
        }
        exactly(&input, &expected)?;
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_two_paddings() {
        let same = |map, window, stride| windows(map, window, stride, Padding::Same);
        let valid = |map, window, stride| windows(map, window, stride, Padding::Valid);
        // The first layers of the keyword and the wake word models.
        assert_eq!(same([49, 10], [10, 4], [2, 2]), Some([25, 5]));
        assert_eq!(same([96, 96], [3, 3], [2, 2]), Some([48, 48]));
        assert_eq!(valid([30, 1], [3, 1], [1, 1]), Some([28, 1]));
        assert_eq!(valid([7, 7], [2, 2], [2, 2]), Some([3, 3]));
        assert_eq!(same([7, 7], [2, 2], [2, 2]), Some([4, 4]));
        assert_eq!((valid([2, 3], [3, 3], [1, 1]), same([2, 3], [5, 5], [1, 1])), (None, Some([2, 3])));
    }

    #[test]
    fn axes_count_from_both_ends() {
        let all = [-5, -4, -1, 0, 3, 4, i32::MIN].map(|axis| dimension(axis, 4));
        assert_eq!(all, [None, Some(0), Some(3), Some(0), Some(3), None, None]);
    }
}
