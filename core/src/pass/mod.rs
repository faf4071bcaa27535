//! Depth first through the stages: forward to the logits, backward to the image.

mod backward;
mod forward;
mod rows;
pub mod training;

pub(crate) use backward::backward;
pub(crate) use forward::forward;
