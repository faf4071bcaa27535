//! `midge import`

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use midge_core::{MAX_DIMENSION, Shape};

use super::export::{report, report_int8};
use super::summary::print_layers;
use crate::any_weights::AnyWeights;
use crate::data::{Classes, ClassesProblem};
use crate::foreign;
use crate::import::{self, Hints, Imported, Normalisation};
use crate::training::history::CLASSES;
use crate::weights::DType;

const ASSUMPTIONS: &str = "\
A .tflite file of floats or of integers of 8 bits says all there is to know. A state_dict holds weights only. What it leaves open is worked out where exactly one reading fits: activations are taken \
for ReLU, poolings for max pooling of 2x2, images for 28x28 pixels where they can be. Every assumption is printed. If \
several readings fit they are listed, and nothing is written.
Pixels go in as numbers from 0 to 1, without mean and standard deviation: for a model that was trained on normalised pixels say \
--mean and --std, which become a part of it, so that eps stays in pixels.";

#[derive(Debug, clap::Args)]
#[command(after_help = ASSUMPTIONS)]
pub(crate) struct Import {
    /// A .tflite file, or a state_dict of a sequential CNN, saved with safetensors; - is standard input
    state: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The architecture, where it cannot be worked out from the file, in the words of midge train, for example
    /// "conv 8 5x5 stride 2 valid, relu, maxpool 2, dense 10"; images are 28x28 if grey, --size or "input 32x32x3" first says otherwise
    #[arg(long, value_name = "TEXT")]
    network: Option<String>,
    /// Height and width of the image [for example: 28x20]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(usize, usize)>,
    /// File with the name of a class on each line, in the model's order; the model keeps them
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    normalisation: NormalisationArguments,
}

/// What the images of a model of another program were normalised with.
#[derive(Debug, Clone, clap::Args)]
struct NormalisationArguments {
    /// The mean that was taken from pixels of 0 to 1, one number or one for each channel [for example: 0.1307; 0.485,0.456,0.406]
    #[arg(long, value_name = "MEAN", value_parser = parse_numbers, requires = "std", allow_hyphen_values = true)]
    mean: Option<Numbers>,
    /// The standard deviation that pixels were then divided by [for example: 0.3081; 0.229,0.224,0.225]
    #[arg(long, value_name = "STD", value_parser = parse_deviations)]
    std: Option<Numbers>,
}

#[derive(Debug, Clone)]
struct Numbers(Vec<f64>);

fn parse_numbers(text: &str) -> Result<Numbers, String> {
    let numbers: Option<Vec<f64>> =
        text.split(',').map(|word| word.trim().parse().ok().filter(|n: &f64| n.is_finite())).collect();
    numbers
        .map(Numbers)
        .ok_or_else(|| format!("{text:?}: expected a number, or one for each channel with commas between"))
}

fn parse_deviations(text: &str) -> Result<Numbers, String> {
    let numbers = parse_numbers(text)?;
    if numbers.0.iter().all(|n| *n > 0.0) { Ok(numbers) } else { Err(format!("{text:?}: expected numbers above 0")) }
}

impl NormalisationArguments {
    fn normalisation(&self) -> Option<Normalisation> {
        let std = self.std.as_ref()?.0.clone();
        let mean = self.mean.as_ref().map_or_else(|| vec![0.0], |mean| mean.0.clone());
        Some(Normalisation { mean, std })
    }
}

pub(super) fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x').and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    let size = size.ok_or_else(|| format!("{text:?}: expected height x width, like 28x28"))?;
    let possible = 1..=MAX_DIMENSION;
    if possible.contains(&size.0) && possible.contains(&size.1) {
        Ok(size)
    } else {
        Err(format!("{text:?}: expected a height and a width from 1 to {MAX_DIMENSION}"))
    }
}

pub(crate) fn import(arguments: &Import) -> Result<()> {
    if let Some(bytes) = foreign::read_tflite(&arguments.state) {
        return import_tflite(arguments, &bytes);
    }
    let (network, normalisation) = (arguments.network.clone(), arguments.normalisation.normalisation());
    let mut imported = import::read(&arguments.state, &Hints { network, size: arguments.size, normalisation })?;
    arguments.name(imported.weights.network.classes(), &mut imported.weights.metadata)?;
    let weights = &imported.weights;
    weights.save(&arguments.out, DType::F32)?;
    println!("{}", weights.network);
    println!("{}: {}", foreign::name(&arguments.state), imported.format.name());
    print_layers(&AnyWeights::Float(weights.clone()));
    explain(&imported, arguments.normalisation.normalisation().as_ref());
    report(weights, DType::F32, &arguments.out);
    Ok(())
}

impl Import {
    /// Gives the classes of a model the names that the user has for them.
    fn name(&self, classes: usize, metadata: &mut BTreeMap<String, String>) -> Result<()> {
        let Some(file) = &self.labels else { return Ok(()) };
        let names = Classes::read(file)?;
        if names.len() != classes {
            return Err(ClassesProblem::Count { expected: classes, found: names.len() }.at(file).into());
        }
        metadata.insert(CLASSES.into(), names.text());
        Ok(())
    }
}

/// What was done to a model, what was assumed about it, and what images it takes.
fn explain(imported: &Imported, normalisation: Option<&Normalisation>) {
    let list = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            println!("{title}:");
            lines.iter().for_each(|line| println!("  {line}"));
        }
    };
    list("dropped, folded or turned", &imported.changed);
    list("assumed, because a state_dict holds weights only (--network says it otherwise)", &imported.assumed);
    let Shape { height, width, channels } = imported.weights.network.input();
    let kind = match channels {
        1 => "grey",
        3 => "red, green, blue",
        _ => "channels last",
    };
    let [low, high] = imported.weights.range;
    println!("expected input: {height} x {width} x {channels} ({kind}), pixels from {low} to {high}");
    match normalisation {
        Some(normalisation) => println!("  normalised inside the model: {normalisation}; eps stays in pixels"),
        None => println!(
            "  with no mean and standard deviation: say --mean and --std if the model was trained on normalised pixels, \
             (x - mean) / std, or it is misread"
        ),
    }
}

/// A file that says all there is to know.
fn import_tflite(arguments: &Import, bytes: &[u8]) -> Result<()> {
    let name = arguments.state.display();
    ensure!(
        arguments.network.is_none() && arguments.size.is_none(),
        "{name}: a .tflite file says its architecture itself: expected neither --network nor --size"
    );
    let imported = import::tflite::from_bytes(bytes).with_context(|| format!("{name}: cannot be imported"))?;
    match imported {
        import::tflite::Imported::Float(mut weights) => {
            arguments.name(weights.network.classes(), &mut weights.metadata)?;
            weights.save(&arguments.out, DType::F32)?;
            println!("{}", weights.network);
            print_layers(&AnyWeights::Float(weights.clone()));
            report(&weights, DType::F32, &arguments.out);
        }
        import::tflite::Imported::Int8(mut weights) => {
            arguments.name(weights.network.classes(), &mut weights.metadata)?;
            weights.save(&arguments.out)?;
            println!("{}", weights.network);
            print_layers(&AnyWeights::Int8(weights.clone()));
            report_int8(&weights, &arguments.out);
        }
    }
    Ok(())
}
