//! The lecture's recipe: Glorot uniform weights, categorical cross-entropy, plain SGD on shuffled batches.
//!
//! The same seed gives the same weights on any number of threads: the samples' convolution gradients are summed in fixed
//! groups, and every row of a dense layer is updated by one thread.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use midge_core::batch::Batch;
use midge_core::{Error, Layer, Level, Model, Network, loss};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use crate::data::Dataset;
use crate::evaluation::check_fit;
use crate::weights::{DType, Weights, tensor_infos};

/// Samples that share one sum of convolution gradients. Fixed, so that sums do not depend on the threads.
const GROUP: usize = 4;

/// Dense rows updated together.
const ROWS: usize = 64;

/// The options of SGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Samples per update.
    pub batch_size: usize,
    /// Step size.
    pub learning_rate: f32,
    /// Seed of the initial weights and of the shuffles.
    pub seed: u64,
}

/// Means over one epoch, each sample judged before its own update, as Keras does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Fraction of correct predictions.
    pub accuracy: f64,
}

/// A uniform number in [0, 1) with 24 bits, all that an f32 can tell apart there.
fn uniform(generator: &mut Xoshiro256PlusPlus) -> f32 {
    (generator.next_u64() >> 40) as f32 / (1u64 << 24) as f32
}

/// A generator for one purpose: `stream` keeps the draws for one layer or epoch apart from those for the others.
fn generator(seed: u64, stream: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed.rotate_left(32) ^ stream)
}

/// Where the streams of the epochs begin, behind those of the layers.
const EPOCHS: u64 = 1 << 16;

/// Initial weights: uniform in `+-sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 16), biases zero.
/// Every layer draws from a stream of its own, whatever the layers before it need.
pub fn initialise(network: Network, seed: u64) -> Weights {
    let tensors = tensor_infos(&network).into_iter().map(|info| {
        let mut generator = generator(seed, info.layer as u64);
        let len = info.shape.iter().product();
        let (fan_in, fan_out) = match (network.layers().get(info.layer), info.shape.as_slice()) {
            (Some(Layer::Conv2d { .. }), [o, ky, kx, i]) => (ky * kx * i, ky * kx * o),
            (_, [inputs, units]) => (*inputs, *units),
            _ => return vec![0.0; len],
        };
        let limit = (6.0 / (fan_in + fan_out) as f32).sqrt();
        (0..len).map(|_| (2.0 * uniform(&mut generator) - 1.0) * limit).collect()
    });
    let tensors = tensors.collect();
    Weights { network, tensors, dtype: DType::F32, metadata: Default::default() }
}

