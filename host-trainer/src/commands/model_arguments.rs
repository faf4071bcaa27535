//! A model for a command.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser, ValueParserFactory};

use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::evaluation::classifier::Classifier as _;
use crate::names;

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
    pub(super) model: ModelName,
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
