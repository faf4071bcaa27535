//! Labelled images: MNIST from a folder, MNIST from the user's cache (downloaded once), or digits
//! midge draws itself when there is neither a file nor a network.

pub mod download;
pub mod folder;
pub mod gzip;
pub mod idx;
pub mod known;
pub mod mnist;
pub mod synthetic;

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The most synthetic images made for one split; beyond it the pixels would not fit a workstation.
pub const MAX_SYNTHETIC: usize = 1_000_000;

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// An IDX file is unreadable or malformed.
    #[error(transparent)]
    Idx(#[from] idx::IdxError),
    /// [`Dataset::slice`] was asked to start behind the last image.
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
    #[error("{}: has none of the files {tried}", folder.display())]
    Missing {
        /// The folder searched.
        folder: PathBuf,
        /// The names tried, separated by commas.
        tried: String,
    },
    /// There is nothing of the folder's name.
    #[error("{}: no such folder{hint}", folder.display())]
    NoFolder {
        /// The folder asked for.
        folder: PathBuf,
        /// What it was perhaps meant to be.
        hint: String,
    },
    /// A file where a folder is expected.
    #[error("{}: is a file, expected the folder that holds the images and labels", .0.display())]
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

fn list(failures: &[String]) -> String {
    failures.iter().map(|line| format!("\n  {line}")).collect()
}

impl DataError {
    /// Adds the path to a system error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |error| Self::Io { path: path.to_path_buf(), error }
    }
}

/// Images with their labels.
///
/// The fields are public so that benchmarks can read them; [`Self::new`] builds a set. Keep `images.len()` at
/// `labels.len()` times the product of `shape`, and `places` as long as `labels`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// `N * H * W * C` pixels in NHWC order, each in 0 to 1.
    pub images: Vec<f32>,
    /// One class per image.
    pub labels: Vec<u8>,
    /// Height, width and channels of every image.
    pub shape: [usize; 3],
    /// What to call the set in messages and reports.
    pub name: String,
    /// The place of each image in the whole set, which a part of it remembers.
    pub places: Vec<usize>,
}

impl Dataset {
    /// A whole set: its images have the places `0..labels.len()`.
    pub fn new(images: Vec<f32>, labels: Vec<u8>, shape: [usize; 3], name: String) -> Self {
        let places = (0..labels.len()).collect();
        Self { images, labels, shape, name, places }
    }

    /// Turns the two halves of an IDX pair into a set; bytes 0 to 255 become 0 to 1.
    ///
    /// # Errors
    /// [`idx::Problem::CountMismatch`], blamed on `label_file`, unless labels and images are equally many.
    pub fn from_idx(images: &idx::Images, labels: Vec<u8>, label_file: &Path, name: String) -> Result<Self, DataError> {
        let [count, rows, cols] = images.shape;
        if count != labels.len() {
            let problem = idx::Problem::CountMismatch(count, labels.len());
            return Err(problem.at(label_file).into());
        }
        Ok(Self::new(images.pixels.iter().map(|&p| unit(p)).collect(), labels, [rows, cols, 1], name))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The `H * W * C` pixels of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`], as indexing does.
    pub fn image(&self, i: usize) -> &[f32] {
        let size: usize = self.shape.iter().product();
        &self.images[i * size..(i + 1) * size]
    }

    /// The class of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`], as indexing does.
    pub fn label(&self, i: usize) -> usize {
        usize::from(self.labels[i])
    }

    /// A copy of the images from `offset` on, at most `limit` of them. A limit beyond the end is
    /// no error, because "up to 1000 images" is what callers mean.
    ///
    /// # Errors
    /// [`DataError::Offset`] if the set has images but none at `offset`, or if it has none and
    /// `offset` is not 0.
    pub fn slice(&self, offset: usize, limit: Option<usize>) -> Result<Self, DataError> {
        Ok(self.subset(part(&self.name, self.len(), offset, limit)?))
    }

    /// A copy of the images `chosen`, in that order; they keep their places.
    ///
    /// # Panics
    /// If an index is not below [`Self::len`].
    pub fn subset(&self, chosen: impl Iterator<Item = usize> + Clone) -> Self {
        Self {
            images: chosen.clone().flat_map(|i| self.image(i)).copied().collect(),
            labels: chosen.clone().map(|i| self.labels[i]).collect(),
            shape: self.shape,
            name: self.name.clone(),
            places: chosen.map(|i| self.places[i]).collect(),
        }
    }
}

/// The places of [`Dataset::slice`] among `len` images.
fn part(name: &str, len: usize, offset: usize, limit: Option<usize>) -> Result<Range<usize>, DataError> {
    if offset > 0 && offset >= len {
        return Err(DataError::Offset { name: name.into(), len, offset });
    }
    let left = len - offset;
    Ok(offset..offset + limit.map_or(left, |limit| limit.min(left)))
}

/// A pixel byte as a number in 0 to 1.
fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// The half of the data to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For fitting the weights.
    Train,
    /// For measuring them.
    Test,
}

impl Split {
    /// `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// Where data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder with the four MNIST files, plain or gzip.
    Folder(PathBuf),
    /// `midge/mnist` in the user's cache folder, filled from the mirrors when files are missing.
    Cache,
    /// Digits drawn by midge; no file, no network.
    Synthetic {
        /// Picks the drawings; the same seed gives the same images on every machine.
        seed: u64,
        /// Number of training images.
        train: usize,
        /// Number of test images.
        test: usize,
    },
}

impl Source {
    /// Reads a `--data` option: `synthetic` (as many images as MNIST has) or a folder. Without the
    /// option the variable `MIDGE_DATA` is read the same way, and without that it is the cache.
    pub fn from_option(data: Option<&OsStr>, seed: u64) -> Self {
        Self::choose(data, std::env::var_os("MIDGE_DATA"), seed)
    }

