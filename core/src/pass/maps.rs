//! From the features' gradient to that of the image or of the convolutions' weights, over whole maps: the backward pass of
//! hosts, which have the memory.
//!
//! ```text
//! maps:  | padded input of stage 0 | of stage 1 | .. |       each starts at a cache line; what a stage adds lies behind its input
//!
//! features' gradient -> stage 1 fills its map -> stage 0 reads it as its output's gradient and fills its own -> image
//! ```
//! The map of a stage's input has the padding of the forward pass: what is added to the padding is never read. Where several
//! stages read a value, the maps of the others are added to that of the first.

use super::arithmetic::Arithmetic;
use super::keep::Keep;
use crate::kernels::average;
use crate::kernels::conv::{GradientMap, InputGradientMap, WeightGradientMap};
use crate::kernels::depthwise::{DepthwiseGradientMap, DepthwiseWeightGradient};
use crate::kernels::rectify::add_live;
use crate::model::Model;
use crate::network::plan::{Operation, Spatial, Stage, Stages};
use crate::span::{CACHE_LINE, span, span_mut, split_mut};
use crate::vector::Simd;

/// Elements of a padded map of a stage's input.
fn input_len(stage: &Spatial) -> usize {
    stage.values_len(stage.whole_height())
}

/// Elements of the maps of a stage: of its input, and of what it adds.
fn map_len(stage: &Spatial) -> usize {
    input_len(stage) + if stage.skip().is_some() { stage.output().len() } else { 0 }
}

/// Elements of the maps of all spatial stages.
pub(super) fn maps_len(plan: &Stages) -> usize {
    map_start(plan, plan.spatial_count())
}

/// Where the map of stage `index` starts: at a cache line, if the first one does.
fn map_start(plan: &Stages, index: usize) -> usize {
    (0..index).filter_map(|i| plan.spatial(i)).map(|stage| map_len(stage).next_multiple_of(CACHE_LINE)).sum()
}

/// Where a padded map's first row begins behind its padding.
fn input_start(stage: &Spatial) -> usize {
    stage.pad_top() * stage.padded_row_step() + stage.pad_left() * stage.input().channels
}

/// Where a gradient lies among all maps: its first row, and elements from one row to the next.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    row_stride: usize,
}

impl Place {
    /// Of what stage `reader` reads or adds.
    fn of(plan: &Stages, reader: usize, is_skip: bool) -> Option<Self> {
        let (stage, start) = (plan.spatial(reader)?, map_start(plan, reader));
        Some(if is_skip {
            Self { start: start + input_len(stage), row_stride: stage.output().row_len() }
        } else {
            Self { start: start + input_start(stage), row_stride: stage.padded_row_step() }
        })
    }
}

/// What is wanted of a backward pass.
pub(super) enum Wanted<'b> {
    /// The gradient of the image, `[row][column][channel]`.
    Image(&'b mut [f32]),
    /// The gradient of the convolutions' weights and biases is added to.
    Weights {
        /// Input rows of all spatial stages, all kept.
        rows: &'b [f32],
        gradient: &'b mut [f32],
    },
}

/// The walk from the last spatial stage to the first.
pub(super) struct BackwardMaps<'m, 'a, 'b, T: Arithmetic<Value = f32>> {
    /// With transposed weights.
    pub model: &'a Model<'m, T>,
    /// Gradient of the output of the last spatial stage.
    pub features: &'b [f32],
    pub masks: &'b [u32],
    /// Gradients of the padded inputs of all stages.
    pub maps: &'b mut [f32],
    pub wanted: Wanted<'b>,
}

