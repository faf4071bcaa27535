//! The tensor of labels: integers of any type, one for each image.

use std::ops::Range;

use safetensors::Dtype;

use super::super::input::Input;
use super::problem::Problem;
use super::tensor::Tensor;

/// Labels for which there is memory before they are read.
const MOST: usize = 1 << 20;

/// Bytes of a label, and whether the first bit is a sign; none of a type that is no integer.
fn integer(dtype: Dtype) -> Option<(usize, bool)> {
    match dtype {
        Dtype::I8 => Some((1, true)),
        Dtype::U8 => Some((1, false)),
        Dtype::I16 => Some((2, true)),
        Dtype::U16 => Some((2, false)),
        Dtype::I32 => Some((4, true)),
        Dtype::U32 => Some((4, false)),
        Dtype::I64 => Some((8, true)),
        Dtype::U64 => Some((8, false)),
        _ => None,
    }
}

/// An integer of at most 8 bytes, little endian.
fn value(bytes: &[u8], is_signed: bool) -> i128 {
    let sign = if is_signed && bytes.last().is_some_and(|last| *last > 0x7f) { 0xff } else { 0 };
    let mut wide = [sign; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide)
}

/// Bytes of a label, and whether the first bit is a sign, of a tensor with one label for each of `count` images.
fn layout(tensor: &Tensor, count: usize) -> Result<(usize, bool), Problem> {
    let (name, found) = (tensor.name, &tensor.shape);
    if !matches!(found[..], [labels] | [labels, 1] if labels == count) {
        return Err(Problem::LabelShape { tensor: name, expected: count, found: found.clone() });
    }
    integer(tensor.dtype).ok_or(Problem::DType { tensor: name, expected: "integers", found: tensor.dtype })
}

/// The labels of the images `range`, of `count` images in the file.
pub(super) fn read(tensor: &Tensor, (range, count): (Range<usize>, usize), input: &Input) -> Result<Vec<u16>, Problem> {
    let (bytes, is_signed) = layout(tensor, count)?;
    let (mut labels, classes) = (Vec::with_capacity(range.len().min(MOST)), input.classes);
    tensor.read((range.start * bytes, range.len() * bytes), |chunk| {
        for label in chunk.chunks_exact(bytes).map(|label| value(label, is_signed)) {
            let known = u16::try_from(label).ok().filter(|label| usize::from(*label) < classes);
            let image = range.start + labels.len();
            labels.push(known.ok_or(Problem::Label { tensor: tensor.name, image, label, classes })?);
        }
        Ok(())
    })?;
    Ok(labels)
}

/// The number of classes that the labels tell apart: one more than the largest.
pub(super) fn classes(tensor: &Tensor) -> Result<usize, Problem> {
    let count = tensor.shape.first().copied().unwrap_or(0);
    let (bytes, is_signed) = layout(tensor, count)?;
    let (mut most, mut image) = (0, 0);
    tensor.read((0, count * bytes), |chunk| {
        for label in chunk.chunks_exact(bytes).map(|label| value(label, is_signed)) {
            let known = u16::try_from(label).ok();
            let unknown = Problem::Label { tensor: tensor.name, image, label, classes: usize::from(u16::MAX) };
            most = most.max(usize::from(known.ok_or(unknown)?) + 1);
            image += 1;
        }
        Ok(())
    })?;
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_sign_and_size() {
        assert_eq!([value(&[0xff], true), value(&[0xff], false), value(&[0x7f], true)], [-1, 255, 127]);
        assert_eq!([value(&[0, 0x80], true), value(&[1, 2], false)], [-32768, 513]);
        assert_eq!(value(&[0xff; 8], false), i128::from(u64::MAX));
        assert_eq!(value(&i64::MIN.to_le_bytes(), true), i128::from(i64::MIN));
    }
}