    /// The folder that `MIDGE_DATA` names; none if it is not set, or names no folder but `synthetic`.
    pub fn variable_folder() -> Option<PathBuf> {
        match Self::from_option(None, 0) {
            Self::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    fn choose(data: Option<&OsStr>, variable: Option<OsString>, seed: u64) -> Self {
        let chosen = data.map(OsString::from).or(variable);
        match chosen {
            Some(word) if word == "synthetic" => Self::Synthetic { seed, train: 60_000, test: 10_000 },
            Some(folder) if !folder.is_empty() => Self::Folder(folder.into()),
            _ => Self::Cache,
        }
    }
}

/// Loads one split.
///
/// # Errors
/// Any [`DataError`] but [`DataError::Offset`]; each names the file or folder concerned.
pub fn load(source: &Source, split: Split) -> Result<Dataset, DataError> {
    load_part(source, split, 0, None)
}

/// What [`Dataset::slice`] leaves of one split; no other digit is drawn.
///
/// # Errors
/// Any [`DataError`]; each names the file, folder or set concerned.
pub fn load_part(source: &Source, split: Split, offset: usize, limit: Option<usize>) -> Result<Dataset, DataError> {
    match source {
        Source::Folder(folder) => folder::load(folder, split)?.slice(offset, limit),
        Source::Cache => mnist::from_cache(split)?.slice(offset, limit),
        &Source::Synthetic { seed, train, test } => {
            let (count, first) = match split {
                Split::Train => (train, 0),
                Split::Test => (test, synthetic::TEST_FIRST_INDEX),
            };
            if count > MAX_SYNTHETIC {
                return Err(DataError::TooMany(count));
            }
            let name = format!("synthetic {} (seed {seed})", split.name());
            let places = part(&name, count, offset, limit)?;
            let drawn = synthetic::dataset(seed, places.len(), first + places.start as u64);
            Ok(Dataset { name, places: places.collect(), ..drawn })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Dataset {
        Dataset::new((0..12).map(|p| p as f32 / 12.0).collect(), vec![3, 1, 4], [2, 2, 1], "sample".into())
    }

    #[test]
    fn slices_keep_images_and_labels_together() {
        let set = sample();
        let part = set.slice(1, Some(1)).unwrap();
        assert_eq!((part.len(), part.label(0)), (1, 1));
        assert_eq!(part.image(0), set.image(1));
        assert_eq!(set.slice(0, None).unwrap(), set);
        let last = set.slice(1, None).unwrap().subset([1, 0].into_iter());
        assert_eq!((&last.labels[..], &last.places[..], last.image(0)), (&[4, 1][..], &[2, 1][..], set.image(2)));
        assert_eq!(set.slice(2, Some(usize::MAX)).unwrap().labels, [4]);
        assert!(set.slice(0, Some(0)).unwrap().is_empty());
        for offset in [3, 4, usize::MAX] {
            let message = set.slice(offset, Some(1)).unwrap_err().to_string();
            assert!(message.contains("sample has 3 images"), "{message}");
            assert!(message.contains(&offset.to_string()), "{message}");
        }
    }

    #[test]
    fn the_option_wins_over_the_variable() {
        let variable = || Some(OsString::from("elsewhere"));
        let folder = |name: &str| Source::Folder(name.into());
        assert_eq!(Source::choose(Some("here".as_ref()), variable(), 1), folder("here"));
        assert_eq!(Source::choose(None, variable(), 1), folder("elsewhere"));
        assert_eq!(Source::choose(None, Some("".into()), 1), Source::Cache);
        assert_eq!(Source::choose(None, None, 1), Source::Cache);
        let synthetic = Source::choose(Some("synthetic".as_ref()), variable(), 7);
        assert!(matches!(synthetic, Source::Synthetic { seed: 7, .. }));
    }

    #[test]
    fn synthetic_splits_differ_and_are_bounded() {
        let source = Source::Synthetic { seed: 5, train: 20, test: 10 };
        let train = load(&source, Split::Train).unwrap();
        let test = load(&source, Split::Test).unwrap();
        assert_eq!((train.len(), test.len()), (20, 10));
        assert_eq!(test.name, "synthetic test (seed 5)");
        assert!((0..20).all(|i| (0..10).all(|j| train.image(i) != test.image(j))));
        // A part is drawn alone as it is among all.
        for (split, whole) in [(Split::Train, &train), (Split::Test, &test)] {
            for (offset, limit) in [(0, Some(3)), (4, Some(2)), (9, None), (7, Some(usize::MAX)), (0, Some(0))] {
                assert_eq!(load_part(&source, split, offset, limit).unwrap(), whole.slice(offset, limit).unwrap());
            }
        }
        let behind = load_part(&source, Split::Test, 10, Some(1)).unwrap_err().to_string();
        assert_eq!(behind, test.slice(10, Some(1)).unwrap_err().to_string());
        let huge = Source::Synthetic { seed: 5, train: usize::MAX, test: 0 };
        assert!(load(&huge, Split::Train).is_err());
        assert!(load(&huge, Split::Test).unwrap().is_empty());
    }

    #[test]
    fn pairs_must_match_in_number() {
        let images = idx::Images { shape: [2, 1, 1], pixels: vec![0, 255] };
        let file = Path::new("the-labels");
        let set = Dataset::from_idx(&images, vec![0, 1], file, String::new()).unwrap();
        assert_eq!((set.images, set.shape), (vec![0.0, 1.0], [1, 1, 1]));
        let error = Dataset::from_idx(&images, vec![0], file, String::new()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("the-labels: expected 2 labels"), "{message}");
    }
}
