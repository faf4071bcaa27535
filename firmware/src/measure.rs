//! Instructions and stack of a piece of work.

use crate::board;

/// What some work took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Instructions in the emulator, clock cycles on a board.
    pub ticks: u64,
    /// Bytes of stack below the caller's.
    pub stack: usize,
}

const PAINT: u32 = 0xa5a5_5a5a;
/// The painter's own frame stays clear of the paint.
const MARGIN: usize = 256;

/// Runs `work` and measures it.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, Cost) {
    let timed = || {
        let start = board::ticks();
        let result = core::hint::black_box(run(work));
        (result, board::ticks_since(start))
    };
    let ((result, ticks), stack) = stack_of(timed);
    (result, Cost { ticks, stack })
}

/// Runs `work` and returns the bytes of stack that it took below the caller's.
#[inline(always)]
pub fn stack_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let top = cortex_m::register::msp::read() as usize;
    paint(top - MARGIN);
    let result = work();
    (result, top.saturating_sub(lowest_used()))
}

/// Not inlined, so that the work's frames lie below `measure`'s.
#[inline(never)]
fn run<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The end of the stack, where flip-link puts the start of RAM.
fn bottom() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
    }
    (&raw const _stack_end).addr()
}

/// Most stack that is painted and searched.
const DEPTH: usize = 64 * 1024;

fn painted(top: usize) -> core::ops::Range<usize> {
    bottom().max(top.saturating_sub(DEPTH)).next_multiple_of(4)..top
}

#[inline(never)]
fn paint(top: usize) {
    for address in painted(top).step_by(4) {
        // SAFETY: between the end of the stack and the stack pointer, less this function's frame, nothing lives.
        unsafe { (address as *mut u32).write_volatile(PAINT) }
    }
}

/// The lowest address whose paint is gone.
#[inline(never)]
fn lowest_used() -> usize {
    let top = cortex_m::register::msp::read() as usize;
    // SAFETY: reads of words of the stack's region.
    let is_paint = |address: usize| unsafe { (address as *const u32).read_volatile() } == PAINT;
    painted(top).step_by(4).find(|address| !is_paint(*address)).unwrap_or(top)
}
