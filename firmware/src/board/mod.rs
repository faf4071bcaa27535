//! One board, chosen by cargo feature.

#[cfg(feature = "emulated")]
mod qemu;
#[cfg(feature = "emulated")]
pub use qemu::*;
