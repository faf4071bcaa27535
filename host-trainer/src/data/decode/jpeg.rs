//! JPEG: baseline and progressive, grey and in colour, turned as its Exif says.

#[cfg(feature = "jpeg")]
use zune_jpeg::JpegDecoder;
#[cfg(feature = "jpeg")]
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

use super::bitmap::Bitmap;
#[cfg(feature = "jpeg")]
use super::bitmap::{Samples, check_size};
#[cfg(feature = "jpeg")]
use super::exif::orientation;
use super::format::Format;
use super::problem::Problem;

pub(super) const FORMAT: Format = Format { name: "JPEG", magic: b"\xff\xd8\xff", decode };

/// Passes over a progressive picture; cameras make about ten.
#[cfg(feature = "jpeg")]
const MAX_SCANS: usize = 64;

#[cfg(feature = "jpeg")]
fn decode(bytes: &[u8]) -> Result<Bitmap, Problem> {
    let damaged = |error: zune_jpeg::errors::DecodeErrors| Problem::Damaged(error.to_string());
    // A cut file is an error, not a grey rest.
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_max_scans(MAX_SCANS);
    let options = options.set_max_width(usize::from(u16::MAX)).set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let info = decoder.info().ok_or_else(|| Problem::Damaged("it has no header".into()))?;
    let ([height, width], _turn) = check_size(info.height.into(), info.width.into())?;
    let (space, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        _ => (ColorSpace::RGB, 3),
    };
    let orientation = decoder.exif().map_or(1, |exif| orientation(exif));
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let samples = Samples::Bytes(decoder.decode().map_err(damaged)?);
    Ok(Bitmap::new([height, width, channels], samples)?.upright(orientation))
}

#[cfg(not(feature = "jpeg"))]
fn decode(_: &[u8]) -> Result<Bitmap, Problem> {
    Err(Problem::Unsupported("JPEG files are read by a midge that is built with the feature jpeg".into()))
}
