//! What can be wrong with an ONNX file.

/// Why an ONNX file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The bytes are no protocol buffer.
    #[error("the file is cut or damaged: a field of its protocol buffers has no end")]
    Wire,
    /// The model has no graph.
    #[error("expected an ONNX model with a graph, found none")]
    NoGraph,
    /// More of something than any network that midge has.
    #[error("the graph has more than {most} {what}")]
    Many {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// A version of the operators that is not known.
    #[error("opset {found}: expected 7 to {newest}; in Python: onnx.version_converter.convert_version(model, 13)")]
    Opset {
        /// The version of the file.
        found: i64,
        /// The newest that is known.
        newest: i64,
    },
    /// Operators that midge does not have, each with the nodes that are of it.
    #[error("midge has no {}", .0.join(", no "))]
    Operators(Vec<String>),
    /// Nodes that read each other, or what nothing puts out.
    #[error("node {node:?} reads {value:?}, which {}", if *.is_cyclic { "depends on the node itself: the graph has a circle" } else { "nothing puts out" })]
    Order {
        /// One of the nodes.
        node: String,
        /// What it reads.
        value: String,
        /// Whether a node puts it out, but one that waits for the first.
        is_cyclic: bool,
    },
    /// The numbers of a tensor lie in another file, which is not there.
    #[error(
        "tensor {tensor:?}: its numbers are in the file {location:?}, {reason}; keep both files in one folder, or export one \
         file: torch.onnx.export(..., external_data=False)"
    )]
    External {
        /// The tensor.
        tensor: String,
        /// The other file, as the model names it.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that is not what it claims.
    #[error("tensor {tensor:?}: {problem}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What was expected and found.
        problem: String,
    },
}
