//! Where images come from.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The most synthetic images made for one split; beyond it the pixels would not fit a workstation.
pub const MAX_SYNTHETIC: usize = 1_000_000;

/// The most memory that images take which are loaded at once, in bytes.
pub const MAX_BYTES: u128 = 8 << 30;

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
    /// A file or a folder of any format that midge reads.
    Path(PathBuf),
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
            Self::Path(path) if !path.is_file() => Some(path),
            _ => None,
        }
    }

    fn choose(data: Option<&OsStr>, variable: Option<OsString>, seed: u64) -> Self {
        let chosen = data.map(OsString::from).or(variable);
        match chosen {
            Some(word) if word == "synthetic" => Self::Synthetic { seed, train: 60_000, test: 10_000 },
            Some(path) if !path.is_empty() => Self::Path(path.into()),
            _ => Self::Cache,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_wins_over_the_variable() {
        let variable = || Some(OsString::from("elsewhere"));
        let folder = |name: &str| Source::Path(name.into());
        assert_eq!(Source::choose(Some("here".as_ref()), variable(), 1), folder("here"));
        assert_eq!(Source::choose(None, variable(), 1), folder("elsewhere"));
        assert_eq!(Source::choose(None, Some("".into()), 1), Source::Cache);
        assert_eq!(Source::choose(None, None, 1), Source::Cache);
        let synthetic = Source::choose(Some("synthetic".as_ref()), variable(), 7);
        assert!(matches!(synthetic, Source::Synthetic { seed: 7, .. }));
    }
}
