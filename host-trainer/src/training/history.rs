//! The figures of the epochs, kept in the model file's metadata.
//!
//! One entry an epoch, closed by a semicolon: `epoch loss accuracy test_loss test_accuracy` and, of a run with held-out
//! images, `clean_accuracy pgd_accuracy` on them. Where only the best epoch's weights stay in the model file, the epochs
//! after it are in the checkpoint beside it.
//!
//! A model's header has a limit of 64 KiB, so a long run keeps every second, fourth, ... epoch: see [`push`].

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::tensors;

/// Metadata key of the entries.
pub const HISTORY: &str = "training.history";
/// Metadata key of all that changes the result of a run.
pub const RECIPE: &str = "training.recipe";
/// Metadata key of the name of what was trained on.
pub const DATA: &str = "training.data";
/// Metadata key: the mean value at the border of the training images, from 0 (dark) to 1.
pub const BORDER: &str = "training.border";
/// Metadata key: the names of the classes, one on each line.
pub const CLASSES: &str = "classes";
/// Metadata key of which images those were: see [`super::identity`].
pub const IMAGES: &str = "training.images";
/// Metadata key of the number of epochs that the weights have seen.
pub const EPOCHS: &str = "training.epochs";
/// Metadata key of the best epoch so far, and what was measured then.
pub const BEST: &str = "training.best";

/// Most entries that a file keeps: a header of about 20 kB.
pub const MAX_ENTRIES: usize = 256;

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

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Entry {
    /// On the training images.
    #[serde(flatten)]
    pub epoch: Epoch,
    /// Mean loss on the test set in nats.
    pub test_loss: f64,
    /// Accuracy on the test set.
    pub test_accuracy: f64,
    /// Clean accuracy and accuracy under PGD on held-out images.
    pub held_out: Option<[f64; 2]>,
}

impl Entry {
    /// As text, with the semicolon.
    fn to_text(self) -> String {
        let Epoch { epoch, loss, accuracy } = self.epoch;
        let mut numbers = vec![loss, accuracy, self.test_loss, self.test_accuracy];
        numbers.extend(self.held_out.iter().flatten());
        let numbers: String = numbers.iter().map(|x| format!(" {}", decimals(*x, 6))).collect();
        format!("{epoch}{numbers};")
    }

    fn parse(text: &str) -> Option<Self> {
        let (epoch, numbers) = text.split_once(' ')?;
        let numbers: Vec<f64> = numbers.split(' ').map(|x| x.parse().ok()).collect::<Option<_>>()?;
        let (loss, accuracy, test_loss, test_accuracy, held_out) = match numbers[..] {
            [a, b, c, d] => (a, b, c, d, None),
            [a, b, c, d, clean, pgd] => (a, b, c, d, Some([clean, pgd])),
            _ => return None,
        };
        let epoch = Epoch { epoch: epoch.parse().ok()?, loss, accuracy };
        let is_share = |x: &f64| (0.0..=1.0).contains(x);
        let losses = [loss, test_loss].iter().all(|x| x.is_finite() && *x >= 0.0);
        let shares = [accuracy, test_accuracy].iter().chain(held_out.iter().flatten()).all(is_share);
        (losses && shares).then_some(Self { epoch, test_loss, test_accuracy, held_out })
    }
}

/// `x` with so many decimals, or in scientific notation where it has more than six digits before them.
pub fn decimals(x: f64, decimals: usize) -> String {
    if x.abs() < 1e6 { format!("{x:.decimals$}") } else { format!("{x:.decimals$e}") }
}

/// Adds an entry to those of `text`. Of a run of more than [`MAX_ENTRIES`] epochs, the first, the last, the one of `best`
/// and the multiples of a power of two stay: the smallest power of which there are few enough multiples.
///
/// # Errors
/// If `text` is not as midge writes it.
pub fn push(text: &str, entry: Entry, best: Option<usize>) -> Result<String> {
    let last = entry.epoch.epoch;
    // Three more than the multiples may stay.
    let stride = last.div_ceil(MAX_ENTRIES - 3).next_power_of_two();
    let mut entries = parse(text).context(FOREIGN)?;
    entries.retain(|Entry { epoch: Epoch { epoch, .. }, .. }| {
        epoch.is_multiple_of(stride) || *epoch == 1 || Some(*epoch) == best
    });
    entries.push(entry);
    Ok(entries.into_iter().map(Entry::to_text).collect())
}

const FOREIGN: &str = "the metadata entry training.history is not one that midge writes";

/// Reads the entries of [`HISTORY`]; `None` if they are not as midge writes them.
pub fn parse(text: &str) -> Option<Vec<Entry>> {
    let entries: Vec<Entry> = text.split_terminator(';').map(Entry::parse).collect::<Option<_>>()?;
    let first = entries.first().is_none_or(|entry| entry.epoch.epoch == 1);
    (first && entries.is_sorted_by(|a, b| a.epoch.epoch < b.epoch.epoch)).then_some(entries)
}

/// The epochs of the run that made a model, by its metadata, also those after the best one if the checkpoint at `checkpoint` is of the same
/// run. Empty if the model does not say.
///
/// # Errors
/// If the model has entries that midge did not write, or the checkpoint cannot be read.
pub fn of_run(model: &BTreeMap<String, String>, checkpoint: Option<&Path>) -> Result<Vec<Entry>> {
    let Some(text) = model.get(HISTORY) else { return Ok(Vec::new()) };
    let entries = parse(text).context(FOREIGN)?;
    let Some(path) = checkpoint.filter(|path| path.exists()) else { return Ok(entries) };
    let later = metadata(path).with_context(|| format!("{}: not a checkpoint", path.display()))?;
    let same = [RECIPE, DATA, IMAGES].iter().all(|key| later.get(*key) == model.get(*key));
    let later = later.get(HISTORY).filter(|_| same).and_then(|text| parse(text)).unwrap_or_default();
    Ok(if goes_on(&entries, &later) { later } else { entries })
}

