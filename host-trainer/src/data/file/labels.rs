//! The tensor of labels: integers of any type, one for each image.

use std::ops::Range;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::super::input::Input;
use super::problem::Problem;
use super::reader::Reader;

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

/// The labels of the images `range`, of `count` images in the file.
pub(super) fn read(
    reader: &mut Reader,
    (tensor, info): (&'static str, &TensorInfo),
    (range, count): (Range<usize>, usize),
    input: &Input,
) -> Result<Vec<u16>, Problem> {
    if !matches!(info.shape[..], [labels] | [labels, 1] if labels == count) {
        return Err(Problem::LabelShape { tensor, expected: count, found: info.shape.clone() });
    }
    let integer = integer(info.dtype);
    let (bytes, is_signed) = integer.ok_or(Problem::DType { tensor, expected: "integers", found: info.dtype })?;
    let (mut labels, classes) = (Vec::with_capacity(range.len()), input.classes);
    let place = (range.start * bytes, range.len() * bytes);
    reader.read(info, place, |chunk| {
        for label in chunk.chunks_exact(bytes).map(|label| value(label, is_signed)) {
            let known = u16::try_from(label).ok().filter(|label| usize::from(*label) < classes);
            let image = range.start + labels.len();
            labels.push(known.ok_or(Problem::Label { tensor, image, label, classes })?);
        }
        Ok(())
    })?;
    Ok(labels)
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
