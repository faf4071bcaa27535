//! The sum of two maps of integers, each with a scale of its own: both go to a common scale with 20 more bits, and their sum to
//! the output's.

use super::{Int8Layer, requantise};

/// Bits that the operands get for the time of the sum.
pub(super) const MORE_BITS: u32 = 20;

/// Adds two rows.
pub(crate) fn add_rows(layer: &Int8Layer<'_>, x: &[i8], other: &[i8], out: &mut [i8]) {
    let [x_multiplier, other_multiplier, multiplier] = *layer.multipliers else { return };
    let scaled = |x: i8, zero: i32, [multiplier, shift]: [i32; 2]| {
        requantise((i32::from(x) - zero) << MORE_BITS, multiplier, shift)
    };
    for ((out, x), other) in out.iter_mut().zip(x).zip(other) {
        let sum = scaled(*x, layer.range.input, x_multiplier).wrapping_add(scaled(
            *other,
            layer.range.added,
            other_multiplier,
        ));
        let [multiplier, shift] = multiplier;
        *out = layer.range.output(requantise(sum, multiplier, shift));
    }
}
