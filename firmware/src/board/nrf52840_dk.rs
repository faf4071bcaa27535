//! Nordic nRF52840-DK (PCA10056). The serial line to a host is that of its J-Link: sent on P0.06, received on P0.08, without
//! handshake. The button is Button 1 (P0.11). The kit has no display.

pub use super::no_screen::Screen;
use super::registers::{read, write};
use super::{Board, button, counter};

name!("nrf52840-dk", MIDGE_BOARD_nrf52840_dk);

/// Clock of the processor, in Hz: the only one there is.
pub const CLOCK: u32 = 64_000_000;

/// Addresses of the clocks, the UART, port 0 and the cache of the flash.
const CLOCKS: usize = 0x4000_0000;
const UART: usize = 0x4000_2000;
const PORT_0: usize = 0x5000_0000;
const FLASH: usize = 0x4001_e000;

/// The serial line to a host: 115,200 baud, 8 bits, no parity.
///
/// (The UART without DMA, which takes a byte at a time: a service that looks between two gradients has no use for more.)
pub struct Line {
    /// Whether a byte is on its way.
    sends: bool,
}

/// Registers of the UART.
const START_RECEIVER: usize = UART;
const START_SENDER: usize = UART + 0x8;
const HAS_RECEIVED: usize = UART + 0x108;
const HAS_SENT: usize = UART + 0x11c;
const ENABLE: usize = UART + 0x500;
const PIN_OF_SENDER: usize = UART + 0x50c;
const PIN_OF_RECEIVER: usize = UART + 0x514;
const RECEIVED: usize = UART + 0x518;
const TO_SEND: usize = UART + 0x51c;
const SPEED: usize = UART + 0x524;

impl Line {
    /// Switches it on; once, at the start.
    fn open() -> Self {
        // A pin that is not high before it belongs to the UART looks like the beginning of a byte.
        write(PORT_0 + 0x508, 1 << 6);
        write(PORT_0 + 0x518, 1 << 6);
        write(PIN_OF_SENDER, 6);
        write(PIN_OF_RECEIVER, 8);
        // 115,200 baud, in 2^32 parts of 16 MHz.
        write(SPEED, 0x01d7_e000);
        write(ENABLE, 4);
        write(START_RECEIVER, 1);
        write(START_SENDER, 1);
        Self { sends: false }
    }

    /// The next byte that has arrived, if there is one. One that was lost or damaged is missed by the frame's checksum.
    pub fn read(&mut self) -> Option<u8> {
        if read(HAS_RECEIVED) == 0 {
            return None;
        }
        // Before the byte is taken, so that the next one is not forgotten.
        write(HAS_RECEIVED, 0);
        Some(read(RECEIVED) as u8)
    }

    /// Sends a byte as soon as there is room for it.
    pub fn write(&mut self, byte: u8) {
        while self.sends && read(HAS_SENT) == 0 {}
        write(HAS_SENT, 0);
        self.sends = true;
        write(TO_SEND, byte.into());
    }
}

/// The user's button.
pub type Button = button::Button<Key>;

/// The button's pin, P0.11, which Button 1 connects with ground.
pub struct Key(());

const KEY: u32 = 11;

impl Key {
    fn new() -> Self {
        // An input with a resistor to the supply, which notices when it is low.
        write(PORT_0 + 0x700 + 4 * KEY as usize, 3 << 2 | 3 << 16);
        Self(())
    }
}

impl button::Pin for Key {
    fn is_down(&self) -> bool {
        read(PORT_0 + 0x510) & 1 << KEY == 0
    }

    fn went_down(&mut self) -> bool {
        let went = read(PORT_0 + 0x520) & 1 << KEY != 0;
        // Writing a one forgets it.
        write(PORT_0 + 0x520, 1 << KEY);
        went
    }
}

/// Starts the clock, the cache, the serial line and the button; once, at the start.
pub fn init() -> Board {
    // From the crystal: the chip's own oscillator is too inexact for a serial line.
    write(CLOCKS, 1);
    while read(CLOCKS + 0x100) == 0 {}
    write(FLASH + 0x540, 1);
    counter::start();
    Board { screen: Screen, line: Line::open(), button: Button::new(Key::new()) }
}
