//! What a spatial stage of integers keeps, in bytes and words.

use super::spatial::{Operation, Spatial, max};

/// Positions of a convolution that are computed together.
pub(crate) const POSITIONS: usize = 4;
/// Filters whose sums are made before any of them becomes a byte.
pub(crate) const FILTERS: usize = 64;
/// Elements under a position that are unpacked at a time, unless a row of the kernel has more.
const UNPACKED: usize = 192;

impl Spatial {
    /// Bytes of all rows that it keeps, which have no bits beside them.
    pub(super) const fn int8_rows_len(&self) -> usize {
        self.values_len(self.input_slots()).saturating_add(self.skip_slots() * self.int8_own_row_len())
    }

    /// Bytes of a row of its output's size; an average's sums have two each.
    pub(crate) const fn int8_own_row_len(&self) -> usize {
        let bytes = if matches!(self.operation, Operation::Average) { 2 } else { 1 };
        bytes * self.output().row_len()
    }

    /// Rows of the kernel whose elements are unpacked at a time.
    pub(crate) const fn unpacked_rows(&self) -> usize {
        let rows = max(UNPACKED / max(self.run_len(), 1), 1);
        if rows < self.kernel_height() { rows } else { self.kernel_height() }
    }

    /// Words of a patch: elements of 16 bits under [`POSITIONS`] positions, a multiple of 4 under each.
    pub(crate) const fn patch_len(&self) -> usize {
        2 * POSITIONS * (self.unpacked_rows() * self.run_len()).div_ceil(4)
    }

    /// Words for the bytes of a patch's position, where a row of the kernel is no multiple of 4.
    pub(crate) const fn staged_len(&self) -> usize {
        if self.run_len().is_multiple_of(4) { 0 } else { (self.unpacked_rows() * self.run_len()).div_ceil(4) }
    }

    /// Words that a convolution needs while it makes a row: a patch and sums, or sums only where it is depthwise.
    pub(super) const fn int8_scratch_len(&self) -> usize {
        let filters = self.output().channels;
        match self.operation {
            Operation::Conv => {
                let filters = if filters < FILTERS { filters } else { FILTERS };
                self.patch_len() + self.staged_len() + POSITIONS * filters
            }
            Operation::Depthwise => filters,
            _ => 0,
        }
    }
}
