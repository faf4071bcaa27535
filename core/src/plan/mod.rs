//! How a network runs: layers fused into stages, and the exact length of every buffer.
//!
//! A *spatial stage* is a convolution (or the identity) with its ReLU and max-pooling. Its output rows are
//! made one at a time from a window of input rows, so only that window is ever in memory (depth first).
//! A *dense stage* is a dense layer with its ReLU.

mod planner;
mod stage;

use crate::network::Shape;
pub(crate) use stage::{DenseStage, Kind, Spatial, Stage};

/// Most stages of a network.
pub(crate) const MAX_STAGES: usize = 20;

/// Lanes of a word of ReLU or winner bits.
pub(crate) const WORD_BITS: usize = 32;

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The stages of a network: first the spatial, then the dense ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stages {
    stages: [Stage; MAX_STAGES],
    count: usize,
    spatial: usize,
    input: Shape,
}

impl Stages {
    /// All stages.
    #[inline(never)]
    pub(crate) fn all(&self) -> &[Stage] {
        self.stages.get(..self.count).unwrap_or(&[])
    }

    /// Number of spatial stages; they come first.
    pub(crate) const fn spatial_count(&self) -> usize {
        self.spatial
    }

    /// The spatial stage `index`.
    #[inline(never)]
    pub(crate) fn spatial(&self, index: usize) -> Option<&Spatial> {
        match self.stages.get(..self.spatial)?.get(index) {
            Some(Stage { kind: Kind::Spatial(stage), .. }) => Some(stage),
            _ => None,
        }
    }

    /// Stage `index`, counted among all stages, if it is dense.
    #[inline(never)]
    pub(crate) fn dense(&self, index: usize) -> Option<&DenseStage> {
        match self.all().get(index) {
            Some(Stage { kind: Kind::Dense(stage), .. }) => Some(stage),
            _ => None,
        }
    }

    /// Number of stages.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The part of the network's bits that belongs to stage `index`.
    #[inline(never)]
    pub(crate) fn mask_range(&self, index: usize) -> core::ops::Range<usize> {
        let (before, after) = self.all().split_at_checked(index).unwrap_or((&[], &[]));
        let start = before.iter().map(Stage::mask_len).sum();
        start..start + after.first().map_or(0, Stage::mask_len)
    }

    #[inline(never)]
    pub(crate) const fn classes(&self) -> usize {
        if self.count == 0 || self.count > MAX_STAGES {
            return self.input.len();
        }
        match &self.stages[self.count - 1].kind {
            Kind::Spatial(stage) => stage.output.len(),
            Kind::Dense(stage) => stage.units,
        }
    }

    pub(crate) const fn parameters(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.count && i < MAX_STAGES {
            let (weight, bias) = self.stages[i].parameters();
            sum += weight + bias;
            i += 1;
        }
        sum
    }

    pub(crate) const fn multiply_adds(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.count && i < MAX_STAGES {
            sum += match &self.stages[i].kind {
                Kind::Spatial(s) => s.conv.0 * s.conv.1 * s.weight_len(),
                Kind::Dense(d) => d.inputs * d.units,
            };
            i += 1;
        }
        sum
    }

    /// Words of ReLU and winner bits of the whole network.
    #[inline(never)]
    pub(crate) const fn mask_len(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.count && i < MAX_STAGES {
            sum += self.stages[i].mask_len();
            i += 1;
        }
        sum
    }

    /// Windows of input rows of all spatial stages.
    #[inline(never)]
    pub(crate) const fn forward_rows_len(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.spatial && i < MAX_STAGES {
            if let Kind::Spatial(s) = &self.stages[i].kind {
                sum += s.rows_len(s.extent());
            }
            i += 1;
        }
        sum
    }

    /// Output gradients of all spatial stages: the rows that one input row needs. The first stage adds to the
    /// whole image's gradient instead, so one row is enough there.
    #[inline(never)]
    pub(crate) const fn backward_rows_len(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.spatial && i < MAX_STAGES {
            if let Kind::Spatial(s) = &self.stages[i].kind {
                sum += Self::gradient_slots(s, i) * s.output.row_len();
            }
            i += 1;
        }
        sum
    }

    /// Rows of output gradient that spatial stage `index` keeps.
    pub(crate) const fn gradient_slots(stage: &Spatial, index: usize) -> usize {
        if index == 0 { 1 } else { stage.live_rows() }
    }

    /// One position of the last spatial stage, on its way to the dense layers.
    pub(crate) const fn tail_len(&self) -> usize {
        if self.spatial == 0 || self.spatial > MAX_STAGES {
            return 0;
        }
        match &self.stages[self.spatial - 1].kind {
            Kind::Spatial(s) => s.output.channels,
            Kind::Dense(_) => 0,
        }
    }

    /// Largest number of units among the dense stages number `parity`, `parity + 2`, ...; the last stage
    /// counts only if `with_last`. Two such buffers take turns as input and output.
    #[inline(never)]
    pub(crate) const fn dense_len(&self, parity: usize, with_last: bool) -> usize {
        let end = if with_last { self.count } else { self.count.saturating_sub(1) };
        let (mut largest, mut i) = (0, self.spatial + parity);
        while i < end && i < MAX_STAGES {
            if let Kind::Dense(d) = &self.stages[i].kind {
                largest = max(largest, d.units);
            }
            i += 2;
        }
        largest
    }

    /// Rows, tail and hidden dense vectors of a forward pass, without the logits.
    pub(crate) const fn forward_len(&self) -> usize {
        self.forward_rows_len() + self.tail_len() + self.dense_len(0, false) + self.dense_len(1, false)
    }

    /// Gradients of the dense stages' outputs, or of the logits where there is no dense stage.
    pub(crate) const fn flat_gradient_len(&self) -> usize {
        if self.spatial == self.count {
            return self.classes();
        }
        self.dense_len(0, true) + self.dense_len(1, true)
    }

    /// Image gradient, rows and dense vectors of a backward pass.
    pub(crate) const fn backward_len(&self) -> usize {
        self.input.len() + self.backward_rows_len() + self.flat_gradient_len()
    }

    pub(crate) const fn inference_len(&self) -> usize {
        self.classes() + self.forward_len()
    }

    /// Forward and backward never overlap in time, so they share their space.
    pub(crate) const fn gradient_len(&self) -> usize {
        self.classes() + self.mask_len() + max(self.forward_len(), self.backward_len())
    }
}
