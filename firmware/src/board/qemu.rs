//! Boards in QEMU. The log goes to the host over semihosting.
//!
//! With `-icount shift=0` the emulator's clock advances one nanosecond per instruction, so a timer counts
//! instructions.

use defmt_semihosting as _;

#[cfg(not(little_ram))]
pub use super::emulated_screen::Screen;
#[cfg(little_ram)]
pub use super::no_screen::Screen;
use machine::Timer;
pub use machine::{Line, NAME};

/// Arm's MPS2 with the FPGA image AN386.
#[cfg(feature = "qemu")]
mod machine {
    use crate::board::cmsdk;

    /// The timer, with its clock, which is the processor's.
    pub(super) type Timer = cmsdk::Timer<0x4000_0000, 25_000_000>;
    /// The serial line to a host.
    pub type Line = cmsdk::Uart<0x4000_4000>;
    name!("mps2-an386", MIDGE_BOARD_mps2_an386);
}
#[cfg(feature = "qemu-an500")]
mod machine {
    use crate::board::cmsdk;

    pub(super) type Timer = cmsdk::Timer<0x4000_0000, 25_000_000>;
    /// The serial line to a host.
    pub type Line = cmsdk::Uart<0x4000_4000>;
    name!("mps2-an500", MIDGE_BOARD_mps2_an500);
}
#[cfg(feature = "qemu-an505")]
mod machine {
    use crate::board::cmsdk;

    pub(super) type Timer = cmsdk::Timer<0x5000_0000, 20_000_000>;
    /// The serial line to a host.
    pub type Line = cmsdk::Uart<0x5020_0000>;
    name!("mps2-an505", MIDGE_BOARD_mps2_an505);
}
#[cfg(feature = "mps3-an547")]
mod machine {
    use crate::board::{cmsdk, sse300};

    pub(super) type Timer = sse300::Timer;
    /// The serial line to a host.
    pub type Line = cmsdk::Uart<0x5930_3000>;
    name!("mps3-an547", MIDGE_BOARD_mps3_an547);
}
#[cfg(feature = "netduinoplus2")]
mod machine {
    pub(super) use crate::board::stm32f405::Timer;
    /// The serial line to a host.
    pub type Line = crate::board::stm32f405::Uart;
    name!("netduinoplus2", MIDGE_BOARD_netduinoplus2);
}

/// What [`ticks`] counts.
pub const TICK: &str = "instructions";
/// The same for the host.
pub const UNIT: midge_link::Unit = midge_link::Unit::Instructions;

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
    pub fn begin(&mut self) {
        self.screen.restart();
    }

    /// Ends a picture.
    pub fn present(&mut self) {
        self.screen.present();
    }
}

/// A button that is pressed now and then, by nobody.
pub struct Button {
    asked: u32,
}

impl Button {
    /// Whether it was pressed since last asked: every fifteenth time.
    pub fn pressed(&mut self) -> bool {
        self.asked += 1;
        self.asked.is_multiple_of(15)
    }
}

/// Whether `serve` shows the last job. A board with as little RAM as `MIDGE_RAM` says has no display.
pub const HAS_SCREEN: bool = cfg!(not(little_ram));

/// Whether programs that show something go on for ever.
pub const ENDLESS: bool = false;

/// Nobody watches: returns at once.
pub fn show_for(_milliseconds: u32) {}

/// Starts the timer; once, at the start.
pub fn init() -> Board {
    Timer::start();
    Board { screen: Screen::new(), button: Button { asked: 0 }, line: Line::open() }
}

/// The timer's state, for [`ticks_since`].
pub fn ticks() -> u32 {
    Timer::value()
}

/// Instructions since [`ticks`], on the MPS2 boards to the nearest 50 and at most 170 billion, elsewhere at most 4 billion.
pub fn ticks_since(start: u32) -> u64 {
    ticks_between(start, ticks())
}

/// Instructions between two states of the timer.
pub fn ticks_between(start: u32, end: u32) -> u64 {
    Timer::between(start, end)
}

/// Ticks of half a second, more or less, of an emulator that is watched.
pub const HALF_A_SECOND: u64 = 50_000_000;

/// Ends the emulation with an exit code.
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
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
