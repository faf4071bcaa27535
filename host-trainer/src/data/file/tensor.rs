//! A tensor in a file: only what is asked for of its elements is ever read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use safetensors::Dtype;

use super::problem::Problem;
use crate::zip;

/// Bytes that are read at a time, a multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// What a tensor is, and where its elements lie in row-major order.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: &'static str,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) place: Place,
}

/// Where elements start.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// So many bytes from the start of a file.
    File(PathBuf, u64),
    /// So many bytes from the start of what an entry of an archive holds.
    Archive(PathBuf, zip::Entry, u64),
}

impl Place {
    /// The bytes from `first` on.
    fn open(&self, first: u64) -> io::Result<Box<dyn Read>> {
        match self {
            Self::File(path, start) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(start + first))?;
                Ok(Box::new(file))
            }
            Self::Archive(path, entry, start) => {
                let mut bytes = entry.open(File::open(path)?)?;
                io::copy(&mut bytes.by_ref().take(start + first), &mut io::sink())?;
                Ok(Box::new(bytes))
            }
        }
    }
}

impl Tensor {
    /// Reads `bytes` bytes from byte `first` on, and hands them to `take` in order, a part at a time.
    pub(super) fn read(
        &self,
        (first, bytes): (usize, usize),
        mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut reader = self.place.open(first as u64)?;
        let mut chunk = vec![0; CHUNK.min(bytes)];
        let mut left = bytes;
        while left > 0 {
            let chunk = &mut chunk[..left.min(CHUNK)];
            reader.read_exact(chunk)?;
            take(chunk)?;
            left -= chunk.len();
        }
        Ok(())
    }
}
