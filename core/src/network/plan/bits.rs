//! The bits that a spatial stage keeps for the way back, in planes of words: `[row][column][plane][word]`.
//!
//! A device with a network of integers packs them: where a column has a single word of few bits, several columns share one.
//!
//! ```text
//! 8 channels behind a ReLU:   | column 0, 1, 2, 3 | column 4, 5, 6, 7 | ..        channel 0 in the lowest of 8 bits
//! ```

use super::spatial::{Operation, Spatial, WORD_BITS, max};
use super::stage::Stage;
use super::stages::Stages;
use crate::span::span;

impl Spatial {
    /// Words that hold one bit per output channel.
    pub(crate) const fn words(&self) -> usize {
        self.output().channels.div_ceil(WORD_BITS)
    }

    /// Bits that name a row (or a column) of the pooling window.
    pub(crate) const fn winner_bits(&self) -> usize {
        self.pool().div_ceil(2)
    }

    /// Bit planes of one position: alive, then winner's row, then winner's column.
    pub(crate) const fn planes(&self) -> usize {
        let winners = if self.pool() > 1 { 2 * self.winner_bits() } else { 0 };
        self.relu as usize + winners
    }

    /// Words of bits of one output row.
    pub(crate) const fn mask_row_len(&self) -> usize {
        self.output().width * self.planes() * self.words()
    }

    /// Words of bits of the whole output.
    pub(crate) const fn mask_len(&self) -> usize {
        self.output().height * self.mask_row_len()
    }

    /// Columns that share a word where bits are packed.
    pub(crate) const fn columns_of_word(&self) -> usize {
        let channels = self.output().channels;
        if self.planes() == 1 && channels <= WORD_BITS / 2 && !matches!(self.operation, Operation::Identity) {
            WORD_BITS / max(channels, 1)
        } else {
            1
        }
    }

    /// Words of packed bits of one output row.
    pub(crate) const fn packed_row_len(&self) -> usize {
        self.mask_row_len().div_ceil(self.columns_of_word())
    }

    /// Words of packed bits of the whole output, with room for the last row before it is packed.
    pub(crate) const fn packed_len(&self) -> usize {
        (self.output().height - 1) * self.packed_row_len() + self.mask_row_len()
    }

    /// Packs the bits of a row, which are followed by what is left over, if any are kept.
    #[inline(never)]
    pub(crate) fn pack(&self, bits: &mut [u32]) {
        let (columns, channels) = (self.columns_of_word(), self.output().channels);
        if columns == 1 || bits.is_empty() {
            return;
        }
        for place in 0..self.packed_row_len() {
            let own = span(bits, 0, self.mask_row_len()).iter().skip(place * columns).take(columns);
            let word = own.rev().fold(0, |word, bits| word << channels | bits);
            bits.iter_mut().skip(place).take(1).for_each(|target| *target = word);
        }
    }
}

impl Stage {
    /// Words of its bits, packed.
    pub(super) const fn packed_len(&self) -> usize {
        match self {
            Self::Spatial(stage) => stage.packed_len(),
            Self::Dense(stage) => stage.mask_len(),
        }
    }
}

impl Stages {
    /// Where the packed bits of stage `index` start.
    pub(crate) fn packed_start(&self, index: usize) -> usize {
        span(self.all(), 0, index).iter().map(Stage::packed_len).sum()
    }
}
