//! Several samples at a time, for hosts: forward, input gradients and weight gradients.
//!
//! Each sample walks through the convolutions by itself, as on a device. The dense layers, whose weights do not fit a
//! core's cache, take all samples of a batch at once, so that their weights are read once a batch. All results are the
//! same to the bit as one sample at a time.
//!
//! A [`Batch`] is made for one [`Purpose`]. Its forward pass returns a [`ForwardPass`], which gives the logits and, where
//! the purpose asks for a gradient, goes on to it: what a batch was not made for does not compile.
//!
//! ```
//! use midge_core::{Layer, Model, Network, Shape, batch::Batch};
//!
//! const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
//! let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.5]])?;
//! let batch = Batch::gradient(&NETWORK, 2);
//! let mut buffer = vec![0.0; batch.buffer_len()];
//! let images = [[0.5, 1.0], [1.0, 0.0]];
//! let mut pass = batch.forward(&model, 2, |sample| &images[sample], &mut buffer)?;
//! assert_eq!(pass.logits(), [0.5, 1.5, 1.0, 0.5]);
//!
//! // The gradient of any function of the logits; here of the sum of each sample's first.
//! pass.logit_gradient().1.copy_from_slice(&[1.0, 0.0, 1.0, 0.0]);
//! let mut gradient = [0.0; 4];
//! pass.input_gradient(&mut gradient)?;
//! assert_eq!(gradient, [1.0, 0.0, 1.0, 0.0]);
//! # Ok::<(), midge_core::Error>(())
//! ```
//!
//! The gradients of a step of training:
//! ```
//! # use midge_core::{Layer, Level, Model, Network, Shape, batch::Batch, loss::Loss};
//! # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
//! let (weight, bias) = ([1.0, 0.0, 0.0, 1.0], [0.0, 0.5]);
//! let model = Model::<f32>::from_changing_tensors(&NETWORK, &[&weight, &bias])?;
//! // One transposed copy of the convolutions' weights for each step; this network has none.
//! let model = model.with_transposed(Level::detect(), &mut [])?;
//! let batch = Batch::training(&NETWORK, 2);
//! let mut buffer = vec![0.0; batch.buffer_len()];
//! let (images, labels) = ([[0.5, 1.0], [1.0, 0.0]], [0, 1]);
//! let mut pass = batch.forward(&model, 2, |sample| &images[sample], &mut buffer)?;
//! let (logits, gradient) = pass.logit_gradient();
//! for (sample, label) in labels.into_iter().enumerate() {
//!     let own = 2 * sample..2 * sample + 2;
//!     Loss::CrossEntropy.gradient(&logits[own.clone()], label, &mut gradient[own]);
//! }
//! // The convolutions' gradient is added up for both samples in one slice, which is empty here.
//! let record = pass.weight_gradient(&mut [vec![0.0; batch.conv_parameters()]], 2)?;
//! for dense in batch.dense_layers() {
//!     let (mut weight_gradient, mut bias_gradient) = ([0.0; 4], [0.0; 2]);
//!     dense.add_weight_gradient(&[record], 0, &mut weight_gradient);
//!     dense.add_bias_gradient(&[record], &mut bias_gradient);
//!     // Both samples are misread. Against the gradient, the weights that lead to the labels grow.
//!     assert!(weight_gradient[1] < 0.0 && weight_gradient[2] < 0.0);
//! }
//! # Ok::<(), midge_core::Error>(())
//! ```
//!
//! A batch for logits only has no gradient:
//! ```compile_fail
//! # use midge_core::{Layer, Model, Network, Shape, batch::Batch};
//! # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
//! # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.5]])?;
//! let batch = Batch::inference(&NETWORK, 1);
//! # let mut buffer = vec![0.0; batch.buffer_len()];
//! let pass = batch.forward(&model, 1, |_| &[0.5, 1.0], &mut buffer)?;
//! pass.input_gradient(&mut [0.0; 2])?;
//! # Ok::<(), midge_core::Error>(())
//! ```

pub(in crate::pass) mod int8;
pub(in crate::pass) mod kernels;
mod layout;
#[cfg(feature = "std")]
mod packed;
mod record;
mod samples;

