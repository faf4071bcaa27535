//! The entries of a zip archive, plain and deflated: NumPy's `.npz` is one, and so is what torch.save and Keras write.
//!
//! ```text
//! entry    at `start`: "PK\3\4", 22 bytes, length of name u16, of extra u16, name, extra, then the packed bytes
//! index    "PK\1\2", 4 bytes, flags u16, method u16, 4 bytes, CRC-32 u32, packed u32, unpacked u32, lengths of name, extra and
//!          comment u16, 8 bytes, start u32, name, extra, comment; of each entry
//! end      "PK\5\6", 6 bytes, entries u16, bytes of the index u32, start of the index u32, length of the comment u16, comment
//! ```
//! Little endian (PKWARE: APPNOTE 6.3). The index is what counts. Sizes above 4 GB stand in its extra fields.

use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Take};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

/// First bytes of an archive.
pub const MAGIC: &[u8] = b"PK\x03\x04";
/// Bytes of the end without its comment, and the longest comment.
const END: usize = 22;
const COMMENT: usize = 0xffff;
/// The longest index that is read, in bytes.
const MAX_INDEX: u64 = 1 << 26;
/// Bytes of an entry of the index before its name, and of what stands before an entry.
const ENTRY: usize = 46;
const LOCAL: usize = 30;
/// The identifier of the extra field with long sizes, and what stands in the place of those.
const LONG: u16 = 1;
const ELSEWHERE: u32 = u32::MAX;

/// Why an archive or an entry of it cannot be read; inside an [`io::Error`] where it comes up while bytes are read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// The file was cut, or is none.
    #[error("expected a zip archive with an index at its end, found none: was the file cut?")]
    NoIndex,
    /// The index, or an entry, is not where or what it should be.
    #[error("a damaged zip archive: {0}")]
    Damaged(&'static str),
    /// An entry is packed in a way that is not read.
    #[error("entry {name:?}: expected one that is stored or deflated, without a password; found method {method}")]
    Method {
        /// The entry.
        name: String,
        /// Number of the method.
        method: u16,
    },
    /// No such entry.
    #[error("expected an entry {0:?}, found none")]
    Missing(String),
}

/// What went wrong while bytes were read. (A packing that has no meaning, or ends early, says so in words of its own.)
impl From<io::Error> for ZipError {
    fn from(error: io::Error) -> Self {
        error.downcast().unwrap_or(Self::Damaged("an entry is cut, or cannot be unpacked"))
    }
}

impl From<ZipError> for io::Error {
    fn from(error: ZipError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name; what is no text is replaced.
    pub name: String,
    /// Its length, as the archive says.
    pub length: u64,
    packed: u64,
    start: u64,
    crc: u32,
    flags: u16,
    method: u16,
}

/// Reads the index of an archive.
///
/// # Errors
/// What the system says, or what is wrong with the archive.
pub fn entries(file: &mut (impl Read + Seek)) -> io::Result<Vec<Entry>> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min((END + COMMENT) as u64);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = Vec::new();
    file.by_ref().take(tail).read_to_end(&mut bytes)?;
    let end = (0..bytes.len().saturating_sub(END - 1)).rev().find(|at| bytes[*at..].starts_with(b"PK\x05\x06"));
    let end = &bytes[end.ok_or(ZipError::NoIndex)?..];
    let (count, size, start) = (short(end, 10), long(end, 12), long(end, 16));
    let (Some(count), Some(size), Some(start)) = (count, size.map(u64::from), start.map(u64::from)) else {
        return Err(damaged("its end is cut").into());
    };
    if size > MAX_INDEX || start.checked_add(size).is_none_or(|end| end > length) {
        return Err(damaged("its index does not fit the file").into());
    }
    let mut index = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.by_ref().take(size).read_to_end(&mut index)?;
    let mut rest = &index[..];
    (0..count).map(|_| entry(&mut rest).ok_or_else(|| damaged("its index").into())).collect()
}

