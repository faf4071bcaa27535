//! What can be wrong with a picture.

use std::path::PathBuf;

use super::super::input::dimensions;

/// A picture and what is wrong with it; the message says what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct PngError {
    /// The file concerned.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused to open or read the file.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A file of another kind; the message says which.
    #[error("expected a PNG file, found {0}")]
    Foreign(&'static str),
    /// Damage to a PNG file; the decoder's reason.
    #[error("expected a sound PNG file, found: {0}")]
    Png(String),
    /// A picture of another size than the model's.
    #[error("expected {} x {} pixels (height x width), found {} x {}; midge does not resize", expected[0], expected[1], found[0], found[1])]
    Size {
        /// Height and width of the model's input.
        expected: [usize; 2],
        /// Height and width of the picture.
        found: [usize; 2],
    },
    /// A picture that one can see through.
    #[error("expected an opaque picture, found a transparent pixel at row {0}, column {1}")]
    Transparent(usize, usize),
    /// The model takes no pictures.
    #[error("the model takes {} with values from {} to {}: expected 1 or 3 channels from 0 to 1, 0 to 255 or -1 to 1; --data takes such images", dimensions(shape), range[0], range[1])]
    Model {
        /// Height, width and channels of the model's input.
        shape: [usize; 3],
        /// Its smallest and largest value.
        range: [f32; 2],
    },
}
