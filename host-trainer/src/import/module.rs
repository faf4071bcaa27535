//! A module of a `state_dict`, and where its name says that it stands.

use super::graph::{Affine, Array};

/// A module with weights: a convolution or a linear layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Module {
    /// Its name, such as `0` or `features.conv1`; empty if the whole model is one module.
    pub(super) name: String,
    /// `[out, in, rows, columns]` or `[out, in]`.
    pub(super) weight: Array,
    pub(super) bias: Option<Array>,
    /// The BatchNorm right behind it: its name, and what it does.
    pub(super) norm: Option<(String, Affine)>,
}

impl Module {
    pub(super) fn is_linear(&self) -> bool {
        self.weight.shape.len() == 2
    }

    /// Channels or numbers that it reads.
    pub(super) fn inputs(&self) -> usize {
        self.weight.shape[1]
    }

    /// Channels or numbers that it gives.
    pub(super) fn outputs(&self) -> usize {
        self.weight.shape[0]
    }

    /// Whether numbers are added to its outputs, by itself or by its BatchNorm.
    pub(super) fn has_bias(&self) -> bool {
        self.bias.is_some() || self.norm.is_some()
    }

    /// The names of the sequence it stands in and its index there: `features.3` is the fourth of `features`.
    pub(super) fn place(&self) -> Option<(&str, usize)> {
        place(&self.name)
    }

    /// The index of the last module of a sequence that belongs to it.
    pub(super) fn last_place(&self) -> Option<(&str, usize)> {
        place(self.norm.as_ref().map_or(&self.name, |(name, _)| name))
    }
}

/// The sequence that a module stands in, and its index there.
pub(super) fn place(name: &str) -> Option<(&str, usize)> {
    let (parent, index) = name.rsplit_once('.').unwrap_or(("", name));
    Some((parent, index.parse().ok()?))
}
