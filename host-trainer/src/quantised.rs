//! Models of integers of 8 bits: the network and its tensors, as the core runs them.

use anyhow::Result;
use midge_core::{Int8Tensors, Model, ModelError, Network};

/// The tensors of one stage, as [`Int8Tensors`] describes them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Int8Stage {
    /// The weights, filter by filter; none in a stage without weights.
    pub weights: Vec<i8>,
    /// One for each output channel.
    pub bias: Vec<i32>,
    /// From a sum to an output, for each output channel.
    pub multipliers: Vec<[i32; 2]>,
    /// Zero points of input, output and what is added, smallest and largest output.
    pub range: [i32; 5],
    /// Scales of input and output.
    pub scales: [f32; 2],
}

/// A quantised network with its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Weights {
    /// The architecture, planned for integers.
    pub network: Network,
    /// In the order of [`Network::int8_stages`].
    pub stages: Vec<Int8Stage>,
}

impl Int8Weights {
    /// A model over these tensors.
    ///
    /// # Errors
    /// A tensor of the wrong length, a number out of range, or sums that could overflow.
    pub fn model(&self) -> Result<Model<'_, i8>, ModelError> {
        let tensors: Vec<_> = self.stages.iter().map(Int8Stage::tensors).collect();
        Model::from_int8_tensors(&self.network, &tensors)
    }

    /// The bytes of a model file.
    ///
    /// # Errors
    /// See [`Self::model`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let mut file = Vec::new();
        self.model()?.write_safetensors(&[], &mut |bytes| file.extend_from_slice(bytes));
        Ok(file)
    }
}

impl Int8Stage {
    fn tensors(&self) -> Int8Tensors<'_> {
        Int8Tensors {
            weights: &self.weights,
            bias: &self.bias,
            multipliers: &self.multipliers,
            range: &self.range,
            scales: &self.scales,
        }
    }
}
