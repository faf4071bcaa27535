//! The numbers of a network of floats.

use anyhow::Result;

use super::{Constants, Numbers, Parameters, Step};
use crate::tflite::{ElementType, Quantisation};
use crate::weights::Weights;

/// A network with its weights.
pub(super) struct Float<'w> {
    pub weights: &'w Weights,
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl Numbers for Float<'_> {
    const ELEMENTS: [ElementType; 2] = [ElementType::F32; 2];

    fn image(&self) -> Result<Quantisation> {
        Ok(Quantisation::default())
    }

    fn output(&mut self, _: &Step, _: &Quantisation) -> Result<Quantisation> {
        Ok(Quantisation::default())
    }

    fn constants(&mut self, step: &Step, _: &Quantisation) -> Result<Constants> {
        let Parameters { shape, weights, bias, .. } = Parameters::of(self.weights, step)?;
        let bias = bias.map(|bias| (bytes(&bias), Quantisation::default()));
        Ok(Constants { weights: (shape, bytes(&weights), Quantisation::default()), bias })
    }
}
