//! PNG: of any depth, with a palette, transparent, interlaced; of a moving one the first frame.

use std::io::Cursor;

use png::{BitDepth, Decoder, DecodingError, Limits, Transformations};

use super::bitmap::{Bitmap, Samples, check_size};
use super::exif::orientation;
use super::format::Format;
use super::problem::Problem;

pub(super) const FORMAT: Format = Format { name: "PNG", magic: b"\x89PNG\r\n\x1a\n", decode };

/// Bytes that the decoder may take for what is not the picture.
const SIDE: usize = 1 << 26;

fn decode(bytes: &[u8]) -> Result<Bitmap, Problem> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: SIDE });
    // Palettes become colours, few bits become eight, a transparent colour becomes a channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let ([height, width], _turn) = check_size(reader.info().height as usize, reader.info().width as usize)?;
    let orientation = reader.info().exif_metadata.as_ref().map_or(1, |exif| orientation(exif));
    let length = reader.output_buffer_size().ok_or(Problem::TooLarge([height, width]))?;
    let mut bytes = vec![0; length];
    let frame = reader.next_frame(&mut bytes).map_err(damaged)?;
    // The first frame of a moving picture may be smaller.
    if [frame.height as usize, frame.width as usize] != [height, width] {
        return Err(Problem::Damaged("its first frame is smaller than the picture".into()));
    }
    // The rest is read for its checksums.
    reader.finish().map_err(damaged)?;
    let samples = match frame.bit_depth {
        BitDepth::Sixteen => Samples::Words(bytes.as_chunks().0.iter().map(|b| u16::from_be_bytes(*b)).collect()),
        _ => Samples::Bytes(bytes),
    };
    Ok(Bitmap::new([height, width, frame.color_type.samples()], samples)?.upright(orientation))
}

fn damaged(error: DecodingError) -> Problem {
    Problem::Damaged(error.to_string())
}
