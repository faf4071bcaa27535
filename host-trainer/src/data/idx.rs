//! The IDX container MNIST is published in: a big-endian header followed by raw bytes.
//!
//! The header is two zero bytes, a type code (`0x08`, unsigned byte, is the only one midge takes),
//! the rank, and one 32-bit size per axis. Images have rank 3 (count, rows, columns) and labels
//! rank 1 (count). Files may be plain or gzip; the first two bytes decide, never the name, because
//! browsers and mirrors unpack or rename `.gz` files on their own.
//!
//! Nothing here trusts a header: memory grows with the bytes that really arrive, and unpacking
//! stops one byte after the size the header promised.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::gzip::unpack;
use crate::files::write_with;

/// The largest payload accepted, in bytes; twenty times the MNIST training images.
pub const MAX_PAYLOAD: u64 = 1 << 30;

/// The IDX type code of unsigned bytes.
const TYPE_U8: u8 = 0x08;

/// A file and what is wrong with it; the message says what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct IdxError {
    /// The file concerned.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with an IDX file. Pairs hold what was expected, then what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused to open, read or write the file.
    #[error("expected a usable file, found: {0}")]
    Io(#[from] io::Error),
    /// The gzip stream stops before its end marker.
    #[error("expected a complete gzip stream, found one cut short")]
    GzipTruncated,
    /// The gzip stream is damaged; the decoder's reason.
    #[error("expected a valid gzip stream, found damage: {0}")]
    GzipCorrupt(String),
    /// The file ends inside the header; sizes in bytes.
    #[error("expected an IDX header of {0} bytes, found only {1}")]
    ShortHeader(usize, usize),
    /// The first two bytes are not zero.
    #[error("expected the IDX magic {0:#010x}, found {1:#010x}")]
    WrongMagic(u32, u32),
    /// The elements are not unsigned bytes.
    #[error("expected IDX element type {0:#04x} (unsigned byte), found {1:#04x}")]
    WrongType(u8, u8),
    /// Images where labels were wanted, or the reverse.
    #[error("expected IDX rank {0} (3 for images, 1 for labels), found {1}")]
    WrongRank(u8, u8),
    /// An axis has size zero; the sizes in the header.
    #[error("expected sizes of at least 1, found {0:?}")]
    ZeroDimension(Vec<u32>),
    /// The sizes in the header multiply to more than [`MAX_PAYLOAD`].
    #[error("expected at most {MAX_PAYLOAD} bytes of data, found sizes {0:?} in the header")]
    TooLarge(Vec<u32>),
    /// Less data than the sizes ask for, in bytes.
    #[error("expected {0} bytes of data, found only {1}")]
    Truncated(u64, u64),
    /// More data than the sizes ask for; the expected bytes.
    #[error("expected {0} bytes of data, found more")]
    Oversized(u64),
    /// The label file of a pair does not hold one label per image.
    #[error("expected {0} labels, one per image, found {1}")]
    CountMismatch(usize, usize),
}

impl Problem {
    /// Says which file has the problem.
    pub fn at(self, file: &Path) -> IdxError {
        IdxError { file: file.to_path_buf(), problem: self }
    }
}

/// Grey images of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Number of images, height, width.
    pub shape: [usize; 3],
    /// One byte per pixel, 0 black to 255 white, row by row and image by image.
    pub pixels: Vec<u8>,
}

/// Reads an image file, plain or gzip.
///
/// # Errors
/// Any [`Problem`] but those about labels.
pub fn read_images(path: &Path) -> Result<Images, IdxError> {
    let file = File::open(path).map_err(Problem::from);
    file.and_then(images_from).map_err(|problem| problem.at(path))
}

/// Reads a label file, plain or gzip. Which labels are right depends on the model, so all are taken.
///
/// # Errors
/// Any [`Problem`] but [`Problem::CountMismatch`].
pub fn read_labels(path: &Path) -> Result<Vec<u8>, IdxError> {
    let file = File::open(path).map_err(Problem::from);
    file.and_then(labels_from).map_err(|problem| problem.at(path))
}

/// Reads images from a byte stream (a `&[u8]` will do), plain or gzip.
///
/// # Errors
/// As [`read_images`].
pub fn images_from(reader: impl Read) -> Result<Images, Problem> {
    let (dims, pixels) = read_idx::<3>(reader)?;
    let shape = dims.map(|d| d as usize);
    Ok(Images { shape, pixels })
}

