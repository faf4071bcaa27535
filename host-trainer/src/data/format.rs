//! What a format of data sets is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::dataset::{Loaded, Part};
use super::error::DataError;
use super::fit::Fit;
use super::source::Split;
use crate::foreign;

/// A file or folder that a user named, and the half that is wanted of it.
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) split: Split,
    /// First bytes; empty of a folder.
    pub(super) head: Vec<u8>,
    pub(super) is_folder: bool,
}

impl<'a> Place<'a> {
    /// Looks at what is there.
    pub(super) fn of(path: &'a Path, split: Split) -> Self {
        let mut head = Vec::new();
        let is_folder = !path.is_file();
        if let Some(file) = (!is_folder).then(|| File::open(path).ok()).flatten() {
            // A file that cannot be read is for its format to complain about.
            let _ = file.take(foreign::HEAD).read_to_end(&mut head);
        }
        Self { path, split, head, is_folder }
    }

    /// What the data set is called: the name of the file or folder, and where it is.
    pub(super) fn name(&self) -> String {
        let whole = std::fs::canonicalize(self.path).unwrap_or_else(|_| self.path.to_path_buf());
        let stem = if self.is_folder { whole.file_name() } else { whole.file_stem() };
        format!("{} ({})", stem.unwrap_or(self.path.as_os_str()).display(), self.path.display())
    }

    /// A path as the owner of one.
    pub(super) fn owned(&self) -> PathBuf {
        self.path.to_path_buf()
    }
}

/// What a data set says of itself before its images are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Height, width and channels of the images, of the first if they differ; none if only a model can tell.
    pub shape: Option<[usize; 3]>,
    /// Number of classes; none without labels.
    pub classes: Option<usize>,
    /// What they are called.
    pub names: Classes,
    /// Whether it tells training images from test images.
    pub has_splits: bool,
}

/// A data set that was found.
pub(super) trait Found {
    /// What it says of itself, where `known` are the names of classes that the user or the model gives.
    fn facts(&self, known: &Classes) -> Result<Facts, DataError>;
    /// A part of its images.
    fn load(&self, part: Part, fit: &Fit<'_>) -> Result<Loaded, DataError>;
}

/// A format: looks whether `place` has it.
pub(super) type Open = fn(place: &Place<'_>) -> Result<Option<Box<dyn Found>>, DataError>;
