//! Raspberry Pi Pico and Pico 2, whose pins are the same, with a display that is plugged onto it, Waveshare's Pico-LCD-2, or wired in
//! the same way:
//!
//! | display | Pico | | display or button | Pico 2 |
//! |---|---|---|---|---|
//! | CLK | GP10 | | RST | GP12 |
//! | DIN | GP11 | | BL | GP13 |
//! | CS | GP9 | | button to GND (KEY0) | GP15 |
//! | DC | GP8 | | VCC, GND | 3V3(OUT), GND |
//!
//! The serial line to a host is UART 0, sent on GP0 and received on GP1, where a debug probe or an adapter goes.

use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::SPI1;
use embassy_rp::spi::{Blocking, Config, Spi};
use embassy_rp::{clocks, pac};

use super::display::{Control, Display, SPI_HZ};
use super::{Board, button, counter, display};

/// RP2040, two Cortex-M0+ of which one is used.
#[cfg(feature = "pico")]
mod chip {
    /// Clock of the processor, in Hz: what every RP2040 is specified for at the voltage with which it starts.
    pub const CLOCK: u32 = 125_000_000;
    name!("pico", MIDGE_BOARD_pico);
}
/// RP2350, two Cortex-M33 of which one is used.
#[cfg(feature = "pico2")]
mod chip {
    /// Clock of the processor, in Hz: the most that the RP2350 is specified for.
    pub const CLOCK: u32 = 150_000_000;
    name!("pico2", MIDGE_BOARD_pico2);
}
pub use chip::{CLOCK, NAME};

/// The serial line to a host: UART 0, 115,200 baud, 8 bits, no parity.
///
/// (The driver of embassy waits with a timer, which would need an interrupt.)
pub struct Line(());

const BAUD: u32 = 115_200;
const UART: pac::uart::Uart = pac::UART0;
/// The function of a pin that makes it one of the UART's.
const IS_UART: u8 = 2;

impl Line {
    /// Switches it on; once, at the start.
    fn open() -> Self {
        for pin in [0, 1] {
            pac::IO_BANK0.gpio(pin).ctrl().write(|control| control.set_funcsel(IS_UART));
            pac::PADS_BANK0.gpio(pin).write(|pad| {
                #[cfg(feature = "pico2")]
                pad.set_iso(false);
                pad.set_ie(true);
            });
        }
        // In 64ths, to the nearest: the clock divided by 16 times the speed.
        let divider = (8 * clocks::clk_peri_freq() / BAUD).div_ceil(2);
        UART.uartibrd().write(|whole| whole.set_baud_divint((divider / 64) as u16));
        UART.uartfbrd().write(|part| part.set_baud_divfrac((divider % 64) as u8));
        // 8 bits, and buffers of 32 bytes.
        UART.uartlcr_h().write(|line| {
            line.set_wlen(3);
            line.set_fen(true);
        });
        UART.uartcr().write(|control| {
            control.set_uarten(true);
            control.set_rxe(true);
            control.set_txe(true);
        });
        Self(())
    }

    /// The next byte that has arrived, if there is one. One that was lost or damaged is missed by the frame's checksum.
    pub fn read(&mut self) -> Option<u8> {
        let is_empty = UART.uartfr().read().rxfe();
        (!is_empty).then(|| UART.uartdr().read().data())
    }

    /// Sends a byte as soon as there is room for it.
    pub fn write(&mut self, byte: u8) {
        while UART.uartfr().read().txff() {}
        UART.uartdr().write(|data| data.set_data(byte));
    }
}

/// The display.
pub type Screen = Display<Spi<'static, SPI1, Blocking>, Output<'static>>;

/// The user's button.
pub type Button = button::Button<Key>;

/// The button's pin, GP15.
pub struct Key(Input<'static>);

/// GP15's place among the registers of edges, of which each holds eight pins.
const KEY: (usize, usize) = (15 / 8, 15 % 8);

impl button::Pin for Key {
    fn is_down(&self) -> bool {
        self.0.is_low()
    }

    fn went_down(&mut self) -> bool {
        let edges = pac::IO_BANK0.intr(KEY.0);
        let fell = edges.read().edge_low(KEY.1);
        // Writing a one forgets that edge.
        edges.write(|clear| clear.set_edge_low(KEY.1, fell));
        fell
    }
}

/// Starts the clock, the display and the button; once, at the start.
pub fn init() -> Board {
    // This also sets the clock, from the crystal.
    let pins = embassy_rp::init(embassy_rp::config::Config::default());
    assert_eq!(clocks::clk_sys_freq(), CLOCK);
    counter::start();

    let mut config = Config::default();
    config.frequency = SPI_HZ;
    let bus = Spi::new_blocking_txonly(pins.SPI1, pins.PIN_10, pins.PIN_11, config);
    let high = Level::High;
    let control = Control {
        cs: Output::new(pins.PIN_9, high),
        dc: Output::new(pins.PIN_8, high),
        reset: Output::new(pins.PIN_12, high),
    };
    let screen = display::open(bus, control);
    // Dropping the pin would switch the light off again.
    core::mem::forget(Output::new(pins.PIN_13, high));
    Board { screen, line: Line::open(), button: Button::new(Key(Input::new(pins.PIN_15, Pull::Up))) }
}
