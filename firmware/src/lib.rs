//! What the binaries share: the board, the embedded model and digits, and how to measure.
#![no_std]

pub mod board;
pub mod embedded;
pub mod measure;
