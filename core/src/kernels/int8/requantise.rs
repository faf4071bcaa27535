//! From a sum of products to a byte: times a real number that is given as an integer of Q31 and a power of two.
//!
//! Two roundings, as in gemmlowp's fixed-point arithmetic, which TensorFlow Lite for Microcontrollers uses: with one of them
//! less, hundreds of bytes of a network differ.

/// `x * multiplier * 2^(shift - 31)`, rounded twice; `shift` is from -31 to 31.
#[inline(always)]
pub(crate) fn requantise(x: i32, multiplier: i32, shift: i32) -> i32 {
    let (left, right) = (shift.max(0) as u32, (-shift).max(0) as u32);
    rounding_shift_right(rounding_high_product(x.wrapping_shl(left), multiplier), right)
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
