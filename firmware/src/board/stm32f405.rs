//! What the emulated boards use of an STM32F405: a timer, and USART 1 at PA9 and PA10. The chip runs at the 16 MHz it starts with.

use super::registers::{read, write};

/// Addresses of the clock's gates, of port A, and of the two.
const RCC: usize = 0x4002_3800;
const PORT_A: usize = 0x4002_0000;
const TIM2: usize = 0x4000_0000;
const USART1: usize = 0x4001_1000;

/// Replaces the bits of `mask`; what belongs to others stays as it is.
fn set_bits(address: usize, mask: u32, value: u32) {
    write(address, read(address) & !mask | value);
}

/// Timer 2 counts up with 32 bits. The emulator's counts a nanosecond at a time, whatever the clock is.
pub(super) struct Timer;

impl Timer {
    pub(super) fn start() {
        set_bits(RCC + 0x40, 0, 1);
        // The largest value, then on.
        write(TIM2 + 0x2c, u32::MAX);
        write(TIM2, 1);
    }

    pub(super) fn value() -> u32 {
        read(TIM2 + 0x24)
    }

    /// Nanoseconds of the emulator's clock between two values.
    pub(super) fn between(start: u32, end: u32) -> u64 {
        end.wrapping_sub(start).into()
    }
}

/// Bits of the USART's state: a byte has arrived; there is room for a byte to send.
const RECEIVED: u32 = 1 << 5;
const HAS_ROOM: u32 = 1 << 7;

/// The serial line: 115,200 baud, 8 bits, no parity.
pub struct Uart(());

impl Uart {
    /// Switches it on; once, at the start.
    pub(super) fn open() -> Self {
        set_bits(RCC + 0x30, 0, 1);
        set_bits(RCC + 0x44, 0, 1 << 4);
        // PA9 and PA10 in their function number 7.
        set_bits(PORT_A, 0b1111 << 18, 0b1010 << 18);
        set_bits(PORT_A + 0x24, 0xff << 4, 0x77 << 4);
        // 16 MHz / 115,200, to the nearest.
        write(USART1 + 0x8, 139);
        // On, sending and receiving.
        write(USART1 + 0xc, 1 << 13 | 1 << 3 | 1 << 2);
        Self(())
    }

    /// The next byte that has arrived, if there is one.
    pub fn read(&mut self) -> Option<u8> {
        let is_there = read(USART1) & RECEIVED != 0;
        is_there.then(|| read(USART1 + 0x4) as u8)
    }

    /// Sends a byte as soon as there is room for it.
    pub fn write(&mut self, byte: u8) {
        while read(USART1) & HAS_ROOM == 0 {}
        write(USART1 + 0x4, byte.into());
    }
}
