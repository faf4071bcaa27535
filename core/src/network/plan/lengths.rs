//! The exact length of every buffer, counted once, when compiling if the network is a constant.
//!
//! ```text
//! the buffer of Model::logits, elements in the lecture's CNN: 2,467
//!
//! | logits | input rows of all stages | hidden 0 | hidden 1 | tail |
//!     10              2,137              256         0        64
//!
//! the buffer of Model::loss_gradient: 3,357
//!
//! | logits | bits | forward:  input rows   | hidden 0, 1 | tail |                  forward is over before
//!     10      890       2,137                  256, 0        64                    backward begins, so they share
//! |                 | backward: image's gradient | gradient rows | dense 0, 1 |    their space
//!                       784                          1,344          256, 10
//! ```
//! An attack puts one image in front of the latter where it keeps momentum or the best place so far.

use super::direction::Direction;
use super::int8::{Int8Backward, PLACE, rows_len};
use super::spatial::{Spatial, max};
use super::stage::Stage;
use crate::network::shape::Shape;

/// Most elements of a buffer: 4 GB, all that an address of 32 bits reaches.
const MOST: usize = 1 << 30;

/// Elements of every buffer of a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lengths {
    /// The logits.
    pub classes: usize,
    /// Words of ReLU and winner bits.
    pub masks: usize,
    /// The same, packed.
    pub packed_masks: usize,
    /// Input rows of all spatial stages, and rows of the maps that they add.
    pub forward_rows: usize,
    /// Rows of the output gradients of all spatial stages.
    pub backward_rows: usize,
    /// One position of the last spatial stage, on its way to the dense layers.
    pub tail: usize,
    /// The sums of a dense layer of integers.
    pub sums: usize,
    /// What a convolution of integers unpacks at a time.
    pub scratch: usize,
    /// Largest number of units among the dense stages number 0, 2, ... and 1, 3, ... without the last: two such buffers
    /// take turns as input and output of forward.
    pub hidden: [usize; 2],
    /// The same with the last, for backward.
    pub dense: [usize; 2],
    /// What backward of a network of integers needs beside its rows.
    pub int8_backward: Int8Backward,
    /// All that backward needs, but the image's gradient.
    pub backward: usize,
    /// Logits and all that forward needs.
    pub inference: usize,
    /// Logits, bits and all that forward and then backward need.
    pub gradient: usize,
    /// The same without the image's gradient, which is used as it comes.
    pub integers: usize,
}

impl Lengths {
    /// Before they are counted.
    pub(super) const NONE: Self = Self {
        classes: 0,
        masks: 0,
        packed_masks: 0,
        forward_rows: 0,
        backward_rows: 0,
        tail: 0,
        sums: 0,
        scratch: 0,
        hidden: [0; 2],
        dense: [0; 2],
        int8_backward: Int8Backward::NONE,
        backward: 0,
        inference: 0,
        gradient: 0,
        integers: 0,
    };

    /// Counts them for the first `count` of `stages`, of which the first `spatial` are spatial, on images of shape `input`. In
    /// a network of integers forward has bytes where others have f32; gradients are f32.
    pub(super) const fn of(input: Shape, stages: &[Stage], (count, spatial): (usize, usize), is_int8: bool) -> Self {
        let mut lengths = Self { classes: input.len(), ..Self::NONE };
        let mut i = 0;
        while i < count && i < stages.len() {
            // A sum that does not fit saturates, and `fit` refuses it.
            lengths.masks = lengths.masks.saturating_add(stages[i].mask_len());
            lengths.packed_masks = lengths.packed_masks.saturating_add(stages[i].packed_len());
            match &stages[i] {
                Stage::Spatial(s) => lengths.add_spatial(s, is_int8),
                Stage::Dense(d) => lengths.add_dense(d.units, i - spatial, i + 1 == count, is_int8),
            }
            i += 1;
        }
        if is_int8 {
            lengths.forward_rows = words(rows_len(stages, spatial, Direction::Forward), true);
            lengths.int8_backward = Int8Backward::of(input, stages, (count, spatial));
            lengths.backward_rows =
                rows_len(stages, spatial, Direction::Backward).saturating_add(lengths.int8_backward.shared);
            if spatial == 0 {
                // The image's bytes.
                lengths.tail = words(input.len(), true);
            }
        }
        let dense = lengths.hidden[0] + lengths.hidden[1] + lengths.sums + lengths.scratch;
        let places = if is_int8 { PLACE * spatial } else { 0 };
        let forward = lengths.forward_rows.saturating_add(lengths.tail + dense + places);
        lengths.inference = forward.saturating_add(lengths.classes);
        // Gradients of the dense stages' outputs, or of the logits where there is no dense stage.
        let beside_rows = if is_int8 {
            lengths.int8_backward.len()
        } else if spatial == count {
            lengths.classes
        } else {
            lengths.dense[0] + lengths.dense[1]
        };
        lengths.backward = lengths.backward_rows.saturating_add(beside_rows);
        let backward = lengths.backward.saturating_add(input.len());
        // Forward and backward never overlap in time, so they share their space.
        lengths.gradient = lengths.masks.saturating_add(lengths.classes).saturating_add(max(forward, backward));
        let beside = lengths.packed_masks.saturating_add(lengths.classes);
        lengths.integers = beside.saturating_add(max(forward, lengths.backward));
        lengths
    }

    const fn add_spatial(&mut self, stage: &Spatial, is_int8: bool) {
        self.forward_rows = self.forward_rows.saturating_add(stage.all_rows_len());
        self.backward_rows = self.backward_rows.saturating_add(stage.gradient_slots() * stage.output().row_len());
        if is_int8 {
            self.scratch = max(self.scratch, stage.int8_scratch_len());
        }
        self.classes = stage.output().len();
        self.tail = words(stage.output().channels, is_int8);
    }

    /// Dense stage number `number`.
    const fn add_dense(&mut self, units: usize, number: usize, is_last: bool, is_int8: bool) {
        let parity = number % 2;
        self.dense[parity] = max(self.dense[parity], units);
        if !is_last {
            self.hidden[parity] = max(self.hidden[parity], words(units, is_int8));
        }
        if is_int8 {
            self.sums = max(self.sums, units);
        }
        self.classes = units;
    }

    /// Whether every buffer of a network with images of shape `input`, also that of an attack with momentum, can be
    /// addressed by every device.
    pub(super) const fn fit(&self, input: Shape) -> bool {
        max(self.inference, self.gradient) <= MOST - input.len()
    }
}

/// Elements of 4 bytes that hold `count` values, bytes or f32.
const fn words(count: usize, is_int8: bool) -> usize {
    if is_int8 { count.div_ceil(4) } else { count }
}

#[cfg(test)]
mod tests {
    use crate::network::MNIST_CNN;

    #[test]
    fn the_drawing_is_that_of_the_lecture_network() {
        let lengths = MNIST_CNN.plan().lengths();
        assert_eq!((lengths.classes, lengths.forward_rows, lengths.tail), (10, 2_137, 64));
        assert_eq!((lengths.hidden, lengths.dense), ([256, 0], [256, 10]));
        assert_eq!((lengths.masks, lengths.backward_rows), (890, 1_344));
        assert_eq!((lengths.inference, lengths.gradient), (2_467, 3_357));
    }
}
