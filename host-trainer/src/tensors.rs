//! Safetensors files from outside. The format's own library reads them, after a check that it leaves out: that lengths
//! which a header makes up have a sum.

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

/// Why a header is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file ends before its header does.
    #[error("expected a header of at most {most} bytes, found a length of {found}")]
    Long {
        /// Bytes that it may have.
        most: u64,
        /// Bytes that the file claims.
        found: u64,
    },
    /// The header is not that of a safetensors file; the library's reason.
    #[error("expected the header of a safetensors file, found: {0}")]
    Malformed(String),
    /// The tensors do not fill the file.
    #[error("expected {expected} bytes by its header, found {found}")]
    Length {
        /// Bytes of the whole file by its header.
        expected: u128,
        /// Bytes of the file.
        found: u64,
    },
}

/// The header of a file of `length` bytes, whose JSON is known.
pub(crate) fn header(json: &[u8], length: u64) -> Result<Metadata, HeaderError> {
    let header: Metadata = serde_json::from_slice(json).map_err(|error| HeaderError::Malformed(error.to_string()))?;
    let expected = 8 + json.len() as u128 + header.data_len() as u128;
    if expected == u128::from(length) { Ok(header) } else { Err(HeaderError::Length { expected, found: length }) }
}

/// The header of a whole file.
pub(crate) fn header_of(bytes: &[u8]) -> Result<Metadata, HeaderError> {
    let length = bytes.len() as u64;
    let (claimed, rest) = bytes.split_first_chunk::<8>().ok_or(HeaderError::Length { expected: 8, found: length })?;
    let claimed = u64::from_le_bytes(*claimed);
    let json = usize::try_from(claimed).ok().and_then(|claimed| rest.get(..claimed));
    header(json.ok_or(HeaderError::Long { most: rest.len() as u64, found: claimed })?, length)
}

/// All tensors of a whole file.
///
/// # Errors
/// What is wrong with its header.
pub(crate) fn read(bytes: &[u8]) -> Result<SafeTensors<'_>, HeaderError> {
    header_of(bytes)?;
    SafeTensors::deserialize(bytes).map_err(|error| HeaderError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_without_a_sum_are_an_error() {
        let step = 1u64 << 60;
        let entry = |i: u64, end: u64| {
            format!(r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{end}]}}"#, end - i * step, i * step)
        };
        let entries: Vec<String> = (0..16).map(|i| entry(i, if i < 15 { (i + 1) * step } else { u64::MAX })).collect();
        let json = format!("{{{}}}", entries.join(","));
        let bytes = [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &[0; 4]].concat();
        let HeaderError::Length { expected, found } = read(&bytes).unwrap_err() else { panic!() };
        assert_eq!((expected, found), (u128::from(u64::MAX) + 8 + json.len() as u128, bytes.len() as u64));
    }

    #[test]
    fn a_sound_file_is_what_the_library_reads() {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![3], &[1, 2, 3]).unwrap();
        let bytes = safetensors::serialize([("x", view)], None).unwrap();
        assert_eq!(read(&bytes).unwrap().tensor("x").unwrap().data(), [1, 2, 3]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err() && SafeTensors::deserialize(&bytes[..length]).is_err(), "{length}");
        }
        assert!(matches!(read(&[bytes, vec![0]].concat()), Err(HeaderError::Length { .. })));
    }
}
