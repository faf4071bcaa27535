//! `midge attack`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use midge_core::loss::Loss;
use serde::Serialize;

use super::attack_arguments::{AttackArguments, Selected, class_of, describe, select};
use super::attack_file;
use super::attack_pictures::{self, Line, Out};
use super::{TestArguments, eps, percent, print_json};
use crate::any_weights::AnyWeights;
use crate::data::{Classes, Dataset, Input, Loaded};
use crate::evaluation::attack::loss_name;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Attacked, Job, Method, Robustness, read};
use crate::files::check_writable;
use crate::progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Pictures to attack (PNG, JPEG, BMP), in place of --data; a line for each is printed
    #[arg(value_name = "IMAGE", conflicts_with_all = ["data", "offset", "limit"])]
    images: Vec<PathBuf>,
    #[command(flatten)]
    test: TestArguments,
    #[command(flatten)]
    attack: AttackArguments,
    /// Largest change of a pixel, in the units of the model's input, [0, 1] unless it says otherwise; also as a fraction such as
    /// 8/255, and of a model of integers in steps of its grid, such as 2q; several, separated by commas, give one line each
    /// [default: 0.3; of pictures in colour 8/255; 2q if the input is not [0, 1]]
    #[arg(long, value_parser = eps::parse_list, value_name = "E", allow_negative_numbers = true)]
    eps: Vec<eps::List>,
    /// The class to walk away from (for a targeted attack: the one the target must differ from): true, predicted (what the model
    /// reads in the clean image), or a class by its number or name [default: true; of IMAGE: predicted]
    #[arg(long, value_name = "CLASS")]
    label: Option<Label>,
    /// With one eps: write the adversarial twin of IMAGE, if this ends in .png or is a folder, in 8 bits and the size that IMAGE
    /// has; else write images, adversarial images, logits, and the cross-entropy at the true class with its gradient,
    /// whatever the attack follows, as safetensors; of a model of integers also images and logits as integers; the metadata
    /// say how they came about
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With one eps: draw clean image + noise = adversarial image as PNG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Print JSON: per eps, fractions with their counts
    #[arg(long)]
    json: bool,
}

/// The rule by which the class to walk away from is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    /// The true class.
    True,
    /// The class that the model predicts for the clean image.
    Predicted,
    /// This class, a number or a name.
    Class(String),
}

impl From<String> for Label {
    fn from(word: String) -> Self {
        match word.as_str() {
            "true" => Self::True,
            "predicted" => Self::Predicted,
            _ => Self::Class(word),
        }
    }
}

/// The whole report.
#[derive(Debug, Serialize)]
struct Report<'a> {
    attack: &'static str,
    model: &'a str,
    data: &'a str,
    seed: u64,
    label: String,
    #[serde(flatten)]
    options: Options,
    /// Images left out because the target class is their own.
    left_out: usize,
    results: Vec<Robustness>,
    /// Of pictures that were named one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Line>,
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
    let writes = arguments.out.is_some() || arguments.picture.is_some();
    ensure!(!writes || eps::List::count(&arguments.eps) <= 1, "--out and --picture need exactly one --eps");
    let out = arguments.out.as_deref().map(|path| Out::of(path, &arguments.images)).transpose()?;
    arguments.picture.as_deref().map_or(Ok(()), check_writable)?;
    let model = arguments.test.model()?;
    let input = model.input();
    let eps = match &arguments.eps[..] {
        [] => vec![default_eps(&input)],
        lists => eps::List::flatten(lists, "--eps", &input)?,
    };
    arguments.attack.check_for(&input)?;
    let loaded = arguments.test.pictures(&arguments.images, &model)?;
    let attack = arguments.attack.attack(arguments.test.seed(), &input, &loaded.classes)?;
    let (data, labels) = arguments.labelled(&model, loaded)?;
    let all = data.len();
    let Selected { data, labels } = select(attack, &data, &labels)?;
    let job = Job { model: &model, data: &data, labels: &labels, attack, eps: 0.0 };
    let results = Results { arguments, model: &model, checksum: model.checksum()?, out };
    let (results, images, end) = results.at_every(&job, &eps)?;
    let left_out = all - data.len();
    let report = Report {
        attack: attack.name(),
        model: arguments.test.model_name(),
        data: &data.name,
        seed: arguments.test.seed(),
        label: arguments.rule().shown(),
        options: Options::of(attack),
        left_out,
        results,
        images,
    };
    // What is finished is shown, however the work ended.
    if arguments.json {
        print_json(super::json::ATTACK, &report)?;
    } else {
        print(&report, attack, &input, &data.classes);
    }
    end
}

/// The eps that nobody gave: what a person hardly sees in a picture in colour, what a robust evaluation takes elsewhere.
fn default_eps(input: &Input) -> f32 {
    if input.shape[2] == 3 && input.grid.is_none() { 8.0 / 255.0 * input.width() } else { eps::default_of(input) }
}

/// What becomes of the results.
struct Results<'a> {
    arguments: &'a Arguments,
    model: &'a AnyWeights,
    checksum: String,
    out: Option<Out>,
}

