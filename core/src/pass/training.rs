//! Weight gradients, for training on a host.
//!
//! One sample at a time keeps its whole activations and runs backward as an attack does; beside each input
//! gradient it adds the convolutions' weight gradients. Those of the dense layers, which are large, wait for the
//! batch: every row of such a matrix is then summed over the samples in their order and written once, so rows can
//! be shared among threads without changing the result.

use super::backward::{BackwardRows, Observer};
use super::rows::{ForwardRows, Keep};
use crate::error::{Error, check_buffer, check_class, check_len, check_pixels};
use crate::layers::conv::{GradientRow, add_weight_gradient};
use crate::layers::dense;
use crate::loss;
use crate::model::Model;
use crate::network::Network;
use crate::plan::{DenseStage, Stage, Stages};
use crate::simd::{Kernel, Level, Simd};
use crate::span::{span, span_mut, take};

/// A network's training buffers.
#[derive(Debug, Clone, Copy)]
pub struct Training<'n> {
    network: &'n Network,
}

/// What one sample's pass found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Cross-entropy before the update, in nats.
    pub loss: f32,
    /// The class predicted before the update.
    pub class: usize,
}

/// The parts of a sample's buffer.
struct Parts<'b> {
    rows: &'b mut [f32],
    masks: &'b mut [u32],
    /// What enters the first dense layer.
    features: &'b mut [f32],
    /// Outputs of all dense layers, one after the other.
    outputs: &'b mut [f32],
    /// Their gradients.
    gradients: &'b mut [f32],
    backward: &'b mut [f32],
    tail: &'b mut [f32],
}

impl<'n> Training<'n> {
    /// Training of a network that has at least one dense layer after `Flatten`, or none but convolutions.
    pub fn new(network: &'n Network) -> Self {
        Self { network }
    }

    /// Elements of one sample's buffer.
    pub fn buffer_len(&self) -> usize {
        let plan = self.network.plan();
        let rows = Keep::All.rows_len(plan) + plan.lengths().backward_rows + plan.lengths().tail;
        rows + plan.lengths().masks + self.features_len() + 2 * self.outputs_len()
    }

    /// Elements of the convolutions' gradient: for each, in order, weight (`[filter][row][column][in channel]`, so
    /// that what a sample adds lies together) and bias.
    pub fn conv_parameters(&self) -> usize {
        let stages = self.network.plan().all().iter().take(self.network.plan().spatial_count());
        stages.map(Stage::parameters).map(|(weight, bias)| weight + bias).sum()
    }

    /// (inputs, units, has a bias) of each dense layer.
    pub fn dense_layers(&self) -> impl Iterator<Item = (usize, usize, bool)> {
        self.dense_stages().map(|stage| (stage.inputs, stage.units, stage.bias))
    }

