//! The options of `midge train`, and the recipe that they make.
//!
//! Without `--adversarial` the defaults are the lecture's. With it they are Adam with one cycle of the learning rate, as
//! in Wong et al.'s MNIST program, a threshold in the network's first ReLU, and an eps that grows over the first fifth of
//! the epochs. Accuracy under PGD of 400 held-out images after 5 epochs of `--adversarial pgd --limit 4000` on MNIST, seed 1:
//!
//! | | warm-up | none |
//! |---|---|---|
//! | threshold | 69.5 % | 70.3 % |
//! | none | 39.0 % | 22.0 % |
//!
//! Only networks without the threshold need the warm-up. Small ones, or large steps, end in the same answer for all images
//! without it.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::super::import::parse_size;
use super::super::{DataArguments, eps, from_one};
use crate::data::{DataError, Facts, Source};
use crate::training::Recipe;
use crate::training::adversarial::{Adversarial, Method};
use crate::training::optimiser::Optimiser;
use crate::training::schedule::Schedule;

/// `--optimiser`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OptimiserName {
    /// Stochastic gradient descent, with --momentum
    Sgd,
    /// Adam
    Adam,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) data: DataArguments,
    /// Where the test images come from, needed if --data does not tell them from those for training [default: as --data]
    #[arg(long, value_name = "DATA")]
    test_data: Option<OsString>,
    /// Passes over the training set, counted from the start also when resuming [default: 3; adversarial: 10]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Samples per update [default: 32; adversarial: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,
    /// Step size, the largest of the schedule [default: sgd 0.01; adam 0.002]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    lr: Option<f32>,
    /// How a gradient changes the weights [default: sgd; adversarial: adam]
    #[arg(long, value_name = "NAME")]
    optimiser: Option<OptimiserName>,
    /// Share of SGD's last step that goes into the next
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_negative_numbers = true)]
    momentum: f32,
    /// Weight decay
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_negative_numbers = true)]
    weight_decay: f32,
    /// The step size over time [default: constant; adversarial: cyclic]
    #[arg(long, value_name = "NAME")]
    schedule: Option<Schedule>,
    /// Shift every image by up to N pixels, anew every time; the edge of the image is repeated
    #[arg(long, default_value_t = 0, value_name = "N")]
    shift: usize,
    /// Mirror every other image, left and right, anew every time: for things, not for letters
    #[arg(long)]
    flip: bool,
    #[command(flatten)]
    attack: AttackArguments,
    /// Training images kept for the clean and PGD accuracy after every epoch; the best epoch stays in --out, with
    /// --adversarial under PGD, else on clean images [default: 0; adversarial: a tenth, at most 1000]
    #[arg(long, value_name = "N")]
    held_out: Option<usize>,
    /// Architecture, such as "conv 16 3x3, relu, maxpool 2, dense 10"; stride 1, same, bias, the input and the classes may be left
    /// out, or all be said in the words of a model file [default: the lecture's MNIST CNN, for images and classes as the
    /// data have them; adversarial: the same with a threshold of 0.1 in the first ReLU]
    #[arg(long, value_name = "TEXT")]
    pub(super) network: Option<String>,
    /// Height and width of the network's input, to which pictures of other sizes are averaged [default: those of the first]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    pub(super) size: Option<(usize, usize)>,
    /// Train on the first N images only [default: all]
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub(super) limit: Option<usize>,
    /// Model file to write after every epoch, or after the best; what else --resume needs is in FILE.checkpoint
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    /// Go on with the epochs that --out does not have yet
    #[arg(long)]
    pub(super) resume: bool,
    /// Replace --out if it is there already
    #[arg(long, conflicts_with = "resume")]
    pub(super) force: bool,
    /// Print JSON: epochs, test, model
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
struct AttackArguments {
    /// Train on adversarial images
    #[arg(long, value_name = "METHOD")]
    adversarial: Option<Method>,
    /// Largest change of a pixel, in training and for the accuracy on --held-out [default: 0.3]
    #[arg(long, value_parser = eps::parse_pixels, value_name = "EPS", allow_negative_numbers = true)]
    eps: Option<f32>,
    /// Change of a pixel in one step [default: fast 1.25 eps; pgd, trades 2.5 eps / steps]
    #[arg(long, value_parser = eps::parse_pixels, value_name = "X", allow_negative_numbers = true)]
    alpha: Option<f32>,
    /// Steps of pgd and trades [default: 7]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Weight of the divergence in trades [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    beta: Option<f32>,
    /// Epochs over which eps grows from 0 [default: a fifth of all]
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    eps_warmup: Option<f64>,
}

