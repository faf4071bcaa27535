//! Whether a graph is a feed-forward graph of one sample that midge can compute: data flow, shapes, types, quantisation.
//!
//! `flow.rs` follows the tensors through the operators, `shapes.rs` computes the shape of each result, `numbers.rs` looks at
//! types and quantisation; `step.rs` is one operator with its tensors.

mod flow;
mod numbers;
mod shapes;
mod step;

use super::error::{Error, Named, Problem};
use super::graph::Graph;
use step::Step;

/// Checks a graph, as a file says it or as it was made.
///
/// - There is one graph, and midge has all its operators; otherwise the error names all that it does not have.
/// - Every tensor that is read is an input of the graph, a constant, or written before; none is written twice. Weights,
///   biases, paddings, axes and shapes are constants. Outputs are computed.
/// - The shape of every result is the one that follows from its operator, by the rules of the paddings `SAME` and `VALID`. What is not
///   constant has a batch of 1. Dilations are 1.
/// - Maps are of real numbers (`FLOAT32`) or of integers (`INT8` with one scale and zero point). Weights are of the same type;
///   `INT8` weights have one scale, or one for each output channel, and zero points of 0; their biases are `INT32`.
/// - Results that have the bytes of their inputs, and poolings, have the quantisation of their inputs.
/// - Fused activations are none, ReLU or ReLU6.
///
/// # Errors
/// The operator, the tensor, what was expected and what was found.
pub fn check(graph: &Graph<'_>) -> Result<(), Error> {
    graph.check_indices()?;
    let unsupported: Vec<_> = graph.unsupported().into_iter().map(|(index, name)| Named::new(index, name)).collect();
    if !unsupported.is_empty() {
        return Err(Problem::Unsupported(unsupported).into());
    }
    // One of several would be taken for the whole model.
    if graph.subgraphs != 1 {
        return Err(Problem::Subgraphs(graph.subgraphs).into());
    }
    flow::check(graph)?;
    for index in 0..graph.operators.len() {
        if let Some(step) = Step::of(graph, index) {
            shapes::check(&step)?;
            numbers::check(&step)?;
        }
    }
    Ok(())
}
