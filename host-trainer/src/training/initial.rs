//! Everything random in training: initial weights, the order of the samples, and seeds for what happens to each of them.
//! Every draw is from a generator of the seed and its purpose alone, so that a resumed run draws as the uninterrupted one.

use midge_core::{Layer, Network};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::weights::{DType, Weights, tensor, tensor_infos};

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

/// A uniform number in [0, 1) with 24 bits, all that an f32 can tell apart there.
fn uniform(generator: &mut Xoshiro256PlusPlus) -> f32 {
    (generator.next_u64() >> 40) as f32 / (1u64 << 24) as f32
}

/// A generator for one purpose: `stream` keeps the draws for one layer or epoch apart from those for the others.
fn generator(seed: u64, stream: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed.rotate_left(32) ^ stream)
}

/// The seed of an epoch's first sample; the following ones have the following seeds, whatever batch they are in.
pub(super) fn epoch_seed(seed: u64, purpose: Purpose, epoch: usize) -> u64 {
    generator(seed, purpose as u64 + epoch as u64).next_u64()
}

/// A uniform whole number below `end`, from the high half of a 128-bit product: its bias is about `end / 2^64`.
pub(super) fn below(generator: &mut Xoshiro256PlusPlus, end: usize) -> usize {
    ((u128::from(generator.next_u64()) * end as u128) >> 64) as usize
}

/// Initial weights: uniform in `+-sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 16), biases zero.
/// Every layer draws from a stream of its own, whatever the layers before it need.
pub fn initialise(network: Network, seed: u64) -> Weights {
    let tensors = tensor_infos(&network).into_iter().map(|info| {
        let mut generator = generator(seed, info.layer as u64);
        let len = info.shape.iter().product();
        let (fan_in, fan_out) = match (network.layers().get(info.layer), info.shape.as_slice()) {
            (Some(Layer::Conv2d { .. }), [o, ky, kx, i]) => (ky * kx * i, ky * kx * o),
            (_, [inputs, units]) => (*inputs, *units),
            _ => return tensor(&vec![0.0; len]),
        };
        let limit = (6.0 / (fan_in + fan_out) as f32).sqrt();
        let values: Vec<f32> = (0..len).map(|_| (2.0 * uniform(&mut generator) - 1.0) * limit).collect();
        tensor(&values)
    });
    let tensors = tensors.collect();
    Weights { network, tensors, dtype: DType::F32, metadata: Default::default() }
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
