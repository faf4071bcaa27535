//! A folder for each class.

use std::path::{Path, PathBuf};

use super::super::error::DataError;
use super::contents::{Album, Entry, MAX_FILES, list, may_be_picture};

/// The pictures below `root`: of each folder in it, or in it alone if it has no folders; none if there are none.
///
/// Pictures of the classes take turns, in proportion to how many each has, so that any first part of them is a fair one.
pub(super) fn read(root: &Path) -> Result<Option<Album>, DataError> {
    if !root.is_dir() {
        return Ok(None);
    }
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = list(root)?.into_iter().partition(|path| path.is_dir());
    let (mut turns, mut classes, mut left_out) = (Vec::new(), Vec::new(), 0);
    for folder in &folders {
        let all = list(folder)?;
        let found = all.len();
        let pictures: Vec<PathBuf> = all.into_iter().filter(|path| path.is_file() && may_be_picture(path)).collect();
        left_out += found - pictures.len();
        let count = pictures.len();
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        turns.extend(
            pictures
                .into_iter()
                .enumerate()
                .map(|(i, path)| ((2 * i + 1, count), entry(root, path, Some(class.clone())))),
        );
        classes.push(class);
        if turns.len() > MAX_FILES {
            let problem = format!("expected at most {MAX_FILES} pictures, found more");
            return Err(DataError::Album { path: root.into(), problem });
        }
    }
    let entries: Vec<Entry> = if turns.is_empty() {
        classes.clear();
        left_out = 0;
        files.into_iter().filter(|path| may_be_picture(path)).map(|path| entry(root, path, None)).collect()
    } else {
        // A stable sort by (2 i + 1) / count: classes in their order where two are equal.
        turns.sort_by(|((a, of_a), _), ((b, of_b), _)| (a * of_b).cmp(&(b * of_a)));
        turns.into_iter().map(|(_, entry)| entry).collect()
    };
    classes.sort_unstable();
    let album = Album { root: root.into(), name: String::new(), entries, classes, left_out, has_splits: false };
    Ok((!album.entries.is_empty()).then_some(album))
}

fn entry(root: &Path, path: PathBuf, class: Option<String>) -> Entry {
    let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    Entry { shown, path, class }
}
