//! The `midge` command: one file a subcommand.

mod attack;
mod convert;
mod demo;
mod evaluate;
mod summary;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::bundled;
use crate::data::{self, Dataset, Source, Split};
use crate::weights::Weights;

/// Trains small CNNs, attacks them, and exports them to microcontrollers.
#[derive(Debug, Parser)]
#[command(name = "midge", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads to use; results do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the bundled model recognise the bundled digits, and then misread them (the default)
    Demo(demo::Arguments),
    /// Train a network
    Train(train::Arguments),
    /// Measure loss and accuracy on the test set
    Evaluate(evaluate::Arguments),
    /// Measure accuracy under attack
    Attack(attack::Arguments),
    /// List layers and parameters, and what they take of flash and RAM
    Summary(summary::Arguments),
    /// Store a model with another type of weights
    Export(convert::Export),
    /// Turn a PyTorch state_dict into a model
    Import(convert::Import),
}

/// Where images come from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArguments {
    /// Folder of the MNIST files, or "synthetic" for digits that midge draws [default: $MIDGE_DATA, else the cache, downloaded]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

impl DataArguments {
    pub(crate) fn load(&self, split: Split) -> Result<Dataset> {
        Ok(data::load(&Source::from_option(self.data.as_deref(), self.seed), split)?)
    }
}

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArguments {
    /// Model file, or the name of a bundled model: plain
    #[arg(long, default_value = "plain", value_name = "MODEL")]
    model: String,
}

impl ModelArguments {
    /// A bundled model by name, or a file; a file of that name goes first only if it looks like a path.
    pub(crate) fn load(&self) -> Result<Weights> {
        match bundled::model(&self.model) {
            Some(weights) => weights,
            None => {
                let path = PathBuf::from(&self.model);
                let known = bundled::MODELS.map(|(name, _)| name).join(", ");
                Weights::load(&path).with_context(|| format!("--model takes a file or a bundled model: {known}"))
            }
        }
    }
}

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// `0.9774` as `97.74 %`.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// Runs the command line.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result =
        set_threads(cli.threads).and_then(|()| match cli.command.unwrap_or(Command::Demo(Default::default())) {
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Train(arguments) => train::run(&arguments),
            Command::Evaluate(arguments) => evaluate::run(&arguments),
            Command::Attack(arguments) => attack::run(&arguments),
            Command::Summary(arguments) => summary::run(&arguments),
            Command::Export(arguments) => convert::export(&arguments),
            Command::Import(arguments) => convert::import(&arguments),
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("midge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn set_threads(threads: Option<usize>) -> Result<()> {
    if let Some(threads) = threads {
        anyhow::ensure!(threads > 0, "--threads must be at least 1");
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("threads cannot be started")?;
    }
    Ok(())
}
