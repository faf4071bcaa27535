//! Several samples at a time, for hosts: forward, input gradients and weight gradients.
//!
//! Each sample walks through the convolutions by itself, as on a device. The dense layers, whose weights do not fit a
//! core's cache, take all samples of a batch at once, so that their weights are read once a batch. All results are the
//! same to the bit as one sample at a time.
//!
//! ```
//! use midge_core::{Layer, Model, Network, Shape, batch::Batch};
//!
//! const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
//! let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.5]])?;
//! let batch = Batch::gradient(&NETWORK, 2);
//! let mut buffer = vec![0.0; batch.buffer_len()];
//! let images = [[0.5, 1.0], [1.0, 0.0]];
//! batch.forward(&model, 2, |sample| &images[sample], &mut buffer)?;
//! assert_eq!(batch.logits(&buffer), [0.5, 1.5, 1.0, 0.5]);
//!
//! // The gradient of any function of the logits; here of the sum of each sample's first.
//! batch.logit_gradient(&mut buffer).1.copy_from_slice(&[1.0, 0.0, 1.0, 0.0]);
//! let mut gradient = [0.0; 4];
//! batch.input_gradient(&model, 2, &mut buffer, &mut gradient)?;
//! assert_eq!(gradient, [1.0, 0.0, 1.0, 0.0]);
//! # Ok::<(), midge_core::Error>(())
//! ```

mod kernels;

use core::ops::Range;

use kernels::Target;
pub(super) use kernels::{Backward, Forward};

use super::Passes;
use super::maps::maps_len;
use super::rows::Keep;
use crate::element::Element;
use crate::error::{Error, check_buffer, check_len, check_pixels};
use crate::layers::dense::WeightGradient;
#[cfg(feature = "std")]
use crate::loss::Loss;
#[cfg(feature = "std")]
use crate::model::InputGradient;
use crate::model::Model;
use crate::network::Network;
use crate::plan::{DenseStage, Stage};
use crate::simd::Level;
use crate::span::{CACHE_LINE, cache_line, span, span_mut};

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Inference,
    InputGradient,
    WeightGradient,
}

/// The buffers and passes of a batch. The caller owns the memory; all methods must get the same slice, at the same address,
/// as long as results are read from it. The passes must come in order: [`Self::forward`], then the gradient of the
/// logits, then [`Self::input_gradient`] or [`Self::weight_gradient`].
#[derive(Debug, Clone, Copy)]
pub struct Batch<'n> {
    network: &'n Network,
    samples: usize,
    purpose: Purpose,
}

/// The parts of a batch's buffer. Matrices are `[sample][element]`.
struct Parts<'b> {
    /// Input rows of the spatial stages: of each sample for weight gradients, else of the one that is running.
    rows: &'b mut [f32],
    masks: &'b mut [u32],
    /// What enters the first dense layer, and its gradient.
    features: &'b mut [f32],
    feature_gradient: &'b mut [f32],
    /// Outputs of the dense layers, one matrix after the other; the logits where there is no dense layer.
    outputs: &'b mut [f32],
    gradients: &'b mut [f32],
    /// Gradients of the spatial stages' inputs.
    maps: &'b mut [f32],
    tail: &'b mut [f32],
}

impl<'n> Batch<'n> {
    /// At most `samples` samples, for [`Self::forward`] only.
    pub fn inference(network: &'n Network, samples: usize) -> Self {
        Self { network, samples, purpose: Purpose::Inference }
    }

    /// At most `samples` samples, for [`Self::forward`] and [`Self::input_gradient`].
    pub fn gradient(network: &'n Network, samples: usize) -> Self {
        Self { network, samples, purpose: Purpose::InputGradient }
    }

    /// At most `samples` samples, for [`Self::forward`] and [`Self::weight_gradient`].
    pub fn training(network: &'n Network, samples: usize) -> Self {
        Self { network, samples, purpose: Purpose::WeightGradient }
    }

    /// Elements of the buffer, in which each part starts at a cache line.
    pub fn buffer_len(&self) -> usize {
        CACHE_LINE + self.lengths().map(|len| len.next_multiple_of(CACHE_LINE)).iter().sum::<usize>()
    }

    /// Elements of the parts, in their order.
    fn lengths(&self) -> [usize; 8] {
        let plan = self.network.plan();
        let rows = match self.purpose {
            Purpose::WeightGradient => self.samples * self.keep().rows_len(plan),
            _ => self.keep().rows_len(plan),
        };
        let (features, outputs) = (self.samples * self.features_len(), self.samples * self.outputs_len());
        let last = plan.spatial_count().checked_sub(1).and_then(|last| plan.spatial(last));
        let tail = last.map_or(0, |stage| stage.output.row_len());
        match self.purpose {
            Purpose::Inference => [rows, 0, features, 0, outputs, 0, 0, tail],
            _ => {
                let masks = self.samples * plan.lengths().masks;
                [rows, masks, features, features, outputs, outputs, maps_len(plan), tail]
            }
        }
    }

