//! What the binaries share: the board, the embedded model and digits, the screen, and how to measure.
#![no_std]

pub mod board;
pub mod demo;
pub mod embedded;
pub mod measure;
pub mod screen;
pub mod serve;
