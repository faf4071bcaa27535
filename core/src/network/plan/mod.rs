//! How a network runs: layers fused into stages, and the exact length of every buffer.
//!
//! A *spatial stage* is a convolution (or the identity) with its ReLU and max-pooling. Its output rows are
//! made one at a time from a window of input rows, so only that window is ever in memory (depth first).
//! A *dense stage* is a dense layer with its ReLU.
//!
//! ```text
//! the lecture's CNN
//!
//! layers   0 conv2d   1 relu   2 maxpool2d   3 conv2d   4 relu   5 maxpool2d   6 flatten   7 dense   8 relu   9 dense
//! stages   [ 0: spatial, 28x28x1 -> 14x14x32 ][ 1: spatial, -> 7x7x64       ]             [ 2: dense 256   ][ 3: dense 10 ]
//! ```
//! A stage is named by its first layer, whose weights it uses. A layer that fits no stage before it opens one: a ReLU at the
//! start, a second pooling, a pooling without a convolution. Such a stage passes its input through a kernel of one element.

mod bits;
mod direction;
mod int8;
mod lengths;
mod maps;
mod planner;
mod schedule;
mod spatial;
mod stage;
mod stages;

pub(crate) use direction::Direction;
pub(crate) use int8::{FILTERS, GRADIENT_STATE, GRADIENT_TERMS, PLACE, POSITIONS};
pub(crate) use spatial::{Operation, Spatial, WORD_BITS};
pub(crate) use stage::{DenseStage, Stage};
pub(crate) use stages::{MAX_CHAIN, MAX_STAGES, Stages};
