//! JPEG: baseline and progressive, grey and in colour, turned as its Exif says.

use super::format::Format;

pub(super) const FORMAT: Format = Format { name: "JPEG", magic: b"\xff\xd8\xff", decode: decoder::decode };

#[cfg(feature = "jpeg")]
mod decoder {
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::errors::DecodeErrors;
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    use zune_jpeg::zune_core::options::DecoderOptions;

    use super::super::bitmap::{Bitmap, Samples, check_size};
    use super::super::exif::orientation;
    use super::super::problem::Problem;

    /// Passes over a progressive picture; cameras make about ten.
    const MAX_SCANS: usize = 64;

    pub(in super::super) fn decode(bytes: &[u8]) -> Result<Bitmap, Problem> {
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

    fn damaged(error: DecodeErrors) -> Problem {
        Problem::Damaged(error.to_string())
    }
}

#[cfg(not(feature = "jpeg"))]
mod decoder {
    use super::super::bitmap::Bitmap;
    use super::super::problem::Problem;

    pub(in super::super) fn decode(_: &[u8]) -> Result<Bitmap, Problem> {
        Err(Problem::Unsupported("JPEG files are read by a midge that is built with the feature jpeg".into()))
    }
}
