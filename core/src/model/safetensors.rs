//! The model file: a standard safetensors file, read in place.
//!
//! ```text
//! offset            bytes
//! 0                 8       length of the header, little endian: n
//! 8                 n       JSON: {"__metadata__": {...}, "0.weight": {"dtype": .., "shape": .., "data_offsets": ..}, ..}
//! 8 + n             ..      the tensors, little endian, without gaps
//! ```
//! Metadata: `format` = `midge-1`; `network` = the architecture ([`Network`]'s text, in full); `crc32` =
//! CRC-32/ISO-HDLC, in hex, of that text followed by the tensors' bytes. Tensors are named `<layer>.weight` and `<layer>.bias`, with the layer's index
//! in the architecture. Convolution weights are `[row][column][in channels][filters]`, dense weights
//! `[inputs][units]`, biases `[units]`; all F32 or all F16.

use core::fmt::{self, Display, Formatter};

use super::json::Json;
use super::{Model, Parameters};
use crate::network::{Network, ParseError, is_tensor_name};
use crate::number::Number;
use crate::vector::Level;

/// Metadata key of the format's name.
pub const METADATA_FORMAT: &str = "format";
/// Metadata key of the architecture.
pub const METADATA_NETWORK: &str = "network";
/// Metadata key of the checksum.
pub const METADATA_CHECKSUM: &str = "crc32";
/// The format's name and version.
const FORMAT: &str = "midge-1";
/// Longest header that is read; midge's own are around 1 kB.
const MAX_HEADER: usize = 1 << 16;

/// Why bytes are not a model.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// The file ends before its header or its tensors do.
    Truncated {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The header is longer than a model's can be.
    HeaderLength {
        /// Most bytes.
        most: usize,
        /// Bytes that the file claims.
        found: u64,
    },
    /// The header is not the JSON of a safetensors file.
    Header,
    /// A metadata entry is missing, or it is not what midge writes.
    Metadata {
        /// The entry's key.
        key: &'static str,
    },
    /// The architecture cannot be read by those who do not know it yet.
    Network(ParseError),
    /// The file holds another architecture than the one that was asked for, or it is not written as midge writes it.
    OtherNetwork,
    /// A tensor is missing.
    Missing {
        /// Index of its layer.
        layer: usize,
        /// `weight` or `bias`.
        tensor: &'static str,
    },
    /// A tensor has another element type.
    DType {
        /// Index of its layer.
        layer: usize,
        /// The type that was asked for.
        expected: &'static str,
    },
    /// A tensor has another shape.
    TensorShape {
        /// Index of its layer.
        layer: usize,
        /// Elements that the architecture needs.
        expected: usize,
        /// Elements by the shape in the file; where they are equal, its dimensions differ.
        found: usize,
    },
    /// A tensor's place in the file does not fit its shape or the file.
    Offsets {
        /// Index of its layer.
        layer: usize,
    },
    /// The bytes are not at an address that the element type needs.
    Misaligned {
        /// Bytes of the alignment.
        alignment: usize,
    },
    /// The file has more bytes, or more tensors, than the architecture.
    Oversized {
        /// Bytes of tensors expected.
        expected: usize,
        /// Bytes of tensors found.
        found: usize,
    },
    /// A weight is infinite or NaN.
    NotFinite {
        /// Index of its layer.
        layer: usize,
        /// Index of the weight in its tensor.
        index: usize,
    },
    /// The tensors or the architecture are not those that were written.
    Checksum {
        /// The file's checksum.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
}

impl Display for ModelError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { expected, found } => write!(f, "truncated: expected {expected} bytes, found {found}"),
            Self::HeaderLength { most, found } => {
                write!(f, "not a model: expected a header of at most {most} bytes, found a length of {found}")
            }
            Self::Header => f.write_str("the header is not that of a safetensors file"),
            Self::Metadata { key } => write!(f, "the metadata entry {key:?} is missing or not one that midge writes"),
            Self::Network(error) => write!(f, "the architecture cannot be read: {error}"),
            Self::OtherNetwork => {
                f.write_str("the file holds another architecture than expected, or in other words than midge's")
            }
            Self::Missing { layer, tensor } => write!(f, "the tensor {layer}.{tensor} is missing"),
            Self::DType { layer, expected } => write!(f, "layer {layer}: expected elements of type {expected}"),
            Self::TensorShape { layer, expected, found } if expected == found => {
                write!(f, "layer {layer}: the {found} elements are not in the expected order of dimensions")
            }
            Self::TensorShape { layer, expected, found } => {
                write!(f, "layer {layer}: expected a tensor of {expected} elements, found {found}")
            }
            Self::Offsets { layer } => write!(f, "layer {layer}: a tensor's offsets do not fit its shape or the file"),
            Self::Misaligned { alignment } => write!(f, "the bytes must start at a multiple of {alignment}"),
            Self::Oversized { expected, found } => write!(f, "expected {expected} bytes of tensors, found {found}"),
            Self::NotFinite { layer, index } => write!(f, "layer {layer}: weight {index} is infinite or NaN"),
            Self::Checksum { expected, found } => {
                write!(f, "damaged: expected checksum {expected:08x}, found {found:08x}")
            }
        }
    }
}

