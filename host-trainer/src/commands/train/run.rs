//! A run from epoch to epoch, and the files that keep it.
//!
//! Plain SGD needs nothing but the model file to go on. An optimiser with a memory, or a model file that holds the best
//! epoch instead of the last, needs a checkpoint too. That is written first: if the program ends between the two files,
//! the next resume finds in the checkpoint that its epoch was the best, and writes the model file. A run whose model goes
//! to a pipe or a device has no checkpoint: nothing could go on from there.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use midge_core::Network;

use super::Arguments;
use super::images::Images;
use super::network;
use super::report::Report;
use crate::data::{Dataset, Facts, border};
use crate::files::is_stream;
use crate::training::history::{self, BEST, BORDER, CLASSES, DATA, EPOCHS, Entry, HISTORY, IMAGES, RECIPE};
use crate::training::validation::Validation;
use crate::training::{Recipe, Training, checkpoint, identity, initialise};
use crate::weights::{DType, Weights};

/// What a run has so far.
pub(super) struct Run {
    pub(super) training: Training,
    recipe: String,
    /// What must be the same for a run to go on: metadata key and value.
    origin: Vec<(&'static str, String)>,
    out: PathBuf,
    checkpoint: Option<PathBuf>,
    /// Whether the best epoch is that under attack.
    pub(super) adversarial: bool,
    /// The epoch in the model file and its accuracies, if there are held-out images.
    best: Option<(usize, Validation)>,
    /// The weights of that epoch, if this run has seen it.
    best_weights: Option<Weights>,
}

impl Run {
    /// New weights, or those of the files of `--out`.
    pub(super) fn start(arguments: &Arguments, recipe: &Recipe, facts: &Facts) -> Result<Self> {
        let asked = network::asked(arguments, facts)?;
        let out = arguments.out.clone();
        let keeps = (recipe.optimiser.remembers() || arguments.holds_out()) && !is_stream(&out);
        let checkpoint = keeps.then(|| checkpoint::path(&out));
        let network = asked.map_or_else(|| network::usual(arguments, recipe, facts), Ok)?;
        let mut run = Self {
            training: Training::new(initialise(network, recipe.seed), &recipe.optimiser),
            recipe: recipe.describe(),
            origin: Vec::new(),
            out,
            checkpoint,
            adversarial: recipe.adversarial.is_some(),
            best: None,
            best_weights: None,
        };
        if arguments.resume && run.newest().exists() {
            run.training = run.load(asked, recipe)?;
            run.best = run.training.weights.metadata.get(BEST).and_then(|line| parse_best(line));
        } else if arguments.resume && run.out.exists() {
            anyhow::bail!("{}: not there, and this run cannot go on without it", run.newest().display());
        }
        Ok(run)
    }

    /// The file that has the last epoch.
    pub(super) fn newest(&self) -> &Path {
        self.checkpoint.as_deref().unwrap_or(&self.out)
    }

    fn load(&self, asked: Option<Network>, recipe: &Recipe) -> Result<Training> {
        let name = self.newest().display();
        let training = match &self.checkpoint {
            Some(path) => checkpoint::load(path, &recipe.optimiser)?,
            None => Training::new(Weights::load(&self.out)?, &recipe.optimiser),
        };
        let weights = &training.weights;
        ensure!(weights.dtype == DType::F32, "{name}: exported as {}, training needs f32", weights.dtype);
        let same = asked.is_none_or(|asked| asked == weights.network);
        ensure!(same, "{name}: holds another architecture than --network");
        let note = |key| weights.metadata.get(key);
        let last = note(HISTORY).and_then(|text| history::parse(text)?.last().map(|entry| entry.epoch.epoch));
        let done = note(EPOCHS).and_then(|n| n.parse().ok());
        ensure!(last.is_some() && last == done, "{name}: was not written by midge train");
        Ok(training)
    }

    /// Writes the model file that an interrupted run did not get to.
    pub(super) fn complete(&self) -> Result<()> {
        if self.done() == 0 {
            return Ok(());
        }
        if self.checkpoint.is_some() && self.has_newest() {
            self.training.weights.save(&self.out, DType::F32)?;
        }
        let out = self.out.display();
        ensure!(self.out.exists(), "{out}: not there; {} alone does not have the best epoch", self.newest().display());
        Ok(())
    }

