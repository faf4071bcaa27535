//! What is in an album, and what a folder holds.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::decode::{ENDINGS, is_picture};
use super::super::error::DataError;
use super::super::format::Place;
use super::super::source::Split;

/// A picture of an album.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// What the file is called.
    pub(super) shown: String,
    /// The name of its class.
    pub(super) class: Option<String>,
}

/// Pictures, in their order.
pub(super) struct Album {
    /// The folder, or the table of labels, that tells the classes.
    pub(super) root: PathBuf,
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    /// Names of the classes, each once and sorted; there may be some without a picture.
    pub(super) classes: Vec<String>,
    /// Files that are no pictures.
    pub(super) left_out: usize,
    pub(super) has_splits: bool,
}

/// Whether a file with some name is a picture: by its ending, or else by its first bytes.
pub(super) fn may_be_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let head = || Place::of(path, Split::Test).head;
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) || is_picture(&head())
}

/// What is in a folder, sorted by name, without what is hidden.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = entry.map_err(DataError::io(folder))?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden {
            paths.push(path);
        }
        if paths.len() > MAX_FILES {
            let problem = format!("expected at most {MAX_FILES} files, found more");
            return Err(DataError::Album { path: folder.to_path_buf(), problem });
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The most files of a folder, and of all classes.
pub(super) const MAX_FILES: usize = 1 << 22;