    /// Where the parts lie in `buffer`.
    fn ranges(&self, buffer: &[f32]) -> [Range<usize>; 8] {
        let mut next = cache_line(buffer);
        self.lengths().map(|len| {
            let start = next;
            next += len.next_multiple_of(CACHE_LINE);
            start..start + len
        })
    }

    fn parts<'b>(&self, buffer: &'b mut [f32]) -> Parts<'b> {
        let parts = buffer.get_disjoint_mut(self.ranges(buffer)).unwrap_or_default();
        let [rows, masks, features, feature_gradient, outputs, gradients, maps, tail] = parts;
        let masks = bytemuck::cast_slice_mut(masks);
        Parts { rows, masks, features, feature_gradient, outputs, gradients, maps, tail }
    }

    fn keep(&self) -> Keep {
        if self.purpose == Purpose::WeightGradient { Keep::All } else { Keep::Window }
    }

    /// (inputs, units, has a bias) of each dense layer.
    pub fn dense_layers(&self) -> impl Iterator<Item = (usize, usize, bool)> {
        self.dense_stages().map(|stage| (stage.inputs, stage.units, stage.bias))
    }

    fn dense_stages(&self) -> impl Iterator<Item = &'n DenseStage> {
        let plan = self.network.plan();
        (plan.spatial_count()..plan.count()).filter_map(|index| plan.dense(index))
    }

    /// Elements of what enters the first dense layer.
    fn features_len(&self) -> usize {
        let plan = self.network.plan();
        match plan.spatial_count().checked_sub(1).and_then(|last| plan.spatial(last)) {
            Some(stage) => stage.output.len(),
            None => self.network.input().len(),
        }
    }

    /// Elements of all dense outputs of one sample.
    fn outputs_len(&self) -> usize {
        let dense: usize = self.dense_stages().map(|stage| stage.units).sum();
        if dense == 0 { self.network.classes() } else { dense }
    }

    /// Where the outputs of dense layer `layer` start.
    fn output_start(&self, layer: usize) -> usize {
        self.samples * self.dense_stages().take(layer).map(|stage| stage.units).sum::<usize>()
    }

    /// Elements of the convolutions' gradient: for each, in order, weight (`[filter][row][column][in channel]`, so
    /// that what a sample adds lies together) and bias.
    pub fn conv_parameters(&self) -> usize {
        let stages = self.network.plan().all().iter().take(self.network.plan().spatial_count());
        stages.map(Stage::parameters).map(|(weight, bias)| weight + bias).sum()
    }

    /// The logits after [`Self::forward`], `[sample][class]`.
    pub fn logits<'b>(&self, buffer: &'b [f32]) -> &'b [f32] {
        let len = self.samples * self.network.classes();
        let [_, _, _, _, outputs, ..] = self.ranges(buffer);
        span(buffer, outputs.end.saturating_sub(len), len)
    }

    /// The logits, and the place for the gradient of the loss with respect to them, both `[sample][class]`.
    pub fn logit_gradient<'b>(&self, buffer: &'b mut [f32]) -> (&'b [f32], &'b mut [f32]) {
        let len = self.samples * self.network.classes();
        let Parts { outputs, gradients, .. } = self.parts(buffer);
        let start = outputs.len() - len;
        (span(outputs, start, len), span_mut(gradients, start, len))
    }

    fn check(&self, count: usize, buffer: &[f32]) -> Result<(), Error> {
        check_buffer(self.buffer_len(), buffer.len())?;
        if count <= self.samples { Ok(()) } else { check_len("batch", self.samples, count) }
    }

    /// Runs the network on `count` images, of [`Network::input`]'s shape with pixels in [0, 1].
    ///
    /// # Errors
    /// A wrong length, a pixel outside [0, 1], or logits that are not finite.
    pub fn forward<'i, T: Element>(
        &self,
        model: &Model<'_, T>,
        count: usize,
        image: impl Fn(usize) -> &'i [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        self.check(count, buffer)?;
        for sample in 0..count {
            check_len("image", self.network.input().len(), image(sample).len())?;
            check_pixels(image(sample))?;
        }
        let parts = self.parts(buffer);
        T::batch_forward(Forward { batch: *self, model, count, image: &|sample| image(sample), parts });
        let logits = self.logits(buffer).get(..count * self.network.classes());
        let finite = logits.is_some_and(|logits| logits.iter().all(|x| x.is_finite()));
        if finite { Ok(()) } else { Err(Error::NotFinite { what: "logits" }) }
    }

    /// From the gradient of the logits of the first `count` samples to that of their images, `[sample][pixel]`.
    ///
    /// # Errors
    /// A wrong length, a model without transposed weights, and a gradient that is not finite.
    pub fn input_gradient<T: Element>(
        &self,
        model: &Model<'_, T>,
        count: usize,
        buffer: &mut [f32],
        gradient: &mut [f32],
    ) -> Result<(), Error> {
        self.check(count, buffer)?;
        model.check_transposed()?;
        check_len("gradient", count * self.network.input().len(), gradient.len())?;
        let parts = self.parts(buffer);
        let target = Target::Images(&mut *gradient);
        T::batch_backward(Backward { batch: *self, model, count, parts, target });
        let finite = gradient.iter().all(|g| g.is_finite());
        if finite { Ok(()) } else { Err(Error::NotFinite { what: "gradient" }) }
    }

    /// From the gradient of the logits of the first `count` samples to those of the weights. The convolutions' gradient
    /// ([`Self::conv_parameters`] elements) is added to: that of sample `i` to `conv_gradients[i / share]`. What the dense
    /// layers' gradients need stays in the buffer.
    ///
    /// # Errors
    /// A wrong length, and a model without transposed weights.
    pub fn weight_gradient<C: AsMut<[f32]>>(
        &self,
        model: &Model<'_, f32>,
        count: usize,
        buffer: &mut [f32],
        (mut conv_gradients, share): (&mut [C], usize),
    ) -> Result<(), Error> {
        self.check(count, buffer)?;
        model.check_transposed()?;
        for gradient in conv_gradients.iter_mut() {
            check_len("convolution gradient", self.conv_parameters(), gradient.as_mut().len())?;
        }
        check_buffer(count.div_ceil(share.max(1)), conv_gradients.len())?;
        let target = Target::Weights(&mut conv_gradients, share.max(1));
        Passes::batch_backward(Backward { batch: *self, model, count, parts: self.parts(buffer), target });
        Ok(())
    }

    /// Inputs and output gradient of dense layer `layer`, `[sample][element]`, after [`Self::weight_gradient`].
    fn dense_record<'b>(&self, layer: usize, count: usize, buffer: &'b [f32]) -> Option<[&'b [f32]; 2]> {
        let stage = self.dense_stages().nth(layer)?;
        let [_, _, features, _, outputs, gradients, ..] = self.ranges(buffer);
        let inputs = match layer.checked_sub(1) {
            None => features.start,
            Some(before) => outputs.start + self.output_start(before),
        };
        let gradient = gradients.start + self.output_start(layer);
        Some([span(buffer, inputs, count * stage.inputs), span(buffer, gradient, count * stage.units)])
    }

    /// Adds rows `first ..` (one per input) of dense layer `layer`'s weight gradient `[inputs][units]`, summed over the
    /// samples of the batches, each a buffer with its number of samples, in their order.
    pub fn add_dense_gradient(&self, layer: usize, batches: &[(usize, &[f32])], first: usize, target: &mut [f32]) {
        let Some(stage) = self.dense_stages().nth(layer) else { return };
        for (count, buffer) in batches {
            if let Some([x, gradient]) = self.dense_record(layer, *count, buffer) {
                Level::detect().run(WeightGradient { stage, x, gradient, first, target: &mut *target });
            }
        }
    }

    /// Adds dense layer `layer`'s bias gradient, summed over the batches.
    pub fn add_dense_bias_gradient(&self, layer: usize, batches: &[(usize, &[f32])], target: &mut [f32]) {
        for (count, buffer) in batches {
            let Some([_, gradient]) = self.dense_record(layer, *count, buffer) else { return };
            for gradient in gradient.chunks_exact(target.len().max(1)) {
                target.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
    }
}

/// [`Model::loss_gradient`] with whole maps.
#[cfg(feature = "std")]
pub(crate) fn gradient_of_one<'b, T: Element>(
    model: &Model<'_, T>,
    (loss, label): (Loss, usize),
    image: &[f32],
    buffer: &'b mut [f32],
) -> Result<InputGradient<'b>, Error> {
    let batch = Batch::gradient(model.network(), 1);
    let mut rest = buffer;
    let gradient = crate::span::take(&mut rest, image.len());
    batch.forward(model, 1, |_| image, rest)?;
    let (logits, logit_gradient) = batch.logit_gradient(rest);
    loss.gradient(logits, label, logit_gradient);
    let loss = loss.value(logits, label);
    batch.input_gradient(model, 1, rest, gradient)?;
    let outputs = batch.parts(rest).outputs;
    let start = outputs.len() - model.network().classes();
    Ok(InputGradient { loss, logits: outputs.get_mut(start..).unwrap_or(&mut []), gradient })
}
