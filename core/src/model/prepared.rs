//! The weights of a network of integers in the orders that a host's vectors read: integers for forward, real numbers for the
//! gradient.
//!
//! ```text
//! words of four bytes, each part from a cache line on:
//! | where the two parts of each stage start | transposed weights of all convolutions, slack | stage 0 | stage 1 | ..
//!
//! a stage: | real weights, depthwise [ky][kx][filter] or dense [input][unit] | packed integers |
//! ```
//! A real weight is `integer * scale of its output channel`. The transposed ones lie as a [`Model<f32>`](crate::Model) has them,
//! with unused room for those of Winograd.

use crate::kernels::conv;
use crate::kernels::int8::Int8Layer;
use crate::kernels::int8::packed::{Form, pack};
use crate::network::plan::{Operation, Stage, Stages};
use crate::span::{CACHE_LINE, reach, rest, rest_mut, span_mut, take};

/// Words of what begins the buffer.
fn starts_len(plan: &Stages) -> usize {
    (2 * plan.count()).next_multiple_of(CACHE_LINE)
}

/// Words of the transposed weights of all convolutions.
fn convolutions_len(plan: &Stages) -> usize {
    conv::all_transposed_len(plan).next_multiple_of(CACHE_LINE)
}

/// Elements of the real weights that are not transposed, and words of the packed integers.
fn lengths(stage: &Stage) -> [usize; 2] {
    let weights = match stage {
        Stage::Spatial(stage) if stage.operation != Operation::Depthwise => 0,
        _ => stage.parameters().0,
    };
    [weights, Form::of(stage).map_or(0, |form| form.packed_len())].map(|len| len.next_multiple_of(CACHE_LINE))
}

/// Words of everything.
pub(super) fn len(plan: &Stages) -> usize {
    starts_len(plan) + convolutions_len(plan) + plan.all().iter().flat_map(lengths).sum::<usize>()
}

/// Where part `part` of stage `index` starts.
fn start(prepared: &[f32], index: usize, part: usize) -> usize {
    prepared.get(2 * index + part).map_or(0, |start| start.to_bits() as usize)
}

/// The transposed weights of all convolutions, and what lies behind them.
pub(super) fn transposed<'a>(plan: &Stages, prepared: &'a [f32]) -> &'a [f32] {
    rest(prepared, starts_len(plan).min(prepared.len()))
}

/// The real weights of a stage that is no convolution.
pub(super) fn weights<'a>(prepared: &'a [f32], index: usize, stage: &Stage) -> &'a [f32] {
    let len = if lengths(stage)[0] == 0 { 0 } else { stage.parameters().0 };
    reach(prepared, start(prepared, index, 0), len)
}

/// The packed integers of a stage, and what lies behind them; nothing if there are none.
pub(super) fn packed(prepared: &[f32], index: usize) -> &[i32] {
    if prepared.is_empty() { &[] } else { bytemuck::cast_slice(rest(prepared, start(prepared, index, 1))) }
}

/// Writes all of it to `target`, of [`len`] elements or more.
pub(super) fn prepare<'a>(plan: &Stages, layers: impl Iterator<Item = Int8Layer<'a>>, target: &mut [f32]) {
    let mut start = starts_len(plan) + convolutions_len(plan);
    for (index, stage) in plan.all().iter().enumerate() {
        for (part, len) in lengths(stage).into_iter().enumerate() {
            span_mut(target, 2 * index + part, 1).fill(f32::from_bits(start as u32));
            start += len;
        }
    }
    let mut rest = rest_mut(target, starts_len(plan));
    let mut convolutions = take(&mut rest, convolutions_len(plan));
    for (stage, layer) in plan.all().iter().zip(layers) {
        let [weights, packed] = lengths(stage).map(|len| take(&mut rest, len));
        match stage {
            Stage::Spatial(spatial) if spatial.operation != Operation::Depthwise => {
                real_weights(stage, &layer, take(&mut convolutions, conv::transposed_len(spatial)));
            }
            _ => real_weights(stage, &layer, weights),
        }
        if let Some(form) = Form::of(stage) {
            pack(&form, &layer, span_mut(bytemuck::cast_slice_mut(packed), 0, form.packed_len()));
        }
    }
    convolutions.fill(0.0);
}

/// The real weights of a stage: those of a convolution `[filter][ky][kx][channel]`, as they are stored.
fn real_weights(stage: &Stage, layer: &Int8Layer<'_>, target: &mut [f32]) {
    let weights = layer.weights;
    match stage {
        Stage::Spatial(spatial) => {
            let outputs = spatial.output().channels;
            let own = weights.len() / outputs.max(1);
            for (at, (target, w)) in target.iter_mut().zip(weights).enumerate() {
                let o = if spatial.convolves() { at / own.max(1) } else { at % outputs };
                *target = f32::from(*w) * layer.weight_scale(o);
            }
        }
        Stage::Dense(dense) => {
            for (unit, weights) in weights.chunks_exact(dense.inputs.max(1)).enumerate() {
                let scale = layer.weight_scale(unit);
                for (target, w) in target.iter_mut().skip(unit).step_by(dense.units.max(1)).zip(weights) {
                    *target = f32::from(*w) * scale;
                }
            }
        }
    }
}
