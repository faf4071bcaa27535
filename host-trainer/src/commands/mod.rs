//! The `midge` command: one file a subcommand.
//!
//! `command_line` reads the command line and says how it ends, see [`exit`]; here is what several subcommands share.

mod attack;
mod attack_arguments;
mod attack_file;
mod camera;
mod classify;
mod command_line;
mod convert;
mod demo;
mod eps;
mod evaluate;
pub mod exit;
mod json;
mod minimal_eps;
mod report;
mod robust;
mod shell;
mod summary;
mod tensor_file;
mod train;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser, ValueParserFactory};

use crate::bundled;
use crate::classifier::Classifier;
use crate::data::{self, Dataset, Input, Loaded, Part, Source, Split};
use crate::names;
use crate::weights::Weights;
pub use command_line::{command, run};
use json::print_json;

/// Where images come from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArguments {
    /// Safetensors file with the tensors images and labels, folder of the MNIST files, or "synthetic" for digits that midge
    /// draws [default: $MIDGE_DATA, else MNIST from the cache, downloaded]
    #[arg(long, value_name = "DATA")]
    data: Option<OsString>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

impl DataArguments {
    /// A part of a split, for a model that takes `input`.
    pub(crate) fn load(&self, split: Split, input: &Input, part: Part) -> Result<Loaded> {
        load(&self.source(), split, input, part)
    }

    pub(crate) fn source(&self) -> Source {
        Source::from_option(self.data.as_deref(), self.seed)
    }
}

/// [`data::load`] that says what it found.
pub(crate) fn load(source: &Source, split: Split, input: &Input, part: Part) -> Result<Loaded> {
    let data = data::load(source, split, input, part)?;
    let [height, width, channels] = data.shape;
    detail!("data: {}, {} images of {height}x{width}x{channels}", data.name, data.len());
    Ok(data)
}

/// A `--model` option: a file, whose path need not be text, or the name of a bundled model.
#[derive(Debug, Clone)]
pub(crate) struct ModelName {
    path: PathBuf,
    shown: String,
}

impl From<OsString> for ModelName {
    fn from(word: OsString) -> Self {
        Self { shown: word.to_string_lossy().into_owned(), path: word.into() }
    }
}

impl ValueParserFactory for ModelName {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        ValueParser::new(OsStringValueParser::new().map(Self::from))
    }
}

impl ModelName {
    /// For people; a byte that is no text is replaced.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The file, if it is one.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A bundled model by name, standard input for `-`, or a file; a file of such a name is read with `./` before it.
    pub(crate) fn load(&self) -> Result<Weights> {
        let weights = self.read()?;
        detail!("model: {}, {}, {}", self.shown, weights.dtype, weights.network);
        Ok(weights)
    }

    fn read(&self) -> Result<Weights> {
        if let Some(weights) = self.path.to_str().and_then(bundled::model) {
            return weights;
        }
        let missing = self.shown != "-" && self.path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if missing {
            let known = bundled::MODELS.map(|(name, _)| name);
            let hint = names::hint(&self.shown, known);
            bail!("{}: no such file, nor one of the bundled models {}{hint}", self.shown, known.join(", "));
        }
        Weights::load(&self.path)
    }
}

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArguments {
    /// Model file, - for standard input, or the name of a bundled model: plain, robust
    #[arg(long, default_value = "plain", value_name = "MODEL")]
    model: ModelName,
}

impl ModelArguments {
    pub(crate) fn load(&self) -> Result<Weights> {
        self.model.load()
    }

    /// A model of any kind.
    pub(crate) fn load_any(&self) -> Result<Classifier> {
        match Classifier::read_int8(&self.model.path)? {
            Some(classifier) => Ok(classifier),
            None => Ok(Classifier::Float(self.model.load()?)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.model.shown()
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
    #[arg(long, value_name = "N", value_parser = from_one)]
    limit: Option<usize>,
}

/// Reads a number of images.
pub(crate) fn from_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or("expected a whole number from 1".into())
}

impl TestArguments {
    /// The model, and images with labels that fit it.
    pub(crate) fn load(&self) -> Result<(Weights, Dataset)> {
        let weights = self.model.load()?;
        let data = self.images(&weights)?.labelled()?;
        Ok((weights, data))
    }

    /// Images that fit the model, and labels if there are any.
    pub(crate) fn images(&self, weights: &Weights) -> Result<Loaded> {
        self.images_for(&weights.input())
    }

    /// The images for a model that takes `input`.
    pub(crate) fn images_for(&self, input: &Input) -> Result<Loaded> {
        self.data.load(Split::Test, input, Part { offset: self.offset, limit: self.limit })
    }

    pub(crate) fn model_name(&self) -> &str {
        self.model.name()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.data.seed
    }
}

/// `0.9774` as `97.74 %`; nothing can be said of 0 of 0.
pub(crate) fn percent(fraction: impl Into<Option<f64>>) -> String {
    fraction.into().map_or("-".into(), |fraction| format!("{:.2} %", 100.0 * fraction))
}
