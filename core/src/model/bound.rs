//! Weights with which no value of a forward pass can overflow.
//!
//! An overflow inside the network would not be seen: `inf - inf` is NaN, which loses every comparison, so that a ReLU or a
//! pooling turns it into an ordinary number and the logits are finite and wrong. A check of every value would cost every
//! pass; a bound of all values costs one look at each weight, which has to be looked at anyway.
//!
//! Pixels are at most 1, unless a host says otherwise. A layer's outputs are at most the largest sum of `|weight|` and `|bias|` of one output, times the
//! largest of its inputs, where inputs count as at least 1; so are all partial sums, in any order. ReLUs and poolings make
//! nothing larger; a sum of two maps at most doubles the larger. Behind a ReLU, and on pixels, nothing is negative: then partial sums lie between
//! that of the negative weights and that of the positive ones, of which the larger takes the place of the sum of both. The product over the layers is the bound: around 1e6 in the lecture's CNN, around 1e32 in a network
//! as deep as VGG-16.

use super::error::ModelError;
use crate::network::plan::Stage;
use crate::number::Number;

/// Largest bound, 2^110. The transforms of Winograd's convolutions hold values up to 2^16 times as large, so 2^126 in f32,
/// which ends below 2^128; the rest is for rounding.
const MOST: f32 = f32::from_bits((127 + 110) << 23);

/// Whether the weights and the bias of a stage are finite and its values cannot overflow; `most` is the bound of what it reads,
/// and then of what it puts out.
/// With `SIGNS` the bound is closer.
pub(super) fn check_stage<N: Number, const SIGNS: bool>(
    stage: &Stage,
    tensors: [&[N]; 2],
    most: &mut Bound,
) -> Result<(), ModelError> {
    let layer = stage.layer();
    let outputs = stage.weight_shape().last().copied().unwrap_or(1);
    let signs = SIGNS && most.is_positive;
    most.value *= largest_sum(tensors, outputs, signs).map_err(|index| ModelError::NotFinite { layer, index })?;
    if SIGNS {
        most.is_positive = stage.rectifies();
        if stage.adds() {
            most.value *= 2.0;
        }
    }
    if most.value > MOST { Err(ModelError::TooLarge { layer }) } else { Ok(()) }
}

/// A bound of what a stage reads.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    value: f32,
    /// Whether nothing that it reads is negative.
    is_positive: bool,
}

impl Bound {
    /// Of an image with pixels in a range.
    #[inline(always)]
    pub(super) fn of_pixels([low, high]: [f32; 2]) -> Self {
        let most = if -low > high { -low } else { high };
        Self { value: if most > 1.0 { most } else { 1.0 }, is_positive: low >= 0.0 }
    }
}

