//! A batch of a network of integers sample by sample, by rows as on a device.

use super::kernels::Forward;
use crate::pass::int8;
use crate::span::span_mut;

/// Runs the network on one sample after the other, and packs its bits, or not.
pub(super) fn by_rows(pass: Forward<'_, '_, '_, i8>, packs: bool) {
    let Forward { layout, model, count, image, parts } = pass;
    let (classes, mask_len) = (layout.network.classes(), parts.masks.len() / layout.samples.max(1));
    let logits = layout.logits(count);
    let logits = span_mut(parts.outputs, logits.start, logits.len());
    for sample in 0..count {
        let logits = span_mut(logits, sample * classes, classes);
        let masks = span_mut(parts.masks, sample * mask_len, mask_len);
        int8::forward(model, image(sample).into(), logits, (masks, packs), parts.rows);
    }
    // A backward pass over whole maps skips features that are 0.
    parts.features.fill(1.0);
}