    fn dense_stages(&self) -> impl Iterator<Item = &'n DenseStage> {
        let plan = self.network.plan();
        (plan.spatial_count()..plan.count()).filter_map(|index| plan.dense(index))
    }

    fn features_len(&self) -> usize {
        let plan = self.network.plan();
        match plan.spatial_count().checked_sub(1).and_then(|last| plan.spatial(last)) {
            Some(stage) => stage.output.len(),
            None => self.network.input().len(),
        }
    }

    /// Elements of all dense outputs; the logits where there is no dense layer.
    fn outputs_len(&self) -> usize {
        let dense: usize = self.dense_stages().map(|stage| stage.units).sum();
        if dense == 0 { self.network.classes() } else { dense }
    }

    fn parts<'b>(&self, buffer: &'b mut [f32]) -> Parts<'b> {
        let plan = self.network.plan();
        let mut rest = buffer;
        Parts {
            rows: take(&mut rest, Keep::All.rows_len(plan)),
            masks: bytemuck::cast_slice_mut(take(&mut rest, plan.lengths().masks)),
            features: take(&mut rest, self.features_len()),
            outputs: take(&mut rest, self.outputs_len()),
            gradients: take(&mut rest, self.outputs_len()),
            backward: take(&mut rest, plan.lengths().backward_rows),
            tail: take(&mut rest, plan.lengths().tail),
        }
    }

    /// Inputs and output gradient of dense layer `layer` in a sample's buffer after [`Self::sample`].
    fn dense_record<'b>(&self, layer: usize, buffer: &'b [f32]) -> (&'b [f32], &'b [f32]) {
        let plan = self.network.plan();
        let features = Keep::All.rows_len(plan) + plan.lengths().masks;
        let outputs = features + self.features_len();
        let before: usize = self.dense_stages().take(layer).map(|stage| stage.units).sum();
        let Some(stage) = self.dense_stages().nth(layer) else { return (&[], &[]) };
        let inputs = if layer == 0 { features } else { outputs + before - stage.inputs };
        (span(buffer, inputs, stage.inputs), span(buffer, outputs + self.outputs_len() + before, stage.units))
    }

    /// Forward and backward for one sample. Adds to `conv_gradient` ([`Self::conv_parameters`] elements) and leaves
    /// in `buffer` ([`Self::buffer_len`] elements) what the dense layers' gradients need.
    ///
    /// # Errors
    /// A wrong length, a pixel outside [0, 1], a class that does not exist, or logits that are not finite.
    pub fn sample(
        &self,
        model: &Model<'_, f32>,
        image: &[f32],
        label: usize,
        buffer: &mut [f32],
        conv_gradient: &mut [f32],
    ) -> Result<Sample, Error> {
        check_len("image", self.network.input().len(), image.len())?;
        check_buffer(self.buffer_len(), buffer.len())?;
        check_len("convolution gradient", self.conv_parameters(), conv_gradient.len())?;
        check_class(label, self.network.classes())?;
        check_pixels(image)?;
        let parts = self.parts(buffer);
        model.level().run(SamplePass { training: *self, model, image, label, parts, conv_gradient })
    }

    /// Adds rows `first ..` (one per input) of dense layer `layer`'s weight gradient `[inputs][units]`, summed over
    /// the batch's buffers in their order.
    pub fn add_dense_gradient<B: AsRef<[f32]>>(
        &self,
        layer: usize,
        batch: &[B],
        first: usize,
        weight_gradient: &mut [f32],
    ) {
        let units = self.dense_stages().nth(layer).map_or(0, |stage| stage.units);
        let level = Level::detect();
        for (i, target) in weight_gradient.chunks_exact_mut(units.max(1)).enumerate() {
            for buffer in batch {
                let (x, gradient) = self.dense_record(layer, buffer.as_ref());
                match x.get(first + i) {
                    Some(x) if *x != 0.0 => dense::add_scaled_row(level, *x, gradient, target),
                    _ => {}
                }
            }
        }
    }

    /// Adds dense layer `layer`'s bias gradient, summed over the batch.
    pub fn add_dense_bias_gradient<B: AsRef<[f32]>>(&self, layer: usize, batch: &[B], bias_gradient: &mut [f32]) {
        for buffer in batch {
            let (_, gradient) = self.dense_record(layer, buffer.as_ref());
            bias_gradient.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
    }
}

struct SamplePass<'a, 'b> {
    training: Training<'a>,
    model: &'a Model<'a, f32>,
    image: &'a [f32],
    label: usize,
    parts: Parts<'b>,
    conv_gradient: &'b mut [f32],
}

impl Kernel for SamplePass<'_, '_> {
    type Output = Result<Sample, Error>;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Result<Sample, Error> {
        self.forward(simd);
        let classes = self.training.network.classes();
        let logits = self.parts.outputs.get(self.parts.outputs.len() - classes..).unwrap_or(&[]);
        if !logits.iter().all(|x| x.is_finite()) {
            return Err(Error::NotFinite { what: "logits" });
        }
        let sample = Sample { loss: loss::cross_entropy(logits, self.label), class: loss::argmax(logits) };
        self.dense_backward(simd);
        self.conv_backward(simd);
        Ok(sample)
    }
}

