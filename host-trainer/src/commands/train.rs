//! `midge train`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use midge_core::{MNIST_CNN, Network};
use serde::Serialize;

use super::{DataArguments, percent, print_json};
use crate::data::{Dataset, Split};
use crate::evaluation::{Evaluation, evaluate};
use crate::progress;
use crate::training::{Epoch, Recipe, initialise, train_epoch};
use crate::weights::{DType, Weights};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Passes over the training set, counted from the start also when resuming
    #[arg(long, default_value_t = 3, value_name = "N")]
    epochs: usize,
    /// Samples per update
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Step size of SGD
    #[arg(long, default_value_t = 0.01, value_name = "X", allow_negative_numbers = true)]
    lr: f32,
    /// Architecture in midge's words [default: the lecture's MNIST CNN]
    #[arg(long, value_name = "TEXT")]
    network: Option<String>,
    /// Train on the first N images only [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Model file to write after every epoch
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Go on with the epochs that --out does not have yet
    #[arg(long)]
    resume: bool,
    /// Print JSON: epochs, test, model
    #[arg(long)]
    json: bool,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
struct Report {
    #[serde(flatten)]
    epoch: Epoch,
    test_loss: f64,
    test_accuracy: f64,
}

/// Metadata keys that let a run be resumed and repeated.
const EPOCHS: &str = "training.epochs";
const RECIPE: &str = "training.recipe";
const HISTORY: &str = "training.history";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.lr.is_finite() && arguments.lr > 0.0, "--lr is {}: expected a number above 0", arguments.lr);
    ensure!(arguments.epochs > 0, "--epochs must be at least 1");
    let recipe =
        Recipe { batch_size: arguments.batch_size as usize, learning_rate: arguments.lr, seed: arguments.data.seed };
    let (mut weights, done) = start(arguments, &recipe)?;
    check_writable(&arguments.out)?;
    let train = arguments.data.load(Split::Train)?.slice(0, arguments.limit)?;
    let test = arguments.data.load(Split::Test)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("Ctrl-C cannot be caught")?;
    if !arguments.json {
        println!("seed {}  {} training images of {}", recipe.seed, train.len(), train.name);
    }
    let mut reports = Vec::new();
    for epoch in done + 1..=arguments.epochs {
        let Some(report) = one_epoch(&mut weights, (&train, &test), &recipe, epoch, &stop)? else {
            match epoch {
                1 => bail!("stopped before the first epoch was complete: nothing was written"),
                _ => bail!("stopped: {} holds epoch {}; --resume goes on", arguments.out.display(), epoch - 1),
            }
        };
        remember(&mut weights, &report, &describe(&recipe, &train));
        weights.save(&arguments.out, DType::F32)?;
        if !arguments.json {
            print(&report);
        }
        reports.push(report);
    }
    finish(arguments, &weights, &test, &reports)
}

/// New weights, or those of `--out` and the number of epochs they have seen.
fn start(arguments: &Arguments, recipe: &Recipe) -> Result<(Weights, usize)> {
    let asked = arguments.network.as_deref().map(str::parse::<Network>).transpose().context("--network")?;
    if !(arguments.resume && arguments.out.exists()) {
        return Ok((initialise(asked.unwrap_or(MNIST_CNN), recipe.seed), 0));
    }
    let weights = Weights::load(&arguments.out)?;
    let name = arguments.out.display();
    ensure!(weights.dtype == DType::F32, "{name}: exported as {}, training needs f32", weights.dtype);
    ensure!(asked.is_none_or(|asked| asked == weights.network), "{name}: holds another architecture than --network");
    let done = weights.metadata.get(EPOCHS).and_then(|n| n.parse().ok());
    let done = done.with_context(|| format!("{name}: was not written by midge train"))?;
    let before = weights.metadata.get(RECIPE).map_or("", String::as_str);
    let now = describe_options(recipe);
    ensure!(before.starts_with(&now), "{name}: was trained with {before}; this run has {now}");
    Ok((weights, done))
}

fn describe_options(recipe: &Recipe) -> String {
    format!("sgd lr={} batch-size={} seed={}", recipe.learning_rate, recipe.batch_size, recipe.seed)
}

fn describe(recipe: &Recipe, data: &Dataset) -> String {
    format!("{} images={}", describe_options(recipe), data.len())
}

/// Finds out before an hour of work, not after it, that a file cannot be written.
fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(drop).with_context(|| format!("{}: cannot be written", path.display()))?;
    ensure!(!path.is_dir(), "{}: is a folder", path.display());
    Ok(())
}

fn one_epoch(
    weights: &mut Weights,
    (train, test): (&Dataset, &Dataset),
    recipe: &Recipe,
    epoch: usize,
    stop: &AtomicBool,
) -> Result<Option<Report>> {
    let bar = progress::bar(train.len() as u64, &format!("epoch {epoch}"));
    let result = train_epoch(weights, train, recipe, epoch, &bar, stop);
    bar.finish_and_clear();
    let Some(result) = result? else { return Ok(None) };
    let Evaluation { loss, accuracy, .. } = evaluate(weights, test, &indicatif::ProgressBar::hidden())?;
    Ok(Some(Report { epoch: result, test_loss: loss, test_accuracy: accuracy }))
}

/// Notes in the model file how it came about.
fn remember(weights: &mut Weights, report: &Report, recipe: &str) {
    let Epoch { epoch, loss, accuracy } = report.epoch;
    let line = format!("{epoch} {loss:.6} {accuracy:.6} {:.6} {:.6};", report.test_loss, report.test_accuracy);
    weights.metadata.insert(EPOCHS.into(), epoch.to_string());
    weights.metadata.insert(RECIPE.into(), recipe.into());
    weights.metadata.entry(HISTORY.into()).or_default().push_str(&line);
}

fn print(report: &Report) {
    let Epoch { epoch, loss, accuracy } = report.epoch;
    println!(
        "epoch {epoch}  loss {loss:.4}  accuracy {}   test loss {:.4}  test accuracy {}",
        percent(accuracy),
        report.test_loss,
        percent(report.test_accuracy)
    );
}

fn finish(arguments: &Arguments, weights: &Weights, test: &Dataset, reports: &[Report]) -> Result<()> {
    let result = evaluate(weights, test, &indicatif::ProgressBar::hidden())?;
    let path = arguments.out.display().to_string();
    if arguments.json {
        return print_json(&serde_json::json!({
            "model": path, "seed": arguments.data.seed, "epochs": reports, "test": result,
        }));
    }
    if reports.is_empty() {
        println!("{path} already has {} epochs", arguments.epochs);
    }
    println!("test accuracy {}  ({} of {})", percent(result.accuracy), result.correct, result.samples);
    println!("{path}");
    Ok(())
}