/// The order of `samples` samples in an epoch: Fisher-Yates from a generator of the seed and the epoch alone, so
/// that a resumed run shuffles as the uninterrupted one.
fn shuffled(samples: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut generator = generator(seed, EPOCHS + epoch as u64);
    let mut order: Vec<usize> = (0..samples).collect();
    for i in (1..samples).rev() {
        // The high half of a 128-bit product is uniform in 0..=i up to a bias of 2^-40.
        let j = ((u128::from(generator.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
    order
}

/// Trains one epoch (counted from 1). Stops between batches when `stop` is set and returns `None`: the weights
/// are then in the middle of an epoch and not to be kept.
///
/// # Errors
/// If the data do not fit the network or training diverged.
pub fn train_epoch(
    weights: &mut Weights,
    data: &Dataset,
    recipe: &Recipe,
    epoch: usize,
    progress: &ProgressBar,
    stop: &AtomicBool,
) -> Result<Option<Epoch>> {
    check_fit(weights, data)?;
    if recipe.batch_size == 0 {
        bail!("the batch size must be at least 1");
    }
    let mut trainer = Trainer::new(weights, recipe);
    let order = shuffled(data.len(), recipe.seed, epoch);
    let (mut loss, mut correct, mut seen) = (0.0, 0, 0);
    for batch in order.chunks(recipe.batch_size) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (batch_loss, batch_correct) = match trainer.step(data, batch) {
            Ok(sums) => sums,
            Err(error @ Error::NotFinite { .. }) => {
                bail!("training diverged in epoch {epoch}: {error}; try a smaller learning rate")
            }
            Err(error) => return Err(error.into()),
        };
        (loss, correct, seen) = (loss + batch_loss, correct + batch_correct, seen + batch.len());
        progress.inc(batch.len() as u64);
        progress.set_message(format!("epoch {epoch}  loss {:.4}", loss / seen as f64));
    }
    Ok(Some(Epoch { epoch, loss: loss / seen as f64, accuracy: correct as f64 / seen as f64 }))
}

/// Weights under training and the buffers of a batch.
struct Trainer<'w> {
    weights: &'w mut Weights,
    learning_rate: f32,
    transposed: Vec<f32>,
    /// Samples that one thread takes together.
    part: usize,
    /// One per part of a batch.
    buffers: Vec<Vec<f32>>,
    /// One per group of samples.
    conv_gradients: Vec<Vec<f32>>,
}

impl<'w> Trainer<'w> {
    fn new(weights: &'w mut Weights, recipe: &Recipe) -> Self {
        let part = recipe.batch_size.div_ceil(rayon::current_num_threads()).next_multiple_of(GROUP);
        let batch = Batch::training(&weights.network, part);
        Self {
            learning_rate: recipe.learning_rate,
            transposed: vec![0.0; weights.transposed_len()],
            part,
            buffers: vec![vec![0.0; batch.buffer_len()]; recipe.batch_size.div_ceil(part)],
            conv_gradients: vec![vec![0.0; batch.conv_parameters()]; recipe.batch_size.div_ceil(GROUP)],
            weights,
        }
    }

    /// One update; returns the sum of losses and the number of correct predictions.
    fn step(&mut self, data: &Dataset, samples: &[usize]) -> Result<(f64, usize), Error> {
        let sums = self.passes(data, samples)?;
        self.update_convolutions(samples.len());
        self.update_dense(samples.len());
        Ok(sums)
    }

    /// Forward and backward of every sample.
    fn passes(&mut self, data: &Dataset, samples: &[usize]) -> Result<(f64, usize), Error> {
        let network = &self.weights.network;
        let tensors: Vec<&[f32]> = self.weights.tensors.iter().map(Vec::as_slice).collect();
        let model = Model::from_tensors(network, &tensors)?;
        let model = model.with_transposed(Level::detect(), &mut self.transposed)?;
        let batch = Batch::training(network, self.part);
        let gradients = self.conv_gradients.par_chunks_mut(self.part / GROUP);
        let parts = samples.par_chunks(self.part).zip(&mut self.buffers).zip(gradients);
        let results = parts.map(|((samples, buffer), gradients)| {
            gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
            batch.forward(&model, samples.len(), |i| data.image(samples[i]), buffer)?;
            let (logits, gradient) = batch.logit_gradient(buffer);
            let classes = network.classes();
            let rows = logits.chunks(classes).zip(gradient.chunks_mut(classes)).zip(samples);
            let results = rows.map(|((logits, gradient), i)| {
                let label = data.label(*i);
                loss::cross_entropy_gradient(logits, label, gradient);
                (loss::cross_entropy(logits, label), loss::argmax(logits) == label)
            });
            let results: Vec<(f32, bool)> = results.collect();
            batch.weight_gradient(&model, samples.len(), buffer, (gradients, GROUP))?;
            Ok(results)
        });
        let results: Result<Vec<_>, Error> = results.collect();
        // In the order of the samples, so that the sum does not depend on the parts.
        let results = results?.into_iter().flatten();
        Ok(results.fold((0.0, 0), |sums, (loss, correct)| (sums.0 + f64::from(loss), sums.1 + usize::from(correct))))
    }

    fn update_convolutions(&mut self, samples: usize) {
        let step = self.learning_rate / samples as f32;
        let Some((sum, others)) = self.conv_gradients[..samples.div_ceil(GROUP)].split_first_mut() else { return };
        for gradient in others {
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += *g);
        }
        let mut rest = sum.as_slice();
        for (info, tensor) in tensor_infos(&self.weights.network).iter().zip(&mut self.weights.tensors) {
            if rest.is_empty() {
                break;
            }
            let (gradient, others) = rest.split_at(tensor.len());
            // Gradients have the filters first, weights have them last; a bias is the same either way.
            let filters = info.shape.last().copied().unwrap_or(1);
            for (o, gradient) in gradient.chunks_exact(tensor.len() / filters).enumerate() {
                let weights = tensor[o..].iter_mut().step_by(filters);
                weights.zip(gradient).for_each(|(weight, g)| *weight -= step * g);
            }
            rest = others;
        }
    }

    fn update_dense(&mut self, samples: usize) {
        let Weights { network, tensors, .. } = &mut *self.weights;
        let batch = Batch::training(network, self.part);
        let step = self.learning_rate / samples as f32;
        let counts = (0..samples).step_by(self.part).map(|first| self.part.min(samples - first));
        let parts: Vec<(usize, &[f32])> = counts.zip(self.buffers.iter().map(Vec::as_slice)).collect();
        let layers: Vec<_> = batch.dense_layers().collect();
        let count: usize = layers.iter().map(|(_, _, bias)| 1 + usize::from(*bias)).sum();
        let first = tensors.len() - count;
        let mut tensors = tensors[first..].iter_mut();
        for (layer, (_, units, bias)) in layers.into_iter().enumerate() {
            let Some(weights) = tensors.next() else { return };
            let rows = weights.par_chunks_mut(ROWS * units).enumerate();
            rows.for_each_init(
                || vec![0.0; ROWS * units],
                |gradient, (chunk, weights)| {
                    let gradient = &mut gradient[..weights.len()];
                    gradient.fill(0.0);
                    batch.add_dense_gradient(layer, &parts, chunk * ROWS, gradient);
                    descend(weights, gradient, step);
                },
            );
            if let Some(weights) = tensors.next_if(bias) {
                let mut gradient = vec![0.0; units];
                batch.add_dense_bias_gradient(layer, &parts, &mut gradient);
                descend(weights, &gradient, step);
            }
        }
    }
}

/// The next element if it is wanted.
trait NextIf: Iterator {
    fn next_if(&mut self, wanted: bool) -> Option<Self::Item> {
        if wanted { self.next() } else { None }
    }
}

impl<I: Iterator> NextIf for I {}

fn descend(weights: &mut [f32], gradient: &[f32], step: f32) {
    weights.iter_mut().zip(gradient).for_each(|(w, g)| *w -= step * g);
}