impl core::error::Error for ModelError {}

/// The checksum of a model file: over the architecture's text, then the bytes of the tensors in file order.
pub fn checksum(network: &str, tensors: &[u8]) -> u32 {
    checksum_of(network.as_bytes(), tensors)
}

/// A table of 1 kB makes it fast on a host; on a device it would be 4 % of the flash for one reading of the file.
#[cfg(feature = "std")]
type Table = crc::Table<1>;
#[cfg(not(feature = "std"))]
type Table = crc::NoTable;

fn checksum_of(network: &[u8], tensors: &[u8]) -> u32 {
    const CRC: crc::Crc<u32, Table> = crc::Crc::<u32, Table>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    for bytes in [network, tensors] {
        digest.update(bytes);
    }
    digest.finalize()
}

/// The header of a model file, for those who do not know the architecture yet.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    json: &'a [u8],
    metadata: Metadata<'a>,
    tensors: &'a [u8],
}

#[derive(Debug, Clone, Copy, Default)]
struct Metadata<'a> {
    format: Option<&'a [u8]>,
    network: Option<&'a [u8]>,
    checksum: Option<&'a [u8]>,
}

/// A tensor's entry.
#[derive(Clone, Copy, Default)]
struct Entry<'a> {
    dtype: &'a [u8],
    shape: [usize; 4],
    dimensions: usize,
    data_offsets: [usize; 2],
}

impl<'a> Header<'a> {
    /// Reads the header and checks the format; weights are not looked at.
    ///
    /// # Errors
    /// A truncated or malformed header, or metadata that are not midge's.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let truncated = |expected| ModelError::Truncated { expected, found: bytes.len() };
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(truncated(8))?;
        let length = u64::from_le_bytes(*length);
        let header_length = ModelError::HeaderLength { most: MAX_HEADER, found: length };
        let length = usize::try_from(length).ok().filter(|n| *n <= MAX_HEADER).ok_or(header_length)?;
        let (json, tensors) = rest.split_at_checked(length).ok_or(truncated(8 + length))?;
        let mut metadata = Metadata::default();
        visit(json, &mut metadata, &mut |_, _| {})?;
        if metadata.format != Some(FORMAT.as_bytes()) {
            return Err(ModelError::Metadata { key: METADATA_FORMAT });
        }
        Ok(Self { json, metadata, tensors })
    }

    /// The architecture.
    ///
    /// # Errors
    /// If it is missing or cannot be read.
    pub fn network(&self) -> Result<Network, ModelError> {
        let text = core::str::from_utf8(self.network_text()?);
        text.map_err(|_| ParseError::Input).and_then(str::parse).map_err(ModelError::Network)
    }

    /// The element type of the first tensor with weights: `F32` or `F16`.
    ///
    /// # Errors
    /// If there is no such tensor or its type is neither.
    pub fn dtype(&self) -> Result<&'static str, ModelError> {
        let mut dtype = None;
        visit(self.json, &mut Metadata::default(), &mut |_, entry| dtype = dtype.or(Some(entry.dtype)))?;
        let known = [f32::DTYPE, half::f16::DTYPE];
        known
            .into_iter()
            .find(|known| dtype == Some(known.as_bytes()))
            .ok_or(ModelError::DType { layer: 0, expected: "F32 or F16" })
    }

    fn network_text(&self) -> Result<&'a [u8], ModelError> {
        self.metadata.network.ok_or(ModelError::Metadata { key: METADATA_NETWORK })
    }

    fn check_checksum(&self) -> Result<(), ModelError> {
        let written = self.metadata.checksum.and_then(hexadecimal);
        let expected = written.ok_or(ModelError::Metadata { key: METADATA_CHECKSUM })?;
        let found = checksum_of(self.network_text()?, self.tensors);
        if expected == found { Ok(()) } else { Err(ModelError::Checksum { expected, found }) }
    }

    /// One tensor, in place.
    fn tensor<T: Number>(&self, layer: usize, name: &'static str, shape: &[usize]) -> Result<&'a [T], ModelError> {
        let mut found = None;
        visit(self.json, &mut Metadata::default(), &mut |key, entry| {
            if is_tensor_name(key, layer, name) {
                found = Some(entry);
            }
        })?;
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
        if end.checked_sub(start) != Some(expected * size_of::<T>()) {
            return Err(ModelError::Offsets { layer });
        }
        let truncated = ModelError::Truncated { expected: end, found: self.tensors.len() };
        let bytes = self.tensors.get(start..end).ok_or(truncated)?;
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

/// Reads all entries of a header: metadata into `metadata`, each tensor to `on_tensor`.
fn visit<'a>(
    json: &'a [u8],
    metadata: &mut Metadata<'a>,
    on_tensor: &mut dyn FnMut(&'a [u8], Entry<'a>),
) -> Result<(), ModelError> {
    let mut json = Json::new(json);
    let read = json.object(|key, json| {
        if key == b"__metadata__" {
            *metadata = read_metadata(json)?;
        } else {
            on_tensor(key, read_entry(json)?);
        }
        Some(())
    });
    read.and_then(|()| json.end()).ok_or(ModelError::Header)
}

fn read_metadata<'a>(json: &mut Json<'a>) -> Option<Metadata<'a>> {
    let mut metadata = Metadata::default();
    json.object(|key, json| {
        let value = Some(json.text()?);
        for (known, target) in [
            (METADATA_FORMAT, &mut metadata.format),
            (METADATA_NETWORK, &mut metadata.network),
            (METADATA_CHECKSUM, &mut metadata.checksum),
        ] {
            if key == known.as_bytes() {
                *target = value;
            }
        }
        Some(())
    })?;
    Some(metadata)
}

