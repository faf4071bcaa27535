//! Why there are no images.

use std::io;
use std::path::{Path, PathBuf};

use super::classes::ClassesError;
use super::decode::PictureError;
use super::file::FileError;
use super::idx;
use super::input::dimensions;

use super::decode::ENDINGS;
use super::source::{MAX_BYTES, MAX_SYNTHETIC, Split};

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// An IDX file is unreadable or malformed.
    #[error(transparent)]
    Idx(#[from] idx::IdxError),
    /// A safetensors file cannot be read, or does not hold images that the model takes.
    #[error(transparent)]
    File(#[from] FileError),
    /// A picture cannot be read, or the model does not take it.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The file of the classes' names cannot be used.
    #[error(transparent)]
    Classes(#[from] ClassesError),
    /// A set without images.
    #[error("{0}: no images")]
    Empty(String),
    /// Images of another shape than the model's.
    #[error("{name}: images are {}, but the model expects {}", dimensions(found), dimensions(expected))]
    Shape {
        /// Name of the data set.
        name: String,
        /// Height, width and channels of its images.
        found: [usize; 3],
        /// Those of the model's input.
        expected: [usize; 3],
    },
    /// Pictures for a model of other channels than a picture's.
    #[error("{name}: holds pictures, but the model takes {}: expected 1 or 3 channels", dimensions(shape))]
    NoPictures {
        /// Name of the data set.
        name: String,
        /// Height, width and channels of the model's input.
        shape: [usize; 3],
    },
    /// More images than should be in memory at once.
    #[error(
        "{name}: {images} images of {} take {} MB in memory, where midge holds at most {} MB: --limit {} takes the first of them",
        dimensions(shape), bytes >> 20, MAX_BYTES >> 20, fit.max(&1)
    )]
    Large {
        /// Name of the data set.
        name: String,
        /// Number of images.
        images: usize,
        /// Height, width and channels of the model's input.
        shape: [usize; 3],
        /// What they would take.
        bytes: u128,
        /// How many there may be.
        fit: usize,
    },
    /// A folder of pictures with something wrong about its classes, labels or files; the message says what.
    #[error("{}: {problem}", path.display())]
    Album {
        /// The folder or the file of labels.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// A CIFAR file with something wrong; the message says what.
    #[error("{}: {problem}", path.display())]
    Cifar {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// A label that is no class of the model.
    #[error("{name}: image {image} has label {label}, but the model has {classes} classes")]
    Label {
        /// Name of the data set.
        name: String,
        /// Place of the image in the data set.
        image: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Images without labels, for work that needs them.
    #[error(
        "{0}: has no labels, which this command needs: expected a tensor labels, a folder for each class or a labels.csv; midge \
         classify takes images without"
    )]
    NoLabels(String),
    /// Pictures of 8 bits for a model whose input is no picture.
    #[error(
        "{name}: holds pictures, but the model takes {} to {}, which is no range of pixels (0 to 1, 0 to 255 or -1 to 1)",
        range[0], range[1]
    )]
    Units {
        /// Name of the data set.
        name: String,
        /// Smallest and largest value of the model's input.
        range: [f32; 2],
    },
    /// Data for training that do not say which images are for testing.
    #[error("{}: has no test images of its own: --test-data says where they are", .0.display())]
    NoSplit(PathBuf),
    /// A data set of which only the other half is there.
    #[error("{}: has images for {}, but none for {}", path.display(), half(*there), half(*wanted))]
    OtherSplit {
        /// The folder or file.
        path: PathBuf,
        /// The half that is there.
        there: Split,
        /// The half that was asked for.
        wanted: Split,
    },
    /// A part of a data set was asked to start behind the last image.
    #[error("{name} has {len} images, so the offset must be below {len}, but it is {offset}")]
    Offset {
        /// Name of the data set.
        name: String,
        /// Its number of images.
        len: usize,
        /// The offset asked for.
        offset: usize,
    },
    /// A folder lacks a file of the pair.
    #[error(
        "{}: has none of the files {tried}, nor CIFAR-10's, nor pictures ({}), a folder of them for each class or a labels.csv",
        folder.display(), ENDINGS.join(", ")
    )]
    Missing {
        /// The folder searched.
        folder: PathBuf,
        /// The names tried, separated by commas.
        tried: String,
    },
    /// There is nothing of that name.
    #[error("{}: no such file or folder{hint}", folder.display())]
    NoFolder {
        /// The file or folder asked for.
        folder: PathBuf,
        /// What it was perhaps meant to be.
        hint: String,
    },
    /// A pipe, a device or the like.
    #[error("{}: expected a file, or the folder that holds the images and labels; this is neither", .0.display())]
    NotAFolder(PathBuf),
    /// A file or folder could not be used; distinct from damage to an IDX file.
    #[error("{}: cannot be used: {error}", path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's reason. (Not called `source`: a chain of errors would say it twice.)
        error: io::Error,
    },
    /// The user has no home folder, hence no cache.
    #[error("no cache folder for MNIST: {0}; {OFFLINE}")]
    NoCache(String),
    /// No mirror gave the file.
    #[error("cannot download {file}; {OFFLINE}; tried:{}", list(failures))]
    Download {
        /// The file wanted.
        file: String,
        /// One line per mirror: its address and what went wrong.
        failures: Vec<String>,
    },
    /// More synthetic images than [`MAX_SYNTHETIC`].
    #[error("expected at most {MAX_SYNTHETIC} synthetic images per split, found {0}")]
    TooMany(usize),
}

const OFFLINE: &str = "without a network, give a folder that holds MNIST with `--data DIR` or the \
     variable MIDGE_DATA, or use `--data synthetic`";

fn half(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Test => "testing",
    }
}

fn list(failures: &[String]) -> String {
    failures.iter().map(|line| format!("\n  {line}")).collect()
}

impl DataError {
    /// Adds the path to a system error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |error| Self::Io { path: path.to_path_buf(), error }
    }
}