impl SamplePass<'_, '_> {
    #[inline(always)]
    fn forward<S: Simd>(&mut self, simd: S) {
        let Self { model, image, parts, .. } = self;
        let plan = model.network().plan();
        let (rows, masks, tail) = (&mut *parts.rows, &mut *parts.masks, &mut *parts.tail);
        let spatial = ForwardRows { model, image, keep: Keep::All, rows, masks, tail };
        spatial.run(simd, &mut *parts.features);
        let first = plan.spatial_count();
        if first == plan.count() {
            parts.outputs.iter_mut().zip(parts.features.iter()).for_each(|(logit, x)| *logit = *x);
        }
        let mut input: &[f32] = parts.features;
        let mut rest = &mut *parts.outputs;
        for index in first..plan.count() {
            let Some(dense) = model.dense(index) else { return };
            let sums = take(&mut rest, dense.stage.units);
            dense.start(sums);
            dense.accumulate(simd, 0, input, sums);
            dense.finish(sums, parts.masks.get_mut(plan.mask_range(index)).unwrap_or(&mut []));
            input = sums;
        }
    }

    /// Gradients of all dense outputs, masked by their own ReLU.
    #[inline(always)]
    fn dense_backward<S: Simd>(&mut self, simd: S) {
        let Self { model, parts, label, .. } = self;
        let plan = model.network().plan();
        let (first, count) = (plan.spatial_count(), plan.count());
        let mask = |index: usize| parts.masks.get(plan.mask_range(index)).unwrap_or(&[]);
        let classes = plan.lengths().classes;
        let mut end = parts.gradients.len() - classes;
        let logits = span(parts.outputs, end, classes);
        loss::cross_entropy_gradient(logits, *label, span_mut(parts.gradients, end, classes));
        if first == count {
            return;
        }
        dense::mask_gradient(mask(count - 1), span_mut(parts.gradients, end, classes));
        for index in (first + 1..count).rev() {
            let Some(dense) = model.dense(index) else { return };
            let (before, own) = parts.gradients.split_at_mut_checked(end).unwrap_or((&mut [], &mut []));
            end = end.saturating_sub(dense.stage.inputs);
            let wanted = mask(index - 1);
            let target = span_mut(before, end, dense.stage.inputs);
            dense.input_gradient(simd, span(own, 0, dense.stage.units), 0, wanted, target);
        }
    }

    /// Weight gradients of the convolutions, as their output gradients pass by.
    #[inline(always)]
    fn conv_backward<S: Simd>(&mut self, simd: S) {
        let Self { training, model, parts, conv_gradient, .. } = self;
        let plan = model.network().plan();
        let units = training.dense_stages().next().map_or(plan.lengths().classes, |stage| stage.units);
        let rows = &*parts.rows;
        let flat = span(parts.gradients, 0, units);
        let walk = BackwardRows { model, flat, masks: parts.masks, rows: parts.backward, image_gradient: None };
        walk.run(simd, ConvGradient { plan, rows, gradient: conv_gradient });
    }
}

/// Adds the convolutions' weight gradients.
struct ConvGradient<'b> {
    plan: &'b Stages,
    /// All input rows of all spatial stages.
    rows: &'b [f32],
    gradient: &'b mut [f32],
}

impl Observer for ConvGradient<'_> {
    #[inline(always)]
    fn observe<S: Simd>(&mut self, simd: S, index: usize, output: &GradientRow<'_>) {
        let Some(stage) = self.plan.spatial(index).filter(|stage| stage.convolves) else { return };
        let before = self.plan.all().iter().take(index).map(Stage::parameters).map(|(w, b)| w + b).sum();
        let own = span_mut(self.gradient, before, stage.weight_len() + stage.bias_len());
        let (weight, bias) = own.split_at_mut_checked(stage.weight_len()).unwrap_or((&mut [], &mut []));
        let window = Keep::All.window(self.plan, self.rows, (index, stage), output.row);
        add_weight_gradient(simd, stage, &window, output, weight, bias);
    }
}
