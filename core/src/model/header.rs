//! The model file: a standard safetensors file, read in place.
//!
//! ```text
//! offset            bytes
//! 0                 8       length of the header, little endian: n
//! 8                 n       JSON: {"__metadata__": {...}, "0.weight": {"dtype": .., "shape": .., "data_offsets": ..}, ..}
//! 8 + n             ..      the tensors, little endian
//! ```
//! Byte by byte, a dense layer of two inputs and two units as midge writes it:
//! ```text
//!   0   F0 00 00 00 00 00 00 00                      the header has 240 bytes
//!   8   {"__metadata__":{"format":"midge-1",
//!  44   "network":"input(1,2,1) flatten dense(units=2,bias=true)","crc32":"xxxxxxxx"},
//! 122   "1.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
//! 185   "1.bias":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}}
//! 245   3 spaces, so that the tensors start at a multiple of 8
//! 248   4 f32   1.weight   w[0,0] w[0,1] w[1,0] w[1,1]       offset 0 of the tensors
//! 264   2 f32   1.bias     b[0] b[1]                         offset 16
//! 272   end of the file
//! ```
//! Metadata: `format` = `midge-1`; `network` = the architecture ([`Network`]'s text, in full); `crc32` =
//! CRC-32/ISO-HDLC, in hex, of that text followed by the tensors' bytes; other entries are free text. Tensors are named
//! `<layer>.weight` and `<layer>.bias`, with the layer's index in the architecture. Convolution weights are
//! `[row][column][in channels][filters]`, dense weights `[inputs][units]`, biases `[units]`; all F32 or all F16.
//!
//! One reader, for device and host, with one rule. The tensors are those of the architecture and no others, none twice.
//! In the order of the header each starts where the one before ends, the first at 0, and the last ends with the file. (The
//! format leaves the order of the header open. Every known writer uses this one, and it takes no memory to check.) A field
//! of a tensor, the metadata, or one of the three entries above, that stands there twice is an error. Free text and keys
//! are not checked for valid escapes and UTF-8: nothing in the core depends on them.

use super::error::ModelError;
use super::json::Json;
use crate::checksum::checksum_of;
use crate::network::{Network, ParseError, is_tensor_name};
use crate::number::Stored;

/// Metadata key of the format's name.
pub const METADATA_FORMAT: &str = "format";
/// Metadata key of the architecture.
pub const METADATA_NETWORK: &str = "network";
/// Metadata key of the checksum.
pub const METADATA_CHECKSUM: &str = "crc32";
/// The format's name and version.
pub(super) const FORMAT: &str = "midge-1";
/// Longest header that is read; midge's own are around 1 kB.
const MAX_HEADER: usize = 1 << 16;

/// The checksum of a model file: over the architecture's text, then the bytes of the tensors in file order.
///
/// ```
/// // The check value of CRC-32/ISO-HDLC.
/// assert_eq!(midge_core::checksum("1234", b"56789"), 0xcbf4_3926);
/// ```
pub fn checksum(network: &str, tensors: &[u8]) -> u32 {
    checksum_of(&[network.as_bytes(), tensors])
}

/// The header of a model file, for those who do not know the architecture yet.
///
/// ```
/// use midge_core::{Header, Model, f16, include_model};
///
/// static FILE: &[u8] = include_model!("../../../host-trainer/assets/plain.safetensors");
/// let header = Header::read(FILE)?;
/// assert_eq!((header.network()?.parameters(), header.dtype()?), (824_362, "F16"));
/// header.metadata(&mut |key, value| println!("{}: {}", key.escape_ascii(), value.escape_ascii()))?;
///
/// let network = header.network()?;
/// let model = Model::<f16>::from_safetensors(&network, FILE)?;
/// # Ok::<(), midge_core::ModelError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    json: &'a [u8],
    metadata: Metadata<'a>,
    pub(super) tensors: &'a [u8],
}

