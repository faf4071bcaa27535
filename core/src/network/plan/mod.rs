//! How a network runs: layers fused into stages, and the exact length of every buffer.
//!
//! A *spatial stage* is a convolution (or the identity) with its ReLU and max-pooling. Its output rows are
//! made one at a time from a window of input rows, so only that window is ever in memory (depth first).
//! A *dense stage* is a dense layer with its ReLU.

mod lengths;
mod planner;
mod stage;
mod stages;

pub(crate) use stage::{DenseStage, Spatial, Stage, WORD_BITS};
pub(crate) use stages::{MAX_STAGES, Stages};
