//! Depth first through the stages: forward to the logits, backward to the image.
//!
//! ```text
//! infer.rs     impl Model: logits, classify, loss, input_gradient         what a caller calls
//! element.rs   Passes: one compiled copy of each pass for each type of weights
//! forward.rs   image -> logits, with      rows.rs     the ring of input rows, and the walk that fills it
//! arithmetic.rs   what rows consist of, f32 or bytes            sources.rs   what a row is made from and added to
//! int8.rs      image -> logits in integers              int8_backward.rs, gradient_rows.rs   and back, by rows in integers
//! integers.rs  impl Model<i8>: the same for an image of integers       moved.rs   which an attack moves
//! operands.rs, contribution.rs   a row of any operation, forward and backward                           progress.rs   how far a stage is
//! backward.rs  logits -> image by rows: a device, and hosts without transposed weights
//! maps.rs      features -> image or weights by whole maps: hosts with transposed weights
//! batch/       several samples: forward with rows.rs, dense layers together, backward with maps.rs
//! ```

mod arithmetic;
mod backward;
pub mod batch;
mod contribution;
mod element;
mod forward;
mod gradient_rows;
mod graph_backward;
mod graph_rows;
mod infer;
mod int8;
mod int8_backward;
mod integers;
mod keep;
mod maps;
mod moved;
mod operands;
mod progress;
mod rows;
mod sources;

pub use element::Element;
pub use infer::{Classification, InputGradient};
pub(crate) use moved::{UNITS, Unit};
pub(crate) use sources::Int8Image;
