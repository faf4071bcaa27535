//! `midge train`

mod arguments;
mod run;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

pub(crate) use arguments::Arguments;
use run::Run;
use trouble::Trouble;

use super::{percent, print_json};
use crate::data::{Dataset, Split};
use crate::evaluation::{Evaluation, evaluate};
use crate::files::check_writable;
use crate::progress;
use crate::training::history::decimals;
use crate::training::validation::{Validation, validate};
use crate::training::{Epoch, Recipe, checkpoint, train_epoch};
use crate::weights::Weights;

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
struct Report {
    #[serde(flatten)]
    epoch: Epoch,
    test_loss: f64,
    test_accuracy: f64,
    #[serde(flatten)]
    validation: Option<Validation>,
    #[serde(flatten)]
    trouble: Trouble,
}

/// The images of a run.
struct Images {
    train: Dataset,
    held_out: Option<Dataset>,
    test: Dataset,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe()?;
    check_replaceable(arguments)?;
    let mut run = Run::start(arguments, &recipe)?;
    check_writable(&arguments.out)?;
    let images = load(arguments)?;
    run.check_origin(&images, arguments.eps())?;
    run.complete()?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("Ctrl-C cannot be caught")?;
    if !arguments.json {
        println!("seed {}  {} training images of {}", recipe.seed, images.train.len(), images.train.name);
        if arguments.resume {
            match run.done() {
                0 => println!("nothing to resume: {} is not there", run.newest().display()),
                done => println!("goes on after epoch {done} of {}", run.newest().display()),
            }
        }
    }
    let mut reports = Vec::new();
    for epoch in run.done() + 1..=recipe.epochs {
        let Some(report) = one_epoch(&mut run, &images, (&recipe, arguments.eps()), epoch, &stop)? else {
            match epoch {
                1 => bail!("stopped before the first epoch was complete: nothing was written"),
                _ => bail!("stopped: {} holds epoch {}; --resume goes on", run.newest().display(), epoch - 1),
            }
        };
        run.keep(&report)?;
        if !arguments.json {
            print(&report, &recipe, run.training.weights.network.classes());
        }
        reports.push(report);
    }
    finish(arguments, &run, &images.test, &reports)
}

fn load(arguments: &Arguments) -> Result<Images> {
    let train = arguments.data.load(Split::Train, 0, arguments.limit)?;
    let held_out = arguments.held_out(train.len())?;
    let test = arguments.data.load(Split::Test, 0, None)?;
    match held_out {
        0 => Ok(Images { train, held_out: None, test }),
        held_out => {
            let left = train.len() - held_out;
            Ok(Images { held_out: Some(train.slice(left, None)?), train: train.slice(0, Some(left))?, test })
        }
    }
}

/// A model is not replaced by mistake, nor the checkpoint of a run that was interrupted.
fn check_replaceable(arguments: &Arguments) -> Result<()> {
    if arguments.resume || arguments.force {
        return Ok(());
    }
    for path in [&arguments.out, &checkpoint::path(&arguments.out)] {
        let is_kept = path.metadata().is_ok_and(|found| found.is_file() && found.len() > 0);
        ensure!(!is_kept, "{}: is there already; --resume goes on with it, --force replaces it", path.display());
    }
    Ok(())
}

fn one_epoch(
    run: &mut Run,
    images: &Images,
    (recipe, eps): (&Recipe, f32),
    epoch: usize,
    stop: &AtomicBool,
) -> Result<Option<Report>> {
    let Images { train, held_out, test } = images;
    let bar = progress::bar(train.len() as u64, &format!("epoch {epoch}"));
    let result = train_epoch(&mut run.training, train, recipe, epoch, &bar, stop);
    bar.finish_and_clear();
    let Some(result) = result? else { return Ok(None) };
    let weights = &run.training.weights;
    let evaluation = evaluate(weights, test, &indicatif::ProgressBar::hidden())?;
    let validation = held_out.as_ref().map(|data| validate(weights, data, eps, recipe.seed)).transpose()?;
    let trouble = Trouble::of((&result, &evaluation, validation.as_ref()), recipe, weights.network.classes());
    let Evaluation { loss: test_loss, accuracy: test_accuracy, .. } = evaluation;
    Ok(Some(Report { epoch: result, test_loss, test_accuracy, validation, trouble }))
}

fn print(report: &Report, recipe: &Recipe, classes: usize) {
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

/// The last lines, on the model that `--out` holds.
fn finish(arguments: &Arguments, run: &Run, test: &Dataset, reports: &[Report]) -> Result<()> {
    let best = run.best_epoch();
    let kept = best.is_some_and(|best| best != run.done()).then(|| Weights::load(&arguments.out)).transpose()?;
    let result = evaluate(kept.as_ref().unwrap_or(&run.training.weights), test, &indicatif::ProgressBar::hidden())?;
    let path = arguments.out.display().to_string();
    if arguments.json {
        let mut report = serde_json::json!({
            "model": path, "seed": arguments.data.seed, "epochs": reports, "test": result,
        });
        if let Some(best) = best {
            report["best_epoch"] = best.into();
        }
        return print_json(super::json::TRAIN, &report);
    }
    if reports.is_empty() {
        println!("{path} already has {} epochs", run.done());
    }
    let under = if run.adversarial { ", under PGD" } else { "" };
    match best {
        Some(best) => println!("epoch {best} is the best on held-out images{under}"),
        None if arguments.holds_out() => {
            println!("no epoch is the best: each gives the same answer to all held-out images or nearly all")
        }
        None => {}
    }
    println!("test accuracy {}  ({} of {})", percent(result.accuracy), result.correct, result.samples);
    println!("{path}");
    Ok(())
}
