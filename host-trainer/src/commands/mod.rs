//! The `midge` command: one file a subcommand.

mod attack;
mod attack_arguments;
mod camera;
mod convert;
mod demo;
mod evaluate;
mod minimal_eps;
mod report;
mod robust;
mod summary;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::bundled;
use crate::data::{self, Dataset, Source, Split};
use crate::evaluation::check_fit;
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
    /// Measure loss and accuracy on the test set; with --robust, the worst case over many attacks
    Evaluate(evaluate::Arguments),
    /// Measure accuracy under attack
    Attack(attack::Arguments),
    /// Find the smallest change of the pixels that fools the model, image by image
    MinimalEps(minimal_eps::Arguments),
    /// See which adversarial images survive 8-bit pixels, blur, noise, brightness and a shift
    Camera(camera::Arguments),
    /// Measure one model or two and write a page with all figures, plots and examples
    Report(report::Arguments),
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
    /// Model file, - for standard input, or the name of a bundled model: plain, robust
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
                // The fault first, then the hint.
                Weights::load(&path)
                    .map_err(|error| anyhow!("{error:#} (--model takes a file or a bundled model: {known})"))
            }
        }
    }
}

/// A model and images of the test set.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TestArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    data: DataArguments,
    /// First image of the test set
    #[arg(long, default_value_t = 0, value_name = "I")]
    offset: usize,
    /// Number of images [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl TestArguments {
    /// The model, and images that fit it.
    pub(crate) fn load(&self) -> Result<(Weights, Dataset)> {
        let weights = self.model.load()?;
        let data = self.data.load(Split::Test)?.slice(self.offset, self.limit)?;
        check_fit(&weights, &data)?;
        Ok((weights, data))
    }

    pub(crate) fn model_name(&self) -> &str {
        &self.model.model
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn seed(&self) -> u64 {
        self.data.seed
    }
}

/// Every eps must be a finite number, not negative.
pub(crate) fn check_eps(eps: &[f32]) -> Result<()> {
    for eps in eps {
        ensure!(eps.is_finite() && *eps >= 0.0, "--eps is {eps}: expected finite numbers, not negative");
    }
    Ok(())
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
            Command::MinimalEps(arguments) => minimal_eps::run(&arguments),
            Command::Camera(arguments) => camera::run(&arguments),
            Command::Report(arguments) => report::run(&arguments),
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
        ensure!(threads > 0, "--threads must be at least 1");
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("threads cannot be started")?;
    }
    Ok(())
}
