//! Results as a safetensors file: what `--out` of several commands writes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, TensorView};

use crate::files::write_atomically;

/// A tensor: its name, its dimensions and its elements.
pub(super) type Tensor<'a> = (&'static str, Vec<usize>, Values<'a>);

/// The elements of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    F32(&'a [f32]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    I8(&'a [i8]),
}

impl<'a> Values<'a> {
    fn view(self, shape: Vec<usize>) -> Result<TensorView<'a>> {
        let (dtype, bytes) = match self {
            Self::F32(values) => (Dtype::F32, bytemuck::cast_slice(values)),
            Self::I32(values) => (Dtype::I32, bytemuck::cast_slice(values)),
            Self::I64(values) => (Dtype::I64, bytemuck::cast_slice(values)),
            Self::I8(values) => (Dtype::I8, bytemuck::cast_slice(values)),
        };
        Ok(TensorView::new(dtype, shape, bytes)?)
    }
}

/// Writes tensors, with `metadata` on how they came about.
///
/// # Errors
/// If a tensor has not as many elements as its dimensions say, or the file cannot be written.
pub(super) fn write(path: &Path, tensors: Vec<Tensor<'_>>, metadata: BTreeMap<&str, String>) -> Result<()> {
    ensure!(cfg!(target_endian = "little"), "safetensors files are little endian, this processor is not");
    let views = tensors.into_iter().map(|(name, shape, values)| Ok((name, values.view(shape)?)));
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    let bytes = safetensors::serialize(views, Some(metadata)).context("the results do not fit a safetensors file")?;
    write_atomically(path, &sort_header(&bytes)?)
}

/// The safetensors crate writes metadata in the order of a hash map; sorted, the same model gives the same bytes.
fn sort_header(bytes: &[u8]) -> Result<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<8>().context("no header")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, tensors) = rest.split_at_checked(length).context("no header")?;
    let entries: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(header)?;
    let mut header = serde_json::to_vec(&entries)?;
    // The tensors stay aligned to 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), tensors].concat())
}
