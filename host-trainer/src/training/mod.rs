//! Training. [`Recipe`] has the options; [`Recipe::plain`] is the lecture's: Glorot uniform weights, categorical
//! cross-entropy, plain SGD on shuffled batches.
//!
//! [`optimiser`] changes the weights, [`schedule`] the step size, [`adversarial`] makes the images worse, [`validation`]
//! measures what came of it, and [`checkpoint`] keeps a run that can be resumed.

pub mod adversarial;
mod batches;
pub mod checkpoint;
mod initial;
pub mod optimiser;
mod recipe;
pub mod schedule;
mod shift;
mod trades;
pub mod validation;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use midge_core::Error;
use serde::Serialize;

use crate::data::Dataset;
use crate::evaluation::check_fit;
use crate::weights::Weights;
use batches::{Step, Trainer};
use initial::{Purpose, epoch_seed, shuffled};
use optimiser::{Optimiser, State};

pub use initial::initialise;
pub use recipe::Recipe;

/// Weights under training, and what the optimiser remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The weights after the last update.
    pub weights: Weights,
    /// The optimiser's state after it.
    pub state: State,
}

impl Training {
    /// Before the first update.
    pub fn new(weights: Weights, optimiser: &Optimiser) -> Self {
        Self { state: State::new(optimiser, &weights), weights }
    }
}

/// Means over one epoch, each sample judged before its own update, as Keras does. Of adversarial training, the loss is
/// the one that is minimised, and predictions are those of the adversarial images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss in nats.
    pub loss: f64,
    /// Fraction of correct predictions.
    pub accuracy: f64,
}

/// Trains one epoch (counted from 1). Stops between batches when `stop` is set and returns `None`: the weights
/// are then in the middle of an epoch and not to be kept.
///
/// # Errors
/// If the data do not fit the network or training diverged.
pub fn train_epoch(
    training: &mut Training,
    data: &Dataset,
    recipe: &Recipe,
    epoch: usize,
    progress: &ProgressBar,
    stop: &AtomicBool,
) -> Result<Option<Epoch>> {
    check_fit(&training.weights, data)?;
    if recipe.batch_size == 0 {
        bail!("the batch size must be at least 1");
    }
    let mut trainer = Trainer::new(training, recipe, data);
    let order = shuffled(data.len(), recipe.seed, epoch);
    let (mut loss, mut correct, mut seen) = (0.0, 0, 0);
    for samples in order.chunks(recipe.batch_size) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (batch_loss, batch_correct) = match trainer.step(&step(recipe, epoch, (seen, data.len()), samples)) {
            Ok(sums) => sums,
            Err(error @ Error::NotFinite { .. }) => {
                bail!("training diverged in epoch {epoch}: {error}; try a smaller learning rate")
            }
            Err(error) => return Err(error.into()),
        };
        (loss, correct, seen) = (loss + batch_loss, correct + batch_correct, seen + samples.len());
        progress.inc(samples.len() as u64);
        progress.set_message(format!("epoch {epoch}  loss {:.4}", loss / seen as f64));
    }
    Ok(Some(Epoch { epoch, loss: loss / seen as f64, accuracy: correct as f64 / seen as f64 }))
}

/// The batch that comes after `seen` of an epoch's `len` samples.
fn step<'a>(recipe: &Recipe, epoch: usize, (seen, len): (usize, usize), samples: &'a [usize]) -> Step<'a> {
    // In the middle of the batch: a cycle's first step is not of size 0.
    let time = epoch as f64 - 1.0 + (seen as f64 + 0.5 * samples.len() as f64) / len as f64;
    let warm_up = recipe.adversarial.map_or(0.0, |adversarial| adversarial.warm_up);
    let seed = |purpose| epoch_seed(recipe.seed, purpose, epoch).wrapping_add(seen as u64);
    Step {
        samples,
        learning_rate: recipe.schedule.learning_rate(recipe.learning_rate, time, recipe.epochs),
        eps_share: schedule::warm_up(time, warm_up),
        attack_seed: seed(Purpose::Attack),
        shift_seed: seed(Purpose::Shift),
    }
}
