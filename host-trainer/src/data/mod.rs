//! Images: MNIST and its relatives from a folder, MNIST from the user's cache (downloaded once), digits that midge draws
//! itself when there is neither a file nor a network, images of any shape from a safetensors file, and single PNG files.
//!
//! [`Input`] is what a model takes, which images have to fit; [`Dataset`] holds images with their labels, [`Loaded`] what a
//! source has.

mod dataset;
pub mod download;
mod error;
pub mod file;
pub mod folder;
pub mod gzip;
pub mod idx;
mod input;
pub mod known;
pub mod mnist;
pub mod png;
pub mod synthetic;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

pub use dataset::{Dataset, Loaded, Part};
pub use error::DataError;
pub use input::Input;

/// The most synthetic images made for one split; beyond it the pixels would not fit a workstation.
pub const MAX_SYNTHETIC: usize = 1_000_000;

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
    /// A safetensors file, which has one split only.
    File(PathBuf),
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
    /// Reads a `--data` option: `synthetic` (as many images as MNIST has), a file or a folder. Without the
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
            Some(path) if !path.is_empty() => Self::at(path.into()),
            _ => Self::Cache,
        }
    }

    fn at(path: PathBuf) -> Self {
        if path.is_file() { Self::File(path) } else { Self::Folder(path) }
    }
}

/// Loads a part of one split for a model that takes `input`.
///
/// # Errors
/// Any [`DataError`] but [`DataError::NoLabels`] and [`DataError::NoSplit`]; each names the file or folder concerned.
pub fn load(source: &Source, split: Split, input: &Input, part: Part) -> Result<Loaded, DataError> {
    let set = match source {
        Source::File(path) => return file::load(path, input, part),
        Source::Folder(folder) => folder::load(folder, split)?.slice(part.offset, part.limit)?,
        Source::Cache => mnist::from_cache(split)?.slice(part.offset, part.limit)?,
        &Source::Synthetic { seed, train, test } => match split {
            Split::Train => synthetic_part(seed, split, (train, 0), part)?,
            Split::Test => synthetic_part(seed, split, (test, synthetic::TEST_FIRST_INDEX), part)?,
        },
    };
    Ok(pictures(set, input)?.into())
}

/// Pictures, with pixels from 0 to 1, as a model that takes `input` sees them.
///
/// # Errors
/// [`DataError::Units`], and those of [`Dataset::check`].
pub fn pictures(mut set: Dataset, input: &Input) -> Result<Dataset, DataError> {
    set.check(input)?;
    if !input.takes_pictures() {
        return Err(DataError::Units { name: set.name, range: input.range });
    }
    set.images.iter_mut().for_each(|pixel| *pixel = input.picture(*pixel));
    Ok(set)
}

/// Draws no digit that is left out.
fn synthetic_part(seed: u64, split: Split, (count, first): (usize, u64), part: Part) -> Result<Dataset, DataError> {
    if count > MAX_SYNTHETIC {
        return Err(DataError::TooMany(count));
    }
    let name = format!("synthetic {} (seed {seed})", split.name());
    let places = part.of(count, &name)?;
    let drawn = synthetic::dataset(seed, places.len(), first + places.start as u64);
    Ok(Dataset { name, places: places.collect(), ..drawn })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_is_told_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        std::fs::write(&file, "").unwrap();
        assert_eq!(Source::choose(Some(file.as_os_str()), None, 1), Source::File(file.clone()));
        let path = folder.path();
        assert_eq!(Source::choose(None, Some(path.into()), 1), Source::Folder(path.into()));
    }

    #[test]
    fn synthetic_splits_differ_and_are_bounded() {
        let input = Input::pixels([28, 28, 1], 10);
        let load = |source: &Source, split| load(source, split, &input, Part::ALL);
        let source = Source::Synthetic { seed: 5, train: 20, test: 10 };
        let train = load(&source, Split::Train).unwrap();
        let test = load(&source, Split::Test).unwrap();
        assert_eq!((train.len(), test.len()), (20, 10));
        assert_eq!(test.name, "synthetic test (seed 5)");
        assert!((0..20).all(|i| (0..10).all(|j| train.image(i) != test.image(j))));
        let huge = Source::Synthetic { seed: 5, train: usize::MAX, test: 0 };
        assert!(matches!(load(&huge, Split::Train), Err(DataError::TooMany(usize::MAX))));
        assert!(matches!(load(&huge, Split::Test), Err(DataError::Empty(_))));
    }

    #[test]
    fn pixels_are_in_the_units_of_the_model() {
        let source = Source::Synthetic { seed: 5, train: 20, test: 10 };
        let load = |input: Input| load(&source, Split::Test, &input, Part { offset: 8, limit: Some(5) });
        assert_eq!(load(Input::pixels([28, 28, 1], 10)).unwrap().places, [8, 9]);
        let int8 = |scale, zero_point| load(Input::int8([28, 28, 1], 10, midge_core::Grid { scale, zero_point }));
        let (unit, bytes) = (load(Input::pixels([28, 28, 1], 10)).unwrap(), int8(1.0, -128).unwrap());
        assert!(unit.images.iter().zip(&bytes.images).all(|(unit, byte)| unit * 255.0 == *byte));
        let message = int8(0.5, -128).unwrap_err().to_string();
        assert!(message.contains("the model takes 0 to 127.5"), "{message}");
    }
}
