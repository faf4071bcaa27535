//! A model as a user names it: a file of any kind that midge reads.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use midge_core::{Header, METADATA_CHECKSUM, Network, Stored as _};

use crate::data::Input;
use crate::evaluation::classifier::{AnyModel, Classifier};
use crate::foreign;
use crate::import::tflite::{Imported, from_bytes};
use crate::import::{self, Hints};
use crate::quantised::Int8Weights;
use crate::weights::{Aligned, Weights};

/// A network and its weights, whatever they are.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyWeights {
    /// Floating-point numbers.
    Float(Weights),
    /// Integers of 8 bits.
    Int8(Int8Weights),
}

impl AnyWeights {
    /// Reads a model file of midge's, a `.tflite` file, or another one that says its architecture; `-` is standard input.
    ///
    /// # Errors
    /// With the file's name and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self> {
        let name = || foreign::name(path);
        let bytes = foreign::read_any(path).with_context(name)?;
        if foreign::is_tflite(&bytes) {
            return Ok(match from_bytes(&bytes).with_context(name)? {
                Imported::Float(weights) => Self::Float(weights),
                Imported::Int8(weights) => Self::Int8(weights),
            });
        }
        if foreign::is_model(&bytes) {
            let imported = import::of_file(path, &bytes, &Hints::default())?;
            note!(
                "{}: {}, read as {}; pixels from 0 to 1. midge import says what was changed, and takes --mean and --std",
                name(),
                imported.format.name(),
                imported.weights.network
            );
            return Ok(Self::Float(imported.weights));
        }
        if is_int8(&bytes) {
            let read = Int8Weights::from_bytes(&bytes);
            return Ok(Self::Int8(read.with_context(|| format!("{}: not a midge model", name()))?));
        }
        Ok(Self::Float(Weights::from_file(path, &bytes)?))
    }

    /// The type in which the weights are stored: `f32`, `f16` or `i8`.
    pub fn dtype(&self) -> String {
        match self {
            Self::Float(weights) => weights.dtype.to_string(),
            Self::Int8(_) => "i8".into(),
        }
    }

    /// What the file says beside its tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Float(weights) => &weights.metadata,
            Self::Int8(weights) => &weights.metadata,
        }
    }

    /// Whether both have the same tensors.
    pub fn has_tensors_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.tensors == b.tensors,
            (Self::Int8(a), Self::Int8(b)) => a.stages == b.stages,
            _ => false,
        }
    }

    /// For the pixels of `input`, if the weights are floating-point numbers: a `.tflite` file of them does not say which pixels
    /// it takes.
    pub fn taking_pixels_of(self, input: &Input) -> Self {
        match self {
            Self::Float(weights) => {
                let range = input.grid.map_or(input.range, |grid| grid.range());
                Self::Float(Weights { range, ..weights })
            }
            int8 @ Self::Int8(_) => int8,
        }
    }

    /// The checksum of the model's file.
    ///
    /// # Errors
    /// None that a model that was read can have.
    pub fn checksum(&self) -> Result<String> {
        let bytes = match self {
            Self::Float(weights) => weights.to_bytes(weights.dtype)?,
            Self::Int8(weights) => weights.to_bytes()?,
        };
        checksum_in(&bytes)
    }

    /// As what can be measured.
    fn classifier(&self) -> &dyn Classifier {
        match self {
            Self::Float(weights) => weights,
            Self::Int8(weights) => weights,
        }
    }
}

/// The checksum that stands in a model file.
pub(crate) fn checksum_in(bytes: &[u8]) -> Result<String> {
    let aligned = Aligned::new(bytes);
    let mut checksum = None;
    Header::read(aligned.bytes())?.metadata(&mut |key, value| {
        if key == METADATA_CHECKSUM.as_bytes() {
            checksum = Some(String::from_utf8_lossy(value).into_owned());
        }
    })?;
    checksum.context("a model file without a checksum")
}

/// Whether a model file of midge's holds integers.
fn is_int8(bytes: &[u8]) -> bool {
    let bytes = Aligned::new(bytes);
    Header::read(bytes.bytes()).is_ok_and(|header| header.dtype() == Ok(i8::DTYPE))
}

impl Classifier for AnyWeights {
    fn network(&self) -> &Network {
        self.classifier().network()
    }

    fn input(&self) -> Input {
        self.classifier().input()
    }

    fn memory_len(&self) -> usize {
        self.classifier().memory_len()
    }

    fn any_model<'a>(&'a self, memory: &'a mut [f32]) -> Result<AnyModel<'a>> {
        self.classifier().any_model(memory)
    }
}
