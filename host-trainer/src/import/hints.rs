//! What the user says about a model where its file does not.

use std::fmt::{self, Display, Formatter};

use anyhow::{Result, ensure};
use midge_core::Shape;

use super::graph::{Affine, Graph, Op, Value};

/// What a file does not say.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The architecture of a `state_dict`, in midge's words or in short ones ([`crate::architecture`]).
    pub network: Option<String>,
    /// Height and width of the image, where the file leaves them open; 28x28 if absent and the first layer of a `state_dict` can
    /// read that in grey.
    pub size: Option<(usize, usize)>,
    /// What the model's images were normalised with: `(x - mean) / std`, for pixels x from 0 to 1.
    pub normalisation: Option<Normalisation>,
}

/// Mean and standard deviation of pixels from 0 to 1: one number, or one for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    /// What is taken away.
    pub mean: Vec<f64>,
    /// What is divided by.
    pub std: Vec<f64>,
}

impl Hints {
    /// A graph of images of this shape, and the value that the first layer reads: the image, or what a normalisation makes of it.
    pub(super) fn start(&self, input: Shape) -> Result<(Graph, Value)> {
        let mut graph = Graph::new(input)?;
        let Some(Normalisation { mean, std }) = &self.normalisation else { return Ok((graph, Value::Image)) };
        let fits = |numbers: &[f64]| numbers.len() == 1 || numbers.len() == input.channels;
        ensure!(
            fits(mean) && fits(std),
            "--mean and --std: expected numbers for 1 or {} channels, found {} and {}",
            input.channels,
            mean.len(),
            std.len()
        );
        let at = |numbers: &[f64], channel: usize| numbers[if numbers.len() == 1 { 0 } else { channel }];
        let all = 0..mean.len().max(std.len());
        let scale: Vec<f64> = all.clone().map(|c| 1.0 / at(std, c)).collect();
        let shift = all.map(|c| -at(mean, c) / at(std, c)).collect();
        let value = graph.push("normalisation", Op::Affine(Affine { scale, shift }), &[Value::Image])?;
        Ok((graph, value))
    }
}

impl Display for Normalisation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        write!(f, "mean {} std {}", list(&self.mean), list(&self.std))
    }
}
