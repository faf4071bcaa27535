//! NumPy's arrays: one in a `.npy` file, several in a `.npz` archive.
//!
//! ```text
//! "\x93NUMPY"  version u8 u8  length u16 (version 1) or u32 (2, 3), little endian
//! {'descr': '|u1', 'fortran_order': False, 'shape': (10000, 28, 28), }      spaces and a line feed up to the length
//! elements
//! ```
//! (NumPy Enhancement Proposal 1.)

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use safetensors::Dtype;

use super::problem::Problem;
use super::tensor::{Place, Tensor};
use crate::zip::{self, Entry};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read.
const MAX_HEADER: u64 = 1 << 16;
/// Dimensions of an array, at most.
const MAX_DIMENSIONS: usize = 8;
/// The longest array that is read whole, in bytes.
const MAX_ARRAY: u64 = 1 << 30;
/// What ends the name of an array in an archive.
const ENDING: &str = ".npy";

/// The array of a `.npy` file, called `name` in messages.
pub(super) fn array(path: &Path, name: &'static str) -> Result<Tensor, Problem> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let header = Header::read(&mut file, length)?;
    Ok(header.tensor(name, |start| Place::File(path.to_path_buf(), start)))
}

/// The arrays of an archive.
pub(super) struct Archive<'a> {
    path: &'a Path,
    entries: Vec<Entry>,
}

impl<'a> Archive<'a> {
    /// Reads the archive's index.
    pub(super) fn open(path: &'a Path) -> Result<Self, Problem> {
        Ok(Self { path, entries: zip::entries(&mut File::open(path)?)? })
    }

    /// Whether an array is among the entries.
    pub(super) fn is_npz(&self) -> bool {
        self.entries.iter().any(|entry| entry.name.ends_with(ENDING))
    }

    /// The array of that name, without its ending.
    pub(super) fn find(&self, name: &'static str) -> Result<Option<Tensor>, Problem> {
        let Some(entry) = entry_of(&self.entries, name) else { return Ok(None) };
        let header = Header::read(&mut entry.open(File::open(self.path)?)?, entry.length)?;
        Ok(Some(header.tensor(name, |start| Place::Archive(self.path.to_path_buf(), entry.clone(), start))))
    }

    /// The names of all arrays.
    pub(super) fn names(&self) -> Vec<String> {
        names(&self.entries)
    }
}

/// Type, dimensions and bytes of an array.
pub(crate) type Whole = (Dtype, Vec<usize>, Vec<u8>);

/// The arrays of an archive in memory.
pub(crate) struct Arrays<'b>(zip::Archive<'b>);

impl<'b> Arrays<'b> {
    /// Reads the archive's index.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, Problem> {
        Ok(Self(zip::Archive::read(bytes).map_err(io::Error::from)?))
    }

    /// The array of that name, without its ending.
    ///
    /// # Errors
    /// If it is damaged, too long, or no plain array.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Whole>, Problem> {
        let Some(entry) = entry_of(&self.0.entries, name) else { return Ok(None) };
        if entry.length > MAX_ARRAY {
            return Err(Problem::Numpy(format!("expected at most {MAX_ARRAY} bytes, found {}", entry.length)));
        }
        let mut content = self.0.content(&entry.name).map_err(io::Error::from)?;
        let header = Header::read(&mut &content[..], entry.length)?;
        Ok(Some((header.dtype, header.shape, content.split_off(header.start as usize))))
    }

    /// The names of all arrays.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.0.entries)
    }
}

fn entry_of<'e>(entries: &'e [Entry], name: &str) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.name.strip_suffix(ENDING) == Some(name))
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.name.trim_end_matches(ENDING).to_string()).collect()
}

struct Header {
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
}

