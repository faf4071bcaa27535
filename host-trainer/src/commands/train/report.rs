//! What is said about an epoch.

use serde::Serialize;

use super::super::percent;
use super::trouble::Trouble;
use crate::training::history::decimals;
use crate::training::validation::Validation;
use crate::training::{Epoch, Recipe};

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) epoch: Epoch,
    pub(super) test_loss: f64,
    pub(super) test_accuracy: f64,
    #[serde(flatten)]
    pub(super) validation: Option<Validation>,
    #[serde(flatten)]
    pub(super) trouble: Trouble,
}

pub(super) fn print(report: &Report, recipe: &Recipe, classes: usize) {
    let Epoch { epoch, loss, accuracy } = report.epoch;
    println!(
        "epoch {epoch}  loss {}  accuracy {}   test loss {}  test accuracy {}{}",
        decimals(loss, 4),
        percent(accuracy),
        decimals(report.test_loss, 4),
        percent(report.test_accuracy),
        report.validation.map_or(String::new(), |validation| format!(
            "   held out: clean {}  PGD {}",
            percent(validation.clean_accuracy),
            percent(validation.pgd_accuracy)
        ))
    );
    for line in report.trouble.lines(epoch, recipe, classes) {
        println!("{line}");
    }
}