    /// Notes recipe and images; a run that goes on must have begun with the same.
    pub(super) fn check_origin(&mut self, images: &Images, eps: f32) -> Result<()> {
        let Images { train, held_out, .. } = images;
        let mut recipe = format!("{} images={}", self.recipe, train.len());
        if let Some(held_out) = held_out {
            recipe += &format!(" held-out={} validation-eps={eps}", held_out.len());
        }
        // Without the folder.
        let data = train.name.split(" (").next().unwrap_or_default().to_string();
        self.origin = vec![(RECIPE, recipe), (DATA, data), (IMAGES, identity::of([train].into_iter().chain(held_out)))];
        if self.done() == 0 {
            self.describe(train);
            return Ok(());
        }
        let metadata = &self.training.weights.metadata;
        let unknown = String::from("unknown");
        let before = |key: &str| metadata.get(key).unwrap_or(&unknown).as_str();
        // The same images may have moved to a folder of another name.
        let is_same = self.origin.iter().all(|(key, now)| *key == DATA || before(key) == now);
        let words = |pairs: Vec<&str>| pairs.join(", ");
        let before = words(self.origin.iter().map(|(key, _)| before(key)).collect());
        let now = words(self.origin.iter().map(|(_, now)| now.as_str()).collect());
        ensure!(is_same, "{}: was trained with {before}; this run has {now}", self.newest().display());
        Ok(())
    }

    /// Notes what the images are, for those who use the model.
    fn describe(&mut self, train: &Dataset) {
        let [low, high] = self.training.weights.range;
        let border = (border(&train.images, train.shape) - low) / (high - low);
        let metadata = &mut self.training.weights.metadata;
        metadata.insert(BORDER.into(), format!("{border:.3}"));
        if !train.classes.is_empty() {
            metadata.insert(CLASSES.into(), train.classes.text());
        }
    }

    /// Epochs that the weights have seen.
    pub(super) fn done(&self) -> usize {
        self.training.weights.metadata.get(EPOCHS).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Whether the model file is to hold the last epoch: no epoch was better.
    fn has_newest(&self) -> bool {
        self.best.is_none_or(|(epoch, _)| epoch == self.done())
    }

    /// The epoch in the model file, if that is the best one.
    pub(super) fn best_epoch(&self) -> Option<usize> {
        self.best.map(|(epoch, _)| epoch)
    }

    /// The weights that the model file holds.
    ///
    /// # Errors
    /// If they have to be read from there and cannot be.
    pub(super) fn kept(&self) -> Result<Cow<'_, Weights>> {
        match &self.best_weights {
            _ if self.has_newest() => Ok(Cow::Borrowed(&self.training.weights)),
            Some(best) => Ok(Cow::Borrowed(best)),
            None => Weights::load(&self.out).map(Cow::Owned),
        }
    }

    /// Notes how the weights came about, and writes the files.
    pub(super) fn keep(&mut self, report: &Report) -> Result<()> {
        let epoch = report.epoch;
        let Report { test_loss, test_accuracy, .. } = *report;
        let held_out = report.validation.map(|validation| [validation.clean_accuracy, validation.pgd_accuracy]);
        let entry = Entry { epoch, test_loss, test_accuracy, held_out };
        let metadata = &mut self.training.weights.metadata;
        if let Some(validation) = report.validation
            && validation.is_best(self.best.as_ref().map(|(_, best)| best), self.adversarial)
        {
            self.best = Some((epoch.epoch, validation));
            metadata.insert(BEST.into(), format_best(epoch.epoch, &validation));
        }
        metadata.extend(self.origin.iter().map(|(key, value)| (key.to_string(), value.clone())));
        metadata.insert(EPOCHS.into(), epoch.epoch.to_string());
        let before = metadata.get(HISTORY).map_or("", String::as_str);
        metadata.insert(HISTORY.into(), history::push(before, entry, self.best.map(|(epoch, _)| epoch))?);
        match &self.checkpoint {
            Some(path) => checkpoint::save(&self.training, path)?,
            None => self.remove_checkpoint()?,
        }
        if !self.has_newest() {
            return Ok(());
        }
        // Without held-out images the last epoch is always the one to keep.
        self.best_weights = self.best.map(|_| self.training.weights.clone());
        self.training.weights.save(&self.out, DType::F32)
    }

    /// Another run's: `--resume` would bring that run's model back.
    fn remove_checkpoint(&self) -> Result<()> {
        let path = checkpoint::path(&self.out);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{}: is of another run and cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Exact, so that a resumed run compares as the uninterrupted one.
fn format_best(epoch: usize, validation: &Validation) -> String {
    let Validation { clean_accuracy, pgd_accuracy, held_out, .. } = validation;
    format!("{epoch} {clean_accuracy:e} {pgd_accuracy:e} {held_out}")
}

fn parse_best(line: &str) -> Option<(usize, Validation)> {
    let mut words = line.split(' ');
    let epoch = words.next()?.parse().ok()?;
    let clean_accuracy = words.next()?.parse().ok()?;
    let pgd_accuracy = words.next()?.parse().ok()?;
    let held_out = words.next()?.parse().ok()?;
    Some((epoch, Validation { clean_accuracy, pgd_accuracy, held_out, constant: false }))
}
