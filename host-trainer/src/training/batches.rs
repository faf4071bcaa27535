//! The passes and the update of one batch.
//!
//! The same seed gives the same weights on any number of threads: the samples' convolution gradients are summed in fixed
//! groups, and every row of a dense layer is updated by one thread.

use midge_core::attack::perturb_len;
use midge_core::batch::{Batch, DenseRecord};
use midge_core::{Error, Level, Model, Network, loss};
use rayon::prelude::*;

use super::adversarial::Method;
use super::optimiser::{Optimiser, Update};
use super::recipe::Recipe;
use super::shift::Change;
use super::{Training, trades};
use crate::data::Dataset;
use crate::weights::{Tensor, Weights, tensor_infos};

/// Samples that share one sum of convolution gradients. Fixed, so that sums do not depend on the threads.
const GROUP: usize = 4;

/// Dense rows updated together.
const ROWS: usize = 16;

/// One batch: which samples, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) samples: &'a [usize],
    pub(super) learning_rate: f32,
    /// Share of eps that is attacked with.
    pub(super) eps_share: f32,
    /// Seeds of the first sample's attack and shift; the others' follow.
    pub(super) attack_seed: u64,
    pub(super) shift_seed: u64,
}

impl<'a> Step<'a> {
    /// The samples `first ..` of the batch.
    fn part(&self, first: usize, samples: &'a [usize]) -> Self {
        let seed = |seed: u64| seed.wrapping_add(first as u64);
        Self { samples, attack_seed: seed(self.attack_seed), shift_seed: seed(self.shift_seed), ..*self }
    }
}

/// The buffers of one part of a batch. Images are `[sample][pixel]` and only there if they are not the data's own.
struct Part {
    passes: Vec<f32>,
    clean: Vec<f32>,
    adversarial: Vec<f32>,
}

/// Weights under training and the buffers of a batch.
pub(super) struct Trainer<'t> {
    training: &'t mut Training,
    recipe: &'t Recipe,
    data: &'t Dataset,
    transposed: Vec<f32>,
    /// Samples that one thread takes together.
    part: usize,
    parts: Vec<Part>,
    /// One per group of samples.
    conv_gradients: Vec<Vec<f32>>,
}

/// Images of a sample that go through the network: TRADES needs the clean and the adversarial one.
fn views(recipe: &Recipe) -> usize {
    1 + usize::from(recipe.adversarial.is_some_and(|a| a.method == Method::Trades))
}

impl<'t> Trainer<'t> {
    pub(super) fn new(training: &'t mut Training, recipe: &'t Recipe, data: &'t Dataset) -> Self {
        let part = recipe.batch_size.div_ceil(rayon::current_num_threads()).next_multiple_of(GROUP);
        let network = &training.weights.network;
        let batch = Batch::training(network, part * views(recipe));
        let images = |wanted: bool| if wanted { part * network.input().len() } else { 0 };
        let attacked = recipe.adversarial.is_some();
        let passes = batch.buffer_len().max(if attacked { perturb_len(network, part) } else { 0 });
        let new_part = |_| Part {
            passes: vec![0.0; passes],
            clean: vec![0.0; images(attacked || recipe.changes_images())],
            adversarial: vec![0.0; images(attacked)],
        };
        Self {
            transposed: vec![0.0; training.weights.transposed_len()],
            part,
            parts: (0..recipe.batch_size.div_ceil(part)).map(new_part).collect(),
            conv_gradients: vec![vec![0.0; batch.conv_parameters()]; recipe.batch_size.div_ceil(GROUP)],
            training,
            recipe,
            data,
        }
    }

    /// One update; returns the sum of losses and the number of correct predictions.
    pub(super) fn step(&mut self, step: &Step<'_>) -> Result<(f64, usize), Error> {
        let Self { training, recipe, data, transposed, part, parts, conv_gradients } = self;
        let Training { weights: Weights { network, tensors, .. }, state } = &mut **training;
        let network = &*network;
        let (sums, records) = {
            let tensors: Vec<&[f32]> = tensors.iter().map(|tensor| tensor.as_slice()).collect();
            let model = Model::from_changing_tensors(network, &tensors)?;
            let model = model.with_transposed(Level::detect(), transposed)?;
            let pass = Pass { network, model: &model, recipe, data, room: *part };
            pass.all(step, parts, conv_gradients)?
        };
        state.updates += 1;
        let (learning_rate, samples, count) = (step.learning_rate, step.samples.len(), state.updates);
        let update = Update { learning_rate, samples, count };
        let mut rule = Rule { optimiser: recipe.optimiser, update, tensors, moments: &mut state.moments };
        rule.update_convolutions(network, &mut conv_gradients[..samples.div_ceil(GROUP)]);
        rule.update_dense(network, &records);
        Ok(sums)
    }
}

