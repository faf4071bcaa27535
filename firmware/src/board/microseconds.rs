//! Time in microseconds, by the RP2040's timer: a Cortex-M0+ does not count its cycles.

use embassy_rp::pac;
use midge_link::Unit;

/// What [`ticks`] counts.
pub const TICK: &str = "microseconds";
/// The same for the host.
pub const UNIT: Unit = Unit::Microseconds;
/// Ticks of a second.
pub(super) const HZ: u32 = 1_000_000;

/// The timer runs with the clocks.
pub(super) fn start() {}

/// The timer's state, for [`ticks_since`](super::ticks_since).
pub fn ticks() -> u32 {
    pac::TIMER.timerawl().read()
}
