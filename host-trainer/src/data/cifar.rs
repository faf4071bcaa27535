//! CIFAR-10 in its binary files (Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009).
//!
//! ```text
//! record: label u8, red 32x32 u8, green 32x32 u8, blue 32x32 u8
//! ```
//! A folder has `data_batch_1.bin` to `data_batch_5.bin` for training, `test_batch.bin` for testing, and the names of the classes
//! in `batches.meta.txt`. A file has no first bytes of its own: it is known by a length of whole records whose labels are all
//! below 10.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::dataset::{Loaded, Part};
use super::decode::Bitmap;
use super::error::DataError;
use super::fit::Fit;
use super::format::{Facts, Found, Place};
use super::pictures::{self, Listing};
use super::source::Split;

const SIDE: usize = 32;
const CLASSES: usize = 10;
const PLANE: usize = SIDE * SIDE;
/// Bytes of a record.
const RECORD: usize = 1 + 3 * PLANE;
/// The longest file that is read: twenty times a published one.
const MAX_FILE: u64 = 20 * 10_000 * RECORD as u64;

/// Where the files lie below the folder that a user names.
const BELOW: [&str; 2] = ["", "cifar-10-batches-bin"];
const NAMES: &str = "batches.meta.txt";

/// Files of records.
struct Cifar {
    name: String,
    files: Vec<PathBuf>,
    names: Option<PathBuf>,
    has_splits: bool,
}

fn files_of(split: Split) -> Vec<String> {
    match split {
        Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
        Split::Test => vec!["test_batch.bin".into()],
    }
}

pub(super) fn open(place: &Place<'_>) -> Result<Option<Box<dyn Found>>, DataError> {
    if !place.is_folder {
        let is_cifar = fs::metadata(place.path).is_ok_and(|found| is_whole(found.len())) && has_labels(&place.head);
        let files = vec![place.owned()];
        return Ok(is_cifar.then(|| Box::new(Cifar { name: place.name(), files, names: None, has_splits: false }) as _));
    }
    let there = |split: Split, folder: &Path| {
        let files = files_of(split).into_iter().map(|name| folder.join(name)).filter(|path| path.is_file());
        files.collect::<Vec<_>>()
    };
    let folders = BELOW.map(|below| place.path.join(below));
    let Some(folder) =
        folders.iter().find(|folder| [Split::Train, Split::Test].iter().any(|s| !there(*s, folder).is_empty()))
    else {
        return Ok(None);
    };
    let (files, wanted) = (there(place.split, folder), place.split);
    if files.len() < files_of(wanted).len() {
        let missing = files_of(wanted).into_iter().find(|name| !folder.join(name).is_file()).unwrap_or_default();
        return Err(DataError::Cifar {
            path: folder.join(missing),
            problem: "is missing beside the other files".into(),
        });
    }
    let name = format!("CIFAR-10 {} ({})", wanted.name(), place.path.display());
    let names = Some(folder.join(NAMES)).filter(|names| names.is_file());
    Ok(Some(Box::new(Cifar { name, files, names, has_splits: true })))
}

fn is_whole(length: u64) -> bool {
    length > 0 && length.is_multiple_of(RECORD as u64) && length <= MAX_FILE
}

fn has_labels(bytes: &[u8]) -> bool {
    bytes.chunks(RECORD).all(|record| record.first().is_some_and(|label| usize::from(*label) < CLASSES))
}

impl Cifar {
    fn names(&self) -> Result<Classes, DataError> {
        Ok(self.names.as_deref().map(Classes::read).transpose()?.unwrap_or_default())
    }

    fn read(&self) -> Result<Vec<u8>, DataError> {
        let mut records = Vec::new();
        for path in &self.files {
            let before = records.len();
            let file = fs::File::open(path).map_err(DataError::io(path))?;
            file.take(MAX_FILE + 1).read_to_end(&mut records).map_err(DataError::io(path))?;
            let found = &records[before..];
            let wrong = |problem| Err(DataError::Cifar { path: path.clone(), problem });
            if !is_whole(found.len() as u64) {
                return wrong(format!("expected records of {RECORD} bytes, found {} bytes", found.len()));
            }
            if let Some(image) = found.chunks(RECORD).position(|record| usize::from(record[0]) >= CLASSES) {
                let label = found[image * RECORD];
                return wrong(format!("expected labels below {CLASSES}, found {label} at image {image}"));
            }
        }
        Ok(records)
    }
}

