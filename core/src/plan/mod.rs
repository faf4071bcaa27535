//! How a network runs: layers fused into stages, and the exact length of every buffer.
//!
//! A *spatial stage* is a convolution (or the identity) with its ReLU and max-pooling. Its output rows are
//! made one at a time from a window of input rows, so only that window is ever in memory (depth first).
//! A *dense stage* is a dense layer with its ReLU.

mod lengths;
mod planner;
mod stage;

use crate::network::Shape;
pub(crate) use lengths::Lengths;
pub(crate) use stage::{DenseStage, Kind, Spatial, Stage};

/// Most stages of a network: those of VGG-16.
pub(crate) const MAX_STAGES: usize = 16;

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
    lengths: Lengths,
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

    /// Rows of output gradient that spatial stage `index` keeps.
    pub(crate) const fn gradient_slots(stage: &Spatial, index: usize) -> usize {
        if index == 0 { 1 } else { stage.live_rows() }
    }

    /// Elements of every buffer.
    pub(crate) const fn lengths(&self) -> &Lengths {
        &self.lengths
    }
}
