//! Everything random in training: initial weights, the order of the samples, and seeds for what happens to each of them.
//! Every draw is from a generator of the seed and its purpose alone, so that a resumed run draws as the uninterrupted one.

use midge_core::{Layer, Network};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::random::{below, unit};
use crate::weights::{Weights, tensor, tensor_infos};

/// Where the streams of the epochs begin, behind those of the layers.
const EPOCHS: u64 = 1 << 16;

/// What a sample's seed is for: streams far from those of the epochs' orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The start of an attack.
    Attack = 1 << 29,
    /// The shift of an image.
    Shift = 1 << 30,
}

/// A generator for one purpose: `stream` keeps the draws for one layer or epoch apart from those for the others.
fn generator(seed: u64, stream: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed.rotate_left(32) ^ stream)
}

/// The seed of an epoch's first sample; the following ones have the following seeds, whatever batch they are in.
pub(super) fn epoch_seed(seed: u64, purpose: Purpose, epoch: usize) -> u64 {
    generator(seed, purpose as u64 + epoch as u64).next_u64()
}

/// Initial weights: uniform in `+-sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 16), biases zero.
/// Every layer draws from a stream of its own, whatever the layers before it need.
pub fn initialise(network: Network, seed: u64) -> Weights {
    let tensors = tensor_infos(&network).into_iter().map(|info| {
        let mut generator = generator(seed, info.layer as u64);
        let len = info.shape.iter().product();
        let (fan_in, fan_out) = match (network.layers().get(info.layer), info.shape.as_slice()) {
            (Some(Layer::Conv2d { .. }), [rows, columns, inputs, filters]) => {
                (rows * columns * inputs, rows * columns * filters)
            }
            // A filter reads one channel, and is read by one.
            (Some(Layer::DepthwiseConv2d { .. }), [rows, columns, _]) => (rows * columns, rows * columns),
            (_, [inputs, units]) => (*inputs, *units),
            _ => return tensor(&vec![0.0; len]),
        };
        let limit = (6.0 / (fan_in + fan_out) as f32).sqrt();
        let values: Vec<f32> = (0..len).map(|_| (2.0 * unit(&mut generator) - 1.0) * limit).collect();
        tensor(&values)
    });
    let tensors = tensors.collect();
    Weights::new(network, tensors)
}

/// The order of `samples` samples in an epoch: Fisher-Yates.
pub(super) fn shuffled(samples: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut generator = generator(seed, EPOCHS + epoch as u64);
    let mut order: Vec<usize> = (0..samples).collect();
    for i in (1..samples).rev() {
        order.swap(i, below(&mut generator, i + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use midge_core::MNIST_CNN;

    use super::*;

    #[test]
    fn weights_have_the_variance_of_glorot() {
        let valid =
            "input(9,8,3) conv2d(filters=40,kernel=5,stride=2,padding=valid) relu flatten dense(units=7,bias=true)";
        // Layers with weights: fan in and fan out, by hand.
        let mnist = [(0, 9, 288), (3, 288, 576), (7, 3136, 256), (9, 256, 10)];
        let wide = [(0, 75, 1000), (3, 240, 7)];
        for (network, fans) in [(MNIST_CNN, &mnist[..]), (valid.parse().unwrap(), &wide)] {
            let infos = tensor_infos(&network);
            for seed in 1..=3 {
                let weights = initialise(network, seed);
                let tensors = infos.iter().zip(&weights.tensors);
                for (info, tensor) in tensors.clone().filter(|(info, _)| info.name.ends_with("bias")) {
                    assert!(tensor.iter().all(|b| *b == 0.0), "{}", info.name);
                }
                let tensors = tensors.filter(|(info, _)| info.name.ends_with("weight"));
                let found: Vec<_> = tensors.map(|(info, tensor)| (info.layer, tensor)).collect();
                assert_eq!(found.len(), fans.len());
                for ((layer, tensor), (expected_layer, fan_in, fan_out)) in found.iter().zip(fans) {
                    assert_eq!(layer, expected_layer);
                    let sums = tensor.iter().fold([0.0; 2], |[s, q], w| [s + f64::from(*w), q + f64::from(w * w)]);
                    let [mean, square] = sums.map(|sum| sum / tensor.len() as f64);
                    let variance = 2.0 / f64::from(fan_in + fan_out);
                    // Five standard deviations of the estimates; the fourth moment of a uniform number is 1.8 variances^2.
                    let deviations = 5.0 / (tensor.len() as f64).sqrt();
                    assert!(mean.abs() < deviations * variance.sqrt(), "layer {layer}: mean {mean}");
                    let off = (square / variance - 1.0).abs();
                    assert!(off < deviations * 0.8f64.sqrt(), "layer {layer}: {square}, expected {variance}");
                    let limit = (3.0 * variance).sqrt() as f32;
                    assert!(tensor.iter().all(|w| w.abs() <= 1.000_001 * limit), "layer {layer}: beyond {limit}");
                }
            }
        }
    }
}