impl AttackArguments {
    /// What is wrong with options of the attack, given its method.
    fn check(&self) -> Result<()> {
        let method = self.adversarial;
        let iterated = matches!(method, Some(Method::Pgd | Method::Trades));
        let uses = |name, given: bool, used: bool, by: &str| {
            ensure!(!given || used, "{name} is an option of {by}");
            Ok(())
        };
        uses(
            "--alpha",
            self.alpha.is_some(),
            iterated || method == Some(Method::Fast),
            "--adversarial fast, pgd, trades",
        )?;
        uses("--steps", self.steps.is_some(), iterated, "--adversarial pgd, trades")?;
        uses("--beta", self.beta.is_some(), method == Some(Method::Trades), "--adversarial trades")?;
        uses("--eps-warmup", self.eps_warmup.is_some(), method.is_some(), "--adversarial")?;
        let numbers = [("--alpha", self.alpha), ("--beta", self.beta), ("--eps", self.eps)];
        let numbers = numbers.map(|(name, value)| (name, value.map(f64::from)));
        for (name, value) in numbers.into_iter().chain([("--eps-warmup", self.eps_warmup)]) {
            check_not_negative(name, value.unwrap_or(0.0))?;
        }
        ensure!(self.steps != Some(0), "--steps must be at least 1");
        Ok(())
    }

    fn eps(&self) -> f32 {
        self.eps.unwrap_or(0.3)
    }

    fn adversarial(&self, epochs: usize) -> Option<Adversarial> {
        let defaults = Adversarial::new(self.adversarial?, self.eps());
        let steps = self.steps.unwrap_or(defaults.steps);
        let reach = defaults.alpha * defaults.steps as f32;
        Some(Adversarial {
            alpha: self.alpha.unwrap_or(reach / steps as f32),
            steps,
            beta: self.beta.unwrap_or(defaults.beta),
            warm_up: self.eps_warmup.unwrap_or(epochs as f64 / 5.0),
            ..defaults
        })
    }
}

fn check_not_negative(name: &str, value: f64) -> Result<()> {
    ensure!(value.is_finite() && value >= 0.0, "{name} is {value}: expected a finite number, not negative");
    Ok(())
}

impl Arguments {
    /// The recipe, after a look at every option.
    pub(super) fn recipe(&self) -> Result<Recipe> {
        self.attack.check()?;
        let adversarial = self.attack.adversarial.is_some();
        ensure!(
            self.attack.eps.is_none() || adversarial || self.held_out.is_some(),
            "--eps is an option of --adversarial and --held-out"
        );
        let optimiser = self.optimiser()?;
        let adam = matches!(optimiser, Optimiser::Adam { .. });
        let learning_rate = self.lr.unwrap_or(if adam { 0.002 } else { 0.01 });
        ensure!(learning_rate.is_finite() && learning_rate > 0.0, "--lr is {learning_rate}: expected a number above 0");
        let epochs = self.epochs.unwrap_or(if adversarial { 10 } else { 3 });
        ensure!(epochs > 0, "--epochs must be at least 1");
        ensure!(self.shift <= 1000, "--shift is {}: expected at most 1000 pixels", self.shift);
        Ok(Recipe {
            batch_size: self.batch_size.unwrap_or(if adversarial { 128 } else { 32 }) as usize,
            learning_rate,
            seed: self.data.seed,
            optimiser,
            schedule: self.schedule.unwrap_or(if adversarial { Schedule::Cyclic } else { Schedule::Constant }),
            epochs,
            shift: self.shift,
            flip: self.flip,
            adversarial: self.attack.adversarial(epochs),
        })
    }

    fn optimiser(&self) -> Result<Optimiser> {
        let (momentum, weight_decay) = (self.momentum, self.weight_decay);
        check_not_negative("--weight-decay", weight_decay.into())?;
        ensure!((0.0..1.0).contains(&momentum), "--momentum is {momentum}: expected a number from 0 to below 1");
        let default = if self.attack.adversarial.is_some() { OptimiserName::Adam } else { OptimiserName::Sgd };
        match self.optimiser.unwrap_or(default) {
            OptimiserName::Sgd => Ok(Optimiser::Sgd { momentum, weight_decay }),
            OptimiserName::Adam => {
                ensure!(momentum == 0.0, "--momentum is an option of --optimiser sgd");
                Ok(Optimiser::Adam { weight_decay })
            }
        }
    }

    /// Where the test images come from.
    ///
    /// # Errors
    /// Many data sets have no test images beside those that they are.
    pub(super) fn test_source(&self, facts: &Facts) -> Result<Source> {
        match (&self.test_data, self.data.source()) {
            (Some(data), _) => Ok(Source::from_option(Some(data), self.data.seed)),
            (None, Source::Path(path)) if !facts.has_splits => Err(DataError::NoSplit(path).into()),
            (None, source) => Ok(source),
        }
    }

    /// Whether images are attacked before they are trained on.
    pub(super) fn is_adversarial(&self) -> bool {
        self.attack.adversarial.is_some()
    }

    /// Training images that are kept for validation, of `images`.
    pub(super) fn held_out(&self, images: usize) -> Result<usize> {
        let default = if self.attack.adversarial.is_some() { (images / 10).min(1000) } else { 0 };
        let held_out = self.held_out.unwrap_or(default);
        ensure!(held_out < images, "--held-out is {held_out}: nothing would be left of {images} training images");
        Ok(held_out)
    }

    /// Whether there may be images kept for validation, before their number is known.
    pub(super) fn holds_out(&self) -> bool {
        self.held_out.map_or(self.attack.adversarial.is_some(), |held_out| held_out > 0)
    }

    /// Radius of the attack on the held-out images.
    pub(super) fn eps(&self) -> f32 {
        self.attack.eps()
    }
}
