//! Boards that run midge, or somebody else's model with the same protocol, driven over a line: what the deployed model is worth.
//!
//! ```text
//! port.rs       what a user calls a port              line.rs, serial.rs, emulator.rs   lines: TCP, serial, QEMU
//! client.rs     one request, asked until it is answered      images.rs   images, jobs and results over many requests
//! farm.rs       images shared out among several boards      plan.rs   which images, and which attack
//! remote.rs     attacks on the host with a board's logits or gradients
//! evaluation.rs the same images on host and board    integers.rs   the host's attack for a board of integers
//! table.rs      what came of it, counted
//! ```
//! `midge_link` holds frames and messages, and the board's side.

pub mod client;
pub mod emulator;
mod error;
pub mod evaluation;
pub mod farm;
pub mod images;
mod integers;
pub mod line;
pub mod plan;
pub mod port;
mod remote;
#[cfg(unix)]
mod serial;
pub mod table;

pub use client::{Client, DeviceInfo};
pub use error::DeviceError;
pub use images::Device;
pub use remote::Way;
