//! Models of integers of 8 bits: the network and its tensors, as the core runs them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use midge_core::{Grid, Header, Int8Tensors, Model, ModelError, Network, Shape};

use crate::data::Input;
use crate::files::write_atomically;
use crate::weights::{Aligned, metadata};

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
    /// What else the file says.
    pub metadata: BTreeMap<String, String>,
}

impl Int8Weights {
    /// Of a network that is planned for integers.
    pub fn new(network: Network, stages: Vec<Int8Stage>) -> Self {
        Self { network, stages, metadata: BTreeMap::new() }
    }

    /// Reads the bytes of a model file.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let aligned = Aligned::new(bytes);
        let header = Header::read(aligned.bytes())?;
        let network = header.network()?.int8();
        let model = Model::<i8>::from_safetensors(&network, aligned.bytes())?;
        let stages = model.int8_tensors().iter().map(Int8Stage::of).collect::<Option<_>>();
        let stages = stages.ok_or(ModelError::NotRun)?;
        let metadata = metadata(&header)?;
        Ok(Self { network, stages, metadata })
    }

    /// What the model takes.
    pub fn input(&self) -> Input {
        let Shape { height, width, channels } = self.network.input();
        let ([scale, _], [zero_point, ..]) = self.stages.first().map_or(([1.0; 2], [0; 5]), |s| (s.scales, s.range));
        Input::int8([height, width, channels], self.network.classes(), Grid { scale, zero_point })
    }

    /// A model over these tensors.
    ///
    /// # Errors
    /// A tensor of the wrong length, a number out of range, or sums that could overflow.
    pub fn model(&self) -> Result<Model<'_, i8>, ModelError> {
        let tensors: Vec<_> = self.stages.iter().map(Int8Stage::tensors).collect();
        Model::from_int8_tensors(&self.network, &tensors)
    }

    /// Writes a model file. It is read back first, so that a file is only replaced by one that can be read.
    ///
    /// # Errors
    /// If a device could not read the file, or it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = || {
            let bytes = self.to_bytes()?;
            Self::from_bytes(&bytes).context("it could not be read again")?;
            Ok(bytes)
        };
        let bytes: Result<Vec<u8>> = bytes();
        write_atomically(path, &bytes.with_context(|| format!("{}: not written", path.display()))?)
    }

    /// The bytes of a model file.
    ///
    /// # Errors
    /// See [`Self::model`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let metadata: Vec<(&str, &str)> = self.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
        let mut file = Vec::new();
        self.model()?.write_safetensors(&metadata, &mut |bytes| file.extend_from_slice(bytes));
        Ok(file)
    }
}

impl Int8Stage {
    /// A copy; `None` if there are not as many numbers as a model has that was checked.
    fn of(tensors: &Int8Tensors<'_>) -> Option<Self> {
        let Int8Tensors { weights, bias, multipliers, range, scales } = *tensors;
        let (range, scales) = (range.try_into().ok()?, scales.try_into().ok()?);
        Some(Self { weights: weights.to_vec(), bias: bias.to_vec(), multipliers: multipliers.to_vec(), range, scales })
    }

    /// The real number that a weight of 1 of output `o` stands for.
    pub fn weight_scale(&self, o: usize) -> f64 {
        let [multiplier, shift] = self.multipliers.get(o).copied().unwrap_or_default();
        let [input, output] = self.scales.map(f64::from);
        f64::from(multiplier) * 2f64.powi(shift - 31) * output / input
    }

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