impl<T: Arithmetic<Value = f32>> BackwardMaps<'_, '_, '_, T> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(mut self, simd: S) {
        let plan = self.model.network().plan();
        for index in (0..plan.spatial_count()).rev() {
            let Some(stage) = plan.spatial(index) else { return };
            self.stage(simd, index, stage);
        }
        if let (Wanted::Image(gradient), Some(stage)) = (self.wanted, plan.spatial(0)) {
            let map = span(self.maps, 0, input_len(stage));
            for (row, target) in gradient.chunks_exact_mut(stage.input().row_len().max(1)).enumerate() {
                let own = span(map, input_start(stage) + row * stage.padded_row_step(), stage.input().row_len());
                target.iter_mut().zip(own).for_each(|(target, g)| *target = *g);
            }
        }
    }

    /// The gradient of what stage `index` puts out, in the map of its first reader; `None` for the last stage.
    fn gather(&mut self, index: usize, stage: &Spatial) -> Option<Place> {
        let plan = self.model.network().plan();
        let mut readers = plan.readers(index).filter_map(|(reader, is_skip)| Place::of(plan, reader, is_skip));
        let first = readers.next()?;
        let len = stage.output().row_len();
        for other in readers {
            for row in 0..stage.output().height {
                let (to, from) = (first.start + row * first.row_stride, other.start + row * other.row_stride);
                let (front, back) = split_mut(self.maps, from);
                let target = span_mut(front, to, len);
                target.iter_mut().zip(span(back, 0, len)).for_each(|(target, g)| *target += g);
            }
        }
        Some(first)
    }

    #[inline(always)]
    fn stage<S: Simd>(&mut self, simd: S, index: usize, stage: &Spatial) {
        let plan = self.model.network().plan();
        let conv = self.model.conv(index, stage);
        let place = self.gather(index, stage);
        let end = map_start(plan, index + 1);
        let (maps, behind) = split_mut(self.maps, end);
        let map = span_mut(maps, map_start(plan, index), map_len(stage));
        let is_wanted = index > 0 || matches!(self.wanted, Wanted::Image(_));
        if is_wanted {
            map.fill(0.0);
        }
        let masks = span(self.masks, plan.mask_range(index).start, stage.mask_len());
        let output = &match place {
            Some(Place { start, row_stride }) => {
                GradientMap { stage, gradient: behind, start: start - end, row_stride, masks }
            }
            None => {
                GradientMap { stage, gradient: self.features, start: 0, row_stride: stage.output().row_len(), masks }
            }
        };
        if let Wanted::Weights { rows, gradient } = &mut self.wanted {
            weight_gradient(simd, (plan, index, stage), output, Keep::All.map::<T>(plan, rows, index), gradient);
        }
        if is_wanted {
            match stage.operation {
                Operation::Conv | Operation::Identity => simd.call(InputGradientMap { conv, output, target: map }),
                Operation::Depthwise => simd.call(DepthwiseGradientMap { conv, output, target: map }),
                Operation::Average => average_map(output, map),
                Operation::Add => added_maps(output, map),
            }
        }
    }
}

/// Adds the gradient of a stage's weights and biases to their place in that of all.
#[inline(always)]
fn weight_gradient<S: Simd>(
    simd: S,
    (plan, index, stage): (&Stages, usize, &Spatial),
    output: &GradientMap<'_>,
    input: &[f32],
    gradient: &mut [f32],
) {
    if stage.weight_len() == 0 {
        return;
    }
    let before = plan.all().iter().take(index).map(Stage::parameters).map(|(w, b)| w + b).sum();
    let own = span_mut(gradient, before, stage.weight_len() + stage.bias_len());
    let (weight_gradient, bias_gradient) = split_mut(own, stage.weight_len());
    if stage.convolves() {
        let row_stride = stage.padded_row_step();
        simd.call(WeightGradientMap { stage, output, input, row_stride, weight_gradient, bias_gradient });
    } else {
        simd.call(DepthwiseWeightGradient { output, input, weight_gradient, bias_gradient });
    }
}

/// The gradient of an average's input, into its padded map.
fn average_map(output: &GradientMap<'_>, map: &mut [f32]) {
    let stage = output.stage;
    for p in 0..stage.output().height {
        let output = &output.row(p);
        for row in 0..stage.kernel_height() {
            // Rows of padding, and below the map, get nothing.
            let Some(input_row) = (p * stage.row_step() + row).checked_sub(stage.pad_top()) else { continue };
            if input_row < stage.input().height {
                let start = input_start(stage) + input_row * stage.padded_row_step();
                average::add_gradient(output, input_row, span_mut(map, start, stage.input().row_len()));
            }
        }
    }
}

/// The gradients of the two maps that a stage adds, one behind the other.
fn added_maps(output: &GradientMap<'_>, maps: &mut [f32]) {
    let stage = output.stage;
    let len = stage.output().row_len();
    for map in maps.chunks_exact_mut(stage.output().len()) {
        for row in 0..stage.output().height {
            add_live(&output.row(row), span_mut(map, row * len, len));
        }
    }
}
