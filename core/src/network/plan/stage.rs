//! A stage of either kind, and the tensors that belong to it.

use super::spatial::{Operation, Spatial, WAITS, WORD_BITS, threshold};

/// Dense + ReLU. Packed, so that it lies wherever a [`Spatial`] can.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(2))]
pub(crate) struct DenseStage {
    pub inputs: usize,
    pub units: usize,
    pub bias: bool,
    pub relu: bool,
    /// Whether the ReLU ends at 6.
    pub capped: bool,
    /// Threshold of the ReLU, in hundredths; 0 without one.
    pub shift: u8,
    pub(super) layer: u8,
}

impl DenseStage {
    /// A dense layer, number `layer`, without a ReLU.
    pub(super) const fn new(inputs: usize, units: usize, bias: bool, layer: usize) -> Self {
        Self { inputs, units, bias, relu: false, capped: false, shift: 0, layer: layer as u8 }
    }

    /// Threshold of the ReLU.
    pub(crate) fn threshold(&self) -> f32 {
        threshold(self.shift)
    }

    /// Words of ReLU bits.
    pub(crate) const fn mask_len(&self) -> usize {
        if self.relu { self.units.div_ceil(WORD_BITS) } else { 0 }
    }
}

/// A stage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Spatial(Spatial),
    Dense(DenseStage),
}

impl Stage {
    /// Index of its first layer in the list of layers; names the tensors `<layer>.weight` and `<layer>.bias`.
    pub(crate) const fn layer(&self) -> usize {
        match self {
            Self::Spatial(s) => (s.layer & !(WAITS[0] | WAITS[1])) as usize,
            Self::Dense(d) => d.layer as usize,
        }
    }

    /// Whether it ends with a ReLU.
    pub(crate) fn rectifies(&self) -> bool {
        match self {
            Self::Spatial(s) => s.relu,
            Self::Dense(d) => d.relu,
        }
    }

    /// Whether it adds two maps.
    pub(crate) fn adds(&self) -> bool {
        matches!(self, Self::Spatial(Spatial { operation: Operation::Add, .. }))
    }

    /// Elements of `weight` and of `bias`.
    pub(crate) const fn parameters(&self) -> (usize, usize) {
        match self {
            Self::Spatial(s) => (s.weight_len(), s.bias_len()),
            Self::Dense(d) => (d.inputs * d.units, if d.bias { d.units } else { 0 }),
        }
    }

    /// Dimensions of `weight`: `[rows, columns, in channels, filters]`, `[rows, columns, filters]` or `[inputs, units]`.
    pub(crate) fn weight_shape(&self) -> heapless::Vec<usize, 4> {
        match self {
            Self::Spatial(s) => {
                let [height, width, filters] = [s.kernel_height(), s.kernel_width(), s.output().channels];
                match s.operation {
                    Operation::Depthwise => heapless::Vec::from_iter([height, width, filters]),
                    _ => [height, width, s.input().channels, filters].into(),
                }
            }
            Self::Dense(d) => heapless::Vec::from_iter([d.inputs, d.units]),
        }
    }

    pub(crate) const fn mask_len(&self) -> usize {
        match self {
            Self::Spatial(s) => s.mask_len(),
            Self::Dense(d) => d.mask_len(),
        }
    }
}
