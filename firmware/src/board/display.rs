//! The display of every real board: 320 x 240 pixels, ST7789, over SPI.

use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiBus;
use embedded_hal_bus::spi::{ExclusiveDevice, NoDelay};
use mipidsi::Builder;
use mipidsi::interface::SpiInterface;
use mipidsi::models::ST7789;
use mipidsi::options::{ColorInversion, Orientation, Rotation};
use static_cell::StaticCell;

use super::hardware::Wait;

/// The controller takes 62.5 MHz, jumper wires less.
pub(super) const SPI_HZ: u32 = 25_000_000;

/// Pixels on their way: room for a row of 320, so that a row is one transfer.
const BUFFER_BYTES: usize = 1024;
static BUFFER: StaticCell<[u8; BUFFER_BYTES]> = StaticCell::new();

/// The display on a SPI bus `S` with control pins `P`.
pub type Display<S, P> = mipidsi::Display<SpiInterface<'static, ExclusiveDevice<S, P, NoDelay>, P>, ST7789, P>;

/// The pins besides those of the SPI bus.
pub(super) struct Control<P> {
    /// Chip select.
    pub cs: P,
    /// Low for commands, high for data.
    pub dc: P,
    pub reset: P,
}

/// Starts the display, in landscape format; once.
pub(super) fn open<S: SpiBus, P: OutputPin>(bus: S, control: Control<P>) -> Display<S, P> {
    let Control { cs, dc, reset } = control;
    let Ok(device) = ExclusiveDevice::new_no_delay(bus, cs) else { panic!("the display's chip select") };
    Builder::new(ST7789, SpiInterface::new(device, dc, BUFFER.init([0; BUFFER_BYTES])))
        .reset_pin(reset)
        // IPS panels show the negative otherwise.
        .invert_colors(ColorInversion::Inverted)
        .orientation(Orientation::new().rotate(Rotation::Deg90))
        .init(&mut Wait)
        // Nothing is read from the display, so a missing one is not noticed; this is the chip's own failure.
        .unwrap_or_else(|_| panic!("the display's SPI bus"))
}
