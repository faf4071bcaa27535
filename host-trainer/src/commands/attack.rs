//! `midge attack`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use midge_core::loss::Loss;
use serde::Serialize;

use super::attack_arguments::{AttackArguments, Selected, describe, select};
use super::attack_file;
use super::{TestArguments, eps, percent, print_json};
use crate::any_weights::AnyWeights;
use crate::data::{Dataset, Input};
use crate::evaluation::attack::loss_name;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Job, Method, Robustness, read};
use crate::files::check_writable;
use crate::progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    test: TestArguments,
    #[command(flatten)]
    attack: AttackArguments,
    /// Largest change of a pixel, in the units of the model's input, [0, 1] unless it says otherwise; also as a fraction such as
    /// 8/255, and of a model of integers in steps of its grid, such as 2q; several, separated by commas, give one line each
    #[arg(long, value_parser = eps::parse_list, required = true, value_name = "E", allow_negative_numbers = true)]
    eps: Vec<eps::List>,
    /// The class to walk away from (for a targeted attack: the one the target must differ from)
    #[arg(long, value_enum, default_value_t = Label::True)]
    label: Label,
    /// With one eps: write images, adversarial images, logits, and the cross-entropy at the true class with its gradient,
    /// whatever the attack follows, as safetensors; of a model of integers also images and logits as integers; the metadata
    /// say how they came about
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON: per eps, fractions with their counts
    #[arg(long)]
    json: bool,
}

/// The rule by which the class to walk away from is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Label {
    /// The true class
    True,
    /// The class that the model predicts for the clean image
    Predicted,
}

/// The whole report.
#[derive(Debug, Serialize)]
struct Report<'a> {
    attack: &'static str,
    model: &'a str,
    data: &'a str,
    seed: u64,
    label: Label,
    #[serde(flatten)]
    options: Options,
    /// Images left out because the target class is their own.
    left_out: usize,
    results: Vec<Robustness>,
}

/// The options that the attack has.
#[derive(Debug, Default, Serialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpha: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decay: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<&'static str>,
}

impl Options {
    fn of(attack: Attack) -> Self {
        let iterated = attack.method != Method::Fgsm;
        Self {
            steps: iterated.then_some(attack.steps),
            alpha: attack.alpha,
            decay: (attack.method == Method::MiFgsm).then_some(attack.decay),
            restarts: (attack.method == Method::Pgd).then_some(attack.restarts),
            loss: iterated.then(|| loss_name(attack.loss)),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.attack.check()?;
    ensure!(arguments.out.is_none() || eps::List::count(&arguments.eps) == 1, "--out needs exactly one --eps");
    arguments.out.as_deref().map_or(Ok(()), check_writable)?;
    let model = arguments.test.model()?;
    let input = model.input();
    let eps = eps::List::flatten(&arguments.eps, "--eps", &input)?;
    let attack = arguments.attack.attack(arguments.test.seed(), &input)?;
    let data = arguments.test.images(&input)?.labelled()?;
    let labels = labels(arguments.label, &model, &data)?;
    let all = data.len();
    let Selected { data, labels } = select(attack, input.classes, &data, &labels)?;
    let job = Job { model: &model, data: &data, labels: &labels, attack, eps: 0.0 };
    let checksum = model.checksum()?;
    let (results, end) = attack_at_every(&job, &eps, (arguments, &checksum))?;
    let left_out = all - data.len();
    let report = Report {
        attack: attack.name(),
        model: arguments.test.model_name(),
        data: &data.name,
        seed: arguments.test.seed(),
        label: arguments.label,
        options: Options::of(attack),
        left_out,
        results,
    };
    // What is finished is shown, however the work ended.
    if arguments.json {
        print_json(super::json::ATTACK, &report)?;
    } else {
        print(&report, attack, &input);
    }
    end
}

/// The results of every eps up to the first that fails or is stopped, and how it ended.
fn attack_at_every(
    job: &Job<'_>,
    eps: &[f32],
    (arguments, checksum): (&Arguments, &str),
) -> Result<(Vec<Robustness>, Result<()>)> {
    let stop = stop_on_interrupt()?;
    let bar = progress::bar((eps.len() * job.data.len()) as u64, job.attack.name());
    let (mut results, input) = (Vec::new(), job.model.input());
    let mut at = |eps: f32| -> Result<()> {
        let job = Job { eps, ..*job };
        let attacked = job.run(&stop, &bar)?.context("stopped")?;
        results.push(Robustness::count(eps, &input, job.data, &attacked));
        let Some(path) = &arguments.out else { return Ok(()) };
        attack_file::write(path, &job, &attacked, metadata((arguments, checksum), &job))
    };
    let end = eps.iter().try_for_each(|eps| at(*eps));
    bar.finish_and_clear();
    let missing: Vec<String> = eps[results.len()..].iter().map(f32::to_string).collect();
    let end =
        if missing.is_empty() { end } else { end.with_context(|| format!("no result for eps {}", missing.join(", "))) };
    Ok((results, end))
}

/// Set by Ctrl-C, after which what is finished is still printed; a second Ctrl-C ends the program at once.
pub(super) fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            // 128 and the number of SIGINT, as shells count.
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).context("Ctrl-C cannot be caught")?;
    Ok(stop)
}