/// The values of the metadata that the format knows, in the order of [`KEYS`].
type Metadata<'a> = [Option<&'a [u8]>; 3];

const KEYS: [&str; 3] = [METADATA_FORMAT, METADATA_NETWORK, METADATA_CHECKSUM];

/// A tensor's entry.
#[derive(Clone, Copy, Default)]
struct Entry<'a> {
    dtype: &'a [u8],
    shape: [usize; 4],
    dimensions: usize,
    data_offsets: [usize; 2],
}

impl<'a> Header<'a> {
    /// Reads the header, and checks the format and that the tensors fill the file; weights are not looked at.
    ///
    /// # Errors
    /// A truncated or malformed header, tensors that overlap or leave gaps, or metadata that are not midge's.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let truncated = |expected| ModelError::Truncated { expected, found: bytes.len() };
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(truncated(8))?;
        let length = u64::from_le_bytes(*length);
        let header_length = ModelError::HeaderLength { most: MAX_HEADER, found: length };
        let length = usize::try_from(length).ok().filter(|n| *n <= MAX_HEADER).ok_or(header_length)?;
        let (json, tensors) = rest.split_at_checked(length).ok_or(truncated(8 + length))?;
        let mut metadata = Metadata::default();
        let (mut end, mut stray) = (0, None);
        visit(json, &mut metadata, &mut |_, entry| {
            let [start, next] = entry.data_offsets;
            if start != end {
                stray = Some([end, start]);
            }
            end = next;
        })
        .ok_or(ModelError::Header)?;
        let [format, ..] = metadata;
        if format != Some(FORMAT.as_bytes()) {
            return Err(ModelError::Metadata { key: METADATA_FORMAT });
        }
        if let Some([expected, found]) = stray {
            return Err(ModelError::Offsets { expected, found });
        }
        match tensors.len() {
            len if len < end => Err(truncated(end.saturating_add(8 + length))),
            len if len > end => Err(ModelError::Oversized { expected: end, found: len }),
            _ => Ok(Self { json, metadata, tensors }),
        }
    }

    /// The architecture.
    ///
    /// # Errors
    /// If it is missing or cannot be read.
    pub fn network(&self) -> Result<Network, ModelError> {
        let text = core::str::from_utf8(self.network_text()?);
        text.map_err(|_| ParseError::Input).and_then(str::parse).map_err(ModelError::Network)
    }

    /// The element type of the weights: `F32`, `F16`, or `I8` of a quantised model.
    ///
    /// # Errors
    /// If there is no such tensor or its type is neither.
    pub fn dtype(&self) -> Result<&'static str, ModelError> {
        let mut dtype = None;
        visit(self.json, &mut Metadata::default(), &mut |_, entry| dtype = dtype.or(Some(entry.dtype)))
            .ok_or(ModelError::Header)?;
        // A quantised stage without weights has integers of 32 bits.
        let dtype = if dtype == Some(i32::DTYPE.as_bytes()) { Some(i8::DTYPE.as_bytes()) } else { dtype };
        let known = [f32::DTYPE, half::f16::DTYPE, i8::DTYPE];
        known
            .into_iter()
            .find(|known| dtype == Some(known.as_bytes()))
            .ok_or(ModelError::DType { layer: 0, expected: "F32, F16 or I8" })
    }

    /// All metadata: each key and its value go to `entry` as they stand between their quotes, escapes included.
    ///
    /// # Errors
    /// None after [`Self::read`].
    pub fn metadata(&self, entry: &mut dyn FnMut(&'a [u8], &'a [u8])) -> Result<(), ModelError> {
        let mut json = Json::new(self.json);
        let read = json.object(|key, json| {
            if key == METADATA {
                json.object(|key, json| {
                    entry(key, json.text()?);
                    Some(())
                })
            } else {
                read_entry(json, &mut Entry::default())
            }
        });
        read.ok_or(ModelError::Header)
    }

    pub(super) fn network_text(&self) -> Result<&'a [u8], ModelError> {
        let [_, network, _] = self.metadata;
        network.ok_or(ModelError::Metadata { key: METADATA_NETWORK })
    }

    pub(super) fn check_checksum(&self) -> Result<(), ModelError> {
        let [_, _, checksum] = self.metadata;
        let written = checksum.and_then(hexadecimal);
        let expected = written.ok_or(ModelError::Metadata { key: METADATA_CHECKSUM })?;
        let found = checksum_of(&[self.network_text()?, self.tensors]);
        if expected == found { Ok(()) } else { Err(ModelError::Checksum { expected, found }) }
    }

    /// One tensor, in place.
    pub(super) fn tensor<T: Stored>(
        &self,
        layer: usize,
        name: &'static str,
        shape: &[usize],
    ) -> Result<&'a [T], ModelError> {
        let mut found = None;
        visit(self.json, &mut Metadata::default(), &mut |key, entry| {
            if is_tensor_name(key, layer, name) {
                found = Some(*entry);
            }
        })
        .ok_or(ModelError::Header)?;
        let entry: Entry<'_> = found.ok_or(ModelError::Missing { layer, tensor: name })?;
        if entry.dtype != T::DTYPE.as_bytes() {
            return Err(ModelError::DType { layer, expected: T::DTYPE });
        }
        let expected = shape.iter().product::<usize>();
        let found = entry.shape.get(..entry.dimensions).unwrap_or(&[]);
        if found != shape {
            let found = found.iter().fold(1usize, |count, n| count.saturating_mul(*n));
            return Err(ModelError::TensorShape { layer, expected, found });
        }
        let [start, end] = entry.data_offsets;
        let bytes = self.tensors.get(start..end).filter(|bytes| bytes.len() == expected * size_of::<T>());
        let bytes = bytes.ok_or(ModelError::TensorBytes { layer })?;
        bytemuck::try_cast_slice(bytes).map_err(|_| ModelError::Misaligned { alignment: align_of::<T>() })
    }
}

