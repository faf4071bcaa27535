//! Zip archives, as torch.save, Keras and NumPy write them: entries that are stored or deflated, by their directory at the end.
//!
//! ```text
//! entry   "PK\3\4" ... name, more; bytes              one for each file
//! record  "PK\1\2" ... sizes, checksum, name, place   one for each file: the directory
//! end     "PK\5\6" ... number of records, length and place of the directory
//! ```
//! An entry is unpacked when it is asked for, up to the length that its record claims, and no further.

use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

/// First bytes of an archive.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";
const RECORD: u32 = 0x0201_4b50;
const END: &[u8] = b"PK\x05\x06";
const ENTRY: u32 = 0x0403_4b50;
/// Bytes of the parts without names.
const RECORD_LEN: usize = 46;
const ENTRY_LEN: usize = 30;
const END_LEN: usize = 22;
/// Longest comment at the end.
const MAX_COMMENT: usize = u16::MAX as usize;
/// Deflate cannot make less than this of a byte.
const MAX_RATIO: u64 = 1032;
/// In place of a number that does not fit 32 bits.
const ELSEWHERE: u64 = 0xffff_ffff;

/// Why an archive or an entry of it cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file was cut, or is none.
    #[error("expected a zip archive with a directory at its end, found none: was the file cut?")]
    NoDirectory,
    /// A record or an entry does not lie where it should.
    #[error("a damaged zip archive: {what} {index} is cut or not there")]
    Damaged {
        /// What was looked for.
        what: &'static str,
        /// Its number in the directory.
        index: usize,
    },
    /// An entry is packed in a way that is not read.
    #[error("entry {name:?}: expected one that is stored or deflated, without a password, found method {method}")]
    Method {
        /// The entry.
        name: String,
        /// Number of the method.
        method: u16,
    },
    /// An entry's content is not what its record says.
    #[error("entry {name:?} is damaged: its {what} is not what the archive says")]
    Content {
        /// The entry.
        name: String,
        /// Length or checksum.
        what: &'static str,
    },
    /// No such entry.
    #[error("expected an entry {name:?}, found none")]
    Missing {
        /// The entry.
        name: String,
    },
}

/// One file in an archive.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    index: usize,
    method: u16,
    is_encrypted: bool,
    checksum: u32,
    packed: u64,
    length: u64,
    place: u64,
}

/// An archive in memory.
#[derive(Debug, Clone)]
pub(crate) struct Archive<'b> {
    bytes: &'b [u8],
    pub(crate) entries: Vec<Entry>,
}

impl<'b> Archive<'b> {
    /// Reads the directory.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, ArchiveError> {
        let from = bytes.len().saturating_sub(END_LEN + MAX_COMMENT);
        let tail = &bytes[from..];
        let end = tail.windows(END_LEN).rposition(|window| window.starts_with(END)).ok_or(ArchiveError::NoDirectory)?;
        let end = &tail[end..];
        let (count, place) = (number::<2>(end, 10).unwrap_or(0), number::<4>(end, 16).unwrap_or(0));
        let mut rest = usize::try_from(place).ok().and_then(|place| bytes.get(place..));
        let mut entries = Vec::new();
        for index in 0..count as usize {
            let damaged = ArchiveError::Damaged { what: "record", index };
            let Some((entry, length)) = rest.and_then(|rest| Entry::read(rest, index)) else { return Err(damaged) };
            rest = rest.and_then(|rest| rest.get(length..));
            entries.push(entry);
        }
        Ok(Self { bytes, entries })
    }

    /// The content of an entry.
    ///
    /// # Errors
    /// If there is none of this name, or it is damaged.
    pub(crate) fn content(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        self.unpack(entry.ok_or_else(|| ArchiveError::Missing { name: name.to_string() })?)
    }

    fn unpack(&self, entry: &Entry) -> Result<Vec<u8>, ArchiveError> {
        let name = || entry.name.clone();
        let packed = self.packed(entry).ok_or(ArchiveError::Damaged { what: "entry", index: entry.index })?;
        let wrong = |what| ArchiveError::Content { name: name(), what };
        let content = match entry.method {
            _ if entry.is_encrypted => return Err(ArchiveError::Method { name: name(), method: entry.method }),
            0 => packed.to_vec(),
            8 if entry.length <= entry.packed.saturating_mul(MAX_RATIO) => {
                let mut content = Vec::new();
                let unpacked = DeflateDecoder::new(packed).take(entry.length + 1).read_to_end(&mut content);
                unpacked.map_err(|_| wrong("content"))?;
                content
            }
            8 => return Err(wrong("length")),
            method => return Err(ArchiveError::Method { name: name(), method }),
        };
        if content.len() as u64 != entry.length {
            return Err(wrong("length"));
        }
        let mut checksum = Crc::new();
        checksum.update(&content);
        if checksum.sum() == entry.checksum { Ok(content) } else { Err(wrong("checksum")) }
    }

    /// The bytes of an entry as they stand in the archive.
    fn packed(&self, entry: &Entry) -> Option<&'b [u8]> {
        let start = self.bytes.get(usize::try_from(entry.place).ok()?..)?;
        let head = start.get(..ENTRY_LEN)?;
        if number::<4>(head, 0)? != u64::from(ENTRY) {
            return None;
        }
        let skipped = ENTRY_LEN + (number::<2>(head, 26)? + number::<2>(head, 28)?) as usize;
        start.get(skipped..)?.get(..usize::try_from(entry.packed).ok()?)
    }
}

