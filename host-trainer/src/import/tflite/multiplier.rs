//! A real multiplier as an integer of Q31 and a shift, as TensorFlow Lite for Microcontrollers has it.

/// `multiplier * 2^(shift - 31)` nearest to `real`, which is not negative; what is below 2^-32 is 0.
pub(super) fn quantise(real: f64) -> [i32; 2] {
    if real == 0.0 {
        return [0, 0];
    }
    // The exponent of a number in [1/2, 1).
    let mut shift = real.log2().floor() as i32 + 1;
    let mut fraction = real / 2f64.powi(shift);
    // A logarithm that was rounded over a power of two.
    if fraction >= 1.0 {
        (fraction, shift) = (fraction / 2.0, shift + 1);
    } else if fraction < 0.5 {
        (fraction, shift) = (fraction * 2.0, shift - 1);
    }
    let mut multiplier = (fraction * 2f64.powi(31)).round() as i64;
    if multiplier == 1 << 31 {
        (multiplier, shift) = (1 << 30, shift + 1);
    }
    if shift < -31 {
        return [0, 0];
    }
    if shift > 30 { [i32::MAX, 30] } else { [multiplier as i32, shift] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiplier_is_the_nearest() {
        assert_eq!(quantise(0.5), [1 << 30, 0]);
        assert_eq!(quantise(1.0), [1 << 30, 1]);
        assert_eq!(quantise(0.75), [3 << 29, 0]);
        assert_eq!(quantise(0.999_999_999_99), [1 << 30, 1]);
        assert_eq!(quantise(2f64.powi(-32)), [1 << 30, -31]);
        assert_eq!(quantise(2f64.powi(-33)), [0, 0]);
        for real in [1e-9, 3e-5, 0.01, 0.3, 7.7, 1e6] {
            let [multiplier, shift] = quantise(real);
            let back = f64::from(multiplier) * 2f64.powi(shift - 31);
            assert!((back / real - 1.0).abs() < 2f64.powi(-30), "{real} {back}");
        }
    }
}
