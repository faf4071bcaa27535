//! A real multiplier as an integer of Q31 and a shift, as TensorFlow Lite for Microcontrollers has it, and the way back.

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

/// The scale of sums of products.
pub(crate) fn product(input: f32, weights: f32) -> f64 {
    f64::from(input) * f64::from(weights)
}

/// The scales around a layer with weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scales {
    /// Of its input.
    pub input: f32,
    /// Of its output.
    pub output: f32,
    /// Whether the input's and the weights' are multiplied in f32, as in a dense layer with one scale of weights.
    pub is_product_f32: bool,
}

impl Scales {
    /// From sums to outputs, for weights of this scale.
    pub(crate) fn multiplier(&self, weights: f32) -> [i32; 2] {
        let product = if self.is_product_f32 { f64::from(self.input * weights) } else { product(self.input, weights) };
        quantise(product / f64::from(self.output))
    }

    /// The scale of weights that a multiplier was made of, and whether there is one; if not, what is nearest.
    pub(crate) fn inverse(&self, multiplier: [i32; 2]) -> (f32, bool) {
        let [input, output] = [self.input, self.output].map(f64::from);
        let [fraction, shift] = multiplier;
        // Any scale that is too small to be seen.
        let real = if fraction == 0 { 2f64.powi(-40) } else { f64::from(fraction) * 2f64.powi(shift - 31) };
        let nearest = (real * output / input) as f32;
        let near = [nearest, nearest.next_down(), nearest.next_up()];
        match near.into_iter().find(|scale| *scale > 0.0 && self.multiplier(*scale) == multiplier) {
            Some(scale) => (scale, true),
            None => (nearest, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

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

    /// One scale of weights for each multiplier; where the product is rounded to f32 first, one of a few.
    #[test]
    fn a_scale_is_found_again() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut from = |low: f64, high: f64| {
            let part = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            (low * (high / low).powf(part)) as f32
        };
        for _ in 0..20_000 {
            let (input, output, weights) = (from(1e-4, 10.0), from(1e-4, 10.0), from(1e-7, 10.0));
            for is_product_f32 in [false, true] {
                let scales = Scales { input, output, is_product_f32 };
                let multiplier = scales.multiplier(weights);
                let (found, is_exact) = scales.inverse(multiplier);
                assert!(is_exact && scales.multiplier(found) == multiplier, "{scales:?} {weights} {found}");
                assert!(is_product_f32 || multiplier == [0, 0] || found == weights, "{scales:?} {weights} {found}");
            }
        }
        // No scale of f32 has such a multiplier.
        let scales = Scales { input: 1.0, output: 1.0, is_product_f32: false };
        assert!(!scales.inverse([(1 << 30) + 1, 0]).1);
    }
}