/// An optimiser's update, and the weights that it changes.
struct Rule<'t> {
    optimiser: Optimiser,
    update: Update,
    tensors: &'t mut [Tensor],
    moments: &'t mut [Vec<[f32; 2]>],
}

impl Rule<'_> {
    /// The convolutions' weights, by the sum of the gradients of all groups.
    fn update_convolutions(&mut self, network: &Network, gradients: &mut [Vec<f32>]) {
        let Some((sum, others)) = gradients.split_first_mut() else { return };
        for gradient in others {
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += *g);
        }
        let mut rest = sum.as_slice();
        let tensors = self.tensors.iter_mut().zip(&mut *self.moments);
        for (info, (tensor, moments)) in tensor_infos(network).iter().zip(tensors) {
            if rest.is_empty() {
                break;
            }
            let (gradient, others) = rest.split_at(tensor.len());
            // A convolution's gradient has the filters first, its weights have them last; what has fewer dimensions, a
            // depthwise convolution or a bias, is the same either way.
            let filters = if info.shape.len() == 4 { info.shape[3] } else { 1 };
            let mut ordered = vec![0.0; tensor.len()];
            for (o, gradient) in gradient.chunks_exact(tensor.len() / filters).enumerate() {
                ordered[o..].iter_mut().step_by(filters).zip(gradient).for_each(|(target, g)| *target = *g);
            }
            self.optimiser.update(tensor, &ordered, moments, &self.update);
            rest = others;
        }
    }

    /// The dense layers' weights, whose gradients are added up row by row from what the batches left.
    fn update_dense(&mut self, network: &Network, records: &[DenseRecord<'_, '_>]) {
        let Self { optimiser, update, .. } = *self;
        let layers: Vec<_> = Batch::training(network, 1).dense_layers().collect();
        let count: usize = layers.iter().map(|layer| 1 + usize::from(layer.has_bias())).sum();
        let first = self.tensors.len() - count;
        let mut tensors = self.tensors[first..].iter_mut().zip(&mut self.moments[first..]);
        for layer in layers {
            let (units, Some((weights, moments))) = (layer.units(), tensors.next()) else { return };
            chunks(weights, moments, ROWS * units).into_par_iter().enumerate().for_each_init(
                || vec![0.0; ROWS * units],
                |gradient, (chunk, (weights, moments))| {
                    let gradient = &mut gradient[..weights.len()];
                    gradient.fill(0.0);
                    layer.add_weight_gradient(records, chunk * ROWS, gradient);
                    optimiser.update(weights, gradient, moments, &update);
                },
            );
            if layer.has_bias()
                && let Some((weights, moments)) = tensors.next()
            {
                let mut gradient = vec![0.0; units];
                layer.add_bias_gradient(records, &mut gradient);
                optimiser.update(weights, &gradient, moments, &update);
            }
        }
    }
}

/// Chunks of `len` weights with their moments, which are as many or none.
fn chunks<'a>(
    weights: &'a mut [f32],
    moments: &'a mut [[f32; 2]],
    len: usize,
) -> Vec<(&'a mut [f32], &'a mut [[f32; 2]])> {
    let mut moments = moments.chunks_mut(len);
    weights.chunks_mut(len).map(|weights| (weights, moments.next().unwrap_or_default())).collect()
}

/// What the passes of all parts share.
struct Pass<'n, 'w, 'a> {
    network: &'n Network,
    model: &'a Model<'w, f32>,
    recipe: &'a Recipe,
    data: &'a Dataset,
    /// Samples that the buffers have room for.
    room: usize,
}

/// The loss of a sample, and whether it is read correctly.
type Sample = (f32, bool);

