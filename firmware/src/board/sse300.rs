//! What Arm's subsystem SSE-300 brings to the MPS3 boards: a counter of the system's time.

/// Control of the counter, and where it can be read.
const CONTROL: *mut u32 = 0x5810_0000 as *mut u32;
const VALUE: *const u32 = 0x5810_1000 as *const u32;
/// Nanoseconds of a tick: the system's clock has 32 MHz.
const NANOSECONDS: (u64, u64) = (1000, 32);

/// The counter's lower 32 bits, which wrap after two minutes.
pub(super) struct Timer;

impl Timer {
    pub(super) fn start() {
        // SAFETY: registers of this machine's counter, which nothing else uses.
        unsafe { CONTROL.write_volatile(1) }
    }

    pub(super) fn value() -> u32 {
        // SAFETY: as above.
        unsafe { VALUE.read_volatile() }
    }

    /// Nanoseconds of the emulator's clock between two values.
    pub(super) fn between(start: u32, end: u32) -> u64 {
        let (nanoseconds, ticks) = NANOSECONDS;
        u64::from(end.wrapping_sub(start)) * nanoseconds / ticks
    }
}
