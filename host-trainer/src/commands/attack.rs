//! `midge attack`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use midge_core::loss;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::attack_arguments::{AttackArguments, Selected, describe, select};
use super::{TestArguments, check_eps, percent, print_json};
use crate::data::Dataset;
use crate::evaluation::attack::loss_name;
use crate::evaluation::{Attack, Attacked, Method, Robustness, attack_all};
use crate::files::write_atomically;
use crate::progress;
use crate::weights::Weights;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    test: TestArguments,
    #[command(flatten)]
    attack: AttackArguments,
    /// Largest change of a pixel, in units of [0, 1]; several, separated by commas, give one line each
    #[arg(long, value_delimiter = ',', required = true, value_name = "E", allow_negative_numbers = true)]
    eps: Vec<f32>,
    /// The class to walk away from (for a targeted attack: the one the target must differ from)
    #[arg(long, value_enum, default_value_t = Label::True)]
    label: Label,
    /// With one eps: write images, adversarial images, logits, and the cross-entropy at the label with its gradient, whatever the
    /// attack follows, as safetensors
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON: per eps, fractions with their counts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
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
    let attack = arguments.attack.attack(arguments.test.seed())?;
    check_eps(&arguments.eps)?;
    ensure!(arguments.out.is_none() || arguments.eps.len() == 1, "--out needs exactly one --eps");
    let (weights, data) = arguments.test.load()?;
    let all = data.len();
    let labels = labels(arguments, &weights, &data)?;
    let Selected { data, labels, kept } = select(attack, &weights, &data, &labels)?;
    let left_out = all - kept.len();
    let bar = progress::bar((arguments.eps.len() * data.len()) as u64, attack.name());
    let mut results = Vec::new();
    for &eps in &arguments.eps {
        let attacked = attack_all(&weights, &data, &labels, attack, eps, &bar)?;
        results.push(Robustness::count(eps, &data, &attacked));
        if let Some(path) = &arguments.out {
            write_results(path, &weights, &data, &labels, &attacked)?;
        }
    }
    bar.finish_and_clear();
    let report = Report {
        attack: attack.name(),
        model: arguments.test.model_name(),
        data: &data.name,
        seed: arguments.test.seed(),
        options: Options::of(attack),
        left_out,
        results,
    };
    if arguments.json { print_json(super::json::ATTACK, &report) } else { print(&report, attack) }
}

/// The classes to walk away from.
fn labels(arguments: &Arguments, weights: &Weights, data: &Dataset) -> Result<Vec<usize>> {
    if arguments.label == Label::True {
        return Ok((0..data.len()).map(|i| data.label(i)).collect());
    }
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    let mut buffer = vec![0.0; weights.network.inference_len()];
    let class = |i| Ok(loss::argmax(model.logits(data.image(i), &mut buffer)?));
    (0..data.len()).map(class).collect()
}

fn print(report: &Report<'_>, attack: Attack) -> Result<()> {
    println!("{}  model {}  {}  seed {}", describe(attack), report.model, report.data, report.seed);
    if report.left_out > 0 {
        println!("{} images left out: the target is their own class", report.left_out);
    }
    let header = format!("{:>7}  {:<24}{:<24}{:<24}", "eps", "clean accuracy", "robust accuracy", "success");
    let targeted = attack.is_targeted();
    println!("{header}{}{:<10}", if targeted { format!("{:<24}", "target reached") } else { String::new() }, "8-bit");
    for r in &report.results {
        let cell = |fraction: f64, part: usize, whole: usize| format!("{:>8}  {part}/{whole}", percent(fraction));
        let target = match (r.target_rate, r.target_hits, r.target_candidates) {
            (Some(rate), Some(hits), Some(candidates)) => format!("{:<24}", cell(rate, hits, candidates)),
            _ => String::new(),
        };
        println!(
            "{:>7}  {:<24}{:<24}{:<24}{target}{:>8}",
            r.eps,
            cell(r.accuracy, r.correct, r.samples),
            cell(r.robust_accuracy, r.robust_correct, r.samples),
            cell(r.success_rate, r.successes, r.correct),
            percent(r.robust_accuracy_8bit),
        );
        if r.zero_gradients > 0 {
            println!("         {} images had a zero gradient: there the attack could do nothing", r.zero_gradients);
        }
    }
    println!("8-bit: robust accuracy with adversarial pixels rounded to 8 bits");
    Ok(())
}

/// Tensors of a results file.
#[derive(Default)]
struct Results {
    images: Vec<f32>,
    adversarial: Vec<f32>,
    labels: Vec<i32>,
    targets: Vec<i32>,
    logits: Vec<f32>,
    adversarial_logits: Vec<f32>,
    loss: Vec<f32>,
    input_gradient: Vec<f32>,
}

fn write_results(
    path: &Path,
    weights: &Weights,
    data: &Dataset,
    labels: &[usize],
    attacked: &[Attacked],
) -> Result<()> {
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    let mut buffer = vec![0.0; weights.network.fast_gradient_len()];
    let mut results = Results::default();
    for (i, attacked) in attacked.iter().enumerate() {
        let gradient = model.input_gradient(data.image(i), labels[i], &mut buffer)?;
        results.loss.push(gradient.loss);
        results.logits.extend_from_slice(gradient.logits);
        results.input_gradient.extend_from_slice(gradient.gradient);
        results.adversarial_logits.extend_from_slice(model.logits(&attacked.adversarial, &mut buffer)?);
        results.images.extend_from_slice(data.image(i));
        results.adversarial.extend_from_slice(&attacked.adversarial);
        results.labels.push(i32::from(data.labels[i]));
        results.targets.push(attacked.outcome.target.map_or(-1, |target| target as i32));
    }
    let bytes = results.to_bytes(data, weights.network.classes())?;
    write_atomically(path, &bytes)
}

impl Results {
    fn to_bytes(&self, data: &Dataset, classes: usize) -> Result<Vec<u8>> {
        let n = data.len();
        let image = [vec![n], data.shape.to_vec()].concat();
        let floats = [
            ("images", &self.images, image.clone()),
            ("adversarial", &self.adversarial, image.clone()),
            ("input_gradient", &self.input_gradient, image),
            ("logits", &self.logits, vec![n, classes]),
            ("adversarial_logits", &self.adversarial_logits, vec![n, classes]),
            ("loss", &self.loss, vec![n]),
        ];
        let integers = [("labels", &self.labels), ("targets", &self.targets)];
        let mut views = Vec::new();
        for (name, values, shape) in &floats {
            views.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))?));
        }
        for (name, values) in &integers {
            views.push((*name, TensorView::new(Dtype::I32, vec![n], bytemuck::cast_slice(values))?));
        }
        if cfg!(target_endian = "big") {
            bail!("safetensors files are little endian, this processor is not");
        }
        safetensors::serialize(views, None).context("the results do not fit a safetensors file")
    }
}
