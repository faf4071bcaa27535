//! What a framework makes of some images: the tensors of a safetensors file or of a NumPy archive.

use std::path::Path;

use anyhow::{Context, Result};
use half::f16;
use safetensors::Dtype;

use crate::data::file::numpy::Arrays;
use crate::foreign;
use crate::tensors;
use crate::zip;

/// Names of the images, and of what the framework made of them.
const INPUTS: [&str; 5] = ["inputs", "input", "images", "x", "arr_0"];
const OUTPUTS: [&str; 5] = ["outputs", "output", "logits", "y", "arr_1"];

/// Images, and a framework's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// `[N, ...]`.
    pub shape: Vec<usize>,
    /// In the framework's order.
    pub inputs: Vec<f32>,
    /// `[N, classes]`.
    pub outputs: Vec<f32>,
}

/// How the images of a [`Reference`] lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channel, row, column: PyTorch's and ONNX's.
    Nchw,
    /// Row, column, channel: Keras's and midge's.
    Nhwc,
}

/// Why a file is no reference, or none of a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// No tensor of images, or none of outputs.
    #[error("expected a tensor {wanted:?}, found {found:?}")]
    Missing {
        /// The usual one of its names.
        wanted: &'static str,
        /// The tensors that are there.
        found: Vec<String>,
    },
    /// Not a row of outputs for each image, or no image.
    #[error("expected {} of [N, classes] for {} of [N, ...], found {:?} for {:?}", names[1], names[0], shapes[1], shapes[0])]
    Shapes {
        /// Names of images and outputs.
        names: [&'static str; 2],
        /// Their dimensions.
        shapes: [Vec<usize>; 2],
    },
    /// Elements of a type that is not read.
    #[error("tensor {tensor:?}: expected elements of type F32, F64, F16 or U8, found {found:?}")]
    DType {
        /// Name of the tensor.
        tensor: &'static str,
        /// Their type.
        found: Dtype,
    },
    /// A number without a value.
    #[error("tensor {0:?}: expected finite numbers, found an infinite one or NaN")]
    NotFinite(&'static str),
    /// Images of another shape than the model's.
    #[error(
        "expected images of {height}x{width}x{channels} or {channels}x{height}x{width}, found {found:?}",
        height = expected[0], width = expected[1], channels = expected[2]
    )]
    Images {
        /// Height, width and channels of the model's input.
        expected: [usize; 3],
        /// Dimensions of an image in the file.
        found: Vec<usize>,
    },
    /// Images of which nothing says how they lie.
    #[error("rows and channels are as many: nothing says which come first")]
    Ambiguous,
    /// Outputs of another number of classes than the model's.
    #[error("expected outputs of {expected} classes, found {found}")]
    Classes {
        /// The model's.
        expected: usize,
        /// Those of the file.
        found: usize,
    },
}

/// A tensor in memory, by its name.
struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Reference {
    /// Reads a safetensors file or a NumPy archive, whichever the content is; `-` is standard input.
    ///
    /// # Errors
    /// With the file's name, what was expected and what was found.
    pub fn load(path: &Path) -> Result<Self> {
        let read = || Self::from_bytes(&foreign::read_tensors(path)?);
        read().with_context(|| foreign::name(path))
    }

    /// Reads the bytes of a safetensors file or of a NumPy archive.
    ///
    /// # Errors
    /// A damaged file, or a [`ReferenceError`]: one without tensors of images and outputs, or of one number of images.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let [inputs, outputs] = if bytes.starts_with(zip::MAGIC) { arrays(bytes)? } else { safetensors(bytes)? };
        let is_row_each = inputs.shape.first() == outputs.shape.first() && outputs.shape.len() == 2;
        if !is_row_each || inputs.shape[0] == 0 {
            let names = [inputs.name, outputs.name];
            return Err(ReferenceError::Shapes { names, shapes: [inputs.shape, outputs.shape] }.into());
        }
        Ok(Self { inputs: inputs.numbers()?, outputs: outputs.numbers()?, shape: inputs.shape })
    }

    /// The layout of images for a model of these rows, columns and channels.
    pub(super) fn layout(&self, expected: [usize; 3]) -> Result<Layout, ReferenceError> {
        let [height, width, channels] = expected;
        let is = |sizes: &[usize]| self.shape[1..] == *sizes;
        // The usual order of the frameworks with graphs of their own first, where both fit.
        if is(&[height, width, channels]) && channels > 1 && height == channels {
            return Err(ReferenceError::Ambiguous);
        }
        if is(&[channels, height, width]) {
            return Ok(Layout::Nchw);
        }
        let flat = height * width * channels;
        if is(&[height, width, channels]) || channels == 1 && (is(&[height, width]) || is(&[flat])) {
            return Ok(Layout::Nhwc);
        }
        Err(ReferenceError::Images { expected, found: self.shape[1..].to_vec() })
    }
}

fn safetensors(bytes: &[u8]) -> Result<[Tensor; 2]> {
    let file = tensors::read(bytes).context("not a sound safetensors file")?;
    let find = |names: [&'static str; 5]| {
        let found = names.iter().find_map(|name| Some((*name, file.tensor(name).ok()?)));
        let missing = || ReferenceError::Missing {
            wanted: names[0],
            found: file.names().into_iter().map(String::from).collect(),
        };
        let (name, view) = found.ok_or_else(missing)?;
        Ok::<_, ReferenceError>(Tensor {
            name,
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        })
    };
    Ok([find(INPUTS)?, find(OUTPUTS)?])
}

