//! What a stage of a graph makes an output row from, whatever its operation is.

use crate::kernels::average;
use crate::kernels::conv::{Columns, Conv, Window};
use crate::kernels::depthwise::DepthwiseColumns;
use crate::kernels::rectify::{cap, rectify};
use crate::network::plan::Operation;
use crate::number::Number;
use crate::span::span;
use crate::vector::Simd;

/// A stage, its rows, and the first column that is wanted.
pub(super) struct Operands<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub window: &'b Window<'b>,
    /// The row that it adds, or an average's sums.
    pub own: &'b [f32],
    pub first: usize,
}

impl<T: Number> Operands<'_, '_, T> {
    /// Makes as many columns as `out` takes, and their bits unless `masks` is empty.
    #[inline(always)]
    pub(super) fn run<S: Simd>(self, simd: S, out: &mut [f32], masks: &mut [u32]) {
        let Self { conv, window, own, first } = self;
        let stage = conv.stage;
        match stage.operation {
            Operation::Conv | Operation::Identity => {
                Columns { conv, window, first, out: &mut *out, masks: &mut *masks }.run(simd);
            }
            Operation::Depthwise => simd.call(DepthwiseColumns { conv, window, first, out: &mut *out }),
            Operation::Average => average::means(stage, (window.row, first), own, out),
            Operation::Add => {
                let start = first * stage.output().channels;
                let (x, other) = (span(window.input_row(0).values, start, out.len()), span(own, start, out.len()));
                out.iter_mut().zip(x).zip(other).for_each(|((out, x), other)| *out = x + other);
            }
        }
        if stage.relu && !matches!(stage.operation, Operation::Conv | Operation::Identity) {
            rectify(stage, out, masks);
        }
        if stage.capped {
            cap(stage, out, masks);
        }
    }
}
