//! Ranges to scales and zero points, numbers to integers.

use crate::export::Parameters;

/// Largest magnitude of a weight.
const MOST_WEIGHT: f64 = 127.0;

/// Largest magnitude of a bias: half of what a sum may be.
const MOST_BIAS: f64 = (1 << 30) as f64;

/// The smallest scale that is one; all arithmetic with it is far from the smallest f32.
const LEAST_SCALE: f64 = 1e-30;

/// Scale and zero point of a map whose values are in a range. Zero is in it, and is exactly a byte.
pub(super) fn grid([low, high]: [f32; 2]) -> (f32, i64) {
    let (low, high) = (f64::from(low).min(0.0), f64::from(high).max(0.0));
    let scale = (high - low) / 255.0;
    if scale < LEAST_SCALE {
        return (1.0, -128);
    }
    // From the end whose rounding errors are smaller.
    let (from_low, from_high) = (-128.0 - low / scale, 127.0 - high / scale);
    let zero_point = if 128.0 + (low / scale).abs() < 127.0 + (high / scale).abs() { from_low } else { from_high };
    (scale as f32, zero_point.round().clamp(-128.0, 127.0) as i64)
}

/// Weights and biases as integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Integers {
    /// In the order of the parameters.
    pub weights: Vec<i8>,
    /// One for each output.
    pub bias: Vec<i32>,
    /// The scale of each output's weights.
    pub scales: Vec<f32>,
}

/// Each output with its own scale. A filter whose bias would be too large in steps of its sums gets a larger scale.
pub(super) fn integers(parameters: &Parameters, input_scale: f32) -> Integers {
    let zeros = vec![0.0; parameters.outputs()];
    let bias = parameters.bias.as_ref().unwrap_or(&zeros);
    let mut largest = vec![0f32; parameters.outputs()];
    for (index, weight) in parameters.weights.iter().enumerate() {
        let largest = &mut largest[parameters.output_of(index)];
        *largest = largest.max(weight.abs());
    }
    let scale = |(largest, bias): (&f32, &f32)| {
        let scale =
            (f64::from(*largest) / MOST_WEIGHT).max(f64::from(bias.abs()) / (MOST_BIAS * f64::from(input_scale)));
        if scale < LEAST_SCALE { 1.0 } else { scale as f32 }
    };
    let scales: Vec<f32> = largest.iter().zip(bias).map(scale).collect();
    let round = |x: f32, scale: f64, most: f64| (f64::from(x) / scale).round().clamp(-most, most);
    let weights = parameters.weights.iter().enumerate();
    Integers {
        weights: weights
            .map(|(i, w)| round(*w, f64::from(scales[parameters.output_of(i)]), MOST_WEIGHT) as i8)
            .collect(),
        bias: bias
            .iter()
            .zip(&scales)
            .map(|(b, scale)| round(*b, f64::from(*scale) * f64::from(input_scale), MOST_BIAS) as i32)
            .collect(),
        scales,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_byte() {
        assert_eq!(grid([0.0, 1.0]), (1.0 / 255.0, -128));
        assert_eq!(grid([0.0, 255.0]), (1.0, -128));
        assert_eq!(grid([-255.0, 0.0]), (1.0, 127));
        assert_eq!(grid([-128.0, 127.0]), (1.0, 0));
        // 0 joins a range, and what lies between two bytes goes to the nearer one: -100 / 2 is 28 steps above -128 + ...
        assert_eq!(grid([2.0, 510.0]), (2.0, -128));
        assert_eq!(grid([-0.3, 254.7]), (1.0, -128));
        assert_eq!(grid([-0.6, 254.4]), (1.0, -127));
        assert_eq!(grid([-3.0, -2.0]), (3.0 / 255.0, 127));
        // A map that is always 0.
        assert_eq!(grid([0.0, 0.0]), (1.0, -128));
    }

    /// Two filters of two weights.
    fn two_filters(weights: [f32; 4], bias: Option<[f32; 2]>, dimension: usize) -> Parameters {
        let shape = if dimension == 0 { vec![2, 2] } else { vec![1, 1, 2, 2] };
        Parameters { shape, weights: weights.to_vec(), bias: bias.map(|bias| bias.to_vec()), dimension }
    }

    #[test]
    fn each_output_has_a_scale_of_its_own() {
        let found = integers(&two_filters([1.27, -0.635, 0.0254, 0.0127], Some([0.5, -0.1]), 0), 0.5);
        assert_eq!(found.weights, [127, -64, 127, 64]);
        // In steps of 0.005 and of 0.0001.
        assert_eq!(found.bias, [100, -1000]);
        assert_eq!(found.scales, [0.01, 0.0002]);
        // The outputs of a depthwise convolution take turns.
        let found = integers(&two_filters([1.27, 0.0254, -0.635, 0.0127], None, 3), 0.5);
        assert_eq!((found.weights, found.bias), (vec![127, 127, -64, 64], vec![0, 0]));
    }

    #[test]
    fn no_filter_is_too_small_for_its_bias() {
        let found = integers(&two_filters([0.0, 0.0, 1e-12, -1e-12], Some([3.0, 100.0]), 0), 1.0);
        assert_eq!(found.weights, [0; 4]);
        assert_eq!(found.bias, [1 << 30; 2]);
        let found = integers(&two_filters([0.0; 4], None, 0), 1.0);
        assert_eq!((found.weights, found.scales), (vec![0; 4], vec![1.0; 2]));
    }
}
