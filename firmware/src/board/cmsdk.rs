//! What Arm's CMSDK brings to the MPS2 boards: a timer, and a UART with one byte of buffer in each direction.

/// A timer that counts down from its reload value with 32 bits, `HZ` times a second: SysTick has only 24.
#[cfg(not(feature = "mps3-an547"))] // which has none
pub(super) struct Timer<const ADDRESS: usize, const HZ: u32>;

#[cfg(not(feature = "mps3-an547"))]
impl<const ADDRESS: usize, const HZ: u32> Timer<ADDRESS, HZ> {
    const CONTROL: *mut u32 = ADDRESS as *mut u32;
    const VALUE: *mut u32 = (ADDRESS + 4) as *mut u32;
    const RELOAD: *mut u32 = (ADDRESS + 8) as *mut u32;

    /// Starts it from its largest value.
    pub(super) fn start() {
        // SAFETY: registers of this machine's timer 0, which nothing else uses; it raises no interrupt.
        unsafe {
            Self::RELOAD.write_volatile(u32::MAX);
            Self::VALUE.write_volatile(u32::MAX);
            Self::CONTROL.write_volatile(1);
        }
    }

    pub(super) fn value() -> u32 {
        // SAFETY: as above.
        unsafe { Self::VALUE.read_volatile() }
    }

    /// Nanoseconds of the emulator's clock between two values.
    pub(super) fn between(start: u32, end: u32) -> u64 {
        u64::from(start.wrapping_sub(end)) * u64::from(1_000_000_000 / HZ)
    }
}

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
