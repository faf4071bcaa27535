//! `midge export` and `midge import`

use std::path::PathBuf;

use anyhow::{Context, Result};
use midge_core::Network;

use super::ModelArguments;
use crate::import::{self, Hints};
use crate::weights::{DType, Weights};

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArguments,
    /// Type of the stored weights
    #[arg(long, value_enum)]
    dtype: DType,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// A state_dict of a sequential CNN, saved with safetensors
    state: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The architecture in midge's words, where it cannot be worked out from the file, for example
    /// "input(28,28,1) conv2d(filters=8,kernel=5,stride=2,padding=valid) relu flatten dense(units=10)"
    #[arg(long, value_name = "TEXT")]
    network: Option<String>,
    /// Height and width of the image, if it is not square [for example: 28x20]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(usize, usize)>,
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x').and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    size.ok_or_else(|| format!("{text:?}: expected height x width, like 28x28"))
}

pub(crate) fn export(arguments: &Export) -> Result<()> {
    let weights = arguments.model.load()?;
    weights.save(&arguments.out, arguments.dtype)?;
    report(&weights, arguments.dtype, &arguments.out);
    Ok(())
}

pub(crate) fn import(arguments: &Import) -> Result<()> {
    let network = arguments.network.as_deref().map(str::parse::<Network>).transpose().context("--network")?;
    let weights = import::import(&arguments.state, &Hints { network, size: arguments.size })?;
    weights.save(&arguments.out, DType::F32)?;
    println!("{}", weights.network);
    report(&weights, DType::F32, &arguments.out);
    Ok(())
}

fn report(weights: &Weights, dtype: DType, path: &std::path::Path) {
    println!("{}: {} parameters, {dtype}", path.display(), weights.network.parameters());
}
