//! A safetensors file whose tensors are read one at a time: a file may hold much that nobody asks for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::problem::Problem;
use crate::foreign;
use crate::tensors::{self, HeaderError};

/// Longest header that is read; that of a few tensors has some hundred bytes.
const MAX_HEADER: u64 = 1 << 24;
/// Bytes that are read at a time, a multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// An open file whose header fits its length.
pub(super) struct Reader {
    file: File,
    header: Metadata,
    /// Where the tensors start.
    start: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = Vec::new();
        file.by_ref().take(foreign::HEAD).read_to_end(&mut head)?;
        foreign::check_data(&head).map_err(|error| Problem::Foreign(error.to_string()))?;
        let most = length.saturating_sub(8).min(MAX_HEADER);
        let claimed = head.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
        if claimed > most {
            return Err(HeaderError::Long { most, found: claimed }.into());
        }
        let mut json = Vec::new();
        file.seek(SeekFrom::Start(8))?;
        file.by_ref().take(claimed).read_to_end(&mut json)?;
        let (header, start) = (tensors::header(&json, length)?, 8 + claimed);
        Ok(Self { file, header, start })
    }

    /// The first of some tensors that the file has.
    pub(super) fn find(&self, names: &[&'static str]) -> Option<(&'static str, &TensorInfo)> {
        names.iter().find_map(|name| Some((*name, self.header.info(name)?)))
    }

    /// All tensors, in the order of the file.
    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// Reads `bytes` bytes of a tensor from byte `first` of it on, and hands them to `take` in order, a part at a time.
    pub(super) fn read(
        &mut self,
        tensor: &TensorInfo,
        (first, bytes): (usize, usize),
        mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.file.seek(SeekFrom::Start(self.start + (tensor.data_offsets.0 + first) as u64))?;
        let mut chunk = vec![0; CHUNK.min(bytes)];
        let mut left = bytes;
        while left > 0 {
            let chunk = &mut chunk[..left.min(CHUNK)];
            self.file.read_exact(chunk)?;
            take(chunk)?;
            left -= chunk.len();
        }
        Ok(())
    }
}
