//! The stages of a network and where each one's part of a buffer lies.

use super::lengths::Lengths;
use super::spatial::Spatial;
use super::stage::{DenseStage, Stage};
use crate::span::{reach, span, split};

/// Most stages of a network.
pub(crate) const MAX_STAGES: usize = 40;

/// Most stages of a chain: those of VGG-16.
pub(crate) const MAX_CHAIN: usize = 16;

/// The stages of a network: first the spatial, then the dense ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stages {
    pub(super) stages: [Stage; MAX_STAGES],
    pub(super) count: usize,
    pub(super) spatial: usize,
    pub(super) is_chain: bool,
    /// Whether each spatial stage reads the one before it and nothing else.
    pub(super) is_linear: bool,
    pub(super) is_int8: bool,
    pub(super) lengths: Lengths,
}

impl Stages {
    /// All stages.
    #[inline(never)]
    pub(crate) fn all(&self) -> &[Stage] {
        span(&self.stages, 0, self.count)
    }

    /// Number of spatial stages; they come first.
    pub(crate) const fn spatial_count(&self) -> usize {
        self.spatial
    }

    /// The spatial stage `index`.
    #[inline(never)]
    pub(crate) fn spatial(&self, index: usize) -> Option<&Spatial> {
        match self.stages.get(..self.spatial)?.get(index) {
            Some(Stage::Spatial(stage)) => Some(stage),
            _ => None,
        }
    }

    /// The spatial stages that read what spatial stage `index` puts out, and whether they add it.
    pub(crate) fn readers(&self, index: usize) -> impl Iterator<Item = (usize, bool)> + '_ {
        let value = index + 1;
        // Where each stage reads the one before it, nobody else has to be asked.
        let end = if self.is_linear { value + 1 } else { self.spatial };
        (value..end.min(self.spatial)).flat_map(move |reader| {
            let stage = self.spatial(reader);
            let reads = stage.is_some_and(|stage| stage.source() == value).then_some((reader, false));
            let adds = stage.is_some_and(|stage| stage.skip() == Some(value)).then_some((reader, true));
            reads.into_iter().chain(adds)
        })
    }

    /// Stage `index`, counted among all stages, if it is dense.
    #[inline(never)]
    pub(crate) fn dense(&self, index: usize) -> Option<&DenseStage> {
        match self.all().get(index) {
            Some(Stage::Dense(stage)) => Some(stage),
            _ => None,
        }
    }

    /// Whether each stage reads the one before it, and all are convolutions, ReLUs, max-poolings and dense layers, at
    /// most [`MAX_CHAIN`].
    pub(crate) const fn is_chain(&self) -> bool {
        self.is_chain
    }

    /// Whether the buffers are those of a network of integers of 8 bits.
    pub(crate) const fn is_int8(&self) -> bool {
        self.is_int8
    }

    /// Whether stage `index` begins with the layer of the next one: it passes on what that one averages, and has its tensors.
    pub(crate) fn passes_on(&self, index: usize) -> bool {
        matches!(reach(self.all(), index, 2), [stage, next] if stage.layer() == next.layer())
    }

    /// Number of stages.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The part of the network's bits that belongs to stage `index`.
    #[inline(never)]
    pub(crate) fn mask_range(&self, index: usize) -> core::ops::Range<usize> {
        let (before, after) = split(self.all(), index);
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

    /// In 64 bits: VGG-16 has 15 thousand million.
    pub(crate) const fn multiply_adds(&self) -> u64 {
        let (mut sum, mut i) = (0, 0);
        while i < self.count && i < MAX_STAGES {
            sum += match &self.stages[i] {
                Stage::Spatial(s) => s.multiply_adds(),
                Stage::Dense(d) => d.inputs as u64 * d.units as u64,
            };
            i += 1;
        }
        sum
    }

    /// Elements of every buffer.
    pub(crate) const fn lengths(&self) -> &Lengths {
        &self.lengths
    }
}