impl<'n> Pass<'n, '_, '_> {
    /// Forward and backward of every sample: the sum of losses and the number of correct predictions, and what the dense
    /// layers' gradients need.
    fn all<'b>(
        &self,
        step: &Step<'_>,
        parts: &'b mut [Part],
        gradients: &mut [Vec<f32>],
    ) -> Result<((f64, usize), Vec<DenseRecord<'n, 'b>>), Error> {
        let gradients = gradients.par_chunks_mut(self.room / GROUP);
        let parts = step.samples.par_chunks(self.room).zip(parts).zip(gradients).enumerate();
        let results = parts
            .map(|(i, ((samples, part), gradients))| self.run(&step.part(i * self.room, samples), part, gradients));
        let results: Result<Vec<_>, Error> = results.collect();
        let (samples, records): (Vec<Vec<Sample>>, Vec<_>) = results?.into_iter().unzip();
        // In the order of the samples, so that the sum does not depend on the parts.
        let samples = samples.into_iter().flatten();
        let sum = |sums: (f64, usize), (loss, correct)| (sums.0 + f64::from(loss), sums.1 + usize::from(correct));
        Ok((samples.fold((0.0, 0), sum), records))
    }

    /// One part.
    fn run<'b>(
        &self,
        step: &Step<'_>,
        part: &'b mut Part,
        conv: &mut [Vec<f32>],
    ) -> Result<(Vec<Sample>, DenseRecord<'n, 'b>), Error> {
        let (network, views) = (self.network, views(self.recipe));
        let labels: Vec<usize> = step.samples.iter().map(|i| self.data.label(*i)).collect();
        self.prepare(step, &labels, part)?;
        conv.iter_mut().for_each(|gradient| gradient.fill(0.0));
        let (pixels, classes) = (network.input().len(), network.classes());
        let Part { passes, clean, adversarial } = part;
        let image = |row: usize| {
            let sample = row / views;
            let images = match (adversarial.is_empty(), views == 2 && row.is_multiple_of(2)) {
                (false, false) => adversarial.as_slice(),
                _ if clean.is_empty() => return self.data.image(step.samples[sample]),
                _ => clean.as_slice(),
            };
            &images[sample * pixels..][..pixels]
        };
        let batch = Batch::training(network, self.room * views);
        let mut pass = batch.forward(self.model, views * labels.len(), image, passes)?;
        let (logits, gradient) = pass.logit_gradient();
        let rows = logits.chunks(views * classes).zip(gradient.chunks_mut(views * classes)).zip(&labels);
        let results = rows.map(|((logits, gradient), label)| self.loss(logits, *label, gradient)).collect();
        Ok((results, pass.weight_gradient(conv, views * GROUP)?))
    }

    /// Shifts and attacks the images, where the recipe asks for it.
    fn prepare(&self, step: &Step<'_>, labels: &[usize], part: &mut Part) -> Result<(), Error> {
        let Part { passes, clean, adversarial } = part;
        let pixels = self.model.network().input().len();
        for (i, (sample, target)) in step.samples.iter().zip(clean.chunks_mut(pixels)).enumerate() {
            let change = Change::draw(self.recipe.shift, self.recipe.flip, step.shift_seed.wrapping_add(i as u64));
            change.apply(self.data.image(*sample), self.data.shape, target);
        }
        let Some(attack) = &self.recipe.adversarial else { return Ok(()) };
        let len = labels.len() * pixels;
        let start = (step.eps_share, step.attack_seed);
        attack.perturb(self.model, (&clean[..len], labels), start, &mut adversarial[..len], passes)
    }

    /// Loss of one sample, and whether the last of its images is read correctly; fills the gradient of its logits.
    fn loss(&self, logits: &[f32], label: usize, gradient: &mut [f32]) -> Sample {
        match self.recipe.adversarial {
            Some(attack) if attack.method == Method::Trades => {
                let loss = trades::loss_and_gradient(logits, label, attack.beta, gradient);
                (loss, loss::argmax(&logits[logits.len() / 2..]) == label)
            }
            _ => {
                loss::cross_entropy_gradient(logits, label, gradient);
                (loss::cross_entropy(logits, label), loss::argmax(logits) == label)
            }
        }
    }
}
