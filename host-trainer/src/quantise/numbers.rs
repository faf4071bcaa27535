//! The numbers of the graph of integers.

use anyhow::{Context, Result};

use super::ends::Ranges;
use super::rounding::{Integers, grid, integers};
use crate::export::{Constants, Numbers, Parameters, Step};
use crate::tflite::{ElementType, Quantisation};
use crate::weights::Weights;

/// A network of floats, and where the values of its layers end.
pub(super) struct Calibrated<'w> {
    pub weights: &'w Weights,
    /// By the layer that a step begins with.
    pub ranges: &'w Ranges,
}

/// For a range.
fn quantisation(range: [f32; 2]) -> Quantisation {
    let (scale, zero_point) = grid(range);
    Quantisation::per_tensor(scale, zero_point)
}

impl Numbers for Calibrated<'_> {
    const ELEMENTS: [ElementType; 2] = [ElementType::I8, ElementType::I32];

    fn image(&self) -> Result<Quantisation> {
        Ok(quantisation(self.weights.input().range))
    }

    fn output(&mut self, step: &Step, input: &Quantisation) -> Result<Quantisation> {
        if !step.computes() {
            return Ok(input.clone());
        }
        Ok(quantisation(*self.ranges.get(&step.layer).context("it was not measured")?))
    }

    fn constants(&mut self, step: &Step, input: &Quantisation) -> Result<Constants> {
        let (input_scale, _) = input.whole().context("its input has not one scale")?;
        let parameters = Parameters::of(self.weights, step)?;
        let Integers { weights, bias, scales } = integers(&parameters, input_scale);
        let zero_points = vec![0; scales.len()];
        let of_bias = scales.iter().map(|scale| input_scale * scale).collect();
        let of_bias = Quantisation { scales: of_bias, zero_points: zero_points.clone(), dimension: 0 };
        let own = Quantisation { scales, zero_points, dimension: parameters.dimension };
        Ok(Constants {
            weights: (parameters.shape, bytemuck::cast_vec(weights), own),
            bias: parameters.bias.map(|_| (bias.iter().flat_map(|b| b.to_le_bytes()).collect(), of_bias)),
        })
    }
}
