//! The graph of a `.tflite` file as a network of midge's: layers, and for each stage its tensors.
//!
//! ```text
//! layers.rs     operators -> layers: branches, skips, what folds away      multiplier.rs   scales -> integers of Q31
//! quantised.rs  the tensors of a graph of integers
//! ```
//! A RESHAPE of the input, and into a vector, changes no byte; QUANTIZE and DEQUANTIZE at the ends change what the caller gives
//! and gets; SOFTMAX at the end changes no class. They leave no layer.

mod layers;
mod multiplier;
mod quantised;

pub use quantised::int8_network;
