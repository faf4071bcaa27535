//! What lies under a few positions, unpacked to 16 bits less the zero point, without the quads of elements that are zero at all of
//! the positions: after a ReLU, and around a digit, these are many.
//!
//! ```text
//! each quad that is left has 2 * P + 1 words for P positions, in the order in which SXTB16 unpacks a word of four weights:
//!
//! | elements 0, 2 of position 0 | .. of position 1 | .. P | place | elements 1, 3 of position 0 | .. of position 1 | .. P |
//! ```
//! A quad's place is that of its first weight in a filter.

#[cfg(cortex_m_dsp)]
use super::cortex_m;
use crate::span::{reach, span, span_mut};

/// Words of a patch of at most `elements` elements under each of `positions` positions.
pub(super) const fn patch_words(positions: usize, elements: usize) -> usize {
    (2 * positions + 1) * elements.div_ceil(4)
}

/// Elements under one to four positions in one row of the kernel.
///
/// ```text
/// count    position 0    position 1    position 2    position 3
///     1          x
///     2          x             y
///     3          x      x + step             y
///     4          x      x + step             y      y + step
/// ```
#[derive(Clone, Copy)]
pub(super) struct Lines<'b> {
    pub x: &'b [i8],
    pub y: &'b [i8],
    pub step: usize,
}

impl<'b> Lines<'b> {
    /// Elements `first .. first + len` under position `position` of `count`.
    #[inline(always)]
    fn position(&self, (position, count): (usize, usize), first: usize, len: usize) -> &'b [i8] {
        let (line, column) = if count == 2 { (position, 0) } else { (position / 2, position % 2) };
        span(if line == 0 { self.x } else { self.y }, column * self.step + first, len)
    }
}

/// The quads that are left.
pub(super) struct Patch<'b> {
    words: &'b mut [u32],
    /// Words that are in use.
    len: usize,
    positions: usize,
    /// Where the places of quads end, whether they are left or not.
    end: usize,
}

impl<'b> Patch<'b> {
    /// An empty patch in memory that [`patch_words`] counted.
    pub(super) fn new(words: &'b mut [u32]) -> Self {
        Self { words, len: 0, positions: 1, end: 0 }
    }

    /// Starts again, with so many positions: one to four.
    pub(super) fn clear(&mut self, positions: usize) {
        debug_assert!((1..=4).contains(&positions), "{positions}");
        (self.len, self.positions, self.end) = (0, positions, 0);
    }

    /// Positions.
    pub(super) fn positions(&self) -> usize {
        self.positions
    }

    /// Weights that a filter must have.
    #[cfg(cortex_m_dsp)]
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Quad by quad.
    pub(super) fn words(&self) -> &[u32] {
        span(self.words, 0, self.len)
    }

    /// Appends the elements `first .. first + len`, in a row of the kernel `run` elements of each position. Behind the last come zeros,
    /// so that it does not matter which weights they meet.
    #[inline(never)]
    pub(super) fn push(&mut self, lines: &Lines<'_>, (first, run): (usize, usize), zero: i8) {
        let whole = run - run % 4;
        self.push_quads(lines, (first, whole), zero);
        if whole < run {
            let mut last = [zero; 16];
            for (position, last) in last.as_chunks_mut::<4>().0.iter_mut().enumerate().take(self.positions) {
                let x = lines.position((position, self.positions), whole, run - whole);
                last.iter_mut().zip(x).for_each(|(last, x)| *last = *x);
            }
            let second = if self.positions == 2 { 4 } else { 8 };
            let (x, y) = last.split_at_checked(second).unwrap_or_default();
            self.push_quads(&Lines { x, y, step: 4 }, (first + whole, 4), zero);
        }
    }

    /// Appends `len` elements, a multiple of 4.
    fn push_quads(&mut self, lines: &Lines<'_>, (first, len): (usize, usize), zero: i8) {
        self.end = self.end.max(first + len);
        #[cfg(cortex_m_dsp)]
        self.push_at_once(lines, (first, len), zero);
        #[cfg(not(cortex_m_dsp))]
        self.push_one_by_one(lines, (first, len), zero);
    }

    /// In assembly.
    #[cfg(cortex_m_dsp)]
    fn push_at_once(&mut self, lines: &Lines<'_>, (first, len): (usize, usize), zero: i8) {
        let needed = |of_line: usize| if of_line == 2 { lines.step + len } else { of_line * len };
        let [x, y] = [[1, 0], [1, 1], [2, 1], [2, 2]].get(self.positions.wrapping_sub(1)).copied().unwrap_or([2, 2]);
        let free = span_mut(self.words, self.len, patch_words(self.positions, len));
        if len == 0 || free.is_empty() || lines.x.len() < needed(x) || lines.y.len() < needed(y) {
            return;
        }
        let (from, start) = ((lines.x.as_ptr(), lines.y.as_ptr(), lines.step), free.as_mut_ptr());
        // SAFETY: all elements are there, and so is the memory for their words.
        #[allow(unsafe_code, reason = "inline assembly")]
        let end = unsafe {
            match self.positions {
                1 => cortex_m::pairs_of_1(from, (first, len), zero, start),
                2 => cortex_m::pairs_of_2(from, (first, len), zero, start),
                3 => cortex_m::pairs_of_3(from, (first, len), zero, start),
                _ => cortex_m::pairs_of_4(from, (first, len), zero, start),
            }
        };
        self.len += (end.addr() - start.addr()) / size_of::<u32>();
    }

    /// [`Self::push_quads`] without assembly.
    #[cfg(not(cortex_m_dsp))]
    fn push_one_by_one(&mut self, lines: &Lines<'_>, (first, len): (usize, usize), zero: i8) {
        for quad in (0..len).step_by(4) {
            let mut bytes = [[zero; 4]; 4];
            for (position, bytes) in bytes.iter_mut().enumerate().take(self.positions) {
                let x = lines.position((position, self.positions), quad, 4);
                bytes.iter_mut().zip(x).for_each(|(byte, x)| *byte = *x);
            }
            if bytes.as_flattened().iter().all(|byte| *byte == zero) {
                continue;
            }
            let entry = span_mut(self.words, self.len, patch_words(self.positions, 4));
            if let Some((even, [place, odd @ ..])) = entry.split_at_mut_checked(self.positions) {
                *place = (first + quad) as u32;
                for ((even, odd), bytes) in even.iter_mut().zip(odd).zip(bytes) {
                    [*even, *odd] = unpack(bytes, i16::from(zero));
                }
            }
            self.len += patch_words(self.positions, 4);
        }
    }
}

/// Elements 0 and 2, and elements 1 and 3, less `zero`.
pub(super) fn unpack(bytes: [i8; 4], zero: i16) -> [u32; 2] {
    let [a, b, c, d] = bytes.map(|byte| u32::from((i16::from(byte) - zero) as u16));
    [a | c << 16, b | d << 16]
}

/// Four weights from `place` on; zeros beyond the end.
pub(super) fn weights_at(weights: &[i8], place: u32) -> [i8; 4] {
    let mut quad = [0; 4];
    let left = weights.len().saturating_sub(place as usize).min(4);
    quad.iter_mut().zip(reach(weights, place as usize, left)).for_each(|(quad, w)| *quad = *w);
    quad
}