/// A number of at most eight hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// The key of the metadata among the tensors.
const METADATA: &[u8] = b"__metadata__";

/// Reads all entries of a header: metadata into `metadata`, each tensor to `on_tensor`.
fn visit<'a>(
    json: &'a [u8],
    metadata: &mut Metadata<'a>,
    on_tensor: &mut dyn FnMut(&'a [u8], &Entry<'a>),
) -> Option<()> {
    let mut json = Json::new(json);
    let mut has_metadata = false;
    json.object(|key, json| {
        if key == METADATA {
            if core::mem::replace(&mut has_metadata, true) {
                return None;
            }
            read_metadata(json, metadata)?;
        } else {
            let mut entry = Entry::default();
            read_entry(json, &mut entry)?;
            on_tensor(key, &entry);
        }
        Some(())
    })?;
    json.end()
}

fn read_metadata<'a>(json: &mut Json<'a>, metadata: &mut Metadata<'a>) -> Option<()> {
    json.object(|key, json| {
        let value = json.text()?;
        for (known, target) in KEYS.iter().zip(&mut *metadata) {
            // A second value is an error.
            if key == known.as_bytes() && target.replace(value).is_some() {
                return None;
            }
        }
        Some(())
    })
}

fn read_entry<'a>(json: &mut Json<'a>, entry: &mut Entry<'a>) -> Option<()> {
    let mut fields = 0;
    json.object(|key, json| {
        match key {
            b"dtype" => entry.dtype = json.text()?,
            b"shape" => entry.dimensions = json.numbers(&mut entry.shape)?,
            b"data_offsets" if json.numbers(&mut entry.data_offsets)? == 2 => {}
            _ => return None,
        }
        fields += 1;
        Some(())
    })?;
    // Offsets there were then. If another field stands there twice, the third is missing, and its default fits nothing.
    let [start, end] = entry.data_offsets;
    (fields == 3 && start < end).then_some(())
}
