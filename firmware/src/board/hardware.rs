//! What all real boards share: the log over RTT, how to wait, and how programs end.

use cortex_m::peripheral::DCB;
use defmt_rtt as _;
use embedded_hal::delay::DelayNs;

use super::counter::{self, ticks};
use super::{Button, Line, Screen};

/// What a program finds on the board.
pub struct Board {
    /// The display.
    pub screen: Screen,
    /// The user's button.
    pub button: Button,
    /// The serial line to a host.
    pub line: Line,
}

impl Board {
    /// Begins a picture that takes the place of all before it.
    pub fn begin(&mut self) {}

    /// Ends a picture: nothing is left to do, pixels show as they arrive.
    pub fn present(&mut self) {}
}

/// Whether `serve` shows the last job: where there is a display, and more RAM than `MIDGE_RAM` may say.
pub const HAS_SCREEN: bool = cfg!(all(feature = "display", not(little_ram)));

/// Whether programs that show something go on for ever.
pub const ENDLESS: bool = true;

/// Ticks since [`ticks`]; the counter wraps after 2^32, 10 seconds or more.
pub fn ticks_since(start: u32) -> u64 {
    ticks_between(start, ticks())
}

/// Ticks between two states of the counter.
pub fn ticks_between(start: u32, end: u32) -> u64 {
    u64::from(end.wrapping_sub(start))
}

/// Ticks of half a second.
pub const HALF_A_SECOND: u64 = counter::HZ as u64 / 2;

/// Leaves on the display what is there.
pub fn show_for(milliseconds: u32) {
    Wait.delay_ms(milliseconds);
}

/// Waits by counting ticks.
pub(super) struct Wait;

impl DelayNs for Wait {
    fn delay_ns(&mut self, nanoseconds: u32) {
        let wanted = (u64::from(nanoseconds) * u64::from(counter::HZ)).div_ceil(1_000_000_000);
        let start = ticks();
        while ticks_since(start) < wanted {}
    }
}

/// Ends the program. A probe learns the exit code; without one, the board stands still.
pub fn exit(code: i32) -> ! {
    if code == 0 {
        defmt::info!("done");
    } else {
        defmt::error!("exit code {}", code);
    }
    // Waits until the probe has read the log, if one is reading.
    defmt::flush();
    if DCB::is_debugger_attached() {
        // A breakpoint, which is a fault if no debugger is there.
        semihosting::process::exit(code)
    }
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    exit(101)
}

/// Only reached if the program is broken.
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!("hard fault at {:#x}", frame.pc());
    exit(102)
}