impl Results<'_> {
    /// The results of every eps up to the first that fails or is stopped, and how it ended.
    fn at_every(&self, job: &Job<'_>, eps: &[f32]) -> Result<(Vec<Robustness>, Vec<Line>, Result<()>)> {
        let stop = stop_on_interrupt()?;
        let bar = progress::bar((eps.len() * job.data.len()) as u64, job.attack.name());
        let (mut results, mut lines, input) = (Vec::new(), Vec::new(), job.model.input());
        let mut at = |eps: f32| -> Result<()> {
            let job = Job { eps, ..*job };
            let attacked = job.run(&stop, &bar)?.context("stopped")?;
            results.push(Robustness::count(eps, &input, job.data, &attacked));
            lines.extend(self.write(&job, &attacked)?);
            Ok(())
        };
        let end = eps.iter().try_for_each(|eps| at(*eps));
        bar.finish_and_clear();
        let missing: Vec<String> = eps[results.len()..].iter().map(f32::to_string).collect();
        let lack = || format!("no result for eps {}", missing.join(", "));
        let end = if missing.is_empty() { end } else { end.with_context(lack) };
        Ok((results, lines, end))
    }

    /// Writes what was asked for at one eps; the lines of pictures.
    fn write(&self, job: &Job<'_>, attacked: &[Attacked]) -> Result<Vec<Line>> {
        let Arguments { images, picture, test, .. } = self.arguments;
        if let Some(path) = picture {
            attack_pictures::draw(path, job, attacked)?;
        }
        let twins = match &self.out {
            Some(Out::Tensors(path)) => {
                attack_file::write(path, job, attacked, metadata((self.arguments, &self.checksum), job))?;
                &[][..]
            }
            Some(Out::Pictures(paths)) => paths,
            None => &[],
        };
        if images.is_empty() {
            return Ok(Vec::new());
        }
        attack_pictures::lines((job, self.model), attacked, (images, twins), test.data.invert)
    }
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
        ("attack", describe(job.attack, &job.data.classes)),
        ("eps", job.eps.to_string()),
        ("model", arguments.test.model_name().to_string()),
        ("model.checksum", checksum.to_string()),
        ("data", job.data.name.clone()),
        ("seed", arguments.test.seed().to_string()),
        ("attacked_labels", arguments.rule().name()),
        ("loss", "cross-entropy of the clean images at labels, in nats".to_string()),
    ]);
    if let Some(grid) = job.model.input().grid {
        metadata.insert("input.scale", grid.scale.to_string());
        metadata.insert("input.zero_point", grid.zero_point.to_string());
    }
    metadata
}

impl Label {
    fn name(&self) -> String {
        match self {
            Self::True => "the true class".into(),
            Self::Predicted => "the class that the model predicts for the clean image".into(),
            Self::Class(class) => format!("class {class}"),
        }
    }

    /// As it was said.
    fn shown(&self) -> String {
        match self {
            Self::True => "true".into(),
            Self::Predicted => "predicted".into(),
            Self::Class(class) => class.clone(),
        }
    }
}

impl Arguments {
    /// The rule by which the class to walk away from is chosen.
    fn rule(&self) -> Label {
        let default = if self.images.is_empty() { Label::True } else { Label::Predicted };
        self.label.clone().unwrap_or(default)
    }

    /// The images, and the class of each to walk away from; where nobody says what is on them, that is their true class too.
    fn labelled(&self, model: &AnyWeights, loaded: Loaded) -> Result<(Dataset, Vec<usize>)> {
        let rule = self.rule();
        if rule == Label::True {
            let data = loaded.labelled()?;
            let labels = (0..data.len()).map(|i| data.label(i)).collect();
            return Ok((data, labels));
        }
        let known = loaded.labels.is_some();
        let labels = loaded.labels.clone().unwrap_or_else(|| vec![0; loaded.len()]);
        let mut data = Loaded { labels: Some(labels), ..loaded }.labelled()?;
        let labels = match &rule {
            Label::Class(class) => {
                let option = ("--label", "true, predicted");
                vec![class_of(option, class, &data.classes, model.input().classes)?; data.len()]
            }
            Label::True | Label::Predicted => read(model, &data, &ProgressBar::hidden())?,
        };
        if !known {
            data.labels = labels.iter().map(|label| Ok(u16::try_from(*label)?)).collect::<Result<_>>()?;
        }
        Ok((data, labels))
    }
}

fn print(report: &Report<'_>, attack: Attack, input: &Input, classes: &Classes) {
    println!("{}  model {}  {}  seed {}", describe(attack, classes), report.model, report.data, report.seed);
    let is_table = report.images.is_empty();
    match report.label.as_str() {
        "predicted" if is_table => {
            println!("away from the class that the model predicts; right is still the true class")
        }
        "predicted" => println!("away from the class that the model predicts"),
        _ => {}
    }
    if report.left_out > 0 {
        println!("{} images left out: the target is their own class", report.left_out);
    }
    if !is_table {
        attack_pictures::print(&report.images, classes, |eps| input.shown(eps));
        report.results.iter().filter_map(|result| zero_gradients(result, attack)).for_each(|note| println!("{note}"));
        return;
    }
    print_table(report, attack, input);
}

/// A line for each eps.
fn print_table(report: &Report<'_>, attack: Attack, input: &Input) {
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
