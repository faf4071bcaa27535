//! The tensor of images: its shape, and its elements as values of the model's input.

use std::ops::Range;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use midge_core::Grid;

use super::super::input::{Input, unit};
use super::problem::Problem;
use super::reader::Reader;

/// How an element becomes a value.
#[derive(Debug, Clone, Copy)]
enum Element {
    /// It is one.
    Float,
    /// A picture's byte.
    Byte,
    /// An integer on the model's grid.
    Integer(Grid),
}

impl Element {
    fn of(tensor: &'static str, found: Dtype, input: &Input) -> Result<Self, Problem> {
        match found {
            Dtype::F32 => Ok(Self::Float),
            Dtype::U8 if input.takes_pictures() => Ok(Self::Byte),
            Dtype::U8 => Err(Problem::NoBytes { tensor, range: input.range, has_grid: input.grid.is_some() }),
            Dtype::I8 => input.grid.map(Self::Integer).ok_or(Problem::NoGrid(tensor)),
            _ => Err(Problem::DType { tensor, expected: "F32, U8 or I8", found }),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Float => size_of::<f32>(),
            Self::Byte | Self::Integer(_) => 1,
        }
    }

    /// Appends the values of whole elements.
    fn append(self, bytes: &[u8], input: &Input, values: &mut Vec<f32>) {
        match self {
            Self::Float => {
                let (floats, _) = bytes.as_chunks();
                values.extend(floats.iter().map(|float| f32::from_le_bytes(*float)));
            }
            Self::Byte => values.extend(bytes.iter().map(|byte| input.picture(unit(*byte)))),
            Self::Integer(grid) => values.extend(bytes.iter().map(|byte| grid.value(byte.cast_signed()))),
        }
    }
}

/// The number of images in a tensor, if they have the model's shape.
pub(super) fn count((tensor, info): (&'static str, &TensorInfo), input: &Input) -> Result<usize, Problem> {
    let [height, width, channels] = input.shape;
    let fits = match info.shape[..] {
        [_, h, w, c] => [h, w, c] == input.shape,
        [_, h, w] => [h, w, 1] == input.shape,
        [_, pixels] => pixels == height * width * channels,
        _ => false,
    };
    match info.shape.first() {
        Some(count) if fits => Ok(*count),
        _ => Err(Problem::ImageShape { tensor, expected: input.shape, found: info.shape.clone() }),
    }
}

/// The pixels of the images `range`.
pub(super) fn read(
    reader: &mut Reader,
    (tensor, info): (&'static str, &TensorInfo),
    range: Range<usize>,
    input: &Input,
) -> Result<Vec<f32>, Problem> {
    let element = Element::of(tensor, info.dtype, input)?;
    let image = input.len() * element.bytes();
    // The tensor is in the file, whose length bounds the memory.
    let mut values = Vec::with_capacity(range.len() * input.len());
    let (place, allowed) = ((range.start * image, range.len() * image), input.values());
    reader.read(info, place, |bytes| {
        let before = values.len();
        element.append(bytes, input, &mut values);
        match values[before..].iter().position(|value| !allowed.contains(value)) {
            None => {
                values[before..].iter_mut().for_each(|value| *value = input.seen(*value));
                Ok(())
            }
            Some(index) => Err(bad_pixel(tensor, range.start, (before + index, values[before + index]), input)),
        }
    })?;
    Ok(values)
}

/// The problem of a value that is not in the model's range; `index` is its place behind the start of image `first`.
fn bad_pixel(tensor: &'static str, first: usize, (index, value): (usize, f32), input: &Input) -> Problem {
    let [_, width, channels] = input.shape;
    let (image, pixel) = (first + index / input.len(), index % input.len());
    let at = [pixel / (width * channels), pixel / channels % width, pixel % channels];
    Problem::Pixel { tensor, image, at, value, range: input.range }
}
