//! What can be wrong with a file of tensors that are images.

use std::io;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::super::input::dimensions;
use super::names::LABELS;
use crate::tensors::HeaderError;

/// A file and what is wrong with it; the message says what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct FileError {
    /// The file concerned.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a file of tensors that are images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused to open or read the file.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A file of another kind; the message says which.
    #[error("{0}")]
    Foreign(String),
    /// The header is not that of a safetensors file of this length.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No tensor of images.
    #[error("expected a tensor {}, found {}", wanted.join(" or "), found_names(found))]
    NoImages {
        /// Names that it may have.
        wanted: &'static [&'static str],
        /// The tensors that are there.
        found: Vec<String>,
    },
    /// A NumPy file whose header does not fit; the message says what was expected.
    #[error("{0}")]
    Numpy(String),
    /// The file of labels beside it.
    #[error("its labels in {}: {problem}", file.display())]
    Labels {
        /// The file of labels.
        file: PathBuf,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// Pictures of a size that no memory should hold.
    #[error(transparent)]
    Picture(#[from] super::super::decode::Problem),
    /// Labels under both names.
    #[error("expected one tensor of labels, found {}", LABELS[..2].join(" and "))]
    TwoLabels,
    /// Elements of a type that is not read.
    #[error("tensor {tensor}: expected elements of type {expected}, found {found}")]
    DType {
        /// Name of the tensor.
        tensor: &'static str,
        /// The types that are read.
        expected: &'static str,
        /// The type in the file.
        found: Dtype,
    },
    /// Images of another shape than the model's.
    #[error("tensor {tensor}: expected {}, found {found:?}{}", shapes(*expected), order(*expected, found))]
    ImageShape {
        /// Name of the tensor.
        tensor: &'static str,
        /// Height, width and channels of the model's input.
        expected: [usize; 3],
        /// Dimensions in the file.
        found: Vec<usize>,
    },
    /// Integers on the grid of an int8 model, for a float model.
    #[error(
        "tensor {0}: I8 elements are integers on an int8 model's input grid, but the model takes floats: expected F32 or U8"
    )]
    NoGrid(&'static str),
    /// Bytes of pictures for a model whose input is no picture.
    #[error(
        "tensor {tensor}: U8 elements are pixels of pictures, but the model takes {} to {}, which is no range of pixels (0 to 1, \
         0 to 255 or -1 to 1): expected {}",
        range[0], range[1], if *has_grid { "F32 or I8" } else { "F32" }
    )]
    NoBytes {
        /// Name of the tensor.
        tensor: &'static str,
        /// Smallest and largest value of the model's input.
        range: [f32; 2],
        /// Whether it has a grid.
        has_grid: bool,
    },
    /// A pixel that is NaN, infinite or outside the model's range.
    #[error(
        "tensor {tensor}: image {image}, row {}, column {}, channel {} is {value}: expected a number from {} to {}",
        at[0], at[1], at[2], range[0], range[1]
    )]
    Pixel {
        /// Name of the tensor.
        tensor: &'static str,
        /// Index of the image.
        image: usize,
        /// Row, column and channel.
        at: [usize; 3],
        /// What was found there.
        value: f32,
        /// Smallest and largest value of the model's input.
        range: [f32; 2],
    },
    /// Not one label for each image.
    #[error("tensor {tensor}: expected [{expected}], one label for each image, found {found:?}")]
    LabelShape {
        /// Name of the tensor.
        tensor: &'static str,
        /// Number of images.
        expected: usize,
        /// Dimensions in the file.
        found: Vec<usize>,
    },
    /// A label that is no class of the model.
    #[error("tensor {tensor}: image {image} has label {label}, but the model has {classes} classes")]
    Label {
        /// Name of the tensor.
        tensor: &'static str,
        /// Index of the image.
        image: usize,
        /// Its label.
        label: i128,
        /// Number of classes.
        classes: usize,
    },
}

impl Problem {
    /// Says that a file of labels has the problem.
    pub(super) fn of_labels(self, file: &Path) -> Self {
        Self::Labels { file: file.to_path_buf(), problem: Box::new(self) }
    }

    /// Says which file has the problem.
    pub(super) fn at(self, file: &Path) -> FileError {
        FileError { file: file.to_path_buf(), problem: self }
    }
}

/// Names of tensors that stand in a message.
const NAMES: usize = 8;
/// Characters of each.
const LETTERS: usize = 40;

fn found_names(names: &[String]) -> String {
    let name = |name: &String| name.chars().take(LETTERS).collect::<String>().escape_debug().to_string();
    let mut words: Vec<String> = names.iter().take(NAMES).map(name).collect();
    if names.len() > NAMES {
        words.push(format!("{} more", names.len() - NAMES));
    }
    if words.is_empty() { "no tensor".into() } else { words.join(", ") }
}

/// The dimensions that images of a model may have.
fn shapes([height, width, channels]: [usize; 3]) -> String {
    let grey = if channels == 1 { format!(", [N, {height}, {width}]") } else { String::new() };
    let model = dimensions(&[height, width, channels]);
    format!("[N, {height}, {width}, {channels}]{grey} or [N, {}] for the model's {model}", height * width * channels)
}

/// What images with the channels first are, in most cases by mistake.
fn order([height, width, channels]: [usize; 3], found: &[usize]) -> &'static str {
    let first = [channels, height, width];
    if found.get(1..) == Some(&first) { "; the channels come last" } else { "" }
}
