//! The two passes over a batch of a network of integers: with prepared weights those of [`packed`](super::packed), else sample by
//! sample, by rows as on a device.

use super::kernels::{Backward, Forward, Target};
#[cfg(feature = "std")]
use super::packed;
use super::samples::by_rows;
use crate::pass::int8_backward;
use crate::span::{span, span_mut};

/// Runs the network on a batch.
pub(in crate::pass) fn forward(pass: Forward<'_, '_, '_, i8>) {
    #[cfg(feature = "std")]
    if pass.model.has_transposed() {
        return packed::forward(pass);
    }
    by_rows(pass, true);
}

/// From the gradient of the logits to that of the images. (No batch of integers is made for training.)
pub(in crate::pass) fn backward(pass: Backward<'_, '_, '_, i8>) {
    #[cfg(feature = "std")]
    if pass.model.has_transposed() {
        return packed::backward(pass);
    }
    let Backward { layout, model, count, parts, target } = pass;
    let Target::Images(images) = target else { return };
    let (classes, pixels) = (layout.network.classes(), layout.network.input().len());
    let (mask_len, logits) = (layout.network.plan().lengths().masks, layout.logits(count));
    let gradients = span(parts.gradients, logits.start, logits.len());
    for sample in 0..count {
        let gradient = span(gradients, sample * classes, classes);
        let masks = span(parts.masks, sample * mask_len, mask_len);
        let image = span_mut(images, sample * pixels, pixels);
        int8_backward::backward_to_pixels(
            model,
            &|target| target.iter_mut().zip(gradient).for_each(|(target, g)| *target = *g),
            masks,
            image,
            parts.maps,
        );
    }
}
