//! The files of a data set in a folder: the names that they have there, and which data set they are.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use flate2::Crc;

use super::classes::Classes;
use super::dataset::{Loaded, Part};
use super::decode::Bitmap;
use super::error::DataError;
use super::fit::Fit;
use super::format::{Facts, Found, Place};
use super::idx::{self, Images};
use super::known::{FILES, file_names, find};
use super::pictures::{self, Listing};
use super::source::Split;
use crate::names;

/// Where the files lie below the folder that a user names; torchvision has folders of its own.
const BELOW: [&str; 5] = ["", "raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw"];

/// CRC-32 of MNIST's pixels followed by its labels, for training and for testing. It tells data sets apart; it does not
/// protect against forgery.
const MNIST_CRC: [u32; 2] = [0xdf6d_de61, 0x190e_897b];

/// A pair of files, read.
struct Pair {
    images: Images,
    listing: Listing,
    has_splits: bool,
}

/// A folder with IDX files of the published names, plain or gzip, or with torchvision's folders of them.
///
/// # Errors
/// [`DataError::Missing`] with all names tried, or [`DataError::Idx`].
pub(super) fn open(place: &Place<'_>) -> Result<Option<Box<dyn Found>>, DataError> {
    let folders = BELOW.map(|below| place.path.join(below));
    let has = |split: Split, folder: &Path| find(folder, FILES[split as usize][0].name).is_some();
    let [train, test] = [Split::Train, Split::Test].map(|split| folders.iter().find(|folder| has(split, folder)));
    let wanted = if place.split == Split::Train { train } else { test };
    match wanted {
        Some(folder) => {
            let pair = Pair { has_splits: train.is_some() && test.is_some(), ..read(place, folder)? };
            Ok(Some(Box::new(pair)))
        }
        // The other half alone.
        None if train.is_some() || test.is_some() => Err(missing(place.path, place.split)),
        None => Ok(None),
    }
}

fn read(place: &Place<'_>, folder: &Path) -> Result<Pair, DataError> {
    let [image_name, label_name] = FILES[place.split as usize].map(|known| known.name);
    let none = |name| DataError::Missing { folder: folder.to_path_buf(), tried: file_names(name).join(", ") };
    let image_file = find(folder, image_name).ok_or_else(|| none(image_name))?;
    let label_file = find(folder, label_name).ok_or_else(|| none(label_name))?;
    let (images, labels) = (idx::read_images(&image_file)?, idx::read_labels(&label_file)?);
    detail!("images: {}", image_file.display());
    let count = images.shape[0];
    if count != labels.len() {
        return Err(idx::Problem::CountMismatch(count, labels.len()).at(&label_file).into());
    }
    let split = place.split;
    let name = format!("{} {} ({})", data_set(&images, &labels, split, folder), split.name(), place.path.display());
    let labels = Some(labels.into_iter().map(usize::from).collect());
    let listing = Listing { name, count, labels, ..Default::default() };
    Ok(Pair { images, listing, has_splits: false })
}

impl Found for Pair {
    fn facts(&self, known: &Classes) -> Result<Facts, DataError> {
        let [_, height, width] = self.images.shape;
        let most = self.listing.labels.iter().flatten().max().map(|label| label + 1);
        Ok(Facts { shape: Some([height, width, 1]), classes: most, names: known.clone(), has_splits: self.has_splits })
    }

    fn load(&self, part: Part, fit: &Fit<'_>) -> Result<Loaded, DataError> {
        let [_, height, width] = self.images.shape;
        let pixels = height * width;
        let bytes = |place: usize| self.images.pixels[place * pixels..][..pixels].to_vec();
        let picture = |place: usize| Ok(Bitmap::of_bytes([height, width, 1], bytes(place)));
        pictures::load(self.listing.clone(), picture, part, fit)
    }
}

/// Why there is no data set: a folder that is not there is another mistake than an empty one.
pub(super) fn missing(folder: &Path, split: Split) -> DataError {
    let (shown, [images, _]) = (folder.to_path_buf(), FILES[split as usize]);
    match fs::read_dir(folder) {
        Ok(_) => DataError::Missing { folder: shown, tried: file_names(images.name).join(", ") },
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
    use crate::data::fit::Reading;
    use crate::data::input::Input;

    fn load(folder: &Path, split: Split) -> Result<Loaded, DataError> {
        let (input, reading) = (Input::pixels([1, 3, 1], 13), Reading::default());
        let found = open(&Place::of(folder, split))?.ok_or_else(|| missing(folder, split))?;
        found.load(Part::ALL, &Fit::new(&input, &reading))
    }

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
            assert_eq!((set.image(0), set.labels.as_deref()), (&[0.0, 0.2, 1.0][..], Some(&[7, 12][..])));
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
