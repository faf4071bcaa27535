//! A network between a foreign file and midge: operators, and what they read. Every reader of a format but that of TensorFlow
//! Lite fills such a graph; [`lower()`] makes midge's layers of it.
//!
//! ```text
//! operators.rs   operators, and the shapes that they put out     windows.rs   paddings of frameworks -> midge's
//! folds.rs       BatchNorm and the like into the weights beside  lower.rs     operators -> layers and tensors
//! ```

mod folds;
mod lower;
mod operators;
mod windows;

pub(super) use lower::lower;
pub(super) use operators::{Affine, Array, Graph, Op, Order, Value};
pub(super) use windows::{Pads, Windows};
