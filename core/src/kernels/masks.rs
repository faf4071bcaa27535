//! What backward needs to know of forward: one bit per ReLU and the winner of every pooling window.
//!
//! A position (one pixel of a stage's output) has a few *planes* of bits, one bit per channel:
//! alive (if the stage has a ReLU), then the winner's row, then its column within the window. So a word
//! operation tells which of 32 channels won at a given place: those are the only ones that pass a gradient.
//!
//! ```text
//! a stage     [row][column][plane][word]          bit b of word w is channel 32 * w + b
//!
//! one position of 64 channels behind a ReLU and a 2x2 pooling: 3 planes of 2 words
//!
//!   word       0          1          2          3          4          5
//!            | alive             | winner's row      | winner's column   |
//!   channels   0..32    32..64     0..32    32..64     0..32    32..64
//!
//! planes      ReLU only: alive              2x2: alive, y, x            3x3: alive, y, y >> 1, x, x >> 1
//! winners     of place (0, 1) of a 2x2 window: alive & !y & x
//! ```
//! Without a ReLU the first plane is missing and every channel is alive. A dense stage has one plane: alive.

use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::{span, span_mut};

/// A bit per channel of a block, in 64 bits for many lanes.
#[cfg(not(cortex_m_fpu))]
pub(crate) type Bits = u64;
#[cfg(cortex_m_fpu)]
pub(crate) type Bits = u32;

/// The bits of one output row of a spatial stage.
#[derive(Clone, Copy)]
pub(crate) struct RowMasks<'a> {
    pub stage: &'a Spatial,
    pub words: &'a [u32],
}

impl RowMasks<'_> {
    /// The channels `32 * word ..` that are alive at output column `column`.
    #[inline(always)]
    pub(crate) fn alive(&self, column: usize, word: usize) -> u32 {
        let stage = self.stage;
        let all = channels_of_word(stage.output().channels, word);
        let index = column * stage.planes() * stage.words() + word;
        if stage.relu { all & self.words.get(index).copied().unwrap_or(0) } else { all }
    }

    /// All words of [`Self::alive`], or nothing if the stage has no ReLU and all channels are alive.
    #[inline(always)]
    pub(crate) fn alive_words(&self, column: usize) -> &[u32] {
        let stage = self.stage;
        if stage.relu { span(self.words, column * stage.planes() * stage.words(), stage.words()) } else { &[] }
    }

    /// The channels `32 * word ..` that are alive at output column `column` and whose window was won by
    /// row `wy`, column `wx`.
    #[inline(always)]
    pub(crate) fn winners(&self, column: usize, word: usize, wy: usize, wx: usize) -> u32 {
        let stage = self.stage;
        let words = stage.words();
        if stage.relu && stage.pool() == 2 {
            // The usual case, without loops.
            let at = column * 3 * words + word;
            let plane = |index: usize| self.words.get(at + index * words).copied().unwrap_or(0);
            return plane(0) & agree(plane(1), wy) & agree(plane(2), wx);
        }
        self.winners_of_any(column, word, wy, wx)
    }

    /// [`Self::winners`] of any stage.
    #[inline(never)]
    fn winners_of_any(&self, column: usize, word: usize, wy: usize, wx: usize) -> u32 {
        self.window(column, word).winners(wy, wx)
    }

    /// The bits of the channels `32 * word ..` at output column `column`.
    #[inline(always)]
    pub(crate) fn window(&self, column: usize, word: usize) -> WindowMasks {
        let (stage, words) = (self.stage, self.stage.words());
        let mut next = column * stage.planes() * words + word + if stage.relu { words } else { 0 };
        let bits = if stage.pool() > 1 { stage.winner_bits() } else { 0 };
        let mut planes = [0; 4];
        for planes in planes.chunks_exact_mut(2) {
            for plane in planes.iter_mut().take(bits) {
                *plane = self.words.get(next).copied().unwrap_or(0);
                next += words;
            }
        }
        WindowMasks { alive: self.alive(column, word), planes }
    }
}

/// Which of 32 channels are alive in one window, and where each was won.
#[derive(Clone, Copy)]
pub(crate) struct WindowMasks {
    pub alive: u32,
    /// Two bits of the winner's row, two of its column.
    planes: [u32; 4],
}

impl WindowMasks {
    /// The channels that are alive and whose window was won by row `wy`, column `wx`.
    #[inline(always)]
    pub(crate) fn winners(&self, wy: usize, wx: usize) -> u32 {
        let [y, y2, x, x2] = self.planes;
        // A plane that is not there is 0 and agrees with every place.
        self.alive & agree(y, wy) & agree(y2, wy >> 1) & agree(x, wx) & agree(x2, wx >> 1)
    }

    /// Window row and column of the winner in channel `bit`.
    #[inline(always)]
    pub(crate) fn winner(&self, bit: usize) -> (usize, usize) {
        let [y, y2, x, x2] = self.planes;
        let at = |low: u32, high: u32| (low >> bit & 1 | (high >> bit & 1) << 1) as usize;
        (at(y, y2), at(x, x2))
    }
}

/// All bits of the channels that exist in word `word`.
#[inline(always)]
pub(crate) fn channels_of_word(channels: usize, word: usize) -> u32 {
    match channels.saturating_sub(word * WORD_BITS) {
        0 => 0,
        left if left >= WORD_BITS => u32::MAX,
        left => (1 << left) - 1,
    }
}

/// The channels whose bit equals the lowest bit of `wanted`.
#[inline(always)]
fn agree(plane: u32, wanted: usize) -> u32 {
    if wanted & 1 == 1 { plane } else { !plane }
}

/// Writes bits, the first of which starts a word; those of the last word that are left over become 0.
#[inline(always)]
pub(crate) fn write_bits(words: &mut [u32], mut bits: impl ExactSizeIterator<Item = bool>) {
    for word in span_mut(words, 0, bits.len().div_ceil(WORD_BITS)) {
        *word = bits.by_ref().take(WORD_BITS).zip(0..).fold(0, |word, (bit, place)| word | u32::from(bit) << place);
    }
}

/// Clears the lowest set bit and returns its position.
#[inline(always)]
pub(crate) fn take_bit(bits: &mut u32) -> usize {
    let bit = bits.trailing_zeros() as usize;
    *bits &= bits.wrapping_sub(1);
    bit
}
