//! What a stage of a graph makes an output row from, whatever its operation is.

use super::sources::Sources;
use crate::kernels::average;
use crate::kernels::conv::{Columns, Conv, Window};
use crate::kernels::depthwise::DepthwiseColumns;
#[cfg(feature = "std")]
use crate::kernels::int8::packed::{Form, PackedAdd, PackedColumns};
use crate::kernels::int8::{self, Int8Layer};
use crate::kernels::rectify::{cap, rectify};
use crate::network::plan::{Operation, Spatial};
use crate::number::Number;
use crate::span::span;
use crate::vector::Simd;

/// A stage of integers.
pub(super) struct Int8Operands<'a, 'b> {
    pub layer: Int8Layer<'a>,
    pub stage: &'a Spatial,
    pub sources: Sources<'b, i8>,
}

impl Int8Operands<'_, '_> {
    /// Makes as many columns as `out` takes, and their bits unless `masks` is empty.
    #[inline(always)]
    pub(super) fn run<S: Simd>(self, simd: S, out: &mut [i8], masks: &mut [u32]) {
        let Self { layer, stage, sources: Sources { window, own, first, scratch } } = self;
        #[cfg(feature = "std")]
        if S::HAS_INT8 && !layer.packed.is_empty() {
            if let Some(form) = Form::spatial(stage) {
                return simd.call_int8(PackedColumns { stage, layer, form, window, first, out, masks });
            }
            if stage.operation == Operation::Add {
                let start = first * stage.output().channels;
                let (x, other) = (span(window.input_row(0).values, start, out.len()), span(own, start, out.len()));
                return simd.call_int8(PackedAdd { stage, layer, x, other, out, masks });
            }
        }
        match stage.operation {
            Operation::Conv | Operation::Identity | Operation::Depthwise => {
                simd.call(int8::conv::Int8Columns { stage, layer, window, first, out, masks, scratch });
            }
            Operation::Average => {
                int8::average::means(stage, &layer, (window.row, first), own, out);
                if stage.relu {
                    int8::average::note_alive_means(stage, &layer, out, masks);
                }
            }
            Operation::Add => {
                let start = first * stage.output().channels;
                let (x, other) = (span(window.input_row(0).values, start, out.len()), span(own, start, out.len()));
                int8::add::add_rows(&layer, x, other, out);
                if stage.relu {
                    int8::add::note_alive_sums(stage, &layer, [x, other, out], masks);
                }
            }
        }
    }
}

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
