//! Networks of midge's as the graph of a `.tflite` file, which runtimes on microcontrollers take: the way back from
//! `import/tflite`.
//!
//! ```text
//! steps.rs     layers -> operators, with the ReLU in the operator before it      graph.rs   operators and numbers -> a graph
//! float.rs     the numbers of a network of floats                                int8.rs    those of a network of integers
//! parameters.rs   weights and biases in the order of a `.tflite` file
//! ```
//! What a file of that format says differently is written so that it computes the same: a ReLU behind a pooling stands before
//! it, a threshold is in the bias before it, and a flatten before a dense layer is left out.

mod float;
mod graph;
mod int8;
mod parameters;
mod steps;

use anyhow::{Context, Result, ensure};

use crate::import::tflite::{float_network, int8_network};
use crate::quantised::Int8Weights;
use crate::tflite::{Graph, write};
use crate::weights::Weights;
pub(crate) use graph::{Constants, Numbers, graph};
pub(crate) use parameters::Parameters;
pub(crate) use steps::{Step, steps};

/// The bytes of a `.tflite` file of floating-point numbers.
///
/// # Errors
/// If the network has something that the format has not.
pub fn float_tflite(weights: &Weights) -> Result<Vec<u8>> {
    let graph = graph(&weights.network, &steps(&weights.network)?, &mut float::Float { weights })?;
    float_network(&graph).context("its graph could not be read again")?;
    Ok(write(&graph)?)
}

/// The bytes of a `.tflite` file of integers of 8 bits. TensorFlow Lite for Microcontrollers computes with it what midge computes
/// with the model, to the bit.
///
/// # Errors
/// If the network or one of its numbers is none that a `.tflite` file can say, as those of one that was made by hand need not
/// be: multipliers follow from scales there.
pub fn int8_tflite(weights: &Int8Weights) -> Result<Vec<u8>> {
    let mut steps = steps(&weights.network)?;
    steps.iter_mut().for_each(|step| int8::turn_into_mean(weights, step));
    let graph = graph(&weights.network, &steps, &mut int8::Int8 { weights })?;
    check_same(weights, &graph)?;
    Ok(write(&graph)?)
}

/// The graph holds the same numbers.
fn check_same(weights: &Int8Weights, graph: &Graph<'_>) -> Result<()> {
    let read = int8_network(graph, None).context("its graph could not be read again")?;
    let layers: Vec<usize> = weights.network.int8_stages().collect();
    ensure!(
        layers.len() == read.stages.len(),
        "expected a graph of {} stages, found {}",
        layers.len(),
        read.stages.len()
    );
    for ((layer, stage), read) in layers.iter().zip(&weights.stages).zip(&read.stages) {
        let differs = [
            (stage.scales != read.scales, "scales"),
            (stage.range != read.range, "zero points, smallest and largest output"),
            (stage.multipliers != read.multipliers, "multipliers"),
            (stage.bias != read.bias, "biases"),
            (stage.weights != read.weights, "weights"),
        ];
        if let Some((_, what)) = differs.iter().find(|(differs, _)| *differs) {
            anyhow::bail!("layer {layer}: its {what} are none that follow from the scales of a .tflite file");
        }
    }
    Ok(())
}
