//! What becomes a part or another form of a layer: a PAD goes into the convolution behind it, and a MEAN over rows and columns is
//! an average; in integers it is a depthwise convolution of ones, whose sums TensorFlow Lite for Microcontrollers requantises in
//! the same way. (Older versions of it round a mean otherwise.)

use anyhow::{Context, Result, bail, ensure};
use midge_core::{Padding, Shape};

use super::multiplier::quantise;
use crate::import::graph::{Pads, Windows};
use crate::tflite::{self, Conv2d, ElementType, Graph, Kind, Operator, Tensor};

/// What a PAD puts around a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pad {
    /// The tensor without it.
    pub source: usize,
    /// Rows and columns before and behind the map.
    around: [[usize; 2]; 2],
}

impl Pad {
    /// That of an operator.
    pub(super) fn of(graph: &Graph<'_>, operator: &Operator) -> Result<Self> {
        let tensor = |place: usize| {
            let index = operator.inputs.get(place).copied().flatten();
            index.map(|index| (index, &graph.tensors[index])).context("an input is missing")
        };
        let (source, input) = tensor(0)?;
        let amounts = tensor(1)?.1.i32s()?;
        if matches!(operator.kind, Kind::PadV2) {
            ensure!(is_zero(tensor(2)?.1, input)?, "expected a padding of zeros, found another value");
        }
        let amount = |at: usize| usize::try_from(amounts[at]).context("a padding is negative");
        match amounts[..] {
            [0, 0, _, _, _, _, 0, 0] => {
                Ok(Self { source, around: [[amount(2)?, amount(3)?], [amount(4)?, amount(5)?]] })
            }
            _ => bail!("expected a padding of rows and columns of one map, found {amounts:?}"),
        }
    }

    /// The padding of midge's that a convolution has without the PAD before it.
    pub(super) fn fold(&self, graph: &Graph<'_>, conv: Conv2d, kernel: [usize; 2]) -> Result<Padding> {
        let shape = &graph.tensors[self.source].shape;
        let [_, height, width, channels] = shape[..] else {
            bail!("expected a map of four dimensions, found {shape:?}")
        };
        let windows = Windows { kernel, stride: conv.stride, pads: Pads::Explicit(self.around) };
        let padding = windows.padding(Shape::hwc(height, width, channels), true).ok();
        let padding = padding.filter(|_| conv.padding == tflite::Padding::Valid);
        padding.with_context(|| {
            format!(
                "a PAD of {:?} rows and {:?} columns in front of a convolution of {kernel:?} with a stride of {:?} and padding \
                 {:?}: midge has paddings that are those of SAME, or as many on both sides",
                self.around[0], self.around[1], conv.stride, conv.padding
            )
        })
    }
}

/// Whether a constant is the zero of what it pads.
fn is_zero(value: &Tensor<'_>, padded: &Tensor<'_>) -> Result<bool> {
    if value.element == ElementType::F32 {
        return Ok(value.f32s()? == [0.0]);
    }
    let (_, zero_point) = padded.quantisation.whole().context("its input has not one scale")?;
    Ok(matches!(value.i8s()?, [value] if i64::from(*value) == zero_point))
}

/// The mean is one over rows and columns of a map.
pub(super) fn check_mean(graph: &Graph<'_>, operator: &Operator) -> Result<()> {
    let tensor = |place: usize| {
        let index = operator.inputs.get(place).copied().flatten();
        index.map(|index| &graph.tensors[index]).context("an input is missing")
    };
    let (shape, mut axes) = (&tensor(0)?.shape, tensor(1)?.i32s()?);
    axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis = axis.saturating_add(4));
    axes.sort_unstable();
    ensure!(
        shape.len() == 4 && axes == [1, 2],
        "expected a mean over rows and columns of a map, found one over dimensions {axes:?} of {shape:?}"
    );
    Ok(())
}

/// From the sum of `count` integers to their mean.
pub(crate) fn mean_multiplier(input: f32, output: f32, count: usize) -> [i32; 2] {
    let [multiplier, shift] = quantise(f64::from(input) / f64::from(output));
    // The place of the highest bit of the count.
    let more = (count.max(1).ilog2() as i32).min(31 + shift);
    [((i64::from(multiplier) << more.max(0)) / count.max(1) as i64) as i32, shift - more.max(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_multiplier_of_the_scales_over_the_count() {
        assert_eq!(mean_multiplier(1.0, 1.0, 1), [1 << 30, 1]);
        assert_eq!(mean_multiplier(1.0, 1.0, 4), [1 << 30, -1]);
        for (input, output, count) in [(0.1, 0.07, 49), (0.02, 0.3, 64), (0.5, 0.1, 9)] {
            let [multiplier, shift] = mean_multiplier(input, output, count);
            let real = f64::from(multiplier) * 2f64.powi(shift - 31);
            let expected = f64::from(input) / f64::from(output) / count as f64;
            assert!((real / expected - 1.0).abs() < 2f64.powi(-29), "{real} {expected}");
        }
    }
}
