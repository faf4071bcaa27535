//! BMP as programs write it today: uncompressed, with a palette of 1, 4 or 8 bits or with colours of 24 or 32 bits.
//!
//! ```text
//! "BM"  length u32  0 u32  pixels at u32       header: length u32  width i32  height i32  planes u16  bits u16
//! compression u32  bytes u32  ... u32 x 2      colours u32  important u32    masks, if the compression says so
//! palette: blue, green, red, 0                 rows from the bottom, or from the top if the height is negative
//! ```
//! Little endian; every row fills whole groups of 4 bytes. (Microsoft: Bitmap Storage.)

use super::bitmap::{Bitmap, Samples, check_size};
use super::format::Format;
use super::problem::Problem;

pub(super) const FORMAT: Format = Format { name: "BMP", magic: b"BM", decode };

/// Bytes before the header, and of the oldest header that is read.
const FILE: usize = 14;
const HEADER: usize = 40;
/// Compressions: none, and masks that say where the colours are.
const NONE: u32 = 0;
const MASKS: u32 = 3;
/// Masks of red, green and blue in 32 bits as bytes lie without masks.
const USUAL: [u32; 3] = [0x00ff_0000, 0x0000_ff00, 0x0000_00ff];

fn decode(bytes: &[u8]) -> Result<Bitmap, Problem> {
    let header = Header::read(bytes)?;
    let palette = header.palette(bytes)?;
    let ([height, width], _turn) = check_size(header.height, header.width)?;
    let is_grey = palette.iter().all(|[b, g, r, _]| b == g && g == r) && !palette.is_empty();
    let channels = if is_grey { 1 } else { 3 };
    let mut samples = Vec::with_capacity(height * width * channels);
    for y in 0..height {
        let row = header.row(bytes, y)?;
        for x in 0..width {
            let [blue, green, red, _] = header.pixel(row, x, palette)?;
            samples.extend_from_slice(&[red, green, blue][..channels]);
        }
    }
    Bitmap::new([height, width, channels], Samples::Bytes(samples))
}