impl Header {
    /// Reads the header of a file of `length` bytes, which its elements have to fit.
    fn read(reader: &mut impl Read, length: u64) -> Result<Self, Problem> {
        let mut exactly = |n: usize| {
            let mut bytes = Vec::new();
            reader.by_ref().take(n as u64).read_to_end(&mut bytes)?;
            if bytes.len() < n { Err(Problem::Io(ErrorKind::UnexpectedEof.into())) } else { Ok(bytes) }
        };
        let head = exactly(MAGIC.len() + 2)?;
        if !head.starts_with(MAGIC) {
            return Err(Problem::Numpy("expected a NumPy array, found something else".into()));
        }
        let of_length = if head[MAGIC.len()] == 1 { 2 } else { 4 };
        let mut long = [0; 4];
        long[..of_length].copy_from_slice(&exactly(of_length)?);
        let claimed = u64::from(u32::from_le_bytes(long));
        if claimed > MAX_HEADER {
            return Err(Problem::Numpy(format!("expected a header of at most {MAX_HEADER} bytes, found {claimed}")));
        }
        let text = exactly(claimed as usize)?;
        let text = String::from_utf8(text).map_err(|_| Problem::Numpy("expected a header of text".into()))?;
        let (dtype, shape) = (dtype(&text)?, shape(&text)?);
        let start = (MAGIC.len() + 2 + of_length) as u64 + claimed;
        let elements = shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n as u64));
        let bytes = elements.and_then(|elements| elements.checked_mul(dtype.bitsize() as u64 / 8));
        match bytes.and_then(|bytes| bytes.checked_add(start)) {
            Some(expected) if expected == length => Ok(Self { dtype, shape, start }),
            _ => Err(Problem::Numpy(format!(
                "expected as many bytes as the shape {shape:?} takes, found {}",
                length.saturating_sub(start)
            ))),
        }
    }

    fn tensor(self, name: &'static str, place: impl FnOnce(u64) -> Place) -> Tensor {
        Tensor { name, dtype: self.dtype, shape: self.shape, place: place(self.start) }
    }
}

/// What stands behind a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, Problem> {
    let missing = || Problem::Numpy(format!("expected a header with {key}"));
    let (_, after) = header.split_once(&format!("'{key}'")).ok_or_else(missing)?;
    Ok(after.trim_start().strip_prefix(':').ok_or_else(missing)?.trim_start())
}

/// The type of the elements; big endian ones and columns that come first are refused.
fn dtype(header: &str) -> Result<Dtype, Problem> {
    if !value(header, "fortran_order")?.starts_with("False") {
        return Err(Problem::Numpy("the array is in Fortran order: save np.ascontiguousarray of it".into()));
    }
    let found = value(header, "descr")?;
    let known = [
        ("|u1", Dtype::U8),
        ("|i1", Dtype::I8),
        ("<i2", Dtype::I16),
        ("<u2", Dtype::U16),
        ("<i4", Dtype::I32),
        ("<u4", Dtype::U32),
        ("<i8", Dtype::I64),
        ("<u8", Dtype::U64),
        ("<f2", Dtype::F16),
        ("<f4", Dtype::F32),
        ("<f8", Dtype::F64),
        ("|b1", Dtype::BOOL),
    ];
    let dtype = known
        .iter()
        .find(|(text, _)| found.strip_prefix('\'').is_some_and(|rest| rest.starts_with(&format!("{text}'"))));
    let shown = || {
        let quoted = found.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or(found);
        quoted.chars().take(12).collect::<String>().escape_debug().to_string()
    };
    let unknown =
        || Problem::Numpy(format!("expected elements of a plain little-endian type such as <f4, found {}", shown()));
    dtype.map(|(_, dtype)| *dtype).ok_or_else(unknown)
}

fn shape(header: &str) -> Result<Vec<usize>, Problem> {
    let wrong = || Problem::Numpy("expected a shape in the header".into());
    let (text, _) = value(header, "shape")?.strip_prefix('(').ok_or_else(wrong)?.split_once(')').ok_or_else(wrong)?;
    let sizes = text.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().map_err(|_| wrong())).collect::<Result<Vec<usize>, _>>()?;
    if shape.len() > MAX_DIMENSIONS { Err(wrong()) } else { Ok(shape) }
}
