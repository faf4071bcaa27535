//! The tensors of a network in integers of 8 bits, and how they stand in a file.
//!
//! ```text
//! of layer n       type, shape                              what
//! n.weight         I8 [filters, rows, columns, channels]    of a convolution; a depthwise one [rows, columns, filters], a
//!                                                           dense layer [units, inputs]: the order of a `.tflite` file
//! n.bias           I32 [outputs]
//! n.multiplier     I32 [outputs, 2]                         from sums to outputs: a number of Q31, and a shift to the left
//!                                                           or, below 0, to the right; of a sum of two maps [3, 2], for its
//!                                                           two operands and the result
//! n.range          I32 [5]                                  zero points of input, output and what is added; smallest and
//!                                                           largest output
//! n.scale          F32 [2]                                  of input and output: a value is scale * (integer - zero point)
//! ```
//! Those of bytes come last in the file, so that all are aligned. `n` is the layer that begins a stage; a stage without weights has
//! range and scale too. Where an average reads a map that others read too, the stage that passes the map on has the average's
//! tensors. The arithmetic is that of TensorFlow
//! Lite for Microcontrollers, whose integers the multipliers are.

use super::bound::Bound;
use super::error::ModelError;
use super::header::Header;
#[cfg(feature = "std")]
use super::prepared;
use super::weights::{View, Weights};
use crate::kernels::int8::{Grid, Int8Layer, Range};
use crate::network::plan::{MAX_STAGES, Operation, Stage, Stages};
use crate::vector::Level;

/// The tensors of one stage of a network in integers of 8 bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Int8Tensors<'a> {
    /// The weights, filter by filter; none in a stage without weights.
    pub weights: &'a [i8],
    /// One for each output channel, in units of the sums.
    pub bias: &'a [i32],
    /// From a sum to an output, for each output channel: a number of Q31, and a shift to the left, below 0 to the right.
    pub multipliers: &'a [[i32; 2]],
    /// Zero points of input, output and what is added, smallest and largest output.
    pub range: &'a [i32],
    /// Scales of input and output.
    pub scales: &'a [f32],
}

/// Elements of `range` and `scale`.
const RANGE: usize = 5;
const SCALES: usize = 2;

/// Largest magnitude of an input less its zero point.
const MOST_INPUT: i64 = 255;

/// Elements of `weight`, outputs that have a bias and a multiplier, and elements of `multiplier`.
fn lengths(stage: &Stage) -> (usize, usize, usize) {
    match stage {
        Stage::Spatial(s) if s.operation == Operation::Add => (0, 0, 3),
        Stage::Spatial(s) if s.weight_len() > 0 => (s.weight_len(), s.output().channels, s.output().channels),
        Stage::Spatial(_) => (0, 0, 0),
        Stage::Dense(d) => (d.inputs * d.units, d.units, d.units),
    }
}

/// Dimensions of `weight`.
fn weight_shape(stage: &Stage) -> heapless::Vec<usize, 4> {
    match stage {
        Stage::Spatial(s) if s.convolves() => {
            [s.output().channels, s.kernel_height(), s.kernel_width(), s.input().channels].into()
        }
        Stage::Spatial(_) => stage.weight_shape(),
        Stage::Dense(d) => heapless::Vec::from_iter([d.units, d.inputs]),
    }
}

