//! TensorFlow Lite models: the graph in a `.tflite` file.
//!
//! Such a file is what runs on a microcontroller. [`read`] gives its graph: tensors with their quantisation and the bytes of
//! constants, and operators with their options; operators that midge does not have are listed by name
//! ([`Graph::unsupported`]). [`check`] says whether it is a feed-forward graph that midge can compute, and [`write()`] turns a graph
//! into such a file again.
//!
//! | file | what it knows |
//! |---|---|
//! | `flatbuffer.rs` | tables, vectors and strings of a FlatBuffer, each checked against the file's end |
//! | `schema.rs` | names and numbers of the format |
//! | `element.rs`, `graph.rs` | the result |
//! | `reader.rs`, `options.rs`, `copies.rs` | the way there |
//! | `check` | whether the graph can be computed |
//! | `builder.rs`, `writer.rs` | the way back: a FlatBuffer, and the graph in it |
//! | `error.rs` | what can be wrong, and where |

mod builder;
mod check;
mod copies;
mod element;
mod error;
mod flatbuffer;
mod graph;
mod options;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use check::check;
pub use element::ElementType;
pub use error::{Error, Named, Problem};
pub use flatbuffer::Damage;
pub use graph::{
    Activation, Conv2d, Graph, Kind, Operator, Padding, Peculiarity, Pool2d, Quantisation, Tensor, WeightsFormat,
};
pub use reader::{MAX_DIMENSIONS, MAX_ELEMENTS, MAX_OPERATORS, MAX_SCALES, MAX_TENSORS, read};
pub(crate) use schema::IDENTIFIER;
pub use writer::write;
