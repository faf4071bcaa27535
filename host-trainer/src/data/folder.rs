//! The files of a data set in a folder: the names that they have there, and which data set they are.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flate2::Crc;

use super::idx::{self, Images};
use super::known::FILES;
use super::{DataError, Dataset, Split};
use crate::names;

/// Where the files lie below the folder that a user names; torchvision has folders of its own.
const BELOW: [&str; 5] = ["", "raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw"];

/// CRC-32 of MNIST's pixels followed by its labels, for training and for testing. It tells data sets apart; it does not
/// protect against forgery.
const MNIST_CRC: [u32; 2] = [0xdf6d_de61, 0x190e_897b];

/// Loads a split from a folder that holds its pair of files, plain or gzip, or from torchvision's folders below it.
///
/// # Errors
/// [`DataError::Missing`] with all names tried, [`DataError::NotAFolder`], [`DataError::Io`] or [`DataError::Idx`].
pub fn load(folder: &Path, split: Split) -> Result<Dataset, DataError> {
    let [images, labels] = FILES[split as usize].map(|known| known.name);
    let found = BELOW.iter().map(|below| folder.join(below)).find_map(|place| Some((find(&place, images)?, place)));
    let Some((image_file, place)) = found else { return Err(missing(folder, images)) };
    let label_file = find(&place, labels).ok_or_else(|| missing(&place, labels))?;
    let (images, labels) = (idx::read_images(&image_file)?, idx::read_labels(&label_file)?);
    detail!("images: {}", image_file.display());
    let name = format!("{} {} ({})", data_set(&images, &labels, split, &place), split.name(), folder.display());
    Dataset::from_idx(&images, labels, &label_file, name)
}

/// The file of that name, as it was published, as gzip, or with the dot that some archives put into it.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    file_names(name).iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn file_names(name: &str) -> [String; 4] {
    let dotted = name.replacen("-idx", ".idx", 1);
    [name.to_string(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")]
}

/// Why there is no file: a folder that is not there is another mistake than an empty one.
fn missing(folder: &Path, name: &str) -> DataError {
    let shown = folder.to_path_buf();
    match fs::read_dir(folder) {
        Ok(_) => DataError::Missing { folder: shown, tried: file_names(name).join(", ") },
        Err(error) if error.kind() == ErrorKind::NotADirectory => DataError::NotAFolder(shown),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let hint = match names::closest(&folder.to_string_lossy(), ["synthetic", "mnist"]) {
                Some("mnist") => "; without --data and MIDGE_DATA, MNIST is downloaded".into(),
                Some(name) => format!("; did you mean {name:?}?"),
                None => String::new(),
            };
            DataError::NoFolder { folder: shown, hint }
        }
        Err(error) => DataError::io(folder)(error),
    }
}

/// What to call the images: MNIST if they are that to the bit, else what their folder is called.
fn data_set(images: &Images, labels: &[u8], split: Split, place: &Path) -> String {
    let mut crc = Crc::new();
    crc.update(&images.pixels);
    crc.update(labels);
    if crc.sum() == MNIST_CRC[split as usize] {
        return "MNIST".into();
    }
    let place = fs::canonicalize(place).unwrap_or_else(|_| place.to_path_buf());
    let mut names = place.iter().rev().map(|name| name.to_string_lossy().into_owned());
    let name = names.find(|name| name != "raw").unwrap_or_default();
    // Other images in a folder of this name would pass for the published ones.
    if name.eq_ignore_ascii_case("mnist") { "unknown images".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two test images of 1x3 pixels.
    fn write(folder: &Path, images: &str, labels: &str) {
        fs::create_dir_all(folder).unwrap();
        let sample = Images { shape: [2, 1, 3], pixels: vec![0, 51, 255, 1, 2, 3] };
        idx::write_images(&folder.join(images), &sample).unwrap();
        idx::write_labels(&folder.join(labels), &[7, 12]).unwrap();
    }

    #[test]
    fn files_are_found_under_every_usual_name() {
        let parent = tempfile::tempdir().unwrap();
        let cases = [
            ("plain", "", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"),
            ("dots", "", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
            ("packed dots", "", "t10k-images.idx3-ubyte.gz", "t10k-labels-idx1-ubyte"),
            ("FashionMNIST", "raw", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        ];
        for (name, below, images, labels) in cases {
            let folder = parent.path().join(name);
            write(&folder.join(below), images, labels);
            let set = load(&folder, Split::Test).unwrap();
            assert_eq!((set.image(0), set.label(1), set.shape), (&[0.0, 0.2, 1.0][..], 12, [1, 3, 1]));
            assert_eq!(set.name, format!("{name} test ({})", folder.display()));
        }
        let root = parent.path().join("root");
        write(&root.join("MNIST/raw"), "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
        let set = load(&root, Split::Test).unwrap();
        assert_eq!(set.name, format!("unknown images test ({})", root.display()));
    }

    #[test]
    fn every_mistake_has_its_message() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        let message = |name: &str| load(&path(name), Split::Test).unwrap_err().to_string();
        fs::create_dir(path("empty")).unwrap();
        fs::write(path("file"), "").unwrap();
        write(&path("half"), "t10k-images-idx3-ubyte", "other");
        for (name, expected) in [
            ("empty", "t10k-images-idx3-ubyte, t10k-images-idx3-ubyte.gz, t10k-images.idx3-ubyte"),
            ("half", "t10k-labels-idx1-ubyte"),
            ("nowhere", "no such file or folder"),
            ("file", "this is neither"),
        ] {
            let message = message(name);
            assert!(message.starts_with(path(name).to_str().unwrap()) && message.contains(expected), "{message}");
        }
        for (name, hint) in [("synthetc", "did you mean \"synthetic\"?"), ("MNIST", "MNIST is downloaded")] {
            let message = load(Path::new(name), Split::Test).unwrap_err().to_string();
            assert!(message.ends_with(hint), "{message}");
        }
    }
}
