//! Tests on a small model that is made here, part by part.

mod check;
mod hostile;
mod reader;
mod sample;
mod writer;