/// Whether `later` has the epochs of `entries` that it has not thinned out, and ends no earlier.
fn goes_on(entries: &[Entry], later: &[Entry]) -> bool {
    let (Some(last), Some(end)) = (entries.last(), later.last()) else { return false };
    let known = |entry: &&Entry| entry.epoch.epoch <= last.epoch.epoch;
    end.epoch.epoch >= last.epoch.epoch && later.iter().take_while(known).all(|entry| entries.contains(entry))
}

/// The epoch of a model, by its metadata, if the run kept the best.
pub fn best_epoch(model: &BTreeMap<String, String>) -> Option<usize> {
    model.get(BEST)?.split(' ').next()?.parse().ok()
}

fn metadata(path: &Path) -> Result<HashMap<String, String>> {
    let header = tensors::header_of(&std::fs::read(path)?)?;
    Ok(header.metadata().clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::optimiser::Optimiser;
    use crate::training::{Training, checkpoint};
    use crate::weights::{DType, Weights};

    #[test]
    fn entries_are_read_as_they_were_written() {
        let plain = Entry {
            epoch: Epoch { epoch: 1, loss: 0.25, accuracy: 0.5 },
            test_loss: 0.125,
            test_accuracy: 1.0,
            held_out: None,
        };
        let more = Entry { epoch: Epoch { epoch: 2, ..plain.epoch }, held_out: Some([0.75, 0.0]), ..plain };
        let large = Entry { test_loss: 58_794_588_536_311_280_178_298_880.0, ..plain };
        assert_eq!(large.to_text(), "1 0.250000 0.500000 5.879459e25 1.000000;");
        assert_eq!(plain.to_text(), "1 0.250000 0.500000 0.125000 1.000000;");
        assert_eq!(parse(&(plain.to_text() + &more.to_text())), Some(vec![plain, more]));
        assert_eq!(parse(""), Some(Vec::new()));
        assert_eq!(parse("1 0.5;"), None);
        assert_eq!(parse("1 0.5 x 0.5 0.5;"), None);
        for bad in [
            "0 1 1 1 1;",
            "2 1 1 1 1;",
            "1 1 1 1 1;1 1 1 1 1;",
            "1 1 1 1 1;3 1 1 1 1;2 1 1 1 1;",
            "1 inf 1 1 1;",
            "1 -1 1 1 1;",
            "1 1 1e300 1 1;",
            "1 1 1 1 NaN;",
            "1 1 1 1 1 1 1.5;",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    /// The longest entry that there is.
    fn entry(epoch: usize) -> Entry {
        let loss = format!("3.{epoch:06}e38").parse().unwrap();
        Entry {
            epoch: Epoch { epoch, loss, accuracy: 0.5 },
            test_loss: loss,
            test_accuracy: 0.25,
            held_out: Some([0.5; 2]),
        }
    }

    fn run(epochs: usize, best: usize) -> Weights {
        let network = "input(1,1,1) flatten dense(units=2)".parse().unwrap();
        let mut weights = crate::training::initialise(network, 1);
        let mut text = String::new();
        for epoch in 1..=epochs {
            text = push(&text, entry(epoch), Some(best.min(epoch))).unwrap();
        }
        weights.metadata.insert(HISTORY.into(), text);
        weights
    }

    #[test]
    fn a_model_of_any_number_of_epochs_can_be_read() {
        let mut weights = run(MAX_ENTRIES - 3, 7);
        assert_eq!(of_run(&weights.metadata, None).unwrap(), (1..=MAX_ENTRIES - 3).map(entry).collect::<Vec<_>>());
        let mut text = weights.metadata[HISTORY].clone();
        for epoch in MAX_ENTRIES - 2..=1100 {
            text = push(&text, entry(epoch), Some(7)).unwrap();
            let entries = parse(&text).unwrap();
            assert!(entries.len() <= MAX_ENTRIES && text.len() < 24_000, "epoch {epoch}: {}", text.len());
            assert!([1, 7, epoch].iter().all(|kept| entries.contains(&entry(*kept))), "epoch {epoch}");
        }
        weights.metadata.insert(HISTORY.into(), text);
        let read = Weights::from_bytes(&weights.to_bytes(DType::F32).unwrap()).unwrap();
        let epochs: Vec<usize> = of_run(&read.metadata, None).unwrap().iter().map(|entry| entry.epoch.epoch).collect();
        let multiples = (8..1100).step_by(8);
        assert_eq!(epochs, [1, 7].into_iter().chain(multiples).chain([1100]).collect::<Vec<_>>());
    }

    #[test]
    fn a_checkpoint_has_the_later_epochs_of_the_same_run_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let epochs = |weights: &Weights, later: Weights| {
            let training = Training::new(later, &Optimiser::PLAIN);
            checkpoint::save(&training, &path).unwrap();
            of_run(&weights.metadata, Some(&path)).unwrap().len()
        };
        let (first, best) = (run(2, 2), run(300, 300));
        assert_eq!(epochs(&first, run(5, 2)), 5);
        // Thinned out more than the model.
        assert_eq!(epochs(&best, run(602, 300)), 1 + 600 / 4 + 1);
        assert_eq!(epochs(&best, run(5, 2)), 1 + 300 / 2, "older than the model");
        let mut other = run(5, 2);
        other.metadata.insert(IMAGES.into(), "others".into());
        assert_eq!(epochs(&first, other), 2);
    }
}