/// Takes an entry off the front of the index.
fn entry(rest: &mut &[u8]) -> Option<Entry> {
    let head = rest.strip_prefix(b"PK\x01\x02").and_then(|_| rest.get(..ENTRY))?;
    let [name, extra, comment] = [28, 30, 32].map(|at| short(head, at).map(usize::from));
    let (name_end, extra_end) = (ENTRY + name?, ENTRY + name? + extra?);
    let (name, extra) = (rest.get(ENTRY..name_end)?, rest.get(name_end..extra_end)?);
    let mut sizes = [long(head, 24)?, long(head, 20)?, long(head, 42)?].map(u64::from);
    let mut long_sizes = long_field(extra);
    for size in sizes.iter_mut().filter(|size| **size == u64::from(ELSEWHERE)) {
        let (first, after) = long_sizes.split_first_chunk()?;
        (*size, long_sizes) = (u64::from_le_bytes(*first), after);
    }
    let [length, packed, start] = sizes;
    let name = String::from_utf8_lossy(name).into_owned();
    let (crc, flags, method) = (long(head, 16)?, short(head, 8)?, short(head, 10)?);
    *rest = rest.get(extra_end + comment?..)?;
    Some(Entry { name, length, packed, start, crc, flags, method })
}

/// The extra field of long sizes; empty if there is none.
fn long_field(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(length)) = (short(extra, 0), short(extra, 2)) {
        let field = extra.get(4..).and_then(|rest| rest.get(..length.into())).unwrap_or(&[]);
        if id == LONG {
            return field;
        }
        extra = extra.get(4 + usize::from(length)..).unwrap_or(&[]);
    }
    &[]
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn damaged(what: &'static str) -> ZipError {
    ZipError::Damaged(what)
}

impl Entry {
    /// The unpacked bytes from the start. Reading fails where they are damaged, and at their end if their checksum is wrong.
    ///
    /// # Errors
    /// What the system says, or why the entry cannot be unpacked.
    pub fn open<R: Read + Seek>(&self, mut file: R) -> io::Result<impl Read + use<R>> {
        let method = || ZipError::Method { name: self.name.clone(), method: self.method };
        if self.flags & 1 != 0 {
            return Err(method().into());
        }
        file.seek(SeekFrom::Start(self.start))?;
        let mut head = [0; LOCAL];
        file.read_exact(&mut head)?;
        let lengths = [26, 28].map(|at| short(&head, at).unwrap_or(0));
        if !head.starts_with(MAGIC) {
            return Err(damaged("an entry does not start where the index says").into());
        }
        file.seek(SeekFrom::Current(lengths.iter().map(|length| i64::from(*length)).sum()))?;
        let packed = BufReader::new(file.take(self.packed));
        let bytes = match self.method {
            0 => Unpacked::Stored(packed),
            8 => Unpacked::Deflated(DeflateDecoder::new(packed)),
            _ => return Err(method().into()),
        };
        Ok(Checked { bytes, crc: Crc::new(), left: self.length, expected: self.crc })
    }
}

/// An archive in memory.
#[derive(Debug, Clone)]
pub(crate) struct Archive<'b> {
    bytes: &'b [u8],
    pub(crate) entries: Vec<Entry>,
}

impl<'b> Archive<'b> {
    /// Reads the index.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, ZipError> {
        Ok(Self { bytes, entries: entries(&mut Cursor::new(bytes))? })
    }

    /// The content of an entry: at most what its bytes unpack to.
    ///
    /// # Errors
    /// If there is none of this name, or it is damaged.
    pub(crate) fn content(&self, name: &str) -> Result<Vec<u8>, ZipError> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| ZipError::Missing(name.to_string()))?;
        let mut content = Vec::new();
        entry.open(Cursor::new(self.bytes))?.take(entry.length).read_to_end(&mut content)?;
        Ok(content)
    }
}

enum Unpacked<R> {
    Stored(BufReader<Take<R>>),
    Deflated(DeflateDecoder<BufReader<Take<R>>>),
}

