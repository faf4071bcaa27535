//! The board's memory: an image that arrives in parts, and what the last job left.

use midge_core::Grid;

use crate::message::{Encoding, Fault, Part, saturated};

/// All memory that the service takes beside itself and the stack.
///
/// ```text
/// image    elements of an image     what the host puts there
/// result   elements of an image     gradient, adversarial image or picture of the last job
/// logits   classes                  of the last job
/// work     Network::attack_len      for any job; gradient_len is enough for attacks without momentum
/// ```
pub struct Memory<'a> {
    pub(super) image: &'a mut [f32],
    pub(super) result: &'a mut [f32],
    pub(super) logits: &'a mut [f32],
    pub(super) work: &'a mut [f32],
    /// Elements of the image that are there.
    filled: usize,
    /// Whether the last job left logits, and an image's length of something.
    left: [bool; 2],
}

impl<'a> Memory<'a> {
    /// Of these parts.
    pub fn new(image: &'a mut [f32], result: &'a mut [f32], logits: &'a mut [f32], work: &'a mut [f32]) -> Self {
        Self { image, result, logits, work, filled: 0, left: [false; 2] }
    }

    /// Nothing if elements are missing.
    pub(super) fn whole_image(&self) -> Result<(), Fault> {
        let filled = saturated(self.filled);
        if self.filled == self.image.len() { Ok(()) } else { Err(Fault::NoImage { filled }) }
    }

    /// Notes which results a job leaves: logits, and an image's length of something.
    pub(super) fn leave(&mut self, left: [bool; 2]) {
        self.left = left;
    }

    /// Takes elements of an image; returns how many are there then.
    pub(super) fn store(
        &mut self,
        grid: Option<Grid>,
        encoding: Encoding,
        offset: u32,
        bytes: &[u8],
    ) -> Result<u32, Fault> {
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
        for (element, bytes) in to.iter_mut().zip(bytes.chunks_exact(size)) {
            *element = decode(grid, bytes);
            if encoding == Encoding::U8 {
                *element = bytes.first().map_or(0.0, |byte| f32::from(*byte) / 255.0);
            }
        }
        // The first element begins another image.
        self.filled = if start == 0 { count } else { self.filled.max(start + count) };
        Ok(saturated(self.filled))
    }

    /// Writes elements of a result to `bytes`; fewer than asked for if there are no more, or no room for them.
    pub(super) fn elements<'b>(
        &self,
        grid: Option<Grid>,
        (part, encoding): (Part, Encoding),
        (offset, count): (u32, u8),
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Fault> {
        let [logits, image] = self.left;
        let (is_there, all) = match part {
            Part::Logits => (logits, &*self.logits),
            Part::Image => (image, &*self.result),
        };
        if !is_there {
            return Err(Fault::NoResult);
        }
        // A byte of a picture has no room for what an attack does.
        let is_sound = match encoding {
            Encoding::F32 => true,
            Encoding::I8 => grid.is_some() && part == Part::Image,
            Encoding::U8 => false,
        };
        if !is_sound {
            return Err(Fault::Unknown);
        }
        let from = usize::try_from(offset).ok().and_then(|start| all.get(start..)).unwrap_or(&[]);
        let mut len = 0;
        let size = encoding.bytes();
        for (to, element) in bytes.chunks_exact_mut(size).zip(from).take(usize::from(count)) {
            let integer = grid.map_or(0, |grid| grid.round(*element));
            match encoding {
                Encoding::F32 => copy(to, &element.to_le_bytes()),
                Encoding::U8 | Encoding::I8 => copy(to, &integer.to_le_bytes()),
            }
            len += size;
        }
        Ok(bytes.get(..len).unwrap_or(&[]))
    }
}

/// The element that some bytes stand for: an f32, or an integer of the grid.
fn decode(grid: Option<Grid>, bytes: &[u8]) -> f32 {
    match (bytes, grid) {
        ([a, b, c, d], _) => f32::from_le_bytes([*a, *b, *c, *d]),
        ([byte], Some(grid)) => grid.value(i8::from_le_bytes([*byte])),
        _ => 0.0,
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Option<Grid> = Some(Grid { scale: 0.5, zero_point: 3 });

    #[test]
    fn elements_are_read_and_written_in_every_encoding() {
        let (mut image, mut result, mut logits) = ([9.0; 3], [-65.5, 0.0, 62.0], [1.5, -2.0]);
        let mut memory = Memory::new(&mut image, &mut result, &mut logits, &mut []);
        assert_eq!(memory.store(None, Encoding::U8, 0, &[0, 51, 255]), Ok(3));
        assert_eq!(*memory.image, [0.0, 0.2, 1.0]);
        assert_eq!(memory.store(GRID, Encoding::I8, 1, &[0x80, 127]), Ok(3));
        assert_eq!(*memory.image, [0.0, -65.5, 62.0]);
        assert_eq!(memory.store(None, Encoding::F32, 0, &0.1_f32.to_le_bytes()), Ok(1), "another image");
        assert_eq!(memory.whole_image(), Err(Fault::NoImage { filled: 1 }));
        memory.leave([true, true]);
        let mut bytes = [0; 12];
        assert_eq!(memory.elements(GRID, (Part::Image, Encoding::I8), (0, 9), &mut bytes), Ok(&[0x80, 3, 127][..]));
        let two = [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()];
        let read = memory.elements(None, (Part::Logits, Encoding::F32), (0, 2), &mut bytes);
        assert_eq!(read, Ok(two.as_flattened()));
        for (grid, wanted) in [
            (GRID, (Part::Logits, Encoding::I8)),
            (None, (Part::Image, Encoding::I8)),
            (GRID, (Part::Image, Encoding::U8)),
        ] {
            assert_eq!(memory.elements(grid, wanted, (0, 1), &mut bytes), Err(Fault::Unknown), "{wanted:?}");
        }
    }
}
