//! What a spatial stage of integers keeps, in bytes and words.

use super::direction::Direction;
use super::spatial::{Operation, Spatial, max};
use super::stage::Stage;
use crate::network::shape::Shape;

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

    /// Words of a row of its output's gradient: two values each, and one for their exponent.
    pub(crate) const fn int8_gradient_row_len(&self) -> usize {
        self.output().row_len().div_ceil(2) + 1
    }

    /// Words of all rows of its output's gradient that it keeps; none if its only row lies where others' do.
    pub(crate) const fn int8_gradient_len(&self) -> usize {
        self.gradient_slots().saturating_mul(self.int8_gradient_row_len())
    }

    /// Rows of the kernel whose elements are unpacked at a time.
    pub(crate) const fn unpacked_rows(&self) -> usize {
        let rows = max(UNPACKED / max(self.run_len(), 1), 1);
        if rows < self.kernel_height() { rows } else { self.kernel_height() }
    }

    /// Words of a patch: elements of 16 bits under [`POSITIONS`] positions, in each row of the kernel a multiple of 4, and the place
    /// of each 4.
    pub(crate) const fn patch_len(&self) -> usize {
        match self.operation {
            Operation::Conv => (2 * POSITIONS + 1) * self.unpacked_rows() * self.run_len().div_ceil(4),
            _ => 0,
        }
    }

    /// Words that a convolution needs while it makes a row: a patch and sums, or sums only where it is depthwise.
    pub(super) const fn int8_scratch_len(&self) -> usize {
        let filters = self.output().channels;
        match self.operation {
            Operation::Conv => {
                let filters = if filters < FILTERS { filters } else { FILTERS };
                self.patch_len() + POSITIONS * filters
            }
            Operation::Depthwise => filters,
            _ => 0,
        }
    }
}

/// Words that say where the rows and the bits of a stage lie.
pub(crate) const PLACE: usize = 3;
/// Words that say where a stage stands on the way back.
pub(crate) const GRADIENT_STATE: usize = 5;
/// Words of the list of weights that are multiplied together: two for each of 64.
pub(crate) const GRADIENT_TERMS: usize = 2 * 64;

/// Words that the way back of a network of integers needs beside the rows of its stages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int8Backward {
    /// Where each stage stands.
    pub states: usize,
    /// The row of which each stage that uses its row at once takes a part.
    pub shared: usize,
    /// Rows of the image to which rows of the first stage contribute, and exponents of as many of those as overlap.
    pub image_rows: usize,
    /// The gradient of a dense layer's outputs, two values a word.
    pub flat: usize,
    /// Sums of a row or of a dense layer.
    pub sums: usize,
}

impl Int8Backward {
    pub(super) const NONE: Self = Self { states: 0, shared: 0, image_rows: 0, flat: 0, sums: 0 };

    /// Counts them for the first `count` of `stages`, of which the first `spatial` are spatial, on images of shape `input`.
    pub(super) const fn of(input: Shape, stages: &[Stage], (count, spatial): (usize, usize)) -> Self {
        let mut lengths = Self { states: GRADIENT_STATE * spatial, sums: input.row_len(), ..Self::NONE };
        // Values of the logits, if no dense layer puts them out.
        let mut flat = input.len();
        let mut i = 0;
        while i < count && i < stages.len() {
            match &stages[i] {
                Stage::Spatial(stage) => {
                    if i == 0 {
                        let overlap = stage.row_extent().div_ceil(stage.row_step());
                        lengths.image_rows = stage.row_extent().saturating_mul(stage.padded_row_len()) + overlap;
                    }
                    if stage.gradient_slots() == 0 {
                        lengths.shared = max(lengths.shared, stage.int8_gradient_row_len());
                    }
                    flat = stage.output().len();
                    lengths.sums = max(lengths.sums, stage.output().row_len());
                }
                Stage::Dense(stage) => {
                    flat = if i == spatial { stage.units } else { max(flat, stage.units) };
                    lengths.sums = max(lengths.sums, stage.units);
                }
            }
            i += 1;
        }
        lengths.flat = flat.div_ceil(2);
        if spatial == count {
            lengths.sums = max(lengths.sums, flat);
        }
        lengths
    }

    pub(super) const fn len(&self) -> usize {
        self.states + self.image_rows + self.flat + self.sums + GRADIENT_TERMS
    }
}

/// All rows and maps of the first `count` of `stages` that are there at the same time: bytes, or words on the way back.
pub(super) const fn rows_len(stages: &[Stage], count: usize, direction: Direction) -> usize {
    let (mut largest, mut segment, mut number) = (0, 0, 0);
    while number < count && number < stages.len() {
        if let Stage::Spatial(stage) = &stages[direction.stage(number, count)] {
            segment += stage.kept(direction) as u64;
            largest = if largest > segment { largest } else { segment };
            if stage.waits(direction) {
                segment = stage.kept(direction) as u64;
            }
        }
        number += 1;
    }
    if largest < usize::MAX as u64 { largest as usize } else { usize::MAX }
}
