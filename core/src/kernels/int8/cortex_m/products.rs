//! Products of inputs and weights, one by one: depthwise convolutions.

use core::arch::asm;

use super::twice;

/// Adds to r0 to r3 the products of four inputs, less the zero point, with their weights: `$x` and `$w` load them.
macro_rules! tap {
    ($x:literal $w:literal) => {
        concat!("ldr {u}, ", $x, "\nldr {w}, ", $w, "\n", multiply!())
    };
}
macro_rules! multiply {
    () => {
        "sxtb16 {t}, {w}
        sxtab16 {v}, {less}, {u}
        smlabb r0, {v}, {t}, r0
        smlatt r2, {v}, {t}, r2
        sxtb16 {t}, {w}, ror #8
        sxtab16 {v}, {less}, {u}, ror #8
        smlabb r1, {v}, {t}, r1
        smlatt r3, {v}, {t}, r3"
    };
}

/// Adds to `4 * count` sums the products of `taps` times as many inputs, less `zero`, with as many weights: the first of each tap
/// to the first sum.
///
/// # Safety
/// `count` and `taps` are at least 1; `sums` has `4 * count` elements, `x` and `weights` have `taps` times as many.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn add_products(
    (sums, count): (*mut i32, usize),
    (x, weights): (*const i8, *const i8),
    taps: usize,
    zero: i16,
) {
    // SAFETY: the caller's. What lies on the stack is taken off again.
    unsafe {
        asm!(
            processor!(),
            "push {{r0, r1, r2}}",
            "2:",
            "ldrd {sums}, {count}, [sp]",
            "3:",
            "ldmia {sums}, {{r0, r1, r2, r3}}",
            tap!("[{x}], #4" "[{weights}], #4"),
            "stmia {sums}!, {{r0, r1, r2, r3}}",
            "subs {count}, {count}, #1",
            "bne 3b",
            "ldr {w}, [sp, #8]",
            "subs {w}, {w}, #1",
            "str {w}, [sp, #8]",
            "bne 2b",
            "add sp, sp, #12",
            w = out(reg) _,
            v = out(reg) _,
            t = out(reg) _,
            u = out(reg) _,
            sums = out(reg) _,
            count = out(reg) _,
            x = inout(reg) x => _,
            weights = inout(reg) weights => _,
            less = in(reg) twice(-zero),
            inout("r0") sums => _,
            inout("r1") count => _,
            inout("r2") taps => _,
            out("r3") _,
        );
    }
}

/// [`add_products`] of three taps, which are added at once.
///
/// # Safety
/// That of [`add_products`].
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn add_products_of_3(
    (sums, count): (*mut i32, usize),
    (x, weights): (*const i8, *const i8),
    zero: i16,
) {
    // SAFETY: the caller's. What lies on the stack is taken off again.
    unsafe {
        asm!(
            processor!(),
            "push {{r0, r1}}",
            "2:",
            "ldmia {sums}, {{r0, r1, r2, r3}}",
            tap!("[{x}, {stride}]" "[{weights}, {stride}]"),
            tap!("[{x}, {stride}, lsl #1]" "[{weights}, {stride}, lsl #1]"),
            tap!("[{x}], #4" "[{weights}], #4"),
            "stmia {sums}!, {{r0, r1, r2, r3}}",
            "ldr r0, [sp]",
            "cmp {sums}, r0",
            "bne 2b",
            "add sp, sp, #8",
            w = out(reg) _,
            v = out(reg) _,
            t = out(reg) _,
            u = out(reg) _,
            sums = inout(reg) sums => _,
            x = inout(reg) x => _,
            weights = inout(reg) weights => _,
            stride = in(reg) 4 * count,
            less = in(reg) twice(-zero),
            inout("r0") sums.wrapping_add(4 * count) => _,
            inout("r1") 0 => _,
            out("r2") _, out("r3") _,
        );
    }
}