fn arrays(bytes: &[u8]) -> Result<[Tensor; 2]> {
    let file = Arrays::read(bytes)?;
    let find = |names: [&'static str; 5]| -> Result<Tensor> {
        for name in names {
            if let Some((dtype, shape, bytes)) = file.find(name).with_context(|| format!("array {name:?}"))? {
                return Ok(Tensor { name, dtype, shape, bytes });
            }
        }
        Err(ReferenceError::Missing { wanted: names[0], found: file.names() }.into())
    };
    Ok([find(INPUTS)?, find(OUTPUTS)?])
}

impl Tensor {
    /// Bytes are pixels, of which 255 is 1.
    fn numbers(&self) -> Result<Vec<f32>, ReferenceError> {
        let (bytes, tensor) = (&self.bytes[..], self.name);
        let numbers: Vec<f32> = match self.dtype {
            Dtype::F32 => bytemuck::pod_collect_to_vec(bytes),
            Dtype::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(bytes).into_iter().map(|x| x as f32).collect(),
            Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f16::to_f32).collect(),
            Dtype::U8 => bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect(),
            found => return Err(ReferenceError::DType { tensor, found }),
        };
        if numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(ReferenceError::NotFinite(tensor))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zip::tests::archive;

    /// A NumPy array of zeros.
    fn array(descr: &str, shape: &str, bytes: usize) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
    }

    fn error(files: &[(&str, Vec<u8>)]) -> anyhow::Error {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (*name, &content[..])).collect();
        Reference::from_bytes(&archive(&files, true)).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_arrays_is_typed() {
        let (inputs, outputs) = (array("|u1", "2, 3, 3", 18), array("<f4", "2, 5", 40));
        let message = error(&[("inputs.npy", inputs.clone()), ("other.npy", outputs.clone())]);
        let Some(ReferenceError::Missing { wanted: "outputs", found }) = message.downcast_ref() else { panic!() };
        assert_eq!(found, &["inputs", "other"]);
        let message = error(&[("x.npy", inputs.clone()), ("y.npy", array("<f4", "3, 5", 60))]);
        let Some(ReferenceError::Shapes { names, shapes }) = message.downcast_ref() else { panic!() };
        assert_eq!((names, &shapes[1][..]), (&["x", "y"], &[3, 5][..]));
        let message = error(&[("x.npy", inputs.clone()), ("y.npy", array("<i4", "2, 5", 40))]);
        assert!(matches!(message.downcast_ref(), Some(ReferenceError::DType { tensor: "y", found: Dtype::I32 })));
        let nan = [&array("<f4", "2, 5", 36)[..], &f32::NAN.to_le_bytes()].concat();
        let message = error(&[("x.npy", inputs.clone()), ("y.npy", nan)]);
        assert!(matches!(message.downcast_ref(), Some(ReferenceError::NotFinite("y"))));
        for (y, expected) in [
            (array("<f4", "2, 5", 39), "as many bytes as the shape"),
            (array("<f4", "0, 5", 40), "as many bytes as the shape"),
            (array(">f4", "2, 5", 40), "plain little-endian"),
            (b"text".to_vec(), "cannot be read"),
        ] {
            let message = format!("{:#}", error(&[("x.npy", inputs.clone()), ("y.npy", y)]));
            assert!(message.contains("array \"y\"") && message.contains(expected), "{message}");
        }
        let none = [("x.npy", array("|u1", "0, 9", 0)), ("y.npy", array("<f4", "0, 5", 0))];
        assert!(matches!(error(&none).downcast_ref(), Some(ReferenceError::Shapes { .. })));
    }

    #[test]
    fn a_cut_or_lying_archive_is_an_error() {
        let (inputs, outputs) = (array("|u1", "2, 9", 18), array("<f8", "2, 5", 80));
        let sound = archive(&[("x.npy", &inputs), ("y.npy", &outputs)], true);
        let found = Reference::from_bytes(&sound).unwrap();
        assert_eq!((found.shape, found.inputs, found.outputs), (vec![2, 9], vec![0.0; 18], vec![0.0; 10]));
        assert!((0..sound.len()).all(|n| Reference::from_bytes(&sound[..n]).is_err()));
        let mut liar = sound.clone();
        let index = liar.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        liar[index + 24..index + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        assert!(format!("{:#}", Reference::from_bytes(&liar).unwrap_err()).contains("at most"));
    }

    #[test]
    fn images_lie_as_their_dimensions_say() {
        let of = |sizes: &[usize]| Reference { shape: [&[2], sizes].concat(), inputs: Vec::new(), outputs: Vec::new() };
        let layout = |sizes: &[usize], input| of(sizes).layout(input).ok();
        assert_eq!(layout(&[3, 8, 9], [8, 9, 3]), Some(Layout::Nchw));
        assert_eq!(layout(&[8, 9, 3], [8, 9, 3]), Some(Layout::Nhwc));
        assert_eq!([layout(&[8, 9], [8, 9, 1]), layout(&[72], [8, 9, 1])], [Some(Layout::Nhwc); 2]);
        assert!(matches!(of(&[3, 3, 3]).layout([3, 3, 3]), Err(ReferenceError::Ambiguous)));
        let Err(ReferenceError::Images { expected, found }) = of(&[9, 8]).layout([8, 9, 1]) else { panic!() };
        assert_eq!((expected, found), ([8, 9, 1], vec![9, 8]));
    }
}
