//! What one row of a stage's output gradient contributes to one row of what the stage reads, whatever its operation is.

use crate::kernels::average;
use crate::kernels::conv::{Conv, GradientRow, InputGradientRow};
use crate::kernels::depthwise::DepthwiseGradientRow;
use crate::kernels::masks::RowMasks;
use crate::kernels::rectify::add_live;
use crate::network::plan::Operation;
use crate::number::Number;
use crate::vector::Simd;

/// The arguments of [`Self::add`].
pub(super) struct Contribution<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientRow<'b>,
    pub input_row: usize,
    /// The bits of the input row, if a stage made it: who is dead needs no gradient.
    pub wanted: Option<RowMasks<'b>>,
    /// The row that is added to, `[column][i]`.
    pub target: &'b mut [f32],
}

impl<T: Number> Contribution<'_, '_, T> {
    /// Adds it.
    #[inline(always)]
    pub(super) fn add<S: Simd>(self, simd: S) {
        let Self { conv, output, input_row, wanted, target } = self;
        match conv.stage.operation {
            Operation::Conv | Operation::Identity => {
                simd.call(InputGradientRow { conv, output, input_row, wanted, target });
            }
            Operation::Depthwise => simd.call(DepthwiseGradientRow { conv, output, input_row, target }),
            Operation::Average => average::add_gradient(output, input_row, target),
            Operation::Add => add_live(output, target),
        }
    }
}
