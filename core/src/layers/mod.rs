//! The kernels: each file holds a stage's forward pass, its input gradient and its weight gradient side by side.

pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod masks;
mod matrix;
mod pool;
pub(crate) mod sparse;

pub(crate) use conv::Conv;
pub(crate) use dense::Dense;
pub(crate) use masks::RowMasks;
