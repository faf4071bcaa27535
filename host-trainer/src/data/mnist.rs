//! The four MNIST files, fetched once into the user's cache.

use etcetera::BaseStrategy;

use super::download::{Known, fetch};
use super::{DataError, Dataset, Split, folder};

/// Mirrors of the gzip files, tried in this order unless `MIDGE_MIRRORS` names others.
pub const MIRRORS: [&str; 2] =
    ["https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"];

const fn file(name: &'static str, sha256: &'static str, bytes: u64) -> Known<'static> {
    Known { name, sha256, bytes }
}

/// Images and labels for training, then for testing; `FILES[split as usize]` is the pair of a split.
pub const FILES: [[Known<'static>; 2]; 2] = [
    [
        file("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47_040_016),
        file("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008),
    ],
    [
        file("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016),
        file("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008),
    ],
];

/// Loads a split from the user's cache after fetching what is missing there.
///
/// # Errors
/// Any error of [`fetch`] or [`folder::load`], or [`DataError::NoCache`].
pub fn from_cache(split: Split) -> Result<Dataset, DataError> {
    let base = etcetera::choose_base_strategy().map_err(|e| DataError::NoCache(e.to_string()))?;
    let cache = base.cache_dir().join("midge").join("mnist");
    let mirrors = mirrors(std::env::var("MIDGE_MIRRORS").ok().as_deref());
    fetch(&mirrors, &cache, &FILES[split as usize])?;
    folder::load(&cache, split)
}

fn mirrors(variable: Option<&str>) -> Vec<String> {
    let words = variable.unwrap_or_default().split(',').map(str::trim);
    let own: Vec<String> = words.filter(|w| !w.is_empty()).map(String::from).collect();
    if own.is_empty() { MIRRORS.map(String::from).into() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_replaces_the_mirrors() {
        assert_eq!(mirrors(None), MIRRORS);
        assert_eq!(mirrors(Some(" ,")), MIRRORS);
        assert_eq!(mirrors(Some("http://a/, http://b")), ["http://a/", "http://b"]);
    }
}