/// How the results of `--out` came about.
fn metadata((arguments, checksum): (&Arguments, &str), job: &Job<'_>) -> BTreeMap<&'static str, String> {
    let mut metadata = BTreeMap::from([
        ("midge.version", env!("CARGO_PKG_VERSION").to_string()),
        ("attack", describe(job.attack)),
        ("eps", job.eps.to_string()),
        ("model", arguments.test.model_name().to_string()),
        ("model.checksum", checksum.to_string()),
        ("data", job.data.name.clone()),
        ("seed", arguments.test.seed().to_string()),
        ("attacked_labels", arguments.label.name().to_string()),
        ("loss", "cross-entropy of the clean images at labels, in nats".to_string()),
    ]);
    if let Some(grid) = job.model.input().grid {
        metadata.insert("input.scale", grid.scale.to_string());
        metadata.insert("input.zero_point", grid.zero_point.to_string());
    }
    metadata
}

impl Label {
    fn name(self) -> &'static str {
        match self {
            Self::True => "the true class",
            Self::Predicted => "the class that the model predicts for the clean image",
        }
    }
}

/// The classes to walk away from.
fn labels(rule: Label, model: &AnyWeights, data: &Dataset) -> Result<Vec<usize>> {
    match rule {
        Label::True => Ok((0..data.len()).map(|i| data.label(i)).collect()),
        Label::Predicted => read(model, data, &ProgressBar::hidden()),
    }
}

fn print(report: &Report<'_>, attack: Attack, input: &Input) {
    println!("{}  model {}  {}  seed {}", describe(attack), report.model, report.data, report.seed);
    if report.label == Label::Predicted {
        println!("away from the class that the model predicts; right is still the true class");
    }
    if report.left_out > 0 {
        println!("{} images left out: the target is their own class", report.left_out);
    }
    let mut rows = vec![[
        "eps".to_string(),
        "clean accuracy".into(),
        "robust accuracy".into(),
        "success".into(),
        if attack.is_targeted() { "target reached" } else { "" }.into(),
        if input.grid.is_none() { "8-bit" } else { "" }.into(),
    ]];
    rows.extend(report.results.iter().map(|result| row(result, input)));
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|k| rows.iter().map(|row| row[k].len()).max().unwrap_or(0)).collect();
    let notes = report.results.iter().map(|result| zero_gradients(result, attack));
    for (row, note) in rows.iter().zip(std::iter::once(None).chain(notes)) {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", line.join("  ").trim_end());
        note.into_iter().for_each(|note| println!("{note}"));
    }
    println!(
        "robust: right before and after the attack; {}",
        match input.grid {
            None => "8-bit: the same with pixels rounded to 8 bits",
            Some(_) => "both images are integers on the model's grid, q is one step of it",
        }
    );
}

/// A line of the table.
fn row(r: &Robustness, input: &Input) -> [String; 6] {
    let cell = |fraction: Option<f64>, part: usize, whole: usize| format!("{:>8}  {part}/{whole}", percent(fraction));
    let target = match (r.target_hits, r.target_candidates) {
        (Some(hits), Some(candidates)) => cell(r.target_rate, hits, candidates),
        _ => String::new(),
    };
    [
        input.shown(r.eps),
        cell(r.accuracy, r.correct, r.samples),
        cell(r.robust_accuracy, r.robust_correct, r.samples),
        cell(r.success_rate, r.successes, r.correct),
        target,
        if input.grid.is_none() { percent(r.robust_accuracy_8bit) } else { String::new() },
    ]
}

/// A zero gradient hides an image from the attack and is no robustness.
fn zero_gradients(result: &Robustness, attack: Attack) -> Option<String> {
    let hint = match (attack.method, attack.loss) {
        (Method::Bim | Method::MiFgsm | Method::Pgd | Method::Apgd, Loss::CrossEntropy) => "; try --loss margin",
        (Method::Fgsm, _) if attack.is_targeted() => "; try --attack targeted-pgd --loss margin",
        (Method::Fgsm, _) => "; try --attack pgd --loss margin",
        (Method::Bim | Method::MiFgsm | Method::Pgd | Method::Apgd, Loss::Margin) | (Method::Square, _) => "",
    };
    let images = result.zero_gradients;
    let plural = if images == 1 { "" } else { "s" };
    (images > 0).then(|| format!("  {images} image{plural} had a zero gradient, where the attack can do nothing{hint}"))
}
