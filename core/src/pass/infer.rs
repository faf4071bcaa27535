//! One image: its logits, its class, its loss, and the gradient of the loss with respect to its pixels.

#[cfg(feature = "std")]
use super::batch::Batch;
use super::element::Element;
use crate::error::{Error, check_buffer, check_class, check_len, check_pixels};
use crate::loss::{self, Loss};
use crate::model::Model;
use crate::span::take;

/// What the network makes of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classification<'b> {
    /// The class with the largest logit, the lowest of equal ones.
    pub class: usize,
    /// Softmax of the logits.
    pub probabilities: &'b [f32],
}

impl<'b> Classification<'b> {
    /// Of logits, which become probabilities.
    #[inline(always)]
    pub(super) fn of(logits: &'b mut [f32]) -> Self {
        let class = loss::argmax(logits);
        loss::softmax(logits);
        Self { class, probabilities: logits }
    }
}

/// The gradient of the loss with respect to the image.
#[derive(Debug, PartialEq)]
pub struct InputGradient<'b> {
    /// The loss at the given class.
    pub loss: f32,
    /// One per class.
    pub logits: &'b mut [f32],
    /// One per pixel, in the image's order.
    pub gradient: &'b mut [f32],
}

/// The methods that run the model on one image. They take no memory but the caller's buffer, in which their results lie.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape};
///
/// const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: false }]);
/// let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0]])?;
/// let mut buffer = [0.0; NETWORK.gradient_len()];
///
/// assert_eq!(model.logits(&[0.5, 1.0], &mut buffer)?, [0.5, 1.0]);
/// assert_eq!(model.classify(&[0.5, 1.0], &mut buffer)?.class, 1);
/// // Two equal logits: the loss is ln 2, and half a unit of it goes to each pixel.
/// assert!((model.loss(&[0.5, 0.5], 0, &mut buffer)? - 2f32.ln()).abs() < 1e-6);
/// assert_eq!(model.input_gradient(&[0.5, 0.5], 0, &mut buffer)?.gradient, [-0.5, 0.5]);
/// # Ok::<(), midge_core::Error>(())
/// ```
impl<T: Element> Model<'_, T> {
    fn check_input(&self, image: &[f32], needed: usize, buffer: &[f32]) -> Result<(), Error> {
        check_len("image", self.network().input().len(), image.len())?;
        check_buffer(needed, buffer.len())?;
        check_pixels(image, self.range())
    }

    /// The network's output before softmax, one value per class; it lies in `buffer`, of
    /// [`Network::inference_len`](crate::Network::inference_len) elements or more.
    ///
    /// # Errors
    /// A wrong length, a pixel outside [0, 1], or logits that are not finite.
    pub fn logits<'b>(&self, image: &[f32], buffer: &'b mut [f32]) -> Result<&'b mut [f32], Error> {
        self.check_input(image, self.network().inference_len(), buffer)?;
        let mut work = buffer;
        let logits = take(&mut work, self.network().classes());
        T::forward(self, image, logits, &mut [], work);
        if logits.iter().all(|x| x.is_finite()) { Ok(logits) } else { Err(Error::NotFinite { what: "logits" }) }
    }

    /// Class and probabilities of an image; the buffer is that of [`Self::logits`].
    ///
    /// # Errors
    /// Those of [`Self::logits`].
    pub fn classify<'b>(&self, image: &[f32], buffer: &'b mut [f32]) -> Result<Classification<'b>, Error> {
        Ok(Classification::of(self.logits(image, buffer)?))
    }

    /// Cross-entropy of an image at class `label`, in nats; the buffer is that of [`Self::logits`].
    ///
    /// # Errors
    /// Those of [`Self::logits`], and a class that does not exist.
    pub fn loss(&self, image: &[f32], label: usize, buffer: &mut [f32]) -> Result<f32, Error> {
        check_class(label, self.network().classes())?;
        Ok(loss::cross_entropy(self.logits(image, buffer)?, label))
    }

    /// Elements of the buffer for [`Self::input_gradient`] and the attacks without momentum:
    /// [`Network::gradient_len`](crate::Network::gradient_len). With feature `std` and transposed weights
    /// ([`Self::with_transposed`]) they are more, because whole maps take the place of rows.
    pub fn gradient_len(&self) -> usize {
        #[cfg(feature = "std")]
        if self.has_transposed() {
            return Batch::gradient(self.network(), 1).buffer_len() + self.network().input().len();
        }
        self.network().gradient_len()
    }

    /// Elements of the buffer for the attacks with momentum or restarts: [`Self::gradient_len`] and one image.
    pub fn attack_len(&self) -> usize {
        self.gradient_len() + self.network().input().len()
    }

    /// Cross-entropy at class `label`, logits and the gradient of the loss with respect to the image, in `buffer`, of
    /// [`Self::gradient_len`] elements or more.
    ///
    /// # Errors
    /// Those of [`Self::loss`], and a gradient that is not finite.
    pub fn input_gradient<'b>(
        &self,
        image: &[f32],
        label: usize,
        buffer: &'b mut [f32],
    ) -> Result<InputGradient<'b>, Error> {
        self.loss_gradient(Loss::CrossEntropy, image, label, buffer)
    }

    /// [`Self::input_gradient`] of any loss, at class `label`.
    ///
    /// # Errors
    /// Those of [`Self::input_gradient`].
    pub fn loss_gradient<'b>(
        &self,
        loss: Loss,
        image: &[f32],
        label: usize,
        buffer: &'b mut [f32],
    ) -> Result<InputGradient<'b>, Error> {
        check_class(label, self.network().classes())?;
        self.check_input(image, self.gradient_len(), buffer)?;
        #[cfg(feature = "std")]
        if self.has_transposed() {
            return self.gradient_by_maps(loss, image, label, buffer);
        }
        let plan = self.network().plan();
        let mut rest = buffer;
        let logits = take(&mut rest, self.network().classes());
        let masks = bytemuck::cast_slice_mut(take(&mut rest, plan.lengths().masks));
        T::forward(self, image, logits, masks, rest);
        if !logits.iter().all(|x| x.is_finite()) {
            return Err(Error::NotFinite { what: "logits" });
        }
        let gradient = take(&mut rest, self.network().input().len());
        T::backward(self, (logits, loss, label), masks, gradient, rest);
        if !gradient.iter().all(|x| x.is_finite()) {
            return Err(Error::NotFinite { what: "gradient" });
        }
        Ok(InputGradient { loss: loss.value(logits, label), logits, gradient })
    }

    /// [`Self::loss_gradient`] with whole maps, by a batch of one.
    #[cfg(feature = "std")]
    fn gradient_by_maps<'b>(
        &self,
        loss: Loss,
        image: &[f32],
        label: usize,
        buffer: &'b mut [f32],
    ) -> Result<InputGradient<'b>, Error> {
        let mut rest = buffer;
        let gradient = take(&mut rest, image.len());
        let mut pass = Batch::gradient(self.network(), 1).forward(self, 1, |_| image, rest)?;
        let (logits, logit_gradient) = pass.logit_gradient();
        loss.gradient(logits, label, logit_gradient);
        let loss = loss.value(logits, label);
        let logits = pass.input_gradient(gradient)?;
        Ok(InputGradient { loss, logits, gradient })
    }
}
