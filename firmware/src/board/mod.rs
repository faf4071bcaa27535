//! One board, chosen by cargo feature; build.rs refuses none or several.

/// The board's name, and a symbol that tells the runner which board to emulate or to flash.
macro_rules! name {
    ($name:literal, $symbol:ident) => {
        /// The board's name.
        pub const NAME: &str = $name;
        #[used]
        #[unsafe(no_mangle)]
        static $symbol: u8 = 0;
    };
}

#[cfg(any(feature = "netduinoplus2", feature = "nrf52840-dk"))]
mod registers;

#[cfg(any(feature = "qemu", feature = "qemu-an500", feature = "qemu-an505", feature = "mps3-an547"))]
mod cmsdk;
#[cfg(all(feature = "emulated", not(little_ram)))]
mod emulated_screen;
#[cfg(feature = "emulated")]
mod interrupts;
#[cfg(any(all(feature = "emulated", little_ram), feature = "nrf52840-dk"))]
mod no_screen;
#[cfg(feature = "emulated")]
mod qemu;
#[cfg(feature = "emulated")]
pub use qemu::*;
#[cfg(feature = "mps3-an547")]
mod sse300;
#[cfg(feature = "netduinoplus2")]
mod stm32f405;

#[cfg(feature = "hardware")]
mod button;
#[cfg(feature = "display")]
mod display;
#[cfg(feature = "hardware")]
mod hardware;
#[cfg(feature = "hardware")]
pub use hardware::*;

#[cfg(all(feature = "hardware", not(feature = "pico")))]
#[path = "cycles.rs"]
mod counter;
#[cfg(feature = "pico")]
#[path = "microseconds.rs"]
mod counter;
#[cfg(feature = "hardware")]
pub use counter::{TICK, UNIT, ticks};

#[cfg(any(feature = "pico", feature = "pico2"))]
mod pico;
#[cfg(any(feature = "pico", feature = "pico2"))]
pub use pico::*;

#[cfg(feature = "nucleo-h743zi")]
mod nucleo_h743zi;
#[cfg(feature = "nucleo-h743zi")]
pub use nucleo_h743zi::*;

#[cfg(feature = "nrf52840-dk")]
mod nrf52840_dk;
#[cfg(feature = "nrf52840-dk")]
pub use nrf52840_dk::*;