/// The bytes of an entry, which must be as many as promised and have the promised checksum.
struct Checked<R> {
    bytes: Unpacked<R>,
    crc: Crc,
    left: u64,
    expected: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let out = &mut out[..most];
        let n = match &mut self.bytes {
            Unpacked::Stored(bytes) => bytes.read(out)?,
            Unpacked::Deflated(bytes) => bytes.read(out)?,
        };
        if n == 0 && most > 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.crc.update(&out[..n]);
        self.left -= n as u64;
        if n > 0 && self.left == 0 && self.crc.sum() != self.expected {
            return Err(damaged("an entry's checksum is wrong").into());
        }
        Ok(n)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of files, deflated if asked for.
    pub(crate) fn archive(files: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
        let (mut bytes, mut index) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let mut crc = Crc::new();
            crc.update(content);
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            let packed = if deflate { encoder.finish().unwrap() } else { content.to_vec() };
            let method = if deflate { 8u16 } else { 0 };
            let start = bytes.len() as u32;
            let middle =
                [&20u16.to_le_bytes()[..], &[0; 2], &method.to_le_bytes(), &[0; 4], &crc.sum().to_le_bytes()].concat();
            let sizes = [packed.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
            let lengths = [&(name.len() as u16).to_le_bytes()[..], &[0; 2]].concat();
            bytes.extend([MAGIC, &middle, &sizes, &lengths, name.as_bytes(), &packed].concat());
            index.extend(
                [b"PK\x01\x02\x14\0", &middle[..], &sizes, &lengths, &[0; 10], &start.to_le_bytes(), name.as_bytes()]
                    .concat(),
            );
        }
        let place = [index.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
        let count = (files.len() as u16).to_le_bytes();
        [&bytes[..], &index, b"PK\x05\x06\0\0\0\0", &count, &count, &place, &[0; 2]].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let all = entries(&mut Cursor::new(bytes))?.into_iter().map(|entry| {
            let mut content = Vec::new();
            entry.open(Cursor::new(bytes))?.take(1 << 20).read_to_end(&mut content)?;
            Ok((entry.name, content))
        });
        all.collect()
    }

    #[test]
    fn entries_come_back_whatever_packs_them() {
        let files = [("a.npy", &b"some bytes some bytes some bytes"[..]), ("b", b"")];
        for deflate in [false, true] {
            let found = read(&archive(&files, deflate)).unwrap();
            assert_eq!(found, files.map(|(name, content)| (name.to_string(), content.to_vec())));
        }
        let commented = [&archive(&files[..1], true)[..], b"a comment"].concat();
        assert_eq!(read(&commented).unwrap().len(), 1);
    }

    #[test]
    fn an_archive_in_memory_has_its_entries_by_name() {
        let bytes = archive(&[("a", &[7; 1000]), ("b/c", b"xyz")], true);
        let found = Archive::read(&bytes).unwrap();
        assert_eq!((found.content("a").unwrap(), found.content("b/c").unwrap()), (vec![7; 1000], b"xyz".to_vec()));
        assert!(matches!(found.content("d"), Err(ZipError::Missing(name)) if name == "d"));
        assert!(matches!(Archive::read(&bytes[..bytes.len() - 1]), Err(ZipError::NoIndex)));
        let mut other = archive(&[("a", &[7; 1000])], false);
        let index = other.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        other[index + 10] = 12;
        assert!(matches!(Archive::read(&other).unwrap().content("a"), Err(ZipError::Method { method: 12, .. })));
    }

    #[test]
    fn damage_is_found() {
        for deflate in [false, true] {
            let sound = archive(&[("a", &[7; 100])], deflate);
            for n in 0..sound.len() {
                assert!(read(&sound[..n]).is_err(), "{n}");
            }
            // What the index does not repeat may change: versions, times, sizes and the name before the entry.
            let content = LOCAL + 1;
            for n in content..content + 10 {
                let mut bad = sound.clone();
                bad[n] ^= 0x55;
                assert!(read(&bad).is_err(), "{n}");
            }
        }
    }

    /// More is promised than any memory holds, and more is packed than is promised.
    #[test]
    fn no_length_is_believed() {
        let mut liar = archive(&[("a", &[0; 50])], true);
        let index = liar.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        liar[index + 24..index + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        assert!(read(&liar).is_err());
        liar[index + 24..index + 28].copy_from_slice(&10u32.to_le_bytes());
        assert!(read(&liar).unwrap_err().to_string().contains("checksum"));
    }
}
