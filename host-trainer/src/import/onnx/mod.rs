//! ONNX files, versions 7 to 25 of the operators.
//!
//! ```text
//! wire.rs    fields of protocol buffers     model.rs       the messages: graph, nodes, tensors, also in a second file
//! order.rs   nodes in an order that runs    layout.rs      where a tensor has rows, columns and channels
//! build.rs   the walk through the nodes     operators.rs   what each of them computes
//! constants.rs   what is known before any image is
//! ```

mod build;
mod constants;
mod error;
mod layout;
mod model;
mod operators;
mod order;
mod wire;

use std::path::Path;

use anyhow::Result;

use super::graph::Graph;
use super::hints::Hints;
pub use error::OnnxError;

/// The graph of a file, whose tensors may lie in others of its folder; and what was assumed.
pub(super) fn read(bytes: &[u8], folder: Option<&Path>, hints: &Hints) -> Result<(Graph, Vec<String>)> {
    build::build(&model::Model::read(bytes)?, folder, hints)
}
