//! What can be wrong with a picture.

use std::path::PathBuf;

/// The most pixels of a picture that is decoded: 67 megapixels, above which a file of a few kilobytes could ask for gigabytes.
pub const MAX_PIXELS: usize = 1 << 26;

/// A picture and what is wrong with it; the message says what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct PictureError {
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
    /// A file of another kind.
    #[error("expected a picture ({}), found {found}", kinds.join(", "))]
    Foreign {
        /// The kinds of files that are pictures.
        kinds: Vec<&'static str>,
        /// What it looks like.
        found: &'static str,
    },
    /// The file is longer than any picture; its limit in bytes.
    #[error("expected a picture of at most {0} bytes, found more")]
    Long(u64),
    /// Damage; the decoder's reason.
    #[error("expected a sound {kind} file, found: {reason}")]
    Unsound {
        /// The format.
        kind: &'static str,
        /// The decoder's reason.
        reason: String,
    },
    /// Damage, before the format is known that it is damage to.
    #[error("{0}")]
    Damaged(String),
    /// Height and width of a picture that no memory should hold.
    #[error("expected at most {MAX_PIXELS} pixels, found {} x {} (height x width)", .0[0], .0[1])]
    TooLarge([usize; 2]),
    /// Height and width, one of which is 0.
    #[error("expected pixels, found {} x {} (height x width)", .0[0], .0[1])]
    NoPixels([usize; 2]),
    /// A sound file of a kind that is not read.
    #[error("{0}")]
    Unsupported(String),
}
