//! Raspberry Pi Pico 2 with a display that is plugged onto it, Waveshare's Pico-LCD-2, or wired in the same way:
//!
//! | display | Pico 2 | | display or button | Pico 2 |
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
use embassy_rp::uart;
use embassy_rp::{clocks, pac};

use super::display::{Control, Display, SPI_HZ};
use super::{Board, Line, button, display, hardware};

/// Tells the runner which board to flash.
#[used]
#[unsafe(no_mangle)]
static MIDGE_BOARD_pico2: u8 = 0;

/// Clock of the processor, in Hz: the most that the RP2350 is specified for.
pub const CLOCK: u32 = 150_000_000;

/// The board's name.
pub const NAME: &str = "pico2";

/// The UART of the line to a host.
pub type Uart = uart::Uart<'static, uart::Blocking>;

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
    // This also sets the clock: 150 MHz from the crystal.
    let pins = embassy_rp::init(embassy_rp::config::Config::default());
    assert_eq!(clocks::clk_sys_freq(), CLOCK);
    let Some(mut core) = cortex_m::Peripherals::take() else { panic!("the board was started twice") };
    hardware::start_counter(&mut core.DCB, &mut core.DWT);

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
    // Its speed is that of the line unless told otherwise.
    let line = Line(Uart::new_blocking(pins.UART0, pins.PIN_0, pins.PIN_1, uart::Config::default()));
    Board { screen, line, button: Button::new(Key(Input::new(pins.PIN_15, Pull::Up))) }
}