impl Found for Cifar {
    fn facts(&self, _: &Classes) -> Result<Facts, DataError> {
        let shape = Some([SIDE, SIDE, 3]);
        Ok(Facts { shape, classes: Some(CLASSES), names: self.names()?, has_splits: self.has_splits })
    }

    fn load(&self, part: Part, fit: &Fit<'_>) -> Result<Loaded, DataError> {
        let records = self.read()?;
        let labels = records.chunks(RECORD).map(|record| usize::from(record[0])).collect();
        let count = records.len() / RECORD;
        let listing =
            Listing { name: self.name.clone(), count, labels: Some(labels), classes: self.names()?, files: vec![] };
        // Colours by planes become colours by pixels.
        let picture = |place: usize| {
            let planes = &records[place * RECORD + 1..][..3 * PLANE];
            let bytes = (0..3 * PLANE).map(|i| planes[i % 3 * PLANE + i / 3]).collect();
            Ok(Bitmap::of_bytes([SIDE, SIDE, 3], bytes))
        };
        pictures::load(listing, picture, part, fit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::damage::{damaged, numbers};
    use crate::data::fit::Reading;
    use crate::data::input::Input;

    /// Image `i` has red `i`, green 100 and blue 200.
    fn records(labels: &[u8]) -> Vec<u8> {
        let record =
            |(i, label): (usize, &u8)| [&[*label][..], &[i as u8; PLANE], &[100; PLANE], &[200; PLANE]].concat();
        labels.iter().enumerate().flat_map(record).collect()
    }

    fn load(path: &Path, split: Split) -> Result<Loaded, DataError> {
        let (input, reading) = (Input::pixels([32, 32, 3], 10), Reading::default());
        let found = open(&Place::of(path, split))?.expect("no CIFAR");
        found.load(Part::ALL, &Fit::new(&input, &reading))
    }

    #[test]
    fn a_folder_has_two_halves_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cifar-10-batches-bin");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("test_batch.bin"), records(&[3, 9])).unwrap();
        fs::write(path.join(NAMES), "airplane\nautomobile\nbird\ncat\n\n").unwrap();
        let test = load(folder.path(), Split::Test).unwrap();
        assert_eq!((test.labels.as_deref(), &*test.classes.name(3)), (Some(&[3, 9][..]), "cat"));
        assert_eq!(&test.image(1)[..3], [1.0 / 255.0, 100.0 / 255.0, 200.0 / 255.0]);
        let message = load(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.ends_with("data_batch_1.bin: is missing beside the other files"), "{message}");
        (1..=5).for_each(|i| fs::write(path.join(format!("data_batch_{i}.bin")), records(&[i])).unwrap());
        assert_eq!(load(&path, Split::Train).unwrap().labels.unwrap(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_file_is_known_by_its_length_and_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any");
        let is_cifar = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            open(&Place::of(&path, Split::Test)).unwrap().is_some()
        };
        assert!(is_cifar(&records(&[0, 9])) && !is_cifar(&records(&[10])) && !is_cifar(&[]));
        assert!(!is_cifar(&records(&[1, 2])[1..]));
        // A wrong label behind what is looked at first.
        assert!(is_cifar(&records(&[[1; 30].as_slice(), &[77]].concat())));
        let message = load(&path, Split::Test).unwrap_err().to_string();
        assert!(message.ends_with("any: expected labels below 10, found 77 at image 30"), "{message}");
    }

    #[test]
    fn no_damage_ends_in_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any");
        for number in numbers(100) {
            let bytes = damaged(&records(&[1, 2]), number);
            fs::write(&path, &bytes).unwrap();
            // By its own name nobody doubts what it is.
            let files = vec![path.clone()];
            let cifar = Cifar { name: "any".into(), files, names: None, has_splits: false };
            let found = cifar.read();
            assert_eq!(found.is_ok(), is_whole(bytes.len() as u64) && has_labels(&bytes), "{number}");
        }
    }
}
