//! Pictures in files, one each: a new format is a file here and a line in `FORMATS`.
//!
//! Which format a file has is found by its first bytes, never by its name. No header is believed: a picture has at most
//! [`MAX_PIXELS`], and its file at most [`MAX_FILE`] bytes, so that decoding one takes at most 2 GB. Large ones
//! are decoded one after another.

mod bitmap;
mod bmp;
mod exif;
mod format;
mod jpeg;
mod png;
mod problem;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::foreign;
pub(super) use bitmap::check_size;
pub use bitmap::{Bitmap, Samples};
use format::Format;
pub use problem::{MAX_PIXELS, PictureError, Problem};

/// All formats.
const FORMATS: [Format; 3] = [png::FORMAT, jpeg::FORMAT, bmp::FORMAT];

/// The longest file that is read, in bytes.
pub const MAX_FILE: u64 = 1 << 28;

/// Whether a file that starts with `head` says of itself that it is a picture.
pub(super) fn is_picture(head: &[u8]) -> bool {
    FORMATS.iter().any(|format| head.starts_with(format.magic))
}

/// Endings of the names of pictures.
pub(super) const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

/// Decodes a file.
///
/// # Errors
/// With the file's name, what was expected and what was found.
pub fn read(path: &Path) -> Result<Bitmap, PictureError> {
    let bytes = bytes_of(path);
    bytes.and_then(|bytes| decode(&bytes)).map_err(|problem| PictureError { file: path.to_path_buf(), problem })
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(Problem::Long(MAX_FILE)) } else { Ok(bytes) }
}

/// Decodes the bytes of a file.
///
/// # Errors
/// What was expected and what was found.
pub fn decode(bytes: &[u8]) -> Result<Bitmap, Problem> {
    let Some(format) = FORMATS.iter().find(|format| bytes.starts_with(format.magic)) else {
        let kinds = FORMATS.iter().map(|format| format.name).collect();
        return Err(Problem::Foreign { kinds, found: foreign::looks_like(bytes) });
    };
    (format.decode)(bytes).map_err(|problem| match problem {
        Problem::Damaged(reason) => Problem::Unsound { kind: format.name, reason },
        other => other,
    })
}

#[cfg(test)]
mod tests;
