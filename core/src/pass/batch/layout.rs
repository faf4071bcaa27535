//! Where the parts of a batch lie in the caller's buffer.
//!
//! In this order, each from a cache line on; `n` is the number of samples:
//!
//! | part | [`Logits`](Kept::Logits) | [`InputGradient`](Kept::InputGradient) | [`WeightGradient`](Kept::WeightGradient) |
//! |---|---|---|---|
//! | `rows`: input rows of the spatial stages | the ring of one | the ring of one | all rows of `n` |
//! | `masks`: bits | | `n` | `n` |
//! | `features`: what enters the first dense layer | `n` | `n` | `n` |
//! | `feature_gradient` | | `n` | `n` |
//! | `outputs` of the dense layers, the logits last | `n` | `n` | `n` |
//! | `gradients` of these outputs | | `n` | `n` |
//! | `maps`: gradients of the stages' padded inputs | | of one | of one |
//! | `tail`: an output row of the last spatial stage | of one | of one | of one |

use core::ops::Range;

use crate::network::Network;
use crate::network::plan::{DenseStage, Stage};
use crate::pass::keep::Keep;
use crate::pass::maps::maps_len;
use crate::span::{CACHE_LINE, cache_line};

/// What a forward pass leaves for the pass behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The logits.
    Logits,
    /// What the gradient of the images needs.
    InputGradient,
    /// What the gradient of the weights needs.
    WeightGradient,
}

/// A network, the samples that there is room for, and what they are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'n> {
    pub network: &'n Network,
    pub samples: usize,
    pub kept: Kept,
}

/// The parts of a batch's buffer. Matrices are `[sample][element]`.
pub(crate) struct Parts<'b> {
    /// Input rows of the spatial stages: of each sample for weight gradients, else of the one that is running.
    pub rows: &'b mut [f32],
    pub masks: &'b mut [u32],
    /// What enters the first dense layer, and its gradient.
    pub features: &'b mut [f32],
    pub feature_gradient: &'b mut [f32],
    /// Outputs of the dense layers, one matrix after the other; the logits where there is no dense layer.
    pub outputs: &'b mut [f32],
    pub gradients: &'b mut [f32],
    /// Gradients of the spatial stages' inputs.
    pub maps: &'b mut [f32],
    pub tail: &'b mut [f32],
}

impl Parts<'_> {
    /// The same parts for a shorter time.
    pub(super) fn reborrow(&mut self) -> Parts<'_> {
        Parts {
            rows: self.rows,
            masks: self.masks,
            features: self.features,
            feature_gradient: self.feature_gradient,
            outputs: self.outputs,
            gradients: self.gradients,
            maps: self.maps,
            tail: self.tail,
        }
    }
}

impl<'n> Layout<'n> {
    /// Elements of the buffer, in which each part starts at a cache line.
    pub(super) fn buffer_len(&self) -> usize {
        CACHE_LINE + self.lengths().map(|len| len.next_multiple_of(CACHE_LINE)).iter().sum::<usize>()
    }

    /// Elements of the parts, in their order.
    fn lengths(&self) -> [usize; 8] {
        let plan = self.network.plan();
        let rows = match self.kept {
            // Bytes, as few as a device has.
            _ if plan.is_int8() => self.network.inference_len() - self.network.classes(),
            Kept::WeightGradient => self.samples * self.keep().rows_len::<f32>(plan),
            _ => self.keep().rows_len::<f32>(plan),
        };
        let (features, outputs) = (self.samples * self.features_len(), self.samples * self.outputs_len());
        let last = plan.spatial_count().checked_sub(1).and_then(|last| plan.spatial(last));
        let tail = last.map_or(0, |stage| stage.output().row_len());
        // A network of integers without spatial stages makes bytes of the image there; by rows its gradient needs less than maps,
        // or more where there are none.
        let tail = if plan.is_int8() { tail.max(plan.lengths().tail) } else { tail };
        let maps = if plan.is_int8() { maps_len(plan).max(plan.lengths().backward) } else { maps_len(plan) };
        match self.kept {
            Kept::Logits => [rows, 0, features, 0, outputs, 0, 0, tail],
            _ => {
                let masks = self.samples * plan.lengths().masks;
                [rows, masks, features, features, outputs, outputs, maps, tail]
            }
        }
    }

    /// The parts of `buffer`, which has [`Self::buffer_len`] elements or more.
    pub(super) fn parts<'b>(&self, buffer: &'b mut [f32]) -> Parts<'b> {
        let mut next = cache_line(buffer);
        let ranges: [Range<usize>; 8] = self.lengths().map(|len| {
            let start = next;
            next += len.next_multiple_of(CACHE_LINE);
            start..start + len
        });
        let parts = buffer.get_disjoint_mut(ranges);
        debug_assert!(parts.is_ok(), "the buffer has {next} elements or more");
        let [rows, masks, features, feature_gradient, outputs, gradients, maps, tail] = parts.unwrap_or_default();
        let masks = bytemuck::cast_slice_mut(masks);
        Parts { rows, masks, features, feature_gradient, outputs, gradients, maps, tail }
    }

    /// Which input rows of the spatial stages stay in memory.
    pub(super) fn keep(&self) -> Keep {
        if self.kept == Kept::WeightGradient { Keep::All } else { Keep::Window }
    }

    /// The dense layers, in order.
    pub(super) fn dense_stages(&self) -> impl Iterator<Item = &'n DenseStage> + use<'n> {
        let plan = self.network.plan();
        (plan.spatial_count()..plan.count()).filter_map(|index| plan.dense(index))
    }

    /// Elements of what enters the first dense layer.
    pub(super) fn features_len(&self) -> usize {
        let plan = self.network.plan();
        match plan.spatial_count().checked_sub(1).and_then(|last| plan.spatial(last)) {
            Some(stage) => stage.output().len(),
            None => self.network.input().len(),
        }
    }

    /// Elements of all dense outputs of one sample.
    fn outputs_len(&self) -> usize {
        let dense: usize = self.dense_stages().map(|stage| stage.units).sum();
        if dense == 0 { self.network.classes() } else { dense }
    }

    /// Where the outputs of dense layer `layer` start.
    pub(super) fn output_start(&self, layer: usize) -> usize {
        self.samples * self.dense_stages().take(layer).map(|stage| stage.units).sum::<usize>()
    }

    /// The logits of the first `count` samples among the outputs, or the place of their gradient among the gradients.
    pub(super) fn logits(&self, count: usize) -> Range<usize> {
        let end = self.samples * self.outputs_len();
        let start = end - self.samples * self.network.classes();
        start..start + count * self.network.classes()
    }

    /// Elements of the convolutions' gradient.
    pub(super) fn conv_parameters(&self) -> usize {
        let stages = self.network.plan().all().iter().take(self.network.plan().spatial_count());
        stages.map(Stage::parameters).map(|(weight, bias)| weight + bias).sum()
    }
}
