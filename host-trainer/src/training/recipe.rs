//! All options of a training run.

use super::adversarial::Adversarial;
use super::optimiser::Optimiser;
use super::schedule::Schedule;

/// How to train. The same recipe, data and network give the same weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Samples per update.
    pub batch_size: usize,
    /// Largest size of a step.
    pub learning_rate: f32,
    /// Seed of all that is random.
    pub seed: u64,
    /// How a gradient changes the weights.
    pub optimiser: Optimiser,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// Length of the run, which the schedule needs.
    pub epochs: usize,
    /// Largest shift of an image in pixels.
    pub shift: usize,
    /// Whether every other image is mirrored, left and right.
    pub flip: bool,
    /// On what instead of the clean images.
    pub adversarial: Option<Adversarial>,
}

impl Recipe {
    /// The lecture's: plain SGD with a constant step on clean images.
    pub fn plain(batch_size: usize, learning_rate: f32, seed: u64) -> Self {
        let (optimiser, schedule) = (Optimiser::PLAIN, Schedule::Constant);
        Self {
            batch_size,
            learning_rate,
            seed,
            optimiser,
            schedule,
            epochs: 1,
            shift: 0,
            flip: false,
            adversarial: None,
        }
    }

    /// Whether images are changed before they are learnt from, attacks apart.
    pub fn changes_images(&self) -> bool {
        self.shift > 0 || self.flip
    }

    /// All that changes the result, in one line. What is not used is left out.
    pub fn describe(&self) -> String {
        let Self { batch_size, learning_rate, seed, shift, .. } = self;
        let (name, options) = match self.optimiser {
            Optimiser::Sgd { momentum, weight_decay } => {
                ("sgd", [("momentum", momentum), ("weight-decay", weight_decay)])
            }
            Optimiser::Adam { weight_decay } => ("adam", [("momentum", 0.0), ("weight-decay", weight_decay)]),
        };
        let mut line = format!("{name} lr={learning_rate} batch-size={batch_size} seed={seed}");
        for (option, value) in options.iter().filter(|(_, value)| *value != 0.0) {
            line += &format!(" {option}={value}");
        }
        if self.schedule != Schedule::Constant {
            line += &format!(" schedule={} epochs={}", self.schedule, self.epochs);
        }
        if *shift > 0 {
            line += &format!(" shift={shift}");
        }
        if self.flip {
            line += " flip";
        }
        if let Some(adversarial) = &self.adversarial {
            line += &format!(" {adversarial}");
        }
        line
    }
}
