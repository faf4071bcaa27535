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
mod device;
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

use anyhow::{Context, Result, bail, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser, ValueParserFactory};

use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::data::{self, Input, Loaded, Part, Source, Split};
use crate::evaluation::classifier::Classifier as _;
use crate::names;
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
    pub(crate) fn load(&self) -> Result<AnyWeights> {
        let weights = self.read()?;
        detail!("model: {}, {}, {}", self.shown, weights.dtype(), weights.network());
        Ok(weights)
    }

    /// [`Self::load`] of a model that tells classes apart.
    ///
    /// # Errors
    /// Also if the outputs are no classes.
    pub(crate) fn load_classifier(&self) -> Result<AnyWeights> {
        let weights = self.load()?;
        check_classes(&weights).with_context(|| self.shown.clone())?;
        Ok(weights)
    }

    fn read(&self) -> Result<AnyWeights> {
        if let Some(weights) = self.path.to_str().and_then(bundled::any_model) {
            return weights;
        }
        let missing = self.shown != "-" && self.path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if missing {
            let known: Vec<&str> = bundled::names().collect();
            let hint = names::hint(&self.shown, known.iter().copied());
            bail!("{}: no such file, nor one of the bundled models {}{hint}", self.shown, known.join(", "));
        }
        AnyWeights::load(&self.path)
    }
}

/// Outputs from which on a network that has as many as inputs is taken for one that restores its input.
const AUTOENCODER: usize = 32;

/// An autoencoder has no classes.
fn check_classes(weights: &AnyWeights) -> Result<()> {
    let (inputs, outputs) = (weights.input().len(), weights.network().classes());
    ensure!(
        outputs != inputs || outputs < AUTOENCODER,
        "the model has as many outputs as inputs, {outputs}: it restores its input and tells no classes apart, which this \
         command needs"
    );
    Ok(())
}

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArguments {
    /// Model file of midge's (f32, f16, i8) or .tflite file, - for standard input, or the name of a bundled model: plain, robust,
    /// plain-int8, robust-int8
    #[arg(long, default_value = "plain", value_name = "MODEL")]
    model: ModelName,
}

impl ModelArguments {
    pub(crate) fn load(&self) -> Result<AnyWeights> {
        self.model.load()
    }

    pub(crate) fn load_classifier(&self) -> Result<AnyWeights> {
        self.model.load_classifier()
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
    /// The model, which tells classes apart.
    pub(crate) fn model(&self) -> Result<AnyWeights> {
        self.model.load_classifier()
    }

    /// Images for a model that takes `input`, and labels if there are any.
    pub(crate) fn images(&self, input: &Input) -> Result<Loaded> {
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
