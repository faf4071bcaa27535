//! TensorFlow Lite models: the graph in a `.tflite` file.
//!
//! Such a file is what runs on a microcontroller. [`read`] gives its graph: tensors with their quantisation and the bytes of
//! constants, and operators with their options; operators that midge does not have are listed by name
//! ([`Graph::unsupported`]).
//!
//! | file | what it knows |
//! |---|---|
//! | `flatbuffer.rs` | tables, vectors and strings of a FlatBuffer, each checked against the file's end |
//! | `schema.rs` | names and numbers of the format |
//! | `element.rs`, `graph.rs` | the result |
//! | `reader.rs`, `options.rs` | the way there |
//! | `error.rs` | what can be wrong, and where |

#[cfg(test)]
mod builder;
mod check;
mod element;
mod error;
mod flatbuffer;
mod graph;
mod options;
mod reader;
mod schema;
#[cfg(test)]
mod tests;

pub use check::check;
pub use element::ElementType;
pub use error::{Error, Named, Problem};
pub use flatbuffer::Damage;
pub use graph::{
    Activation, Conv2d, Graph, Kind, Operator, Padding, Peculiarity, Pool2d, Quantisation, Tensor, WeightsFormat,
};
pub use reader::{MAX_DIMENSIONS, MAX_ELEMENTS, MAX_OPERATORS, MAX_TENSORS, read};