/// Reads labels from a byte stream (a `&[u8]` will do), plain or gzip.
///
/// # Errors
/// As [`read_labels`].
pub fn labels_from(reader: impl Read) -> Result<Vec<u8>, Problem> {
    Ok(read_idx::<1>(reader)?.1)
}

/// Writes images atomically, as gzip when the name ends in `.gz`.
///
/// # Errors
/// Sizes the reader would refuse, pixels that do not fill them, or an I/O error. On error no file
/// appears and an existing one is untouched.
pub fn write_images(path: &Path, images: &Images) -> Result<(), IdxError> {
    write_idx(path, images.shape, &images.pixels).map_err(|problem| problem.at(path))
}

/// Writes labels atomically, as gzip when the name ends in `.gz`.
///
/// # Errors
/// As [`write_images`].
pub fn write_labels(path: &Path, labels: &[u8]) -> Result<(), IdxError> {
    write_idx(path, [labels.len()], labels).map_err(|problem| problem.at(path))
}

/// The payload size in bytes that the header's sizes ask for.
fn check_dims(dims: &[u32]) -> Result<u64, Problem> {
    if dims.contains(&0) {
        return Err(Problem::ZeroDimension(dims.into()));
    }
    // Three 32-bit sizes fit 96 bits, so this product cannot wrap.
    let product: u128 = dims.iter().map(|&d| u128::from(d)).product();
    match u64::try_from(product) {
        Ok(bytes) if bytes <= MAX_PAYLOAD => Ok(bytes),
        _ => Err(Problem::TooLarge(dims.into())),
    }
}

fn check_length(expected: u64, found: u64) -> Result<(), Problem> {
    match found.cmp(&expected) {
        Ordering::Less => Err(Problem::Truncated(expected, found)),
        Ordering::Greater => Err(Problem::Oversized(expected)),
        Ordering::Equal => Ok(()),
    }
}

fn check_magic(magic: [u8; 4], rank: u8) -> Result<(), Problem> {
    let wanted = u32::from_be_bytes([0, 0, TYPE_U8, rank]);
    match magic {
        [0, 0, TYPE_U8, found] if found == rank => Ok(()),
        [0, 0, TYPE_U8, found] => Err(Problem::WrongRank(rank, found)),
        [0, 0, found, _] => Err(Problem::WrongType(TYPE_U8, found)),
        _ => Err(Problem::WrongMagic(wanted, u32::from_be_bytes(magic))),
    }
}

fn read_idx<const RANK: usize>(reader: impl Read) -> Result<([u32; RANK], Vec<u8>), Problem> {
    let (mut reader, gzip) = unpack(reader)?;
    let mut take = |limit: u64| {
        let mut bytes = Vec::new();
        let read = reader.by_ref().take(limit).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|e| stream_problem(e, gzip))
    };
    let short = |found| Problem::ShortHeader(4 + 4 * RANK, found);
    let magic = <[u8; 4]>::try_from(take(4)?).map_err(|bytes| short(bytes.len()))?;
    check_magic(magic, RANK as u8)?;
    let mut dims = [0; RANK];
    for (axis, dim) in dims.iter_mut().enumerate() {
        let bytes = <[u8; 4]>::try_from(take(4)?);
        *dim = u32::from_be_bytes(bytes.map_err(|b| short(4 + 4 * axis + b.len()))?);
    }
    let expected = check_dims(&dims)?;
    // One byte more than promised is enough to see that there is too much.
    let data = take(expected + 1)?;
    check_length(expected, data.len() as u64)?;
    Ok((dims, data))
}

fn stream_problem(error: io::Error, gzip: bool) -> Problem {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        UnexpectedEof if gzip => Problem::GzipTruncated,
        InvalidData | InvalidInput if gzip => Problem::GzipCorrupt(error.to_string()),
        _ => error.into(),
    }
}

