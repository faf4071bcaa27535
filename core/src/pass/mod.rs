//! Depth first through the stages: forward to the logits, backward to the image.

mod backward;
pub mod batch;
mod element;
mod forward;
mod infer;
mod maps;
mod progress;
mod rows;

pub use element::Element;
pub use infer::{Classification, InputGradient};
