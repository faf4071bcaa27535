//! Arm's MPS2 boards in QEMU. The log goes to the host over semihosting.
//!
//! With `-icount shift=0` the emulator's clock advances one nanosecond per instruction, so a timer counts
//! instructions.

use defmt_semihosting as _;

use super::cmsdk_uart::Uart;
pub use super::emulated_screen::Screen;

#[cfg(feature = "qemu")]
mod machine {
    /// Clock of the processor and of its timers, in Hz.
    pub(super) const CLOCK: u64 = 25_000_000;
    /// Address of timer 0.
    pub(super) const TIMER: usize = 0x4000_0000;
    /// Address of UART 0.
    pub(super) const UART: usize = 0x4000_4000;
    /// The machine's name.
    pub(super) const NAME: &str = "mps2-an386";
    /// Tells the runner which machine to emulate.
    #[used]
    #[unsafe(no_mangle)]
    static MIDGE_BOARD_mps2_an386: u8 = 0;
}
#[cfg(feature = "qemu-an500")]
mod machine {
    pub(super) const CLOCK: u64 = 25_000_000;
    pub(super) const TIMER: usize = 0x4000_0000;
    pub(super) const UART: usize = 0x4000_4000;
    pub(super) const NAME: &str = "mps2-an500";
    #[used]
    #[unsafe(no_mangle)]
    static MIDGE_BOARD_mps2_an500: u8 = 0;
}
#[cfg(feature = "qemu-an505")]
mod machine {
    pub(super) const CLOCK: u64 = 20_000_000;
    pub(super) const TIMER: usize = 0x5000_0000;
    pub(super) const UART: usize = 0x5020_0000;
    pub(super) const NAME: &str = "mps2-an505";
    #[used]
    #[unsafe(no_mangle)]
    static MIDGE_BOARD_mps2_an505: u8 = 0;
}

/// What [`ticks`] counts.
pub const TICK: &str = "instructions";
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / machine::CLOCK;

/// Registers of a timer of Arm's CMSDK, which counts down from its reload value with 32 bits: SysTick has only 24.
mod timer {
    use super::machine::TIMER;

    const CONTROL: *mut u32 = TIMER as *mut u32;
    const VALUE: *mut u32 = (TIMER + 4) as *mut u32;
    const RELOAD: *mut u32 = (TIMER + 8) as *mut u32;

    /// Starts it from its largest value.
    pub(super) fn start() {
        // SAFETY: registers of this machine's timer 0, which nothing else uses; it raises no interrupt.
        unsafe {
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CONTROL.write_volatile(1);
        }
    }

    pub(super) fn value() -> u32 {
        // SAFETY: as above.
        unsafe { VALUE.read_volatile() }
    }
}

/// What a program finds on the board.
pub struct Board {
    /// The display.
    pub screen: Screen,
    /// The user's button.
    pub button: Button,
    /// The serial line to a host.
    pub line: Line,
}

/// The serial line to a host.
pub type Line = Uart<{ machine::UART }>;

impl Board {
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

/// Whether programs that show something go on for ever.
pub const ENDLESS: bool = false;

/// Nobody watches: returns at once.
pub fn show_for(_milliseconds: u32) {}

/// Starts the timer; once, at the start.
pub fn init() -> Board {
    timer::start();
    Board { screen: Screen::new(), button: Button { asked: 0 }, line: Line::open() }
}

/// The timer's state, for [`ticks_since`].
pub fn ticks() -> u32 {
    timer::value()
}

/// Instructions since [`ticks`], to the nearest 50; at most 170 billion.
pub fn ticks_since(start: u32) -> u64 {
    ticks_between(start, ticks())
}

/// Instructions between two states of the timer.
pub fn ticks_between(start: u32, end: u32) -> u64 {
    u64::from(start.wrapping_sub(end)) * NANOSECONDS_PER_TICK
}

/// The board's name.
pub const NAME: &str = machine::NAME;

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