impl Entry {
    /// A record of the directory, and its length.
    fn read(bytes: &[u8], index: usize) -> Option<(Self, usize)> {
        let head = bytes.get(..RECORD_LEN)?;
        let of2 = |at| number::<2>(head, at);
        let of4 = |at| number::<4>(head, at);
        if of4(0)? != u64::from(RECORD) {
            return None;
        }
        let [name, more, comment] = [of2(28)?, of2(30)?, of2(32)?].map(|length| length as usize);
        let text = bytes.get(RECORD_LEN..)?.get(..name)?;
        let extra = bytes.get(RECORD_LEN + name..)?.get(..more)?;
        let mut entry = Self {
            name: String::from_utf8_lossy(text).into_owned(),
            index,
            method: of2(10)? as u16,
            is_encrypted: of2(8)? & 1 == 1,
            checksum: of4(16)? as u32,
            packed: of4(20)?,
            length: of4(24)?,
            place: of4(42)?,
        };
        entry.widen(extra)?;
        Some((entry, RECORD_LEN + name + more + comment))
    }

    /// Takes the numbers that do not fit 32 bits from the field that has them, which is the first of kind 1.
    fn widen(&mut self, mut extra: &[u8]) -> Option<()> {
        let mut wide: &[u8] = &[];
        while let (Some(kind), Some(length)) = (number::<2>(extra, 0), number::<2>(extra, 2)) {
            let field = extra.get(4..)?.get(..length as usize)?;
            if kind == 1 {
                wide = field;
            }
            extra = &extra[4 + field.len()..];
        }
        for value in [&mut self.length, &mut self.packed, &mut self.place] {
            if *value == ELSEWHERE {
                *value = number::<8>(wide, 0)?;
                wide = &wide[8..];
            }
        }
        Some(())
    }
}

/// A number of `N` bytes, the lowest first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<N>()?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Python: `zipfile.ZipFile(f, "w")`, `writestr("a", b"aaaa...", ZIP_DEFLATED)`, `writestr("b/c", b"xyz")`.
    fn archive() -> Vec<u8> {
        let record = |name: &[u8], method: u16, checksum: u32, packed: &[u8], length: u32, place: u32| {
            let sizes =
                [&checksum.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &length.to_le_bytes()].concat();
            let names = [&(name.len() as u16).to_le_bytes()[..], &[0, 0]].concat();
            let method = method.to_le_bytes();
            let entry = [b"PK\x03\x04\x14\0\0\0", &method[..], &[0; 4], &sizes, &names, name, packed].concat();
            let record = [
                b"PK\x01\x02\x14\0\x14\0\0\0",
                &method[..],
                &[0; 4],
                &sizes,
                &names,
                &[0; 10],
                &place.to_le_bytes(),
                name,
            ];
            (entry, record.concat())
        };
        let sum = |content: &[u8]| {
            let mut crc = Crc::new();
            crc.update(content);
            crc.sum()
        };
        let mut packed = Vec::new();
        let mut encoder = flate2::read::DeflateEncoder::new(&[b'a'; 1000][..], flate2::Compression::best());
        encoder.read_to_end(&mut packed).unwrap();
        let (a, of_a) = record(b"a", 8, sum(&[b'a'; 1000]), &packed, 1000, 0);
        let (b, of_b) = record(b"b/c", 0, sum(b"xyz"), b"xyz", 3, a.len() as u32);
        let (place, length) = ((a.len() + b.len()) as u32, (of_a.len() + of_b.len()) as u32);
        let end =
            [b"PK\x05\x06\0\0\0\0\x02\0\x02\0", &length.to_le_bytes()[..], &place.to_le_bytes(), &[0, 0]].concat();
        [a, b, of_a, of_b, end].concat()
    }

    #[test]
    fn entries_are_unpacked() {
        let bytes = archive();
        let archive = Archive::read(&bytes).unwrap();
        assert_eq!(archive.content("a").unwrap(), [b'a'; 1000]);
        assert_eq!(archive.content("b/c").unwrap(), b"xyz");
        assert!(matches!(archive.content("d"), Err(ArchiveError::Missing { .. })));
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = archive();
        for length in 0..bytes.len() {
            assert!(Archive::read(&bytes[..length]).is_err(), "{length}");
        }
        let whole = Archive::read(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            let Ok(archive) = Archive::read(&bytes) else { continue };
            for name in ["a", "b/c"] {
                // What does not matter may change; the content may not.
                if let Ok(content) = archive.content(name) {
                    assert_eq!(content, whole.content(name).unwrap(), "{at}");
                }
            }
        }
    }
}
