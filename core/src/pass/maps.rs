//! From the features' gradient to that of the image or of the convolutions' weights, over whole maps: the backward pass of
//! hosts, which have the memory.
//!
//! ```text
//! maps:  | padded input of stage 0 | of stage 1 | .. |       each starts at a cache line
//!
//! features' gradient -> stage 1 fills its map -> stage 0 reads it as its output's gradient and fills its own -> image
//! ```
//! The map of a stage's input has the padding of the forward pass: what is added to the padding is never read.

use super::rows::Keep;
use crate::kernels::conv::{GradientMap, InputGradientMap, WeightGradientMap};
use crate::model::{Model, Weights};
use crate::network::plan::{Spatial, Stage, Stages};
use crate::span::{CACHE_LINE, reach, span, span_mut, split_mut};
use crate::vector::Simd;

/// Elements of a padded map of a stage's input.
fn map_len(stage: &Spatial) -> usize {
    stage.values_len(stage.padded_height())
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

/// The part of a padded map that is row `row` of the input; nothing if no window reaches that row. `maps` starts with
/// the map.
fn input_row<'b>(stage: &Spatial, maps: &'b [f32], row: usize) -> &'b [f32] {
    let map = span(maps, 0, map_len(stage));
    reach(map, input_start(stage) + row * stage.padded_row_step(), stage.input().row_len())
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
pub(super) struct BackwardMaps<'m, 'a, 'b, T: Weights> {
    /// With transposed weights.
    pub model: &'a Model<'m, T>,
    /// Gradient of the output of the last spatial stage.
    pub features: &'b [f32],
    pub masks: &'b [u32],
    /// Gradients of the padded inputs of all stages.
    pub maps: &'b mut [f32],
    pub wanted: Wanted<'b>,
}

impl<T: Weights> BackwardMaps<'_, '_, '_, T> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(mut self, simd: S) {
        let plan = self.model.network().plan();
        for index in (0..plan.spatial_count()).rev() {
            let Some(stage) = plan.spatial(index) else { return };
            self.stage(simd, index, stage);
        }
        if let (Wanted::Image(gradient), Some(stage)) = (self.wanted, plan.spatial(0)) {
            for (row, target) in gradient.chunks_exact_mut(stage.input().row_len().max(1)).enumerate() {
                // Rows that no window reaches have no place in the map, and no gradient.
                target.fill(0.0);
                target.iter_mut().zip(input_row(stage, self.maps, row)).for_each(|(target, g)| *target = *g);
            }
        }
    }

    #[inline(always)]
    fn stage<S: Simd>(&mut self, simd: S, index: usize, stage: &Spatial) {
        let plan = self.model.network().plan();
        let conv = self.model.conv(index, stage);
        let end = map_start(plan, index + 1);
        let (maps, output_map) = split_mut(self.maps, end);
        let map = span_mut(maps, map_start(plan, index), map_len(stage));
        let is_wanted = index > 0 || matches!(self.wanted, Wanted::Image(_));
        if is_wanted {
            map.fill(0.0);
        }
        let masks = span(self.masks, plan.mask_range(index).start, stage.mask_len());
        let output = &match plan.spatial(index + 1) {
            Some(next) => {
                let (gradient, start) = (span(output_map, 0, map_len(next)), input_start(next));
                GradientMap { stage, gradient, start, row_stride: next.padded_row_step(), masks }
            }
            None => {
                GradientMap { stage, gradient: self.features, start: 0, row_stride: stage.output().row_len(), masks }
            }
        };
        if let Wanted::Weights { rows, gradient } = &mut self.wanted
            && stage.convolves()
        {
            let before = plan.all().iter().take(index).map(Stage::parameters).map(|(w, b)| w + b).sum();
            let own = span_mut(gradient, before, stage.weight_len() + stage.bias_len());
            let (weight_gradient, bias_gradient) = split_mut(own, stage.weight_len());
            let input = Keep::All.map(plan, rows, index);
            let row_stride = stage.padded_row_step();
            simd.call(WeightGradientMap { stage, output, input, row_stride, weight_gradient, bias_gradient });
        }
        if is_wanted {
            simd.call(InputGradientMap { conv, output, target: map });
        }
    }
}
