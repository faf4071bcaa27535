//! The dense layers' weight gradients, summed over several batches in the order of their samples.

use super::layout::{Layout, Parts};
use crate::kernels::dense::WeightGradient;
use crate::network::plan::DenseStage;
use crate::span::{span, span_mut};
use crate::vector::Level;

/// What the weight gradients of the dense layers need of one batch: the inputs and the output gradient of each layer.
#[derive(Debug, Clone, Copy)]
pub struct DenseRecord<'n, 'b> {
    layout: Layout<'n>,
    count: usize,
    features: &'b [f32],
    outputs: &'b [f32],
    gradients: &'b [f32],
}

impl<'n, 'b> DenseRecord<'n, 'b> {
    pub(super) fn new(layout: Layout<'n>, count: usize, parts: Parts<'b>) -> Self {
        Self { layout, count, features: parts.features, outputs: parts.outputs, gradients: parts.gradients }
    }

    /// What enters a layer, `[sample][input]`.
    fn inputs(&self, layer: &DenseLayer<'_>) -> &'b [f32] {
        let len = self.count * layer.inputs();
        match layer.index.checked_sub(1) {
            None => span(self.features, 0, len),
            Some(before) => span(self.outputs, self.layout.output_start(before), len),
        }
    }

    /// The gradient of what leaves a layer, `[sample][unit]`.
    fn gradient(&self, layer: &DenseLayer<'_>) -> &'b [f32] {
        span(self.gradients, self.layout.output_start(layer.index), self.count * layer.units())
    }
}

/// A dense layer of a network under training.
#[derive(Debug, Clone, Copy)]
pub struct DenseLayer<'n> {
    /// Counted among the dense layers.
    pub(super) index: usize,
    pub(super) stage: &'n DenseStage,
}

impl DenseLayer<'_> {
    /// Elements of what enters it.
    pub fn inputs(&self) -> usize {
        self.stage.inputs
    }

    /// Elements of what leaves it.
    pub fn units(&self) -> usize {
        self.stage.units
    }

    /// Whether a bias is added.
    pub fn has_bias(&self) -> bool {
        self.stage.bias
    }

    /// Adds rows `first ..` (one per input) of the weight gradient `[inputs][units]`, summed over the samples of
    /// `records` in their order. `target` has `units` elements for each row.
    pub fn add_weight_gradient(&self, records: &[DenseRecord<'_, '_>], first: usize, target: &mut [f32]) {
        for record in records {
            let (x, gradient) = (record.inputs(self), record.gradient(self));
            Level::detect().run(WeightGradient { stage: self.stage, x, gradient, first, target: &mut *target });
        }
    }

    /// Adds the bias gradient `[units]`, summed over the samples of `records` in their order.
    pub fn add_bias_gradient(&self, records: &[DenseRecord<'_, '_>], target: &mut [f32]) {
        let target = span_mut(target, 0, self.units());
        for record in records {
            for gradient in record.gradient(self).chunks_exact(self.units()) {
                target.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
    }
}
