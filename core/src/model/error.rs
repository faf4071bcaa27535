//! What can be wrong with a model file.

use core::fmt::{self, Display, Formatter};

use crate::network::ParseError;

/// Why bytes are not a model.
///
/// ```
/// use midge_core::{MNIST_CNN, MNIST_CNN_SHIFTED, Model, ModelError, f16, include_model};
///
/// static FILE: &[u8] = include_model!("../../../host-trainer/assets/plain.safetensors");
/// let error = |network, bytes| Model::<f16>::from_safetensors(network, bytes).unwrap_err();
/// assert_eq!(error(&MNIST_CNN_SHIFTED, FILE), ModelError::OtherNetwork);
/// assert!(matches!(error(&MNIST_CNN, &FILE[..1000]), ModelError::Truncated { found: 1000, .. }));
/// ```
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
    /// The header is not the JSON of a safetensors file, or a key stands in it twice.
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
    /// The model's code does not run the architecture: it is for chains only, and this is none ([`Chain`](crate::Chain)), or
    /// one of them is planned for integers ([`Network::int8`](crate::Network::int8)) and the other is not.
    NotRun,
    /// A tensor is missing.
    Missing {
        /// Index of its layer.
        layer: usize,
        /// `weight` or `bias`.
        tensor: &'static str,
    },
    /// The file has tensors that the architecture does not have, or one of them twice.
    Extra {
        /// Bytes of the architecture's tensors.
        expected: usize,
        /// Bytes of the file's tensors.
        found: usize,
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
    /// A tensor has more or fewer bytes than its shape needs.
    TensorBytes {
        /// Index of its layer.
        layer: usize,
    },
    /// A tensor does not start where the one before it in the header ends: they overlap, there is a gap, or the header
    /// lists them in another order.
    Offsets {
        /// Where the one before ends, from the start of all tensors.
        expected: usize,
        /// Where the tensor starts.
        found: usize,
    },
    /// The bytes are not at an address that the element type needs.
    Misaligned {
        /// Bytes of the alignment.
        alignment: usize,
    },
    /// The file has bytes behind its last tensor.
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
    /// The weights are finite, but so large that values between the layers could overflow.
    TooLarge {
        /// Index of the first layer that could.
        layer: usize,
    },
    /// The zero points, scales or multipliers of a quantised layer are out of range.
    Quantisation {
        /// Index of the layer.
        layer: usize,
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
            Self::OtherNetwork => f.write_str("expected another architecture, or found it in other words than midge's"),
            Self::NotRun => f.write_str("the model's type of weights does not run this architecture"),
            Self::Missing { layer, tensor } => write!(f, "the tensor {layer}.{tensor} is missing"),
            Self::Extra { expected, found } => {
                write!(f, "more tensors than the architecture's: expected {expected} bytes of tensors, found {found}")
            }
            Self::DType { layer, expected } => write!(f, "layer {layer}: expected elements of type {expected}"),
            Self::TensorShape { layer, expected, found } => {
                let fault = if expected == found { "in another order of dimensions" } else { "found" };
                write!(f, "layer {layer}: expected a tensor of {expected} elements, {found} {fault}")
            }
            Self::TensorBytes { layer } => write!(f, "layer {layer}: a tensor has not the bytes that its shape needs"),
            Self::Offsets { expected, found } => {
                let what = if found < expected { "overlaps" } else { "does not follow" };
                write!(f, "a tensor {what} the one before it: expected it at byte {expected}, found it at {found}")
            }
            Self::Misaligned { alignment } => write!(f, "the bytes must start at a multiple of {alignment}"),
            Self::Oversized { expected, found } => write!(f, "expected {expected} bytes of tensors, found {found}"),
            Self::NotFinite { layer, index } => write!(f, "layer {layer}: weight {index} is infinite or NaN"),
            Self::TooLarge { layer } => write!(f, "layer {layer}: weights so large that its values could overflow"),
            Self::Quantisation { layer } => {
                write!(f, "layer {layer}: a zero point, scale, multiplier or shift is out of range")
            }
            Self::Checksum { expected, found } => {
                write!(f, "damaged: expected checksum {expected:08x}, found {found:08x}")
            }
        }
    }
}

impl core::error::Error for ModelError {}
