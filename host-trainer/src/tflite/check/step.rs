//! One operator of a graph with its tensors.

use std::ops::Deref;

use crate::tflite::error::{Error, Named, Problem};
use crate::tflite::graph::{Graph, Kind, Operator, Tensor};

/// An operator at its place in the graph.
#[derive(Clone, Copy)]
pub(super) struct Step<'g> {
    graph: &'g Graph<'g>,
    index: usize,
    operator: &'g Operator,
}

/// A tensor that an operator reads or writes.
#[derive(Clone, Copy)]
pub(super) struct Operand<'g> {
    step: Step<'g>,
    /// Of the tensor in the graph.
    pub(super) index: usize,
    tensor: &'g Tensor<'g>,
}

impl<'g> Step<'g> {
    pub(super) fn of(graph: &'g Graph<'g>, index: usize) -> Option<Self> {
        graph.operators.get(index).map(|operator| Self { graph, index, operator })
    }

    pub(super) fn operator(&self) -> &'g Operator {
        self.operator
    }

    pub(super) fn kind(&self) -> &'g Kind {
        &self.operator.kind
    }

    pub(super) fn error(&self, problem: impl Into<Error>) -> Error {
        self.graph.operator_error(self.index, problem)
    }

    pub(super) fn unsupported(&self) -> Error {
        Problem::Unsupported(vec![Named::new(self.index, self.kind().name())]).into()
    }

    fn operand(&self, index: usize) -> Option<Operand<'g>> {
        self.graph.tensors.get(index).map(|tensor| Operand { step: *self, index, tensor })
    }

    /// Input `place`, if there is one.
    pub(super) fn optional(&self, place: usize) -> Option<Operand<'g>> {
        self.operator.inputs.get(place).copied().flatten().and_then(|index| self.operand(index))
    }

    /// Input `place`.
    pub(super) fn input(&self, place: usize) -> Result<Operand<'g>, Error> {
        self.optional(place).ok_or_else(|| self.error(Problem::Absent(place)))
    }

    /// All inputs that are there.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Operand<'g>> {
        (0..self.operator.inputs.len()).filter_map(|place| self.optional(place))
    }

    /// The first output; operators that are read further have one.
    pub(super) fn output(&self) -> Result<Operand<'g>, Error> {
        let first = self.operator.outputs.first().and_then(|index| self.operand(*index));
        first.ok_or_else(|| self.error(Problem::Count { what: "outputs", expected: "1", found: 0 }))
    }
}

impl Operand<'_> {
    /// An error about this tensor of this operator.
    pub(super) fn error(&self, problem: impl Into<Error>) -> Error {
        self.step.error(self.step.graph.tensor_error(self.index, problem))
    }

    pub(super) fn dimensions(&self, expected: &'static str) -> Error {
        self.error(Problem::Dimensions { expected, found: self.shape.clone() })
    }
}

impl<'g> Deref for Operand<'g> {
    type Target = Tensor<'g>;

    fn deref(&self) -> &Tensor<'g> {
        self.tensor
    }
}
