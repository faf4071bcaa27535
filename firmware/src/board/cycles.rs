//! Time in clock cycles, by the counter of the processor.

use cortex_m::peripheral::{DCB, DWT};
use midge_link::Unit;

/// What [`ticks`] counts.
pub const TICK: &str = "cycles";
/// The same for the host.
pub const UNIT: Unit = Unit::Cycles;
/// Ticks of a second.
pub(super) const HZ: u32 = super::CLOCK;

/// Starts the counter; before the first [`ticks`].
pub(super) fn start() {
    // SAFETY: nothing else uses these registers.
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    DCB::enable_trace(&mut core.DCB);
    // Cortex-M7 locks it; elsewhere this does nothing.
    DWT::unlock();
    core.DWT.enable_cycle_counter();
}

/// The counter's state, for [`ticks_since`](super::ticks_since).
pub fn ticks() -> u32 {
    DWT::cycle_count()
}