fn write_idx<const N: usize>(path: &Path, dims: [usize; N], data: &[u8]) -> Result<(), Problem> {
    // A size that does not fit saturates, and is then far above the limit.
    let dims = dims.map(|size| u32::try_from(size).unwrap_or(u32::MAX));
    check_length(check_dims(&dims)?, data.len() as u64)?;
    let mut head = vec![0, 0, TYPE_U8, N as u8];
    head.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    let gzip = path.as_os_str().as_encoded_bytes().ends_with(b".gz");
    Ok(write_with(path, |file| {
        if gzip {
            let mut gzip = GzEncoder::new(file, Compression::default());
            gzip.write_all(&head)?;
            gzip.write_all(data)?;
            return gzip.finish().map(drop);
        }
        file.write_all(&head)?;
        file.write_all(data)
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::gzip::MAGIC;
    use std::io::Cursor;

    fn header(dims: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0, 0, TYPE_U8, dims.len() as u8];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes
    }

    fn sample() -> Images {
        let pixels = (0..12).collect();
        Images { shape: [2, 3, 2], pixels }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn files_round_trip_plain_and_gzip() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b.gz"] {
            let path = folder.path().join(name);
            write_images(&path, &sample()).unwrap();
            assert_eq!(read_images(&path).unwrap(), sample());
            write_labels(&path, &[0, 9]).unwrap();
            assert_eq!(read_labels(&path).unwrap(), [0, 9]);
            let packed = std::fs::read(&path).unwrap().starts_with(&MAGIC);
            assert_eq!(packed, name.ends_with(".gz"));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn every_shortened_file_is_refused() {
        let whole = [header(&[2, 3, 2]), sample().pixels].concat();
        for n in 0..whole.len() {
            let error = images_from(&whole[..n]).unwrap_err();
            match error {
                Problem::ShortHeader(16, found) => assert!(found == n && n < 16),
                Problem::Truncated(12, found) => assert_eq!(found + 16, n as u64),
                other => panic!("{n}: {other}"),
            }
        }
        let packed = gzip(&whole);
        assert_eq!(images_from(&packed[..]).unwrap(), sample());
        for n in 0..packed.len() {
            let error = images_from(&packed[..n]).unwrap_err();
            let right = matches!(error, Problem::GzipTruncated) == (n >= 2);
            assert!(right, "{n}: {error}");
        }
    }

    #[test]
    fn damaged_gzip_never_passes() {
        let packed = gzip(&[header(&[2, 3, 2]), sample().pixels].concat());
        // Bytes 3 to 9 are flags, time and system, which may legally differ.
        for n in (10..packed.len()).chain([2]) {
            let mut bad = packed.clone();
            bad[n] ^= 0x55;
            assert!(images_from(&bad[..]).is_err(), "{n}");
        }
        let trailing = [packed, vec![b'x'; 20]].concat();
        assert!(matches!(images_from(&trailing[..]), Err(Problem::GzipCorrupt(_))));
    }

    #[test]
    fn malformed_headers_have_their_own_errors() {
        let images = |bytes: Vec<u8>| images_from(&bytes[..]).unwrap_err().to_string();
        assert!(images(b"PK\x03\x04....".to_vec()).contains("0x00000803, found 0x504b0304"));
        assert!(images(vec![0, 0, 0x0d, 3]).contains("type 0x08 (unsigned byte), found 0x0d"));
        assert!(images(header(&[5])).contains("rank 3 (3 for images, 1 for labels), found 1"));
        assert!(images(header(&[1, 0, 1])).contains("found [1, 0, 1]"));
        assert!(images(header(&[u32::MAX; 3])).contains("found sizes [4294967295"));
        // The product is 2^64, which is zero in 64 bits.
        assert!(images(header(&[1 << 31, 1 << 31, 4])).contains("found sizes"));
        assert!(images([header(&[1, 1, 1]), vec![0; 2]].concat()).contains("1 bytes of data"));
        let labels = [header(&[3]), vec![1, 9, 255]].concat();
        assert_eq!(labels_from(&labels[..]).unwrap(), [1, 9, 255]);
    }

    #[test]
    fn a_header_cannot_make_the_reader_read_on() {
        // Both would fill memory, or never end, if the reader did not stop after one extra byte.
        let endless = Cursor::new(header(&[1, 2, 2])).chain(io::repeat(0));
        assert!(matches!(images_from(endless), Err(Problem::Oversized(4))));
        let bomb = gzip(&[header(&[1, 2, 2]), vec![0; 64 << 20]].concat());
        assert!(matches!(images_from(&bomb[..]), Err(Problem::Oversized(4))));
        // A gigabyte is promised and four bytes come.
        let liar = [header(&[1 << 10, 1 << 10, 1 << 10]), vec![0; 4]].concat();
        assert!(matches!(images_from(&liar[..]), Err(Problem::Truncated(_, 4))));
    }

    #[test]
    fn messages_name_the_file_and_a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        let error = read_labels(&path).unwrap_err().to_string();
        assert!(error.starts_with(path.to_str().unwrap()));
        let error = write_labels(&path, &[]).unwrap_err();
        assert!(matches!(error.problem, Problem::ZeroDimension(_)));
        let mut wrong = sample();
        wrong.shape[0] = 3;
        let error = write_images(&path, &wrong).unwrap_err();
        assert!(matches!(error.problem, Problem::Truncated(18, 12)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
