//! The figures of every epoch, kept in the model file's metadata.
//!
//! One entry an epoch, closed by a semicolon: `epoch loss accuracy test_loss test_accuracy` and, of a run with held-out
//! images, `clean_accuracy pgd_accuracy` on them. Where only the best epoch's weights stay in the model file, the epochs
//! after it are in the checkpoint beside it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use safetensors::SafeTensors;
use serde::Serialize;

use super::Epoch;
use crate::weights::Weights;

/// Metadata key of the entries.
pub const HISTORY: &str = "training.history";
/// Metadata key of all that changes the result of a run.
pub const RECIPE: &str = "training.recipe";
/// Metadata key of what was trained on.
pub const DATA: &str = "training.data";
/// Metadata key of the number of epochs that the weights have seen.
pub const EPOCHS: &str = "training.epochs";
/// Metadata key of the best epoch so far, and what was measured then.
pub const BEST: &str = "training.best";

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
    pub fn to_text(&self) -> String {
        let Epoch { epoch, loss, accuracy } = self.epoch;
        let mut numbers = vec![loss, accuracy, self.test_loss, self.test_accuracy];
        numbers.extend(self.held_out.iter().flatten());
        let numbers: String = numbers.iter().map(|x| format!(" {x:.6}")).collect();
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

/// Reads the entries of [`HISTORY`]; `None` if they are not as midge writes them.
pub fn parse(text: &str) -> Option<Vec<Entry>> {
    let entry = |(before, text)| Entry::parse(text).filter(|entry| entry.epoch.epoch == before + 1);
    text.split_terminator(';').enumerate().map(entry).collect()
}

/// All epochs of the run that made a model, also those after the best one if the checkpoint at `checkpoint` is of the same
/// run. Empty if the model does not say.
///
/// # Errors
/// If the model has entries that midge did not write, or the checkpoint cannot be read.
pub fn of_run(weights: &Weights, checkpoint: Option<&Path>) -> Result<Vec<Entry>> {
    let Some(text) = weights.metadata.get(HISTORY) else { return Ok(Vec::new()) };
    let mut text = text.clone();
    if let Some(path) = checkpoint.filter(|path| path.exists()) {
        let later = metadata(path).with_context(|| format!("{}: not a checkpoint", path.display()))?;
        let same = later.get(RECIPE) == weights.metadata.get(RECIPE);
        text = later.get(HISTORY).filter(|later| same && later.starts_with(&text)).cloned().unwrap_or(text);
    }
    parse(&text).with_context(|| format!("the metadata entry {HISTORY} is not one that midge writes"))
}

/// The epoch of the weights, if the run kept the best.
pub fn best_epoch(weights: &Weights) -> Option<usize> {
    weights.metadata.get(BEST)?.split(' ').next()?.parse().ok()
}

fn metadata(path: &Path) -> Result<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(&std::fs::read(path)?)?;
    Ok(header.metadata().clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let plain = Entry {
            epoch: Epoch { epoch: 1, loss: 0.25, accuracy: 0.5 },
            test_loss: 0.125,
            test_accuracy: 1.0,
            held_out: None,
        };
        let more = Entry { epoch: Epoch { epoch: 2, ..plain.epoch }, held_out: Some([0.75, 0.0]), ..plain };
        assert_eq!(plain.to_text(), "1 0.250000 0.500000 0.125000 1.000000;");
        assert_eq!(parse(&(plain.to_text() + &more.to_text())), Some(vec![plain, more]));
        assert_eq!(parse(""), Some(Vec::new()));
        assert_eq!(parse("1 0.5;"), None);
        assert_eq!(parse("1 0.5 x 0.5 0.5;"), None);
        for bad in [
            "0 1 1 1 1;",
            "2 1 1 1 1;",
            "1 1 1 1 1;3 1 1 1 1;",
            "1 inf 1 1 1;",
            "1 -1 1 1 1;",
            "1 1 1e300 1 1;",
            "1 1 1 1 NaN;",
            "1 1 1 1 1 1 1.5;",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
