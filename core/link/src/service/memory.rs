//! The board's memory: an image that arrives in parts, and what the last job left.

use midge_core::{Element, Model, Network};

use super::pixels::Pixel;
use crate::message::{Encoding, Fault, Part, Refusal, saturated};

/// All memory that the service takes beside itself and the stack.
///
/// ```text
/// image    pixels of an image     what the host puts there
/// result   pixels of an image     adversarial image or picture of the last job; a gradient, if pixels are real numbers
/// logits   classes                of the last job
/// work     work_len               for any job; the first elements are the gradient, if pixels are integers
/// ```
pub struct Memory<'a, P> {
    pub(super) image: &'a mut [P],
    pub(super) result: &'a mut [P],
    pub(super) logits: &'a mut [f32],
    pub(super) work: &'a mut [f32],
    /// Elements of the image that are there.
    filled: usize,
    left: Left,
}

/// What the last job left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub logits: bool,
    pub image: Option<Place>,
}

/// Where an image's length of something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Pixels in `result`.
    Result,
    /// Real numbers in front of `work`.
    Work,
}

/// Elements of the memory for jobs: for every attack on one image, or, without `momentum`, for those that keep no second image.
/// Without it a model of integers has no gradient of a whole image either.
pub const fn work_len(network: &Network, momentum: bool) -> usize {
    match (network.is_int8(), momentum) {
        (true, true) => network.integers_len() + 2 * network.input().len(),
        (true, false) => network.integers_len(),
        (false, true) => network.attack_len(),
        (false, false) => network.gradient_len(),
    }
}

impl<'a, P: Pixel> Memory<'a, P> {
    /// Of these parts.
    pub fn new(image: &'a mut [P], result: &'a mut [P], logits: &'a mut [f32], work: &'a mut [f32]) -> Self {
        Self { image, result, logits, work, filled: 0, left: Left::default() }
    }

    /// Nothing if elements are missing.
    pub(super) fn whole_image(&self) -> Result<(), Fault> {
        let filled = saturated(self.filled);
        if self.filled == self.image.len() { Ok(()) } else { Err(Fault::NoImage { filled }) }
    }

    /// Notes which results a job leaves.
    pub(super) fn leave(&mut self, left: Left) {
        self.left = left;
    }

    /// Which results the last job left.
    pub(super) fn left(&self) -> Left {
        self.left
    }

    /// Takes elements of an image, all or none; returns how many are there then.
    pub(super) fn store<T: Element>(
        &mut self,
        model: &Model<'_, T>,
        encoding: Encoding,
        offset: u32,
        bytes: &[u8],
    ) -> Result<u32, Fault> {
        let (grid, [low, high]) = (model.grid(), model.range());
        let too_large = Fault::TooLarge { most: saturated(self.image.len()) };
        let size = encoding.bytes();
        let (start, count) = (usize::try_from(offset).map_err(|_| too_large)?, bytes.len() / size);
        if start > self.filled {
            return Err(Fault::Gap { filled: saturated(self.filled) });
        }
        if !bytes.len().is_multiple_of(size) || (encoding == Encoding::I8 && grid.is_none()) {
            return Err(Fault::Unknown);
        }
        let to = self.image.get_mut(start..).and_then(|image| image.get_mut(..count)).ok_or(too_large)?;
        let values = || bytes.chunks_exact(size).map(|bytes| encoding.value(grid.map(Into::into), bytes));
        if let Some((place, value)) = values().enumerate().find(|(_, value)| !(low <= *value && *value <= high)) {
            return Err(Fault::Refused(Refusal::Pixel { index: saturated(start + place), value }));
        }
        to.iter_mut().zip(values()).for_each(|(pixel, value)| *pixel = P::of(grid, value));
        // The first element begins another image.
        self.filled = if start == 0 { count } else { self.filled.max(start + count) };
        Ok(saturated(self.filled))
    }

