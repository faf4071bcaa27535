//! Layers of integers on a host, 16 filters at a time, with weights in the order that its vectors read.
//!
//! ```text
//! layout.rs   the order of the weights              columns.rs     convolution and depthwise + ReLU + max-pooling
//! tile.rs     sums at several positions             dense.rs       dense layer, of one sample or of many
//! outputs.rs  from sums to bytes and bits           add.rs         sum of two maps
//! ```
//! The bytes and the bits are those of the kernels that read the stored weights.

mod add;
mod columns;
mod dense;
mod layout;
mod outputs;
mod tile;

pub(crate) use add::PackedAdd;
pub(crate) use columns::PackedColumns;
pub(crate) use dense::{PackedAccumulate, PackedDense, Target};
pub(crate) use layout::{Form, pack};
