//! What is multiplied: each file holds the forward pass of a layer, its input gradient and its weight gradient side by side.

pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod masks;
mod matrix;
mod pool;
pub(crate) mod sparse;
