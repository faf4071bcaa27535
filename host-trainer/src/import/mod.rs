//! Models of other programs, each format in a file or folder of its own, which is listed in [`Format`].
//!
//! ```text
//! tflite     TensorFlow Lite: graphs of integers too         graph      what all others become, and how layers are made of it
//! onnx       ONNX                                            keras      Keras: .keras, and .h5 by way of hdf5
//! torch      torch.save: pickles, of which nothing is run    state      modules of a state_dict, also of safetensors
//! infer      the architecture of a state_dict: readings, order, norms, sequence; words: what the user says
//! ```
//! A `state_dict` holds weights and their names, and no word about strides, paddings, activations and poolings. Without
//! `--network` they are worked out: in a `Sequential`, modules without weights leave gaps between the numbers in the
//! names; how many inputs the first linear layer has says how large the map before it is. Every reading that explains both
//! is looked for, at one size of the image. If there is exactly one it is taken and every assumption is said; otherwise
//! the file is refused, with the readings to choose from.

mod graph;
mod hints;
mod infer;
mod keras;
mod module;
mod norms;
mod onnx;
mod order;
mod readings;
mod sequence;
mod state;
pub mod tflite;
mod torch;
mod words;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::foreign;
use crate::weights::{DType, Weights};
pub use crate::zip::ZipError;
use crate::zip::{self, Archive};
use graph::{Array, Graph};
pub use hints::{Hints, Normalisation};
pub use keras::Hdf5Error;
pub use onnx::OnnxError;
use state::State;
pub use torch::PickleError;

/// An imported model.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The model.
    pub weights: Weights,
    /// What the file is.
    pub format: Format,
    /// What was assumed about the model, in lines.
    pub assumed: Vec<String>,
    /// What was dropped, folded and turned, in lines.
    pub changed: Vec<String>,
}

/// The kinds of files that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A `state_dict` in a safetensors file.
    Safetensors,
    /// A `state_dict` in a zip archive of torch.save.
    Torch,
    /// A `state_dict` in an old file of torch.save.
    LegacyTorch,
    /// A graph with its weights.
    Onnx,
    /// A zip archive of Keras.
    Keras,
    /// An HDF5 file of Keras.
    Hdf5,
}

impl Format {
    /// That of a file, by its content; a safetensors file has nothing to be known by, and is what all others are taken for.
    fn of(bytes: &[u8]) -> Result<Self> {
        if bytes.starts_with(zip::MAGIC) {
            let archive = Archive::read(bytes)?;
            if torch::is_torch(&archive) {
                return Ok(Self::Torch);
            }
            if keras::is_keras(&archive) {
                return Ok(Self::Keras);
            }
            bail!("a zip archive, but none of torch.save's or Keras's");
        }
        Ok(match bytes {
            _ if bytes.starts_with(foreign::LEGACY_TORCH) => Self::LegacyTorch,
            _ if bytes.starts_with(foreign::HDF5) => Self::Hdf5,
            _ if foreign::is_onnx(bytes) => Self::Onnx,
            _ => Self::Safetensors,
        })
    }

    /// In words, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "PyTorch state_dict (safetensors)",
            Self::Torch => "PyTorch state_dict (torch.save)",
            Self::LegacyTorch => "PyTorch state_dict (torch.save, old form)",
            Self::Onnx => "ONNX",
            Self::Keras => "Keras",
            Self::Hdf5 => "Keras (HDF5)",
        }
    }

    /// Whether the file holds weights only.
    pub fn is_state_dict(self) -> bool {
        matches!(self, Self::Safetensors | Self::Torch | Self::LegacyTorch)
    }
}

/// Reads a model of another program; [`read`] also says what was assumed.
///
/// # Errors
/// With the file's name, what was expected and what was found.
pub fn import(path: &Path, hints: &Hints) -> Result<Weights> {
    Ok(read(path, hints)?.weights)
}

/// Reads a model of another program; `-` is standard input.
///
/// # Errors
/// With the file's name, what was expected and what was found.
pub fn read(path: &Path, hints: &Hints) -> Result<Imported> {
    let read = || convert(&foreign::read_any(path)?, path.parent(), hints);
    read().with_context(|| format!("{}: cannot be imported", foreign::name(path)))
}

/// [`read`] of a file whose bytes are known.
pub(crate) fn of_file(path: &Path, bytes: &[u8], hints: &Hints) -> Result<Imported> {
    convert(bytes, path.parent(), hints).with_context(|| format!("{}: cannot be read as a model", foreign::name(path)))
}

/// Converts the bytes of a model of another program.
///
/// # Errors
/// See [`read`].
pub fn from_bytes(bytes: &[u8], hints: &Hints) -> Result<Imported> {
    convert(bytes, None, hints)
}

/// The same, with the folder in which a second file may lie.
fn convert(bytes: &[u8], folder: Option<&Path>, hints: &Hints) -> Result<Imported> {
    let format = Format::of(bytes)?;
    let (graph, assumed) = match format {
        Format::Safetensors => of_state(state::state(state::read_safetensors(bytes)?, false, Vec::new())?, hints)?,
        Format::Torch => of_torch(torch::read_archive(&Archive::read(bytes)?)?, hints)?,
        Format::LegacyTorch => of_torch(torch::read_legacy(bytes)?, hints)?,
        Format::Onnx => onnx::read(bytes, folder, hints)?,
        Format::Keras => (keras::read_archive(&Archive::read(bytes)?, hints)?, Vec::new()),
        Format::Hdf5 => (keras::read_hdf5(bytes, hints)?, Vec::new()),
    };
    let lowered = graph::lower(graph)?;
    let mut weights = lowered.weights;
    weights.metadata.insert("imported.from".into(), format.name().into());
    if let Some(normalisation) = &hints.normalisation {
        weights.metadata.insert("imported.normalisation".into(), normalisation.to_string());
    }
    // Written and read once, so that NaN and the like are found now.
    Ok(Imported { weights: weights.rounded(DType::F32)?, format, assumed, changed: lowered.notes })
}

fn of_torch((tensors, notes): (Vec<(String, Array)>, Vec<String>), hints: &Hints) -> Result<(Graph, Vec<String>)> {
    of_state(state::state(tensors, true, notes)?, hints)
}

/// The graph of a `state_dict`, and what was assumed.
fn of_state(state: State, hints: &Hints) -> Result<(Graph, Vec<String>)> {
    let (network, modules, mut assumed) = match &hints.network {
        Some(text) => words::network(text, hints.size, &state)?,
        None => infer::network(&state, hints.size)?,
    };
    assumed.extend(state.assumed.iter().cloned());
    let (mut graph, start) = hints.start(network.input())?;
    graph.notes.extend(state.notes.iter().cloned());
    sequence::fill(&mut graph, start, &network, &modules)?;
    Ok((graph, assumed))
}
