//! Training. [`Recipe`] has the options; [`Recipe::plain`] is the lecture's: Glorot uniform weights, categorical
//! cross-entropy, plain SGD on shuffled batches.
//!
//! [`optimiser`] changes the weights, [`schedule`] the step size, [`adversarial`] makes the images worse, [`validation`]
//! measures what came of it, [`history`] notes it, [`identity`] notes the images, and [`checkpoint`] keeps a run that can
//! be resumed.

pub mod adversarial;
mod batches;
pub mod checkpoint;
pub mod history;
pub mod identity;
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

use crate::data::Dataset;
use crate::evaluation::check_fit;
use batches::{Step, Trainer};
use initial::{Purpose, epoch_seed, shuffled};

pub use history::Epoch;
pub use initial::initialise;
pub use optimiser::Training;
pub use recipe::Recipe;

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
                bail!("training diverged in epoch {epoch}: {error}; try a smaller --lr")
            }
            Err(error) => return Err(error.into()),
        };
        (loss, correct, seen) = (loss + batch_loss, correct + batch_correct, seen + samples.len());
        progress.inc(samples.len() as u64);
        progress.set_message(format!("epoch {epoch}  loss {}", history::decimals(loss / seen as f64, 4)));
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

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use midge_core::Network;

    use super::adversarial::{Adversarial, Method};
    use super::optimiser::{Optimiser, State};
    use super::schedule::Schedule;
    use super::*;
    use crate::data::synthetic;

    const NETWORK: &str =
        "input(28,28,1) conv2d(filters=8,kernel=3,stride=2) relu flatten dense(units=32) relu dense(units=10)";

    fn start(recipe: &Recipe) -> Training {
        Training::new(initialise(NETWORK.parse::<Network>().unwrap(), recipe.seed), &recipe.optimiser)
    }

    fn epoch(training: &mut Training, data: &Dataset, recipe: &Recipe, epoch: usize) -> Epoch {
        let progress = ProgressBar::hidden();
        train_epoch(training, data, recipe, epoch, &progress, &AtomicBool::new(false)).unwrap().unwrap()
    }

    /// All that draws, remembers or changes with time.
    fn recipe(method: Method, optimiser: Optimiser) -> Recipe {
        let adversarial = Adversarial { steps: 2, warm_up: 1.5, ..Adversarial::new(method, 0.2) };
        let plain = Recipe::plain(30, 0.01, 5);
        let (schedule, adversarial) = (Schedule::Cyclic, Some(adversarial));
        Recipe { optimiser, schedule, epochs: 3, shift: 2, adversarial, ..plain }
    }

    #[test]
    fn an_adversarial_epoch_does_not_depend_on_the_threads() {
        let data = synthetic::dataset(1, 100, 0);
        for method in [Method::Fgsm, Method::Fast, Method::Pgd, Method::Trades] {
            let recipe = recipe(method, Optimiser::Adam { weight_decay: 0.01 });
            let trained = [1, 2, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut training = start(&recipe);
                pool.install(|| epoch(&mut training, &data, &recipe, 2));
                training
            });
            assert!(trained[0] == trained[1] && trained[0] == trained[2], "{method:?}");
            assert!(trained[0].weights != start(&recipe).weights);
        }
    }

    #[test]
    fn a_run_resumed_after_every_epoch_is_the_uninterrupted_one() {
        let data = synthetic::dataset(1, 90, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint::path(&folder.path().join("model"));
        let momentum = Optimiser::Sgd { momentum: 0.9, weight_decay: 0.001 };
        for optimiser in [Optimiser::PLAIN, momentum, Optimiser::Adam { weight_decay: 0.0 }] {
            let recipe = recipe(Method::Pgd, optimiser);
            let (mut whole, mut resumed) = (start(&recipe), start(&recipe));
            for number in 1..=3 {
                epoch(&mut whole, &data, &recipe, number);
                epoch(&mut resumed, &data, &recipe, number);
                checkpoint::save(&resumed, &path).unwrap();
                resumed = checkpoint::load(&path, &optimiser).unwrap();
                assert!(whole == resumed, "{optimiser:?}, epoch {number}");
            }
            let mut forgetful = Training { state: State::new(&optimiser, &whole.weights), ..whole.clone() };
            epoch(&mut whole, &data, &recipe, 2);
            epoch(&mut forgetful, &data, &recipe, 2);
            assert_eq!(whole.weights != forgetful.weights, optimiser.remembers(), "the moments matter");
        }
        let message = format!("{:#}", checkpoint::load(&folder.path().join("none"), &momentum).unwrap_err());
        assert!(message.contains("none"), "{message}");
    }

    #[test]
    fn trades_without_beta_is_training_on_clean_images() {
        let data = synthetic::dataset(1, 60, 0);
        let adversarial = Some(Adversarial { beta: 0.0, ..Adversarial::new(Method::Trades, 0.2) });
        let plain = Recipe::plain(20, 0.1, 5);
        let (mut clean, mut trades) = (start(&plain), start(&plain));
        let found = epoch(&mut trades, &data, &Recipe { adversarial, ..plain }, 1);
        let expected = epoch(&mut clean, &data, &plain, 1);
        assert_eq!(found.loss, expected.loss);
        let tensors = trades
            .weights
            .tensors
            .iter()
            .flat_map(|tensor| tensor.iter())
            .zip(clean.weights.tensors.iter().flat_map(|tensor| tensor.iter()));
        assert!(tensors.fold(0.0, |most: f32, (a, b)| most.max((a - b).abs())) < 1e-6);
    }

    #[test]
    fn a_collapse_of_single_step_training_is_detected() {
        let network: Network =
            "input(28,28,1) conv2d(filters=8,kernel=3,stride=2) relu flatten dense(units=10)".parse().unwrap();
        let data = synthetic::dataset(1, 500, 0);
        let (train, held_out) = (data.slice(0, Some(400)).unwrap(), data.slice(400, None).unwrap());
        let optimiser = Optimiser::Adam { weight_decay: 0.0 };
        let trained = |method| {
            let attack = Adversarial::new(method, 0.2);
            let recipe = Recipe { optimiser, adversarial: Some(attack), ..Recipe::plain(10, 0.005, 1) };
            let mut training = Training::new(initialise(network, 1), &optimiser);
            let mut epoch = |number| epoch(&mut training, &train, &recipe, number);
            let last = (1..=5).map(&mut epoch).last().unwrap();
            let found = validation::validate(&training.weights, &held_out, 0.2, 1).unwrap();
            println!("{method:?} {last:?} {found:?}");
            (last.accuracy, found.has_collapsed(&attack, &last))
        };
        assert!(trained(Method::Fgsm).1, "one step without a random start should collapse");
        let (accuracy, has_collapsed) = trained(Method::Fast);
        assert!(accuracy > 0.5 && !has_collapsed, "a random start should prevent it here");
    }
}
