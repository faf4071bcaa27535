//! The tensors of a safetensors file, of which the header alone is read: a file may hold much that nobody asks for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::Metadata;

use super::problem::Problem;
use super::tensor::{Place, Tensor};
use crate::foreign;
use crate::tensors::{self, HeaderError};

/// Longest header that is read; that of a few tensors has some hundred bytes.
const MAX_HEADER: u64 = 1 << 24;

/// A header that fits the length of its file.
pub(super) struct Tensors {
    path: PathBuf,
    header: Metadata,
    /// Where the tensors start.
    start: u64,
}

impl Tensors {
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
        Ok(Self { path: path.to_path_buf(), header, start })
    }

    /// The tensor of that name.
    pub(super) fn find(&self, name: &'static str) -> Option<Tensor> {
        let info = self.header.info(name)?;
        let place = Place::File(self.path.clone(), self.start + info.data_offsets.0 as u64);
        Some(Tensor { name, dtype: info.dtype, shape: info.shape.clone(), place })
    }

    /// All tensors, in the order of the file.
    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }
}
