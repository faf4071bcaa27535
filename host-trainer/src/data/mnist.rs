//! The four MNIST files, fetched once into the user's cache.

use std::path::PathBuf;

use etcetera::BaseStrategy;

use super::download::fetch;
use super::error::DataError;
use super::known::FILES;
use super::source::Split;

/// Mirrors of the gzip files, tried in this order unless `MIDGE_MIRRORS` names others.
pub const MIRRORS: [&str; 2] =
    ["https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"];

/// The user's cache, after fetching what is missing there of a split.
///
/// # Errors
/// Any error of [`fetch`], or [`DataError::NoCache`].
pub fn cache(split: Split) -> Result<PathBuf, DataError> {
    let base = etcetera::choose_base_strategy().map_err(|e| DataError::NoCache(e.to_string()))?;
    let cache = base.cache_dir().join("midge").join("mnist");
    let mirrors = mirrors(std::env::var("MIDGE_MIRRORS").ok().as_deref());
    fetch(&mirrors, &cache, &FILES[split as usize])?;
    Ok(cache)
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
