//! `midge train`

mod arguments;
mod images;
mod network;
mod report;
mod run;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use arguments::Arguments;
use images::Images;
use report::Report;
use run::Run;
use trouble::Trouble;

use super::{percent, print_json};
use crate::data::Dataset;
use crate::evaluation::{Evaluation, evaluate};
use crate::files::{check_writable, is_stream};
use crate::progress;
use crate::training::validation::validate;
use crate::training::{Recipe, checkpoint, train_epoch};

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe()?;
    check_replaceable(arguments)?;
    let (facts, test) = images::facts(arguments)?;
    let mut run = Run::start(arguments, &recipe, &facts)?;
    check_writable(&arguments.out)?;
    let images = images::of_run(arguments, &run.training.weights.input(), (&facts, &test))?;
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
            let (file, last) = (run.newest().display(), epoch - 1);
            ensure!(last > 0, "stopped before the first epoch was complete: nothing was written");
            ensure!(
                !is_stream(&arguments.out),
                "stopped: epoch {last} was written to {file}, from where no run can go on"
            );
            bail!("stopped: {file} holds epoch {last}; --resume goes on");
        };
        run.keep(&report)?;
        if !arguments.json {
            report::print(&report, &recipe, run.training.weights.network.classes());
        }
        reports.push(report);
    }
    finish(arguments, &run, &images.test, &reports)
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

/// The last lines, on the model that `--out` holds.
fn finish(arguments: &Arguments, run: &Run, test: &Dataset, reports: &[Report]) -> Result<()> {
    let best = run.best_epoch();
    let result = evaluate(&*run.kept()?, test, &indicatif::ProgressBar::hidden())?;
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
