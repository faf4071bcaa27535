//! What is multiplied, forward and backward side by side.
//!
//! ```text
//! conv/       convolution + ReLU + pooling: forward, input gradient, weight gradient, a file for each way
//! depthwise.rs, average.rs     the other operations of a stage, forward, input gradient, weight gradient
//! rectify.rs  their ReLU, and the upper end of a ReLU6
//! int8/       all of them for integers of 8 bits
//! dense.rs    dense layer + ReLU: forward, input gradient, weight gradient
//! pool.rs     the pooling of a block of channels, whose bits masks.rs reads again on the way back
//! matrix.rs   products of a matrix with vectors, which dense.rs is made of
//! sparse/     the two inner loops, over the inputs that are not zero; with assembly for Cortex-M
//! ```
//! Nothing here knows a network: a kernel gets a stage, weights and slices. The walks through the stages are in `pass`.

pub(crate) mod average;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod int8;
pub(crate) mod masks;
mod matrix;
mod pool;
pub(crate) mod rectify;
pub(crate) mod sparse;
