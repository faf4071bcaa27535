//! `midge export` and `midge import`

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use midge_core::{MAX_DIMENSION, Network};

use super::ModelArguments;
use crate::any_weights::AnyWeights;
use crate::foreign;
use crate::import::{self, Hints, Imported};
use crate::twin::float_twin;
use crate::weights::{DType, Weights};

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArguments,
    /// Type of the stored weights; from a model of integers, those that they stand for
    #[arg(long, value_enum)]
    dtype: DType,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

const ASSUMPTIONS: &str = "\
A .tflite file of floats or of integers of 8 bits says all there is to know. A state_dict holds weights only. What it leaves open is worked out where exactly one reading fits: activations are taken \
for ReLU, poolings for max pooling of 2x2, images for 28x28 pixels where they can be. Every assumption is printed. If \
several readings fit they are listed, and nothing is written.
Pixels go in as numbers from 0 to 1, without mean and standard deviation: a model that was trained on normalised pixels \
is misread.";

#[derive(Debug, clap::Args)]
#[command(after_help = ASSUMPTIONS)]
pub(crate) struct Import {
    /// A .tflite file, or a state_dict of a sequential CNN, saved with safetensors; - is standard input
    state: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The architecture in midge's words, where it cannot be worked out from the file, for example
    /// "input(28,28,1) conv2d(filters=8,kernel=5,stride=2,padding=valid) relu flatten dense(units=10)"
    #[arg(long, value_name = "TEXT", conflicts_with = "size")]
    network: Option<String>,
    /// Height and width of the image [for example: 28x20]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(usize, usize)>,
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x').and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    let size = size.ok_or_else(|| format!("{text:?}: expected height x width, like 28x28"))?;
    let possible = 1..=MAX_DIMENSION;
    if possible.contains(&size.0) && possible.contains(&size.1) {
        Ok(size)
    } else {
        Err(format!("{text:?}: expected a height and a width from 1 to {MAX_DIMENSION}"))
    }
}

pub(crate) fn export(arguments: &Export) -> Result<()> {
    let weights = match arguments.model.load()? {
        AnyWeights::Float(weights) => weights,
        AnyWeights::Int8(weights) => float_twin(&weights)?,
    };
    weights.save(&arguments.out, arguments.dtype)?;
    report(&weights, arguments.dtype, &arguments.out);
    Ok(())
}

pub(crate) fn import(arguments: &Import) -> Result<()> {
    if let Some(bytes) = foreign::read_tflite(&arguments.state) {
        return import_tflite(arguments, &bytes);
    }
    let network = arguments.network.as_deref().map(str::parse::<Network>).transpose().context("--network")?;
    let Imported { weights, assumed } = import::read(&arguments.state, &Hints { network, size: arguments.size })?;
    weights.save(&arguments.out, DType::F32)?;
    println!("{}", weights.network);
    report(&weights, DType::F32, &arguments.out);
    println!("assumed, because a state_dict holds weights only (--network says it otherwise):");
    for line in &assumed {
        println!("  {line}");
    }
    Ok(())
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
        import::tflite::Imported::Float(weights) => {
            weights.save(&arguments.out, DType::F32)?;
            println!("{}", weights.network);
            report(&weights, DType::F32, &arguments.out);
        }
        import::tflite::Imported::Int8(weights) => {
            weights.save(&arguments.out)?;
            println!("{}", weights.network);
            println!("{}: {} weights and biases, i8", arguments.out.display(), weights.network.parameters());
        }
    }
    Ok(())
}

fn report(weights: &Weights, dtype: DType, path: &std::path::Path) {
    println!("{}: {} parameters, {dtype}", path.display(), weights.network.parameters());
}
