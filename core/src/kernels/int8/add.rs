//! The sum of two maps of integers, each with a scale of its own: both go to a common scale with 20 more bits, and their sum to
//! the output's.

use super::{Int8Layer, requantise};
use crate::kernels::masks::write_bits;
use crate::network::plan::Spatial;

/// Bits that the operands get for the time of the sum.
pub(super) const MORE_BITS: u32 = 20;

/// The sum of two elements, with more bits than the output.
#[inline(always)]
fn sum(layer: &Int8Layer<'_>, x: i8, other: i8) -> i32 {
    let [x_multiplier, other_multiplier, _] = *layer.multipliers else { return 0 };
    let scaled = |x: i8, zero: i32, [multiplier, shift]: [i32; 2]| {
        requantise((i32::from(x) - zero) << MORE_BITS, multiplier, shift)
    };
    let other = scaled(other, layer.range.added, other_multiplier);
    scaled(x, layer.range.input, x_multiplier).wrapping_add(other)
}

/// Adds two rows.
pub(crate) fn add_rows(layer: &Int8Layer<'_>, x: &[i8], other: &[i8], out: &mut [i8]) {
    let [.., [multiplier, shift]] = *layer.multipliers else { return };
    for ((out, x), other) in out.iter_mut().zip(x).zip(other) {
        *out = layer.range.output(requantise(sum(layer, *x, *other), multiplier, shift));
    }
}

/// The bits of a ReLU behind [`add_rows`].
pub(crate) fn note_alive_sums(stage: &Spatial, layer: &Int8Layer<'_>, [x, other, out]: [&[i8]; 3], masks: &mut [u32]) {
    let channels = stage.output().channels.max(1);
    let columns = x.chunks_exact(channels).zip(other.chunks_exact(channels)).zip(out.chunks_exact(channels));
    for (masks, ((x, other), out)) in masks.chunks_exact_mut(stage.words().max(1)).zip(columns) {
        let elements = x.iter().zip(other).zip(out);
        write_bits(
            masks,
            elements.map(|((x, other), out)| {
                // What rounding leaves above 0 was there before.
                let sum = match i32::from(*out) - layer.range.output {
                    above @ 1.. => above,
                    _ => sum(layer, *x, *other),
                };
                layer.is_alive(stage.capped, sum, *out)
            }),
        );
    }
}
