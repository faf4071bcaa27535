//! HDF5 files as Keras writes them by way of h5py: the oldest form of the format, whose groups are trees of names and whose
//! arrays lie in one piece.
//!
//! ```text
//! superblock     "\x89HDF..."; where the root is
//! object         messages: what an array is and where it lies, attributes, or where a group's names are
//! group          tree "TREE" of nodes "SNOD": places of names in a heap "HEAP", and of objects
//! global heap    "GCOL": texts of any length
//! ```
//! Every place in the file is read where it is asked for, and only so many that a circle ends.

use std::cell::Cell;
use std::collections::BTreeMap;

/// Why an HDF5 file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Hdf5Error {
    /// Something lies beyond the end of the file, or is not what should be there.
    #[error("the file is cut or damaged: expected {what} at byte {at}")]
    Damaged {
        /// What was looked for.
        what: &'static str,
        /// Where.
        at: u64,
    },
    /// A form of the format that Keras does not write.
    #[error("{what}, which Keras does not write: expected a file of model.save")]
    Form {
        /// What was found.
        what: &'static str,
    },
    /// More places than a model has.
    #[error("the file has a circle, or more than {most} parts")]
    Many {
        /// How many there may be.
        most: usize,
    },
    /// There is nothing of this name.
    #[error("expected {path:?} in the file, found none")]
    Missing {
        /// Names of groups and the last of an array.
        path: String,
    },
}

type Read<T> = Result<T, Hdf5Error>;

/// Most parts that are looked at.
const MOST: usize = 1 << 18;
/// In place of an address that is none.
const NOWHERE: u64 = u64::MAX;

const DATASPACE: u16 = 1;
const DATATYPE: u16 = 3;
const LAYOUT: u16 = 8;
const FILTERS: u16 = 11;
const ATTRIBUTE: u16 = 12;
const CONTINUATION: u16 = 16;
const SYMBOLS: u16 = 17;

/// A file in memory.
#[derive(Debug)]
pub(super) struct Hdf5<'b> {
    bytes: &'b [u8],
    root: u64,
    visited: Cell<usize>,
}

/// Numbers of an array and its dimensions.
pub(super) type Numbers = (Vec<usize>, Vec<f32>);

/// A type of elements.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    /// Of so many bytes.
    Float(usize),
    Text(usize),
    /// In the global heap.
    LongText,
    Other(usize),
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Self::Float(bytes) | Self::Text(bytes) | Self::Other(bytes) => bytes,
            Self::LongText => 16,
        }
    }
}

impl<'b> Hdf5<'b> {
    /// Opens a file.
    pub(super) fn open(bytes: &'b [u8]) -> Read<Self> {
        let mut file = Self { bytes, root: 0, visited: Cell::new(0) };
        let version = file.at::<1>(8, "a version")?[0];
        if version > 1 {
            return Err(Hdf5Error::Form { what: "a newer form of HDF5 (libver=\"latest\")" });
        }
        if file.at::<2>(13, "sizes of numbers")? != [8, 8] {
            return Err(Hdf5Error::Form { what: "numbers that do not have 8 bytes" });
        }
        let more = if version == 1 { 4 } else { 0 };
        if file.number::<8>(24 + more)? != 0 {
            return Err(Hdf5Error::Form { what: "a block of the user's before the file" });
        }
        file.root = file.number::<8>(24 + 32 + 8 + more)?;
        Ok(file)
    }

    fn at<const N: usize>(&self, at: u64, what: &'static str) -> Read<[u8; N]> {
        let found = self.slice(at, N as u64, what)?.first_chunk().copied();
        found.ok_or(Hdf5Error::Damaged { what, at })
    }

