//! ST Nucleo-H743ZI, of the first (MB1137) or second (H743ZI2, MB1364) make, with a display wired to its Zio header.
//! The two makes differ at D11 and D8, so other pins are used, which are the same on both:
//!
//! | display | Nucleo | | display | Nucleo |
//! |---|---|---|---|---|
//! | CLK | D13 (PA5) | | RST | D6 (PE9) |
//! | DIN | D22 (PB5) | | BL | 3V3 |
//! | CS | D10 (PD14) | | VCC | 3V3 |
//! | DC | D9 (PD15) | | GND | GND |
//!
//! The button is the blue one, B1 (PC13). The serial line to a host is USART 3 (PD8, PD9), which the board's own probe shows the
//! host as a serial port.

use embassy_stm32::Config;
use embassy_stm32::exti::{ExtiInput, TriggerEdge};
use embassy_stm32::gpio::{Level, Output, Pull, Speed};
use embassy_stm32::interrupt::{self, InterruptExt};
use embassy_stm32::mode::Blocking;
use embassy_stm32::rcc::{self, AHBPrescaler, APBPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk};
use embassy_stm32::spi::{self, Spi, mode::Master};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, Uart};
use embedded_hal_nb::nb;
use embedded_hal_nb::serial::{Read, Write};

use super::display::{Control, Display, SPI_HZ};
use super::{Board, button, counter, display};

name!("nucleo-h743zi", MIDGE_BOARD_nucleo_h743zi);

/// Clock of the processor, in Hz: the most that every revision of the chip is specified for.
pub const CLOCK: u32 = 400_000_000;

/// The serial line to a host: 115,200 baud, 8 bits, no parity.
pub struct Line(Uart<'static, Blocking>);

impl Line {
    /// The next byte that has arrived, if there is one. One that was lost or damaged is missed by the frame's checksum.
    pub fn read(&mut self) -> Option<u8> {
        self.0.read().ok()
    }

    /// Sends a byte as soon as there is room for it.
    pub fn write(&mut self, byte: u8) {
        // Sending cannot fail.
        let _ = nb::block!(self.0.write(byte));
    }
}

/// The display.
pub type Screen = Display<Spi<'static, Blocking, Master>, Output<'static>>;

/// The user's button.
pub type Button = button::Button<Key>;

/// The button's pin, PC13.
pub struct Key(ExtiInput<'static, Blocking>);

impl button::Pin for Key {
    fn is_down(&self) -> bool {
        self.0.is_high()
    }

    fn went_down(&mut self) -> bool {
        let rose = self.0.is_pending();
        if rose {
            self.0.clear_pending();
        }
        rose
    }
}

/// 400 MHz for the processor, 200 MHz for the bus to the flash, 100 MHz for the peripherals; from the internal
/// oscillator, so that no jumper or solder bridge matters.
fn clocks() -> rcc::Config {
    let mut clocks = rcc::Config::new();
    clocks.voltage_scale = rcc::VoltageScale::Scale1;
    clocks.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: Some(PllDiv::DIV8),
        divr: None,
    });
    clocks.sys = Sysclk::PLL1_P;
    clocks.ahb_pre = AHBPrescaler::DIV2;
    clocks.apb1_pre = APBPrescaler::DIV2;
    clocks.apb2_pre = APBPrescaler::DIV2;
    clocks.apb3_pre = APBPrescaler::DIV2;
    clocks.apb4_pre = APBPrescaler::DIV2;
    clocks
}

/// Starts the clock, the caches, the display and the button; once, at the start.
pub fn init() -> Board {
    let mut config = Config::default();
    config.rcc = clocks();
    let pins = embassy_stm32::init(config);
    let Some(mut core) = cortex_m::Peripherals::take() else { panic!("the board was started twice") };
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    counter::start();

    let mut config = spi::Config::default();
    config.frequency = Hertz(SPI_HZ);
    let bus = Spi::new_blocking_txonly(pins.SPI1, pins.PA5, pins.PB5, config);
    let (high, fast) = (Level::High, Speed::VeryHigh);
    let control = Control {
        cs: Output::new(pins.PD14, high, fast),
        dc: Output::new(pins.PD15, high, fast),
        reset: Output::new(pins.PE9, high, fast),
    };
    let screen = display::open(bus, control);
    // Its speed is that of the line unless told otherwise.
    let uart = Uart::new_blocking(pins.USART3, pins.PD9, pins.PD8, usart::Config::default());
    let Ok(uart) = uart else { panic!("115,200 baud cannot be had from this clock") };
    // The chip shall only remember the edge; no handler waits for the interrupt that embassy has enabled.
    interrupt::EXTI15_10.disable();
    // The board itself pulls the pin down.
    let key = ExtiInput::new_blocking(pins.PC13, pins.EXTI13, Pull::None, TriggerEdge::Rising);
    Board { screen, line: Line(uart), button: Button::new(Key(key)) }
}
