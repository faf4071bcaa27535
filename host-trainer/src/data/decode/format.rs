//! What a format of pictures is.

use super::bitmap::Bitmap;
use super::problem::Problem;

/// A format of pictures.
pub(super) struct Format {
    pub(super) name: &'static str,
    /// First bytes of its files.
    pub(super) magic: &'static [u8],
    /// Decodes a whole file; a [`Problem::Damaged`] is the format's own.
    pub(super) decode: fn(&[u8]) -> Result<Bitmap, Problem>,
}
