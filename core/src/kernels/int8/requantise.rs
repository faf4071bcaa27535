//! From a sum of products to a byte: times a real number that is given as an integer of Q31 and a power of two.
//!
//! Two roundings, as in gemmlowp's fixed-point arithmetic, which TensorFlow Lite for Microcontrollers uses: with one of them
//! less, hundreds of bytes of a network differ.

use super::Range;
#[cfg(cortex_m_dsp)]
use super::cortex_m;
use crate::span::{reach_mut, reach_rest};

/// `x * multiplier * 2^(shift - 31)`, rounded twice; `shift` is from -31 to 31.
#[inline(always)]
pub(crate) fn requantise(x: i32, multiplier: i32, shift: i32) -> i32 {
    let (left, right) = (shift.max(0) as u32, (-shift).max(0) as u32);
    rounding_shift_right(rounding_high_product(x.wrapping_shl(left), multiplier), right)
}

/// Every `step`-th sum as an output.
#[inline(always)]
pub(super) fn requantise_all((sums, step): (&[i32], usize), multipliers: &[[i32; 2]], range: &Range, out: &mut [i8]) {
    #[cfg(cortex_m_dsp)]
    {
        let count = out.len();
        if count > 0 && multipliers.len() >= count && sums.len() > (count - 1) * step {
            let sums = (sums.as_ptr(), size_of::<i32>() * step);
            // SAFETY: all elements are there.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                if (range.low, range.high) == (-128, 127) {
                    cortex_m::outputs_of_all_bytes(sums, multipliers.as_ptr(), range, out.as_mut_ptr(), count);
                } else {
                    cortex_m::outputs_between(sums, multipliers.as_ptr(), range, out.as_mut_ptr(), count);
                }
            }
        }
    }
    #[cfg(not(cortex_m_dsp))]
    for ((out, sum), [multiplier, shift]) in out.iter_mut().zip(sums.iter().step_by(step.max(1))).zip(multipliers) {
        *out = range.output(requantise(*sum, *multiplier, *shift));
    }
}

/// The outputs of `P` positions from their sums, `[filter][position]`, to as many rows of `out`, which lie `stride` bytes apart.
#[inline(always)]
pub(super) fn requantise_rows<const P: usize>(
    sums: &[i32],
    multipliers: &[[i32; 2]],
    range: &Range,
    (out, stride): (&mut [i8], usize),
) {
    #[cfg(cortex_m_dsp)]
    if P == 4 && (range.low, range.high) == (-128, 127) {
        let count = multipliers.len();
        let all_there = count > 0 && sums.len() >= P * count && out.len() >= (P - 1) * stride + count;
        if all_there && multipliers.iter().all(|[_, shift]| *shift < 0) {
            // SAFETY: all elements are there, and all shifts are to the right.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                cortex_m::outputs_of_4(sums.as_ptr(), multipliers.as_ptr(), range, (out.as_mut_ptr(), stride), count);
            }
            return;
        }
    }
    for p in 0..P {
        let out = reach_mut(out, p * stride, multipliers.len());
        requantise_all((reach_rest(sums, p), P), multipliers, range, out);
    }
}

/// `2 * a * b / 2^32`, rounded to nearest, half away from zero (`SaturatingRoundingDoublingHighMul`); `b` is not negative.
#[inline(always)]
fn rounding_high_product(a: i32, b: i32) -> i32 {
    // gemmlowp nudges a negative product by 1 - 2^30 and cuts off toward zero, which is this for either sign.
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `x / 2^shift`, rounded to nearest, half away from zero (`RoundingDivideByPOT`); `shift` is at most 31.
#[inline(always)]
pub(crate) fn rounding_shift_right(x: i32, shift: u32) -> i32 {
    if shift == 0 {
        return x;
    }
    // A half of a negative number has to go down: 1 less is what keeps it from going up. A product is neither the smallest nor
    // the largest i32.
    let below = x.wrapping_add(x >> 31) >> (shift - 1);
    (below + 1) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_roundings_are_those_of_gemmlowp() {
        // Half away from zero, in either.
        assert_eq!([1, 3, -1, -3, 2, -2].map(|x| rounding_shift_right(x, 1)), [1, 2, -1, -2, 1, -1]);
        assert_eq!([6, -6, 5, -5].map(|x| rounding_shift_right(x, 2)), [2, -2, 1, -1]);
        assert_eq!(rounding_shift_right(-i32::MAX, 31), -1);
        // Times a half, in Q31.
        assert_eq!([1, -1, 3, -3, 100].map(|x| rounding_high_product(x, 1 << 30)), [1, 0, 2, -1, 50]);
        // Two roundings make 1 of what one would make 0: 0.75 * 2/3 = 0.5.
        assert_eq!(requantise(1, 1 << 30, 0), 1);
        assert_eq!(requantise(3, 1 << 30, -1), 1);
        assert_eq!(requantise(5, 1 << 30, 2), 10);
        assert_eq!(requantise(i32::MAX, i32::MAX, -31), 1);
    }
}