use core::marker::PhantomData;

use self::kernels::{Backward, Forward, Target};
use self::layout::{Layout, Parts};
use super::element::{Element, Passes};
use crate::error::{Error, check_buffer, check_len, check_pixels};
use crate::model::{Model, Weights};
use crate::network::Network;
use crate::span::{span, span_mut};
pub use layout::Kept;
pub use record::{DenseLayer, DenseRecord};

/// What a [`Batch`] is for: [`Inference`], [`Attack`] or [`Training`].
pub trait Purpose: sealed::Sealed {
    #[doc(hidden)]
    const KEPT: Kept;
}

/// A [`Purpose`] that ends in a gradient.
pub trait Differentiable: Purpose {}

/// For the logits only.
#[derive(Debug, Clone, Copy)]
pub struct Inference;

/// For the gradients of the images.
#[derive(Debug, Clone, Copy)]
pub struct Attack;

/// For the gradients of the weights.
#[derive(Debug, Clone, Copy)]
pub struct Training;

mod sealed {
    pub trait Sealed {}
}

macro_rules! purposes {
    ($($purpose:ident $kept:ident),*) => {$(
        impl sealed::Sealed for $purpose {}
        impl Purpose for $purpose {
            const KEPT: Kept = Kept::$kept;
        }
    )*};
}

purposes!(Inference Logits, Attack InputGradient, Training WeightGradient);
impl Differentiable for Attack {}
impl Differentiable for Training {}

/// A number of samples that go through a network together, for one purpose. The caller owns the memory.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'n, P> {
    layout: Layout<'n>,
    purpose: PhantomData<P>,
}

impl<'n> Batch<'n, Inference> {
    /// At most `samples` samples, for their logits.
    pub fn inference(network: &'n Network, samples: usize) -> Self {
        Self::new(network, samples)
    }
}

impl<'n> Batch<'n, Attack> {
    /// At most `samples` samples, for the gradients of their pixels.
    pub fn gradient(network: &'n Network, samples: usize) -> Self {
        Self::new(network, samples)
    }
}

impl<'n> Batch<'n, Training> {
    /// At most `samples` samples, for the gradients of the weights.
    pub fn training(network: &'n Network, samples: usize) -> Self {
        Self::new(network, samples)
    }

    /// The dense layers, in order.
    pub fn dense_layers(&self) -> impl Iterator<Item = DenseLayer<'n>> + use<'n> {
        self.layout.dense_stages().enumerate().map(|(index, stage)| DenseLayer { index, stage })
    }

    /// Elements of the convolutions' gradient: for each, in order, weight (`[filter][row][column][in channel]`, so
    /// that what a sample adds lies together) and bias.
    pub fn conv_parameters(&self) -> usize {
        self.layout.conv_parameters()
    }
}

impl<'n, P: Purpose> Batch<'n, P> {
    fn new(network: &'n Network, samples: usize) -> Self {
        Self { layout: Layout { network, samples, kept: P::KEPT }, purpose: PhantomData }
    }

    /// Elements of the buffer.
    pub fn buffer_len(&self) -> usize {
        self.layout.buffer_len()
    }

    /// Runs the network on `count` images, of [`Network::input`]'s shape with pixels in [0, 1].
    ///
    /// # Errors
    /// A model of another network, a wrong length, a pixel outside [0, 1], or logits that are not finite.
    pub fn forward<'w, 'm, 'i, 'b, T: Element>(
        &self,
        model: &'m Model<'w, T>,
        count: usize,
        image: impl Fn(usize) -> &'i [f32],
        buffer: &'b mut [f32],
    ) -> Result<ForwardPass<'n, 'w, 'm, 'b, P, T>, Error> {
        if model.network() != self.layout.network {
            return Err(Error::OtherNetwork);
        }
        check_buffer(self.buffer_len(), buffer.len())?;
        if count > self.layout.samples {
            check_len("batch", self.layout.samples, count)?;
        }
        for sample in 0..count {
            check_len("image", self.layout.network.input().len(), image(sample).len())?;
            check_pixels(image(sample), model.range())?;
        }
        let mut parts = self.layout.parts(buffer);
        T::batch_forward(Forward {
            layout: self.layout,
            model,
            count,
            image: &|sample| image(sample),
            parts: parts.reborrow(),
        });
        let pass = ForwardPass { layout: self.layout, model, count, parts, purpose: PhantomData };
        if pass.logits().iter().all(|x| x.is_finite()) { Ok(pass) } else { Err(Error::NotFinite { what: "logits" }) }
    }
}

