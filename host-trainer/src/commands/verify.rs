//! `midge verify`

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::exit::CheckFailed;
use super::{ModelArguments, print_json};
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::reference::Reference;
use crate::evaluation::verify::{Comparison, Outputs, verify};
use crate::progress;

/// Differences up to this come from the order of sums.
const TOLERANCE: f32 = 1e-4;

const FILE: &str = "\
The file, safetensors or NumPy's .npz, has two tensors: inputs, [N, channels, height, width] or [N, height, width, channels], pixels from 0 to 1 (F32) or bytes \
(U8, where 255 is 1), before any normalisation; and outputs, [N, classes], what the framework makes of them. Outputs that are \
probabilities, or their logarithms, are compared with midge's behind a softmax.
The tolerance is for the largest output, or for 1 if that is larger: a network of large logits has large roundings.";

#[derive(Debug, clap::Args)]
#[command(after_help = FILE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// A file of inputs, and of the outputs that the framework has for them: safetensors or .npz
    #[arg(long, value_name = "FILE")]
    against: PathBuf,
    /// Largest difference of an output, in parts of the largest output
    #[arg(long, value_name = "X", default_value_t = TOLERANCE, value_parser = tolerance)]
    tolerance: f32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn tolerance(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|x: &f32| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| format!("{text:?}: expected a number that is not negative"))
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    against: String,
    tolerance: f32,
    passed: bool,
    #[serde(flatten)]
    comparison: Comparison,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (model, reference) = (arguments.model.load()?, Reference::load(&arguments.against)?);
    let bar = progress::bar(reference.shape[0] as u64, "comparing");
    let comparison = verify(&model, &reference, &bar);
    bar.finish_and_clear();
    let comparison = comparison?;
    let allowed = arguments.tolerance * comparison.largest_output.max(1.0);
    let passed = comparison.largest_difference <= allowed;
    let report = Report {
        model: arguments.model.name(),
        against: arguments.against.display().to_string(),
        tolerance: arguments.tolerance,
        passed,
        comparison,
    };
    if arguments.json {
        print_json(super::json::VERIFY, &report)?;
    } else {
        print(&report, model.network().classes());
    }
    if passed {
        return Ok(());
    }
    let found = report.comparison.largest_difference;
    Err(CheckFailed(format!(
        "{}: outputs differ from the framework's by up to {found:e}: expected at most {allowed:e}",
        arguments.model.name()
    ))
    .into())
}

fn print(report: &Report<'_>, classes: usize) {
    let Comparison { images, outputs, same_class, .. } = report.comparison;
    let kind = match outputs {
        Outputs::Logits => "logits",
        Outputs::Probabilities => "probabilities",
        Outputs::LogProbabilities => "logarithms of probabilities",
    };
    println!("model {}  against {}: {images} images, {kind} of {classes} classes", report.model, report.against);
    println!("same class          {same_class} of {images}");
    println!("largest difference  {:.1e}  (image {})", report.comparison.largest_difference, report.comparison.image);
    println!("mean difference     {:.1e}", report.comparison.mean_difference);
    println!("largest output      {:.1e}", report.comparison.largest_output);
}
