//! One board, chosen by cargo feature; build.rs refuses none or several.

#[cfg(any(feature = "qemu", feature = "qemu-an500", feature = "qemu-an505"))]
mod cmsdk;
#[cfg(feature = "emulated")]
mod emulated_screen;
#[cfg(feature = "emulated")]
mod interrupts;
#[cfg(feature = "emulated")]
mod qemu;
#[cfg(feature = "emulated")]
pub use qemu::*;
#[cfg(feature = "netduinoplus2")]
mod stm32f405;

#[cfg(feature = "hardware")]
mod button;
#[cfg(feature = "hardware")]
mod display;
#[cfg(feature = "hardware")]
mod hardware;
#[cfg(feature = "hardware")]
pub use hardware::*;

#[cfg(feature = "pico2")]
mod pico2;
#[cfg(feature = "pico2")]
pub use pico2::*;

#[cfg(feature = "nucleo-h743zi")]
mod nucleo_h743zi;
#[cfg(feature = "nucleo-h743zi")]
pub use nucleo_h743zi::*;
