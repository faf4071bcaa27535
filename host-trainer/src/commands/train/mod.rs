//! `midge train`

mod arguments;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde::Serialize;

pub(crate) use arguments::Arguments;
use run::Run;

use super::{percent, print_json};
use crate::data::{Dataset, Split};
use crate::evaluation::{Evaluation, evaluate};
use crate::files::check_writable;
use crate::progress;
use crate::training::adversarial::Method;
use crate::training::validation::{Validation, validate};
use crate::training::{Epoch, Recipe, train_epoch};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    collapsed: Option<bool>,
}

/// The images of a run.
struct Images {
    train: Dataset,
    held_out: Option<Dataset>,
    test: Dataset,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe()?;
    let mut run = Run::start(arguments, &recipe)?;
    check_writable(&arguments.out)?;
    let images = load(arguments)?;
    run.check_images(&images, arguments.eps())?;
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
            print(&report, recipe.adversarial.map(|adversarial| adversarial.method));
        }
        reports.push(report);
    }
    finish(arguments, &run, &images.test, &reports)
}

fn load(arguments: &Arguments) -> Result<Images> {
    let train = arguments.data.load(Split::Train)?.slice(0, arguments.limit)?;
    let test = arguments.data.load(Split::Test)?;
    match arguments.held_out(train.len())? {
        0 => Ok(Images { train, held_out: None, test }),
        held_out => {
            let left = train.len() - held_out;
            Ok(Images { held_out: Some(train.slice(left, None)?), train: train.slice(0, Some(left))?, test })
        }
    }
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
    let Evaluation { loss, accuracy, .. } = evaluate(weights, test, &indicatif::ProgressBar::hidden())?;
    let validation = held_out.as_ref().map(|data| validate(weights, data, eps, recipe.seed)).transpose()?;
    let collapsed = validation.zip(recipe.adversarial).map(|(v, a)| v.has_collapsed(&a, &result));
    Ok(Some(Report { epoch: result, test_loss: loss, test_accuracy: accuracy, validation, collapsed }))
}

fn print(report: &Report, method: Option<Method>) {
    let Epoch { epoch, loss, accuracy } = report.epoch;
    println!(
        "epoch {epoch}  loss {loss:.4}  accuracy {}   test loss {:.4}  test accuracy {}{}",
        percent(accuracy),
        report.test_loss,
        percent(report.test_accuracy),
        report.validation.map_or(String::new(), |validation| format!(
            "   held out: clean {}  PGD {}",
            percent(validation.clean_accuracy),
            percent(validation.pgd_accuracy)
        ))
    );
    if let (Some(true), Some(method)) = (report.collapsed, method) {
        let remedy = match method {
            Method::Fgsm => "--adversarial fast or pgd",
            Method::Fast => "a smaller --alpha or --adversarial pgd",
            Method::Pgd | Method::Trades => "more --steps or a smaller --alpha",
        };
        println!(
            "epoch {epoch} has collapsed: the network resists the attack that it is trained on, but not PGD; try {remedy}"
        );
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
    if let Some(best) = best {
        println!("epoch {best} is the best on held-out images{}", if run.adversarial { ", under PGD" } else { "" });
    }
    println!("test accuracy {}  ({} of {})", percent(result.accuracy), result.correct, result.samples);
    println!("{path}");
    Ok(())
}