struct Header {
    height: usize,
    width: usize,
    is_from_top: bool,
    bits: usize,
    /// Where the palette and the pixels begin.
    palette: usize,
    pixels: usize,
    colours: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let long = |at| long(bytes, at).ok_or_else(short);
        let length = long(FILE)? as usize;
        if length < HEADER {
            return Err(Problem::Unsupported(format!("BMP files with a header of {length} bytes are not read")));
        }
        let (width, height) = (long(18)?.cast_signed(), long(22)?.cast_signed());
        let ([tall, wide], _) = check_size(height.unsigned_abs() as usize, width.max(0) as usize)?;
        let (bits, compression) = ((long(26)? >> 16) as usize, long(30)?);
        let masks = [0, 4, 8].map(|place| long(FILE + HEADER + place).ok());
        let is_usual = compression == NONE || compression == MASKS && bits == 32 && masks == USUAL.map(Some);
        if !is_usual || ![1, 4, 8, 24, 32].contains(&bits) {
            let reason =
                format!("BMP files of {bits} bits with compression {compression} are not read; save it as PNG");
            return Err(Problem::Unsupported(reason));
        }
        let most = if bits <= 8 { 1 << bits } else { 0 };
        let colours = match long(46)? as usize {
            0 => most,
            colours => colours.min(most),
        };
        let (palette, pixels) = (FILE + length, long(10)? as usize);
        Ok(Self { height: tall, width: wide, is_from_top: height < 0, bits, palette, pixels, colours })
    }

    /// Blue, green, red and nothing of each colour.
    fn palette<'a>(&self, bytes: &'a [u8]) -> Result<&'a [[u8; 4]], Problem> {
        let bytes = bytes.get(self.palette..).and_then(|rest| rest.get(..4 * self.colours)).ok_or_else(short)?;
        Ok(bytes.as_chunks().0)
    }

    /// The bytes of a row, counted from the top.
    fn row<'a>(&self, bytes: &'a [u8], y: usize) -> Result<&'a [u8], Problem> {
        let length = (self.width * self.bits).div_ceil(32) * 4;
        let place = if self.is_from_top { y } else { self.height - 1 - y };
        let start = self.pixels.checked_add(place * length).ok_or_else(short)?;
        bytes.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(short)
    }

    fn pixel(&self, row: &[u8], x: usize, palette: &[[u8; 4]]) -> Result<[u8; 4], Problem> {
        let at = |i: usize| row.get(i).copied().unwrap_or(0);
        if self.bits >= 24 {
            let first = x * self.bits / 8;
            return Ok([at(first), at(first + 1), at(first + 2), 0]);
        }
        let bit = x * self.bits;
        let index = usize::from(at(bit / 8) >> (8 - self.bits - bit % 8)) & ((1 << self.bits) - 1);
        let missing = || Problem::Damaged(format!("a pixel has colour {index} of {}", palette.len()));
        palette.get(index).copied().ok_or_else(missing)
    }
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn short() -> Problem {
    Problem::Damaged("it ends before its pixels do".into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::bmp_file as file;
    use super::*;

    fn bytes(file: &[u8]) -> ([usize; 3], Vec<u8>) {
        let bitmap = decode(file).unwrap();
        let Samples::Bytes(bytes) = bitmap.samples else { panic!("words") };
        ([bitmap.height, bitmap.width, bitmap.channels], bytes)
    }

    #[test]
    fn colours_lie_as_blue_green_red_from_the_bottom() {
        let rows = [1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0];
        let expected = vec![9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4];
        assert_eq!(bytes(&file((2, 2), 24, &[], &rows)), ([2, 2, 3], expected.clone()));
        let upper_first = [&rows[8..], &rows[..8]].concat();
        assert_eq!(bytes(&file((2, -2), 24, &[], &upper_first)), ([2, 2, 3], expected));
        assert_eq!(bytes(&file((1, 1), 32, &[], &[1, 2, 3, 99])), ([1, 1, 3], vec![3, 2, 1]));
    }

    #[test]
    fn palettes_of_every_size_are_looked_up() {
        let grey = [[0, 0, 0, 0], [200, 200, 200, 0]];
        assert_eq!(bytes(&file((9, 1), 1, &grey, &[0b0101_0000, 0x80, 0, 0])).1, [0, 200, 0, 200, 0, 0, 0, 0, 200]);
        let colour = [[1, 2, 3, 0], [4, 5, 6, 0]];
        assert_eq!(bytes(&file((3, 1), 4, &colour, &[0x10, 0x10, 0, 0])), ([1, 3, 3], vec![6, 5, 4, 3, 2, 1, 6, 5, 4]));
        assert_eq!(bytes(&file((2, 1), 8, &colour, &[1, 0, 0, 0])).1, [6, 5, 4, 3, 2, 1]);
        let message = decode(&file((1, 1), 8, &colour, &[2, 0, 0, 0])).unwrap_err().to_string();
        assert_eq!(message, "a pixel has colour 2 of 2");
    }

    #[test]
    fn what_is_not_read_is_named() {
        let mut packed = file((1, 1), 8, &[[0; 4]], &[0; 4]);
        packed[30] = 1;
        let message = decode(&packed).unwrap_err().to_string();
        assert!(message.contains("8 bits with compression 1") && message.contains("PNG"), "{message}");
        assert!(matches!(decode(&file((0, 1), 24, &[], &[])), Err(Problem::NoPixels([1, 0]))));
        assert!(matches!(decode(&file((i32::MIN, 1), 24, &[], &[])), Err(Problem::NoPixels(_))));
        assert!(matches!(decode(&file((i32::MAX, i32::MIN), 24, &[], &[])), Err(Problem::TooLarge(_))));
    }
}
