//! Images for a command, with and without a model.

use std::ffi::OsString;

use anyhow::Result;

use super::model_arguments::ModelArguments;
use crate::any_weights::AnyWeights;
use crate::data::{self, Input, Loaded, Part, Source, Split};

/// Where images come from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArguments {
    /// Safetensors file with the tensors images and labels, folder of the MNIST files, or "synthetic" for digits that midge
    /// draws [default: $MIDGE_DATA, else MNIST from the cache, downloaded]
    #[arg(long, value_name = "DATA")]
    pub(super) data: Option<OsString>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) seed: u64,
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

/// A model and images of the test set.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TestArguments {
    #[command(flatten)]
    pub(super) model: ModelArguments,
    #[command(flatten)]
    pub(super) data: DataArguments,
    /// First image of the test set
    #[arg(long, default_value_t = 0, value_name = "I")]
    pub(super) offset: usize,
    /// Number of images [default: all]
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub(super) limit: Option<usize>,
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
