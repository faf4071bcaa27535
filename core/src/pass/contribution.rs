//! What one row of a stage's output gradient contributes to one row of what the stage reads, whatever its operation is.

use super::sources::InputRowGradient;
use crate::kernels::average;
use crate::kernels::conv::{Conv, GradientRow, InputGradientRow};
use crate::kernels::depthwise::DepthwiseGradientRow;
use crate::kernels::rectify::add_live;
use crate::network::plan::Operation;
use crate::number::Number;
use crate::vector::Simd;

/// Adds it.
#[inline(always)]
pub(super) fn contribute<S: Simd, T: Number>(
    simd: S,
    conv: Conv<'_, T>,
    output: &GradientRow<'_>,
    InputRowGradient { row, wanted, target }: InputRowGradient<'_>,
) {
    match conv.stage.operation {
        Operation::Conv | Operation::Identity => {
            simd.call(InputGradientRow { conv, output, input_row: row, wanted, target });
        }
        Operation::Depthwise => simd.call(DepthwiseGradientRow { conv, output, input_row: row, target }),
        Operation::Average => average::add_gradient(output, row, target),
        Operation::Add => add_live(output, target),
    }
}
