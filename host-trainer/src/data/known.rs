//! The four MNIST files by name, size and content.

use std::path::{Path, PathBuf};

/// A file as it should be.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Name without `.gz`.
    pub name: &'a str,
    /// SHA-256 of the unpacked content in lower-case hexadecimal.
    pub sha256: &'a str,
    /// Size of the unpacked content in bytes; also bounds the download.
    pub bytes: u64,
}

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

/// The file of that name, as it was published, as gzip, or with the dot that some archives put into it.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    file_names(name).iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

pub(super) fn file_names(name: &str) -> [String; 4] {
    let dotted = name.replacen("-idx", ".idx", 1);
    [name.to_string(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")]
}
