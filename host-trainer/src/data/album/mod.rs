//! Pictures in a folder: one folder for each class, a table `labels.csv`, or no labels; and a picture alone.
//!
//! ```text
//! pets/cat/1.png  pets/dog/2.jpg       the folders are the classes
//! pets/labels.csv                      file,label   1.png,cat   2.jpg,dog
//! pets/train/...  pets/test/...        any of these for training and for testing
//! ```

mod assign;
mod contents;
mod folders;
mod table;

use std::path::PathBuf;

use super::classes::Classes;
use super::dataset::{Loaded, Part};
use super::decode::{self, is_picture};
use super::error::DataError;
use super::fit::Fit;
use super::format::{Facts, Found, Place};
use super::pictures::{self, Listing};
use super::source::Split;
use assign::{Assigned, assign};
use contents::{Album, Entry};
use table::TABLE;

/// Folders of the two halves, the usual name first.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];
/// A picture, or a folder of them, if `place` is that.
pub(super) fn open(place: &Place<'_>) -> Result<Option<Box<dyn Found>>, DataError> {
    if !place.is_folder {
        let path = || vec![place.owned()];
        return Ok(is_picture(&place.head).then(|| Box::new(files(path())) as _));
    }
    let (root, has_splits) = root(place)?;
    let found = if root.join(TABLE).is_file() { Some(table::read(&root)?) } else { folders::read(&root)? };
    Ok(found.map(|album| {
        let halves = if has_splits { format!("{} ", place.split.name()) } else { String::new() };
        let name = place.name().replacen(" (", &format!(" {halves}("), 1);
        Box::new(Album { name, has_splits, ..album }) as _
    }))
}

/// The pictures of some files.
fn files(paths: Vec<PathBuf>) -> Album {
    let name = match &paths[..] {
        [path] => path.display().to_string(),
        _ => format!("{} pictures", paths.len()),
    };
    let entry = |path: PathBuf| Entry { shown: path.display().to_string(), path, class: None };
    let entries = paths.into_iter().map(entry).collect();
    Album { root: PathBuf::new(), name, entries, classes: Vec::new(), left_out: 0, has_splits: false }
}

/// Loads pictures that a user named one by one, without labels.
///
/// # Errors
/// [`DataError::Picture`] with the file's name, what was expected and what was found; those of [`super::load`].
pub fn load_files(paths: &[PathBuf], fit: &Fit<'_>) -> Result<Loaded, DataError> {
    files(paths.to_vec()).load(Part::ALL, fit)
}

/// The folder of the wanted half, and whether there are two.
fn root(place: &Place<'_>) -> Result<(PathBuf, bool), DataError> {
    let find = |names: &[&str]| names.iter().map(|name| place.path.join(name)).find(|folder| folder.is_dir());
    let (train, test) = (find(&TRAIN), find(&TEST));
    let (wanted, other, there) = match place.split {
        Split::Train => (train, test, Split::Test),
        Split::Test => (test, train, Split::Train),
    };
    match (wanted, other) {
        (Some(folder), other) => Ok((folder, other.is_some())),
        (None, Some(_)) => Err(DataError::OtherSplit { path: place.owned(), there, wanted: place.split }),
        (None, None) => Ok((place.owned(), false)),
    }
}

impl Album {
    fn problem(&self, problem: String) -> DataError {
        DataError::Album { path: self.root.clone(), problem }
    }

    fn assigned(&self, known: &Classes, count: Option<usize>) -> Result<Assigned, DataError> {
        assign(&self.classes, known, count).map_err(|problem| self.problem(problem))
    }

    /// One class for each picture, if they have any.
    fn labels(&self, assigned: &Assigned) -> Option<Vec<usize>> {
        let label = |entry: &Entry| entry.class.as_ref().and_then(|class| assigned.labels.get(class).copied());
        self.entries.iter().map(label).collect()
    }
}

impl Found for Album {
    fn facts(&self, known: &Classes) -> Result<Facts, DataError> {
        let first = self.entries.first().map(|entry| decode::read(&entry.path)).transpose()?;
        let assigned = self.assigned(known, None)?;
        let classes = (!self.classes.is_empty()).then_some(assigned.count);
        let shape = first.map(|picture| [picture.height, picture.width, picture.channels]);
        Ok(Facts { shape, classes, names: assigned.names, has_splits: self.has_splits })
    }

    fn load(&self, part: Part, fit: &Fit<'_>) -> Result<Loaded, DataError> {
        let assigned = self.assigned(&fit.reading.classes, Some(fit.input.classes))?;
        let listing = Listing {
            name: self.name.clone(),
            count: self.entries.len(),
            labels: self.labels(&assigned),
            files: self.entries.iter().map(|entry| entry.shown.clone()).collect(),
            classes: assigned.names,
        };
        let picture = |place: usize| Ok(decode::read(&self.entries[place].path)?);
        let mut loaded = pictures::load(listing, picture, part, fit)?;
        loaded.notices.extend(assigned.notice);
        if self.left_out > 0 {
            let files = if self.left_out == 1 {
                "1 file that is no picture".into()
            } else {
                format!("{} files that are no pictures", self.left_out)
            };
            loaded.notices.push(format!("{}: left out {files}", self.root.display()));
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests;
