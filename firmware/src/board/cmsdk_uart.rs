//! A UART of Arm's CMSDK, as on the MPS2 boards: one byte of buffer in each direction.

const DATA: usize = 0x0;
const STATE: usize = 0x4;
const CONTROL: usize = 0x8;
const DIVIDER: usize = 0x10;

/// Bits of the state: there is no room for a byte to send; a byte has arrived.
const SEND_FULL: u32 = 1;
const RECEIVE_FULL: u32 = 2;
/// Bits of the control: sending and receiving are on.
const ON: u32 = 3;
/// The smallest divider of the clock, which is the fastest; an emulated line has no speed.
const FASTEST: u32 = 16;

/// The serial line of a board, at the address of its UART.
pub struct Uart<const ADDRESS: usize>(());

impl<const ADDRESS: usize> Uart<ADDRESS> {
    /// Switches it on; once, at the start.
    pub(super) fn open() -> Self {
        let mut uart = Self(());
        uart.set(DIVIDER, FASTEST);
        uart.set(CONTROL, ON);
        uart
    }

    fn get(&self, register: usize) -> u32 {
        // SAFETY: a register of this machine's UART, which only the owner of this value uses.
        unsafe { ((ADDRESS + register) as *const u32).read_volatile() }
    }

    fn set(&mut self, register: usize, value: u32) {
        // SAFETY: as above; the UART raises no interrupt.
        unsafe { ((ADDRESS + register) as *mut u32).write_volatile(value) }
    }

    /// The next byte that has arrived, if there is one.
    pub fn read(&mut self) -> Option<u8> {
        let is_there = self.get(STATE) & RECEIVE_FULL != 0;
        is_there.then(|| self.get(DATA) as u8)
    }

    /// Sends a byte as soon as there is room for it.
    pub fn write(&mut self, byte: u8) {
        while self.get(STATE) & SEND_FULL != 0 {}
        self.set(DATA, byte.into());
    }
}