impl<'a> Int8Tensors<'a> {
    /// The tensors with their names, for a file.
    fn views(&self, stage: &Stage) -> heapless::Vec<View<'a>, 5> {
        let flat = |len: usize| heapless::Vec::from_iter([len]);
        let all = [
            View { name: "weight", dtype: "I8", shape: weight_shape(stage), bytes: bytemuck::cast_slice(self.weights) },
            View { name: "bias", dtype: "I32", shape: flat(self.bias.len()), bytes: bytemuck::cast_slice(self.bias) },
            View {
                name: "multiplier",
                dtype: "I32",
                shape: heapless::Vec::from_iter([self.multipliers.len(), 2]),
                bytes: bytemuck::cast_slice(self.multipliers),
            },
            View { name: "range", dtype: "I32", shape: flat(RANGE), bytes: bytemuck::cast_slice(self.range) },
            View { name: "scale", dtype: "F32", shape: flat(SCALES), bytes: bytemuck::cast_slice(self.scales) },
        ];
        all.into_iter().filter(|view| !view.bytes.is_empty()).collect()
    }

    /// The tensors as the kernels read them.
    pub(super) fn layer(&self) -> Int8Layer<'a> {
        let range = match *self.range {
            [input, output, added, low, high] => Range { input, output, added, low, high },
            _ => Range::default(),
        };
        let scales = self.scales.first_chunk().copied().unwrap_or([1.0; 2]);
        Int8Layer {
            weights: self.weights,
            bias: self.bias,
            multipliers: self.multipliers,
            range,
            scales,
            #[cfg(feature = "std")]
            packed: &[],
        }
    }

    /// Whether all are there, and in range: no sum of products can overflow.
    pub(super) fn check(&self, stage: &Stage) -> Result<(), ModelError> {
        let layer = stage.layer();
        let (weights, outputs, multipliers) = lengths(stage);
        let found = [self.weights.len(), self.bias.len(), self.multipliers.len(), self.range.len(), self.scales.len()];
        for (expected, found) in [weights, outputs, multipliers, RANGE, SCALES].into_iter().zip(found) {
            if expected != found {
                return Err(ModelError::TensorShape { layer, expected, found });
            }
        }
        let is_byte = |x: &i32| (-128..=127).contains(x);
        let [.., low, high] = self.range else { return Err(ModelError::Quantisation { layer }) };
        let are_multipliers = self.multipliers.iter().all(|[multiplier, shift]| *multiplier >= 0 && shift.abs() <= 31);
        // So that no value and no range of them can overflow.
        let are_scales = self.scales.iter().all(|scale| (1e-30..=1e30).contains(scale));
        // More than that do not fit the sums of an average.
        let are_summed = !matches!(stage, Stage::Spatial(s) if s.operation == Operation::Average && s.taps() > 255);
        if !self.range.iter().all(is_byte) || low > high || !are_multipliers || !are_scales || !are_summed {
            return Err(ModelError::Quantisation { layer });
        }
        for (output, bias) in self.bias.iter().enumerate() {
            let sum = magnitude(stage, self.weights, (output, outputs)) * MOST_INPUT + i64::from(*bias).abs();
            if sum > i64::from(i32::MAX) {
                return Err(ModelError::TooLarge { layer });
            }
        }
        Ok(())
    }
}

/// Sum of the magnitudes of an output's weights.
fn magnitude(stage: &Stage, weights: &[i8], (output, outputs): (usize, usize)) -> i64 {
    let is_depthwise = matches!(stage, Stage::Spatial(s) if s.operation == Operation::Depthwise);
    let own = weights.len() / outputs.max(1);
    let (start, step) = if is_depthwise { (output, outputs) } else { (output * own, 1) };
    weights.iter().skip(start).step_by(step.max(1)).take(own).map(|w| i64::from(w.unsigned_abs())).sum()
}

#[allow(private_interfaces, reason = "only called in this crate")]
impl Weights for i8 {
    type Number = Self;
    type Tensors<'a> = Int8Tensors<'a>;
    const GRAPHS: bool = true;
    const IS_INT8: bool = true;
    super::weights::per_stage!(MAX_STAGES);

    fn grid(first: &Int8Tensors<'_>) -> Option<Grid> {
        let layer = first.layer();
        Some(Grid { scale: layer.scales[0], zero_point: layer.range.input })
    }

    fn read<'a>(header: &Header<'a>, stage: &Stage) -> Result<Self::Tensors<'a>, ModelError> {
        let layer = stage.layer();
        let (weights, outputs, multipliers) = lengths(stage);
        let mut tensors = Int8Tensors {
            range: header.tensor(layer, "range", &[RANGE])?,
            scales: header.tensor(layer, "scale", &[SCALES])?,
            ..Int8Tensors::default()
        };
        if weights > 0 {
            tensors.weights = header.tensor(layer, "weight", &weight_shape(stage))?;
            tensors.bias = header.tensor(layer, "bias", &[outputs])?;
        }
        if multipliers > 0 {
            let pairs: &[i32] = header.tensor(layer, "multiplier", &[multipliers, 2])?;
            tensors.multipliers = pairs.as_chunks().0;
        }
        Ok(tensors)
    }

    fn bytes(stage: &Stage) -> usize {
        let (weights, outputs, multipliers) = lengths(stage);
        weights + 4 * (outputs + 2 * multipliers + RANGE + SCALES)
    }

    fn views<'a>(tensors: &Self::Tensors<'a>, stage: &Stage) -> heapless::Vec<View<'a>, 5> {
        tensors.views(stage)
    }

    fn weights<'a>(tensors: &Self::Tensors<'a>) -> (&'a [i8], &'a [i8]) {
        (tensors.weights, &[])
    }

    #[cfg(feature = "std")]
    fn transposed_len(plan: &Stages) -> usize {
        prepared::len(plan)
    }

    #[cfg(not(feature = "std"))]
    fn transposed_len(_: &Stages) -> usize {
        0
    }

    #[cfg(feature = "std")]
    fn transpose(plan: &Stages, tensors: &[Int8Tensors<'_>], _: Level, target: &mut [f32]) {
        prepared::prepare(plan, tensors.iter().map(Int8Tensors::layer), target);
    }

    #[cfg(not(feature = "std"))]
    fn transpose(_: &Stages, _: &[Int8Tensors<'_>], _: Level, _: &mut [f32]) {}

    fn check(tensors: &Int8Tensors<'_>, stage: &Stage, _: &mut Bound) -> Result<(), ModelError> {
        tensors.check(stage)
    }
}
