//! The bits that a spatial stage keeps for the way back, in planes of words: `[row][column][plane][word]`.

use super::spatial::{Spatial, WORD_BITS};

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
}