/// The largest sum of magnitudes that belong to one output, at least 1; the last dimension of both tensors has `outputs`
/// elements. With `signs` it is the largest of the sums of either sign. The error is the index of an element that is not finite.
fn largest_sum<T: Number>(tensors: [&[T]; 2], outputs: usize, signs: bool) -> Result<f32, usize> {
    let mut largest = 1.0;
    for output in 0..outputs {
        let (mut sum, mut negative) = (0.0, 0.0);
        for tensor in tensors {
            let mut index = output;
            while let Some(w) = tensor.get(index) {
                if !w.is_finite() {
                    return Err(index);
                }
                let w = w.to_f32();
                if signs && w < 0.0 {
                    negative -= w
                } else {
                    sum += w.abs()
                };
                index += outputs;
            }
        }
        if sum > largest {
            largest = sum;
        }
        if negative > largest {
            largest = negative;
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::model::Model;
    use crate::network::{Layer, Network, Shape};
    use half::f16;

    const DENSE: [Layer; 4] =
        [Layer::Flatten, Layer::Dense { units: 2, bias: true }, Layer::Relu, Layer::Dense { units: 2, bias: false }];

    #[test]
    fn an_overflow_that_a_relu_would_hide_is_refused() {
        let network = Network::new(Shape::hwc(1, 2, 1), &DENSE);
        // `1e38 * 4 - 1e38 * 4` overflows between the layers, and a ReLU makes zeros of NaN.
        let (first, bias, last) = ([3e38f32, 3e38, -3e38, -3e38], [0.0; 2], [1e10f32, -1e10, 1e10, -1e10]);
        let hidden = Model::<f32>::from_changing_tensors(&network, &[&first, &bias, &last]).unwrap();
        let mut buffer = std::vec![0.0; network.inference_len()];
        let logits = hidden.logits(&[1.0, 1.0], &mut buffer);
        assert!(logits.is_ok_and(|logits| logits == [0.0, 0.0]), "an overflow is seen without the bound");
        for scale in [3e38f32, 1e30] {
            let first = first.map(|w| w / 3e38 * scale);
            let model = Model::<f32>::from_tensors(&network, &[&first, &bias, &last]);
            assert!(matches!(model.err(), Some(Error::Weights { .. })), "{scale}");
        }
        let first = first.map(|w| w / 3e38 * 1e20);
        assert!(Model::<f32>::from_tensors(&network, &[&first, &bias, &last]).is_ok());
        // The second layer is the one in which they would overflow.
        let (first, last) = ([1e20f32; 4], [1e14f32; 4]);
        assert_eq!(
            Model::<f32>::from_tensors(&network, &[&first, &bias, &last]).err(),
            Some(Error::Weights { layer: 3 })
        );
    }

    #[test]
    fn every_weight_and_bias_is_looked_at() {
        let layers = [Layer::Flatten, Layer::Dense { units: 37, bias: true }];
        let network = Network::new(Shape::hwc(1, 3, 1), &layers);
        let refused = |tensor: usize, index: usize, bad: f16| {
            let mut tensors = [std::vec![f16::ONE; 3 * 37], std::vec![f16::ONE; 37]];
            tensors[tensor][index] = bad;
            let [weights, bias] = &tensors;
            let model = Model::<f16>::from_tensors(&network, &[weights, bias]);
            model.is_err_and(|error| error == Error::Weights { layer: 1 })
        };
        assert!(!refused(0, 0, f16::MAX));
        for bad in [f16::INFINITY, f16::NEG_INFINITY, f16::NAN] {
            assert!((0..3 * 37).all(|i| refused(0, i, bad)) && (0..37).all(|i| refused(1, i, bad)), "{bad}");
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn larger_pixels_have_less_room() {
        let network = Network::new(Shape::hwc(1, 1, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: false }]);
        let model = Model::<f32>::from_tensors(&network, &[&[1e30, 0.0]]).unwrap();
        assert_eq!(model.clone().with_range([-0.5, 100.0]).unwrap().range(), [-0.5, 100.0]);
        for range in [[0.0, 1e10], [-1e10, 0.0]] {
            assert_eq!(model.clone().with_range(range).err(), Some(Error::Weights { layer: 1 }));
        }
        for [low, high] in [[1.0, 0.0], [0.0, 0.0], [0.0, f32::INFINITY]] {
            let error = model.clone().with_range([low, high]).unwrap_err();
            assert_eq!(error, Error::Pixels { low, high });
            assert!(std::string::ToString::to_string(&error).contains("the smaller one first"));
        }
    }

    #[test]
    fn the_sums_are_those_of_each_output() {
        let weights: std::vec::Vec<f32> = (0..2 * 19).map(|i| if i % 2 == 0 { 1.0 } else { -2.0 } * i as f32).collect();
        let bias = [-0.5f32; 19];
        let sum = |o: usize| (weights[o].abs() + weights[19 + o].abs()) + 0.5;
        let largest = (0..19).map(sum).fold(1.0, f32::max);
        assert_eq!(largest_sum([&weights, &bias], 19, false), Ok(largest));
        assert_eq!(largest_sum([&[0.1f32; 4], &[]], 2, false), Ok(1.0));
        // Of either sign: 3 + 5 and -9 of the first output, 4 and -2 of the second.
        let weights = [3.0f32, 4.0, -9.0, -2.0, 5.0, 0.0];
        assert_eq!(largest_sum([&weights, &[]], 2, true), Ok(9.0));
        assert_eq!(largest_sum([&weights, &[0.0, 10.5]], 2, true), Ok(14.5));
        assert_eq!(largest_sum([&weights, &[]], 2, false), Ok(17.0));
    }
}