/// A batch behind its forward pass: the logits, and the way on to the gradients that its [`Purpose`] is.
pub struct ForwardPass<'n, 'w, 'm, 'b, P, T: Weights> {
    layout: Layout<'n>,
    model: &'m Model<'w, T>,
    count: usize,
    parts: Parts<'b>,
    purpose: PhantomData<P>,
}

impl<'b, P: Purpose, T: Element> ForwardPass<'_, '_, '_, 'b, P, T> {
    /// The logits, `[sample][class]`.
    pub fn logits(&self) -> &[f32] {
        let logits = self.layout.logits(self.count);
        span(self.parts.outputs, logits.start, logits.len())
    }

    /// [`Self::logits`], for as long as the buffer is borrowed.
    pub fn into_logits(self) -> &'b mut [f32] {
        let logits = self.layout.logits(self.count);
        span_mut(self.parts.outputs, logits.start, logits.len())
    }
}

impl<P: Differentiable, T: Element> ForwardPass<'_, '_, '_, '_, P, T> {
    /// The logits, and the place for the gradient of a function of them with respect to them, both `[sample][class]`. All
    /// of that place is to be written before the pass goes on.
    pub fn logit_gradient(&mut self) -> (&[f32], &mut [f32]) {
        let logits = self.layout.logits(self.count);
        let gradient = span_mut(self.parts.gradients, logits.start, logits.len());
        (span(self.parts.outputs, logits.start, logits.len()), gradient)
    }
}

impl<'b, T: Element> ForwardPass<'_, '_, '_, 'b, Attack, T> {
    /// From the gradient of the logits to that of the images, `[sample][pixel]`. Returns the logits.
    ///
    /// # Errors
    /// A wrong length, a model without transposed weights, and a gradient that is not finite.
    pub fn input_gradient(mut self, gradient: &mut [f32]) -> Result<&'b mut [f32], Error> {
        let Self { layout, model, count, .. } = self;
        model.check_transposed()?;
        check_len("gradient", count * layout.network.input().len(), gradient.len())?;
        let target = Target::Images(&mut *gradient);
        T::batch_backward(Backward { layout, model, count, parts: self.parts.reborrow(), target });
        let finite = gradient.iter().all(|g| g.is_finite());
        if finite { Ok(self.into_logits()) } else { Err(Error::NotFinite { what: "gradient" }) }
    }
}

impl<'n, 'b> ForwardPass<'n, '_, '_, 'b, Training, f32> {
    /// From the gradient of the logits to those of the weights. The convolutions' gradient
    /// ([`Batch::conv_parameters`] elements) is added to: that of sample `i` to `conv_gradients[i / share]`. What the
    /// dense layers' gradients need is returned.
    ///
    /// # Errors
    /// A wrong length, and a model without transposed weights.
    pub fn weight_gradient<C: AsMut<[f32]>>(
        mut self,
        mut conv_gradients: &mut [C],
        share: usize,
    ) -> Result<DenseRecord<'n, 'b>, Error> {
        let Self { layout, model, count, .. } = self;
        model.check_transposed()?;
        for gradient in conv_gradients.iter_mut() {
            check_len("convolution gradient", layout.conv_parameters(), gradient.as_mut().len())?;
        }
        check_buffer(count.div_ceil(share.max(1)), conv_gradients.len())?;
        let target = Target::Weights(&mut conv_gradients, share.max(1));
        f32::batch_backward(Backward { layout, model, count, parts: self.parts.reborrow(), target });
        Ok(DenseRecord::new(layout, count, self.parts))
    }
}