    /// Writes elements of a result to `bytes`; fewer than asked for if there are no more, or no room for them.
    pub(super) fn elements<'b, T: Element>(
        &self,
        model: &Model<'_, T>,
        (part, encoding): (Part, Encoding),
        (offset, count): (u32, u8),
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Fault> {
        let grid = model.grid();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let value = |index: usize| match (part, self.left.image) {
            (Part::Logits, _) => self.logits.get(index).copied(),
            (Part::Image, Some(Place::Work)) => self.work.get(index).filter(|_| index < self.image.len()).copied(),
            (Part::Image, _) => self.result.get(index).map(|pixel| pixel.value(grid)),
        };
        let is_there = if part == Part::Logits { self.left.logits } else { self.left.image.is_some() };
        if !is_there {
            return Err(Fault::NoResult);
        }
        // A byte of a picture has no room for what an attack does.
        let is_sound = match encoding {
            Encoding::F32 => true,
            Encoding::I8 => grid.is_some() && part == Part::Image && self.left.image == Some(Place::Result),
            Encoding::U8 => false,
        };
        if !is_sound {
            return Err(Fault::Unknown);
        }
        let mut len = 0;
        let size = encoding.bytes();
        let indices = (offset..usize::MAX).take(usize::from(count));
        for (to, element) in bytes.chunks_exact_mut(size).zip(indices.map_while(value)) {
            let integer = grid.map_or(0, |grid| grid.round(element));
            match encoding {
                Encoding::F32 => copy(to, &element.to_le_bytes()),
                Encoding::U8 | Encoding::I8 => copy(to, &integer.to_le_bytes()),
            }
            len += size;
        }
        Ok(bytes.get(..len).unwrap_or(&[]))
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use midge_core::{Int8Tensors, Layer, Shape};

    use super::*;

    const NETWORK: Network =
        Network::new(Shape::hwc(1, 3, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
    const INT8: Network = NETWORK.int8();

    #[test]
    fn elements_are_read_and_written_in_every_encoding() {
        let model = Model::<f32>::from_tensors(&NETWORK, &[&[0.0; 6], &[0.0; 2]]).unwrap();
        let tensors = Int8Tensors {
            weights: &[0; 6],
            bias: &[0; 2],
            multipliers: &[[1 << 30, 1]; 2],
            range: &[3, 0, 0, -128, 127],
            scales: &[0.5, 0.25],
        };
        let grid = Model::from_int8_tensors(&INT8, &[tensors]).unwrap();
        let (mut image, mut result, mut logits) = ([9.0; 3], [-65.5, 0.0, 62.0], [1.5, -2.0]);
        let mut memory = Memory::new(&mut image, &mut result, &mut logits, &mut []);
        assert_eq!(memory.store(&model, Encoding::U8, 0, &[0, 51, 255]), Ok(3));
        assert_eq!(*memory.image, [0.0, 0.2, 1.0]);
        assert_eq!(memory.store(&grid, Encoding::I8, 1, &[0x80, 127]), Ok(3));
        assert_eq!(*memory.image, [0.0, -65.5, 62.0]);
        assert_eq!(memory.store(&model, Encoding::F32, 0, &0.1_f32.to_le_bytes()), Ok(1), "another image");
        assert_eq!(memory.whole_image(), Err(Fault::NoImage { filled: 1 }));
        memory.leave(Left { logits: true, image: Some(Place::Result) });
        let mut bytes = [0; 12];
        assert_eq!(memory.elements(&grid, (Part::Image, Encoding::I8), (0, 9), &mut bytes), Ok(&[0x80, 3, 127][..]));
        let two = [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()];
        let read = memory.elements(&model, (Part::Logits, Encoding::F32), (0, 2), &mut bytes);
        assert_eq!(read, Ok(two.as_flattened()));
        let read = memory.elements(&model, (Part::Logits, Encoding::F32), (u32::MAX, 2), &mut bytes);
        assert_eq!(read, Ok(&[][..]));
        for wanted in [(Part::Logits, Encoding::I8), (Part::Image, Encoding::U8)] {
            assert_eq!(memory.elements(&grid, wanted, (0, 1), &mut bytes), Err(Fault::Unknown), "{wanted:?}");
        }
        let wanted = (Part::Image, Encoding::I8);
        assert_eq!(memory.elements(&model, wanted, (0, 1), &mut bytes), Err(Fault::Unknown));
    }
}
