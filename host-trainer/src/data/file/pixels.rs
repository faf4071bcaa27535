//! The tensor of images: its shape, and its elements as values of the model's input.

use std::ops::Range;

use safetensors::Dtype;

use midge_core::Grid;

use super::super::decode::{Bitmap, check_size};
use super::super::fit::Fit;
use super::super::input::{Input, unit};
use super::problem::Problem;
use super::tensor::Tensor;

/// Values for which there is memory before they are read: no header makes it more.
const MOST: usize = 1 << 26;

/// How an element becomes a value.
#[derive(Debug, Clone, Copy)]
enum Element {
    /// It is one.
    Float,
    /// It is one but for its last digits.
    Double,
    /// A picture's byte.
    Byte,
    /// An integer on the model's grid.
    Integer(Grid),
}

impl Element {
    fn of(tensor: &'static str, found: Dtype, input: &Input) -> Result<Self, Problem> {
        match found {
            Dtype::F32 => Ok(Self::Float),
            Dtype::F64 => Ok(Self::Double),
            Dtype::U8 if input.takes_pictures() => Ok(Self::Byte),
            Dtype::U8 => Err(Problem::NoBytes { tensor, range: input.range, has_grid: input.grid.is_some() }),
            Dtype::I8 => input.grid.map(Self::Integer).ok_or(Problem::NoGrid(tensor)),
            _ => Err(Problem::DType { tensor, expected: "F32, F64, U8 or I8", found }),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Float => size_of::<f32>(),
            Self::Double => size_of::<f64>(),
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
            Self::Double => {
                let (doubles, _) = bytes.as_chunks();
                values.extend(doubles.iter().map(|double| f64::from_le_bytes(*double) as f32));
            }
            Self::Byte => values.extend(bytes.iter().map(|byte| input.picture(unit(*byte)))),
            Self::Integer(grid) => values.extend(bytes.iter().map(|byte| grid.value(byte.cast_signed()))),
        }
    }
}

/// Height, width and channels of the images of a tensor; none of a flat one.
pub(super) fn shape(dimensions: &[usize]) -> Option<[usize; 3]> {
    match *dimensions {
        [_, height, width, channels] => Some([height, width, channels]),
        [_, height, width] => Some([height, width, 1]),
        _ => None,
    }
}

/// Height, width and channels of pictures, which are fitted to the model's input; none of other images.
fn picture(tensor: &Tensor, input: &Input) -> Option<[usize; 3]> {
    let can = |channels: usize| channels == 1 || channels == 3;
    let is_for_pictures = tensor.dtype == Dtype::U8 && input.takes_pictures() && can(input.shape[2]);
    let [height, width, channels] = input.shape;
    // Channels that come first are a mistake and no picture of another size.
    let is_turned =
        tensor.shape.get(1..) == Some(&[channels, height, width]) && shape(&tensor.shape) != Some(input.shape);
    shape(&tensor.shape).filter(|[_, _, channels]| is_for_pictures && can(*channels) && !is_turned)
}

/// The number of images in a tensor, if they have the model's shape or can be given it.
pub(super) fn count(tensor: &Tensor, input: &Input) -> Result<usize, Problem> {
    let is_flat = matches!(tensor.shape[..], [_, elements] if elements == input.len());
    let fits = is_flat || shape(&tensor.shape) == Some(input.shape) || picture(tensor, input).is_some();
    match tensor.shape.first() {
        Some(count) if fits => Ok(*count),
        _ => Err(Problem::ImageShape { tensor: tensor.name, expected: input.shape, found: tensor.shape.clone() }),
    }
}

/// The pixels of the images `range`.
pub(super) fn read(tensor: &Tensor, range: Range<usize>, fit: &Fit<'_>) -> Result<Vec<f32>, Problem> {
    match picture(tensor, fit.input) {
        Some(shape) => pictures(tensor, range, shape, fit),
        None => values(tensor, range, fit),
    }
}

/// Pictures of any size, one after another.
fn pictures(tensor: &Tensor, range: Range<usize>, shape: [usize; 3], fit: &Fit<'_>) -> Result<Vec<f32>, Problem> {
    let _turn = check_size(shape[0], shape[1])?;
    let (each, size) = (shape.iter().product::<usize>(), fit.input.len());
    let (mut images, mut waiting) = (Vec::with_capacity((range.len() * size).min(MOST)), Vec::new());
    tensor.read((range.start * each, range.len() * each), |bytes| {
        waiting.extend_from_slice(bytes);
        let whole = waiting.len() / each * each;
        for bytes in waiting[..whole].chunks_exact(each) {
            let before = images.len();
            images.resize(before + size, 0.0);
            fit.fill(&Bitmap::of_bytes(shape, bytes.to_vec()), &mut images[before..]);
        }
        waiting.drain(..whole);
        Ok(())
    })?;
    Ok(images)
}

/// Values of the model's input.
fn values(tensor: &Tensor, range: Range<usize>, fit: &Fit<'_>) -> Result<Vec<f32>, Problem> {
    let input = fit.input;
    let element = Element::of(tensor.name, tensor.dtype, input)?;
    let image = input.len() * element.bytes();
    let mut values = Vec::with_capacity((range.len() * input.len()).min(MOST));
    let allowed = input.values();
    tensor.read((range.start * image, range.len() * image), |bytes| {
        let before = values.len();
        element.append(bytes, input, &mut values);
        match values[before..].iter().position(|value| !allowed.contains(value)) {
            None => {
                values[before..].iter_mut().for_each(|value| *value = fit.seen(*value));
                Ok(())
            }
            Some(index) => Err(bad_pixel(tensor.name, range.start, (before + index, values[before + index]), input)),
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