    fn slice(&self, at: u64, length: u64, what: &'static str) -> Read<&'b [u8]> {
        let visited = self.visited.get() + 1;
        self.visited.set(visited);
        if visited > MOST {
            return Err(Hdf5Error::Many { most: MOST });
        }
        let place = usize::try_from(at).ok().zip(usize::try_from(length).ok());
        let found = place.and_then(|(at, length)| self.bytes.get(at..)?.get(..length));
        found.ok_or(Hdf5Error::Damaged { what, at })
    }

    fn number<const N: usize>(&self, at: u64) -> Read<u64> {
        Ok(number(&self.at::<N>(at, "a number")?))
    }

    fn signature(&self, at: u64, name: &'static [u8; 4], what: &'static str) -> Read<()> {
        if self.at::<4>(at, what)? == *name { Ok(()) } else { Err(Hdf5Error::Damaged { what, at }) }
    }

    /// All messages of an object: type and content.
    fn messages(&self, object: u64) -> Read<Vec<(u16, &'b [u8])>> {
        let what = "an object";
        let head = self.at::<16>(object, what)?;
        if head[0] != 1 {
            let is_newer = head.starts_with(b"OHDR");
            let newer = Hdf5Error::Form { what: "a newer form of HDF5 (libver=\"latest\")" };
            return Err(if is_newer { newer } else { Hdf5Error::Damaged { what, at: object } });
        }
        let mut count = number(&head[2..4]);
        let mut blocks = vec![self.slice(object.saturating_add(16), number(&head[8..12]), what)?];
        let mut messages = Vec::new();
        while let Some(mut rest) = blocks.pop() {
            while let (Some((head, behind)), true) = (rest.split_first_chunk::<8>(), count > 0) {
                count -= 1;
                let (kind, length) = (number(&head[..2]) as u16, number(&head[2..4]) as usize);
                let Some(content) = behind.get(..length) else { break };
                rest = &behind[length..];
                if kind == CONTINUATION && length >= 16 {
                    blocks.push(self.slice(number(&content[..8]), number(&content[8..16]), what)?);
                }
                messages.push((kind, content));
            }
        }
        Ok(messages)
    }

    /// Names and places of a group's objects.
    fn group(&self, object: u64) -> Read<BTreeMap<String, u64>> {
        let messages = self.messages(object)?;
        let found = messages.iter().find(|(kind, content)| *kind == SYMBOLS && content.len() >= 16);
        let Some((_, content)) = found else { return Ok(BTreeMap::new()) };
        let (tree, heap) = (number(&content[..8]), number(&content[8..16]));
        self.signature(heap, b"HEAP", "a heap of names")?;
        let (length, place) = (self.number::<8>(heap + 8)?, self.number::<8>(heap.saturating_add(24))?);
        let names = self.slice(place, length, "a heap of names")?;
        let mut entries = BTreeMap::new();
        let mut waiting = vec![tree];
        while let Some(at) = waiting.pop().filter(|at| *at != NOWHERE) {
            if self.at::<4>(at, "a tree of names")? == *b"SNOD" {
                self.symbols(at, names, &mut entries)?;
                continue;
            }
            self.signature(at, b"TREE", "a tree of names")?;
            let count = self.number::<2>(at + 6)?;
            for child in 0..count {
                waiting.push(self.number::<8>(at.saturating_add(24 + 8 + 16 * child))?);
            }
        }
        Ok(entries)
    }

    fn symbols(&self, at: u64, names: &[u8], entries: &mut BTreeMap<String, u64>) -> Read<()> {
        let what = "a name of a group";
        for entry in 0..self.number::<2>(at + 6)? {
            let entry = self.at::<16>(at.saturating_add(8 + 40 * entry), what)?;
            let name = usize::try_from(number(&entry[..8])).ok().and_then(|at| names.get(at..));
            let name = name.and_then(|name| name.split(|byte| *byte == 0).next());
            let name = name.ok_or(Hdf5Error::Damaged { what, at })?;
            entries.insert(String::from_utf8_lossy(name).into_owned(), number(&entry[8..]));
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Read<u64> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(self.root, |object, name| {
            let found = self.group(object)?.get(name).copied();
            found.ok_or_else(|| Hdf5Error::Missing { path: path.to_string() })
        })
    }

    /// Names of the objects of a group.
    pub(super) fn names(&self, path: &str) -> Read<Vec<String>> {
        Ok(self.group(self.find(path)?)?.into_keys().collect())
    }

    /// The texts of an attribute; `None` if there is none of this name.
    pub(super) fn texts(&self, path: &str, name: &str) -> Read<Option<Vec<String>>> {
        for (kind, content) in self.messages(self.find(path)?)? {
            if kind == ATTRIBUTE
                && let Some(attribute) = Attribute::read(content).filter(|attribute| attribute.name == name.as_bytes())
            {
                return self.attribute(&attribute).map(Some);
            }
        }
        Ok(None)
    }

    fn attribute(&self, attribute: &Attribute<'_>) -> Read<Vec<String>> {
        let what = "an attribute";
        let damaged = Hdf5Error::Damaged { what, at: 0 };
        let (Some(element), Some(sizes)) = (element(attribute.datatype), dimensions(attribute.dataspace)) else {
            return Err(damaged);
        };
        let count = sizes.iter().try_fold(1usize, |product, n| product.checked_mul(*n)).ok_or(damaged)?;
        let mut texts = Vec::new();
        for bytes in attribute.data.chunks_exact(element.bytes().max(1)).take(count) {
            match element {
                Element::Text(_) => texts.push(text(bytes)),
                Element::LongText => {
                    let (length, heap, index) = (number(&bytes[..4]), number(&bytes[4..12]), number(&bytes[12..16]));
                    texts.push(text(self.long_text(heap, index, length)?));
                }
                _ => {}
            }
        }
        Ok(texts)
    }

    /// A text in the global heap.
    fn long_text(&self, heap: u64, index: u64, length: u64) -> Read<&'b [u8]> {
        let what = "a text in the global heap";
        self.signature(heap, b"GCOL", what)?;
        let mut rest = self.slice(heap, self.number::<8>(heap.saturating_add(8))?, what)?.get(16..).unwrap_or(&[]);
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let size = usize::try_from(number(&head[8..])).unwrap_or(usize::MAX);
            let Some(content) = behind.get(..size) else { break };
            if number(&head[..2]) == index {
                return content.get(..length as usize).ok_or(Hdf5Error::Damaged { what, at: heap });
            }
            rest = behind.get(size.next_multiple_of(8)..).unwrap_or(&[]);
        }
        Err(Hdf5Error::Damaged { what, at: heap })
    }