fn read_entry<'a>(json: &mut Json<'a>) -> Option<Entry<'a>> {
    let mut entry = Entry::default();
    // A bit for each of the three fields.
    let mut seen = 0;
    json.object(|key, json| {
        seen |= match key {
            b"dtype" => {
                entry.dtype = json.text()?;
                1
            }
            b"shape" => {
                entry.dimensions = json.numbers(&mut entry.shape)?;
                2
            }
            b"data_offsets" if json.numbers(&mut entry.data_offsets)? == 2 => 4,
            _ => return None,
        };
        Some(())
    })?;
    (seen == 7).then_some(entry)
}

impl<'a, T: Number> Model<'a, T> {
    /// A model in a safetensors file's bytes, read in place. `network` is the architecture that the caller planned its
    /// buffers for; [`Header::network`] reads it from a file. The bytes must be aligned to the element type, and stay.
    ///
    /// ```
    /// # use midge_core::{Model, ModelError, MNIST_CNN};
    /// let error = Model::<f32>::from_safetensors(&MNIST_CNN, b"not a model").unwrap_err();
    /// assert!(matches!(error, ModelError::HeaderLength { .. }));
    /// ```
    ///
    /// # Errors
    /// See [`ModelError`]; every malformed file has one.
    pub fn from_safetensors(network: &'a Network, bytes: &'a [u8]) -> Result<Self, ModelError> {
        let header = Header::read(bytes)?;
        if !network.is_written_as(header.network_text()?) {
            return Err(ModelError::OtherNetwork);
        }
        // In the place of the result from the start, so that a device needs no code to move it.
        let mut result =
            Ok(Self { network, parameters: heapless::Vec::new(), level: Level::detect(), transposed: &[] });
        if let Ok(model) = &mut result
            && let Err(error) = model.read(&header)
        {
            result = Err(error);
        }
        result
    }

    /// Looks up all tensors.
    fn read(&mut self, header: &Header<'a>) -> Result<(), ModelError> {
        let mut expected = 0;
        for stage in self.network.plan().all() {
            let layer = stage.layer;
            let (weights, bias) = stage.parameters();
            let mut tensors = Parameters { weights: &[], bias: &[] };
            if weights > 0 {
                tensors.weights = header.tensor(layer, "weight", &stage.weight_shape())?;
            }
            if bias > 0 {
                tensors.bias = header.tensor(layer, "bias", &[bias])?;
            }
            expected += (weights + bias) * size_of::<T>();
            // The plan has at most `MAX_STAGES` stages.
            let _ = self.parameters.push(tensors);
        }
        if header.tensors.len() != expected {
            return Err(ModelError::Oversized { expected, found: header.tensors.len() });
        }
        header.check_checksum()?;
        self.check_finite()
    }

    fn check_finite(&self) -> Result<(), ModelError> {
        for (stage, tensors) in self.network.plan().all().iter().zip(&self.parameters) {
            let bad = |tensor: &[T]| tensor.iter().position(|w| !w.is_finite());
            if let Some(index) = bad(tensors.weights).or(bad(tensors.bias)) {
                return Err(ModelError::NotFinite { layer: stage.layer, index });
            }
        }
        Ok(())
    }
}
