//! One image of integers: its logits, its class, and the gradient of the loss, which is used as it comes.

use super::infer::{Classification, InputGradient};
use super::int8;
use super::int8_backward::{Sink, backward, backward_to_pixels};
use super::sources::Int8Image;
use crate::error::{Error, check_buffer, check_class, check_len};
use crate::loss::Loss;
use crate::model::Model;
use crate::span::take;

/// An image of a model of integers as the integers that it is: on a device it takes a quarter of the memory.
impl<'a> Model<'a, i8> {
    /// [`Self::logits`] of the integers of an image, as they are.
    ///
    /// ```
    /// use midge_core::{Int8Tensors, Layer, Model, Network, Shape};
    ///
    /// const NETWORK: Network =
    ///     Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]).int8();
    /// let tensors = Int8Tensors {
    ///     weights: &[1, 0, 0, 1],
    ///     bias: &[0, 0],
    ///     // A sum is worth a quarter, and so is an output.
    ///     multipliers: &[[1 << 30, 1]; 2],
    ///     range: &[-128, 0, 0, -128, 127],
    ///     scales: &[0.25, 0.25],
    /// };
    /// let model = Model::from_int8_tensors(&NETWORK, &[tensors])?;
    /// let mut buffer = [0.0; NETWORK.inference_len()];
    /// let logits = model.logits_of_integers(&[-128, -120], &mut buffer)?;
    /// assert_eq!(logits, [0.0, 2.0]);
    /// assert_eq!(model.logits(&[0.0, 2.0], &mut buffer)?, [0.0, 2.0]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A wrong length.
    pub fn logits_of_integers<'b>(&self, image: &[i8], buffer: &'b mut [f32]) -> Result<&'b mut [f32], Error> {
        check_len("image", self.network().input().len(), image.len())?;
        check_buffer(self.network().inference_len(), buffer.len())?;
        Ok(self.logits_of(Int8Image::Integers(image), buffer))
    }

    /// [`Self::classify`] of the integers of an image, as they are.
    ///
    /// # Errors
    /// A wrong length.
    pub fn classify_integers<'b>(&self, image: &[i8], buffer: &'b mut [f32]) -> Result<Classification<'b>, Error> {
        Ok(Classification::of(self.logits_of_integers(image, buffer)?))
    }

    /// [`Self::loss_gradient`] of the integers of an image, as they are: with respect to the real numbers that they stand for. The
    /// gradient is written to `gradient`, and the buffer has [`Network::integers_len`](crate::Network::integers_len) elements.
    ///
    /// ```
    /// # use midge_core::{Int8Tensors, Layer, Model, Network, Shape, loss::Loss};
    /// # const NETWORK: Network =
    /// #     Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]).int8();
    /// # let tensors = Int8Tensors {
    /// #     weights: &[1, 0, 0, 1],
    /// #     bias: &[0, 0],
    /// #     multipliers: &[[1 << 30, 1]; 2],
    /// #     range: &[0, 0, 0, -128, 127],
    /// #     scales: &[0.25, 0.25],
    /// # };
    /// # let model = Model::from_int8_tensors(&NETWORK, &[tensors])?;
    /// // The logits are the pixels.
    /// let (mut gradient, mut buffer) = ([0.0; 2], [0.0; NETWORK.integers_len()]);
    /// let found = model.loss_gradient_of_integers((Loss::Margin, 0), &[5, 2], &mut gradient, &mut buffer)?;
    /// assert_eq!((found.loss, found.gradient), (-0.75, &mut [-1.0, 1.0][..]));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A wrong length, and a class that there is not.
    pub fn loss_gradient_of_integers<'b>(
        &self,
        (loss, class): (Loss, usize),
        image: &[i8],
        gradient: &'b mut [f32],
        buffer: &'b mut [f32],
    ) -> Result<InputGradient<'b>, Error> {
        let network = self.network();
        check_len("image", network.input().len(), image.len())?;
        check_len("gradient", image.len(), gradient.len())?;
        check_class(class, network.classes())?;
        check_buffer(network.integers_len(), buffer.len())?;
        let Observation { logits, masks, work, .. } = self.observe(Int8Image::Integers(image), buffer);
        let fill = &|target: &mut [f32]| loss.gradient(logits, class, target);
        backward_to_pixels(self, fill, masks, gradient, work);
        Ok(InputGradient { loss: loss.value(logits, class), logits, gradient })
    }

    /// The logits of an image; all lengths were checked.
    pub(crate) fn logits_of<'b>(&self, image: Int8Image<'_>, buffer: &'b mut [f32]) -> &'b mut [f32] {
        let mut work = buffer;
        let logits = take(&mut work, self.network().classes());
        int8::forward(self, image, logits, (&mut [], true), work);
        logits
    }

    /// Looks at an image, and is ready to go back. The buffer has [`Network::integers_len`](crate::Network::integers_len) elements; all
    /// lengths were checked.
    pub(crate) fn observe<'s, 'b>(&'s self, image: Int8Image<'_>, buffer: &'b mut [f32]) -> Observation<'s, 'a, 'b> {
        let mut work = buffer;
        let logits = take(&mut work, self.network().classes());
        let masks = bytemuck::cast_slice_mut(take(&mut work, self.network().plan().lengths().packed_masks));
        int8::forward(self, image, logits, (masks, true), work);
        Observation { model: self, logits, masks, work }
    }
}

/// What the network made of an image.
pub(crate) struct Observation<'s, 'a, 'b> {
    model: &'s Model<'a, i8>,
    pub(crate) logits: &'b mut [f32],
    masks: &'b [u32],
    work: &'b mut [f32],
}

impl Observation<'_, '_, '_> {
    /// Passes the gradient of the loss at a class with respect to the image's integers, or a multiple of it, on to `sink`.
    pub(crate) fn gradient(&mut self, (loss, class): (Loss, usize), sink: Sink<'_>) {
        let logits = &*self.logits;
        backward(self.model, &|target: &mut [f32]| loss.gradient(logits, class, target), self.masks, self.work, sink);
    }

    /// [`Self::gradient`] of any function of the logits, whose gradient `fill` writes.
    #[cfg(test)]
    pub(super) fn along(&mut self, fill: &dyn Fn(&mut [f32]), sink: Sink<'_>) {
        backward(self.model, fill, self.masks, self.work, sink);
    }
}