    /// The numbers of an array.
    pub(super) fn array(&self, path: &str) -> Read<Numbers> {
        let object = self.find(path)?;
        let messages = self.messages(object)?;
        let damaged = |what| Hdf5Error::Damaged { what, at: object };
        let of = |wanted: u16| messages.iter().find(|(kind, _)| *kind == wanted).map(|(_, content)| *content);
        if of(FILTERS).is_some() {
            return Err(Hdf5Error::Form { what: "a packed array" });
        }
        let sizes = of(DATASPACE).and_then(dimensions).ok_or_else(|| damaged("dimensions of an array"))?;
        let element = of(DATATYPE).and_then(element).ok_or_else(|| damaged("a type of numbers"))?;
        let count = sizes.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
        let length = count.and_then(|count| count.checked_mul(element.bytes())).ok_or_else(|| damaged("an array"))?;
        let layout = of(LAYOUT).ok_or_else(|| damaged("the place of an array"))?;
        let data = match layout {
            [3 | 4, 0, rest @ ..] => rest.get(2..).and_then(|data| data.get(..length)),
            [3 | 4, 1, rest @ ..] if rest.len() >= 16 => {
                Some(self.slice(number(&rest[..8]), length as u64, "an array")?)
            }
            _ => return Err(Hdf5Error::Form { what: "an array that does not lie in one piece" }),
        };
        let data = data.ok_or_else(|| damaged("an array"))?;
        let numbers = match element {
            Element::Float(4) => bytemuck::pod_collect_to_vec(data),
            Element::Float(8) => bytemuck::pod_collect_to_vec::<u8, f64>(data).into_iter().map(|x| x as f32).collect(),
            Element::Float(2) => {
                bytemuck::pod_collect_to_vec::<u8, half::f16>(data).into_iter().map(half::f16::to_f32).collect()
            }
            _ => return Err(Hdf5Error::Form { what: "an array that is not of floats of 2, 4 or 8 bytes" }),
        };
        Ok((sizes, numbers))
    }
}

/// An attribute's parts.
struct Attribute<'b> {
    name: &'b [u8],
    datatype: &'b [u8],
    dataspace: &'b [u8],
    data: &'b [u8],
}

impl<'b> Attribute<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let size = |at: usize| number(&head[at..at + 2]) as usize;
        // Version 1 fills each part up to eight bytes, version 3 says how names are written.
        let (step, mut rest) = match head[0] {
            1 => (8, rest),
            2 => (1, rest),
            3 => (1, rest.get(1..)?),
            _ => return None,
        };
        let mut part = |size: usize| {
            let part = rest.get(..size)?;
            rest = rest.get(size.next_multiple_of(step)..)?;
            Some(part)
        };
        let (name, datatype, dataspace) = (part(size(2))?, part(size(4))?, part(size(6))?);
        let name = name.split(|byte| *byte == 0).next()?;
        Some(Self { name, datatype, dataspace, data: rest })
    }
}

/// The dimensions in a dataspace; none for one number.
fn dimensions(bytes: &[u8]) -> Option<Vec<usize>> {
    let rank = usize::from(*bytes.get(1)?);
    let from = match bytes.first()? {
        1 => 8,
        2 => 4,
        _ => return None,
    };
    let sizes = bytes.get(from..)?.get(..rank.checked_mul(8)?)?.chunks_exact(8);
    sizes.map(|size| usize::try_from(number(size)).ok()).collect()
}

fn element(bytes: &[u8]) -> Option<Element> {
    let head = bytes.first_chunk::<8>()?;
    let size = number(&head[4..8]) as usize;
    Some(match head[0] & 15 {
        // The highest byte last.
        1 if head[1] & 1 == 0 => Element::Float(size),
        3 => Element::Text(size),
        9 if head[1] & 15 == 1 => Element::LongText,
        _ => Element::Other(size),
    })
}

/// A number, the lowest byte first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
