//! The graph of a `.tflite` file as a network of midge's: layers, and for each stage its tensors.
//!
//! ```text
//! layers.rs     operators -> layers: branches, skips          folds.rs        a PAD or a MEAN as a layer's part or other form
//! quantised.rs  the tensors of a graph of integers            multiplier.rs   scales -> integers of Q31, and back
//! float.rs      those of floating-point numbers
//! ```
//! A RESHAPE of the input, and into a vector, changes no byte; QUANTIZE and DEQUANTIZE at the ends change what the caller gives
//! and gets; SOFTMAX at the end changes no class. They leave no layer.

mod float;
pub(crate) mod folds;
mod layers;
pub(crate) mod multiplier;
mod quantised;

use anyhow::{Context, Result, bail};

use crate::quantised::Int8Weights;
use crate::tflite::{self, ElementType, Kind};
use crate::weights::Weights;
pub use float::float_network;
pub use quantised::int8_network;

/// What a `.tflite` file holds.
#[derive(Debug, Clone)]
pub enum Imported {
    /// A network of floating-point numbers.
    Float(Weights),
    /// A network of integers of 8 bits.
    Int8(Int8Weights),
}

/// Converts the bytes of a `.tflite` file.
///
/// # Errors
/// A damaged file; operators that midge does not have, all of them by name; a graph that is not well formed.
pub fn from_bytes(bytes: &[u8]) -> Result<Imported> {
    let graph = tflite::read(bytes)?;
    tflite::check(&graph)?;
    // Whatever is given and asked for, what is computed with decides.
    let computes =
        graph.operators.iter().filter(|operator| !matches!(operator.kind, Kind::Quantize | Kind::Dequantize));
    let inputs = computes.flat_map(|operator| operator.inputs.first().copied().flatten());
    let mut elements: Vec<_> = inputs.map(|index| graph.tensors[index].element).collect();
    elements.dedup();
    match elements[..] {
        [ElementType::F32] => Ok(Imported::Float(float_network(&graph)?)),
        [ElementType::I8] => {
            let weights = int8_network(&graph, None)?;
            weights.model().context("its tensors")?;
            Ok(Imported::Int8(weights))
        }
        _ => bail!("expected operators on f32 or on i8, found {elements:?}"),
    }
}
