//! From sums of gradients to rows of 16 bits.

use core::arch::asm;

/// Multiplies the `count` sums whose bit is set in `alive` with a number of Q31 each, to the right by what its shift is below `largest`,
/// and clears the others. Returns all bits of their magnitudes.
///
/// # Safety
/// `count` is at least 1 and at most 32; `sums` and `multipliers` have as many elements.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn scale(
    (sums, count): (*mut i32, usize),
    alive: u32,
    (multipliers, largest): (*const [i32; 2], i32),
) -> u32 {
    let mut bits = 0;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            processor!(),
            "2:",
            "lsrs {alive}, {alive}, #1",
            "bcc 4f",
            "ldrd {m}, {s}, [{multipliers}], #8",
            "ldr {x}, [{sums}]",
            "subs {s}, {largest}, {s}",
            "smmul {x}, {x}, {m}",
            "bmi 5f",
            "asr {x}, {x}, {s}",
            "3:",
            "str {x}, [{sums}], #4",
            "eor {x}, {x}, {x}, asr #31",
            "orr {bits}, {bits}, {x}",
            "subs {count}, {count}, #1",
            "bne 2b",
            "b 6f",
            "4:",
            "str {zero}, [{sums}], #4",
            "add {multipliers}, {multipliers}, #8",
            "subs {count}, {count}, #1",
            "bne 2b",
            "b 6f",
            "5:",
            "rsb {s}, {s}, #0",
            "lsl {x}, {x}, {s}",
            "b 3b",
            "6:",
            sums = inout(reg) sums => _,
            count = inout(reg) count => _,
            alive = inout(reg) alive => _,
            multipliers = inout(reg) multipliers => _,
            largest = in(reg) largest,
            zero = in(reg) 0,
            bits = inout(reg) bits,
            m = out(reg) _,
            s = out(reg) _,
            x = out(reg) _,
            options(nostack),
        );
    }
    bits
}

/// Shifts `2 * count` sums to the right, rounded, to as many values.
///
/// # Safety
/// `count` is at least 1; `sums` and `values` have twice as many elements.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn shift_pairs((sums, count): (*const i32, usize), values: *mut i16, shift: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            processor!(),
            "2:",
            "ldrd {x}, {y}, [{sums}], #8",
            "add {x}, {x}, {half}",
            "add {y}, {y}, {half}",
            "asr {x}, {x}, {shift}",
            "asr {y}, {y}, {shift}",
            "pkhbt {x}, {x}, {y}, lsl #16",
            "str {x}, [{values}], #4",
            "cmp {sums}, {end}",
            "bne 2b",
            sums = inout(reg) sums => _,
            end = in(reg) sums.wrapping_add(2 * count),
            values = inout(reg) values => _,
            half = in(reg) 1u32 << shift >> 1,
            shift = in(reg) shift,
            x = out(reg) _,
            y = out(reg) _,
            options(nostack),
        );
    }
}
