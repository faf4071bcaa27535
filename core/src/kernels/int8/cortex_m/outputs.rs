//! From sums to bytes.

use core::arch::asm;

use crate::kernels::int8::Range;

/// Parts of a text.
macro_rules! text {
    ($($part:literal)*) => {
        concat!($($part,)*)
    };
}

/// One function for sums that lie `step` bytes apart. `$code` makes one turn with `{sum}`, `r0`, `r1` and the operands `$of`.
macro_rules! every {
    ($(#[$doc:meta])* $name:ident [$($code:expr,)*] $range:ident [$($of:tt)*]) => {
        $(#[$doc])*
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (sums, step): (*const i32, usize),
            multipliers: *const [i32; 2],
            $range: &Range,
            out: *mut i8,
            count: usize,
        ) {
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    processor!(),
                    "2:",
                    $($code,)*
                    "cmp {out}, {end}",
                    "bne 2b",
                    sum = out(reg) _,
                    sums = inout(reg) sums => _,
                    step = in(reg) step,
                    multipliers = inout(reg) multipliers => _,
                    $($of)*
                    out = inout(reg) out => _,
                    end = in(reg) out.wrapping_add(count),
                    out("r0") _, out("r1") _,
                    options(nostack),
                );
            }
        }
    };
}

every!(
    /// The outputs of `count` sums, which lie `step` bytes apart, exactly as
    /// [`requantise`](crate::kernels::int8::requantise::requantise) and [`Range::output`] make them.
    ///
    /// # Safety
    /// `count` is at least 1; `sums`, `multipliers` and `out` have as many elements.
    outputs [
        "ldrd r0, r1, [{multipliers}], #8",
        "ldr {sum}, [{sums}]",
        "add {sums}, {sums}, {step}",
        // A shift to the left comes first.
        "cmp r1, #0",
        "itt gt",
        "lslgt {sum}, {sum}, r1",
        "movgt r1, #0",
        // The product of Q31, rounded.
        "smull r0, {sum}, {sum}, r0",
        "adds r0, r0, #0x40000000",
        "adc {sum}, {sum}, #0",
        "lsl {sum}, {sum}, #1",
        "orr {sum}, {sum}, r0, lsr #31",
        // The right shift less one: the last bit goes with the rounding.
        "mvns r1, r1",
        "bmi 3f",
        "add {sum}, {sum}, {sum}, asr #31",
        "asr {sum}, {sum}, r1",
        "add {sum}, {sum}, #1",
        "asr {sum}, {sum}, #1",
        "3:",
        // What a shift to the left made may be as large as a number can be.
        "qadd {sum}, {sum}, {zero}",
        "cmp {sum}, {low}",
        "it lt",
        "movlt {sum}, {low}",
        "cmp {sum}, {high}",
        "it gt",
        "movgt {sum}, {high}",
        "strb {sum}, [{out}], #1",
    ] range [zero = in(reg) range.output, low = in(reg) range.low, high = in(reg) range.high,]
);

/// One sum as an output of all bytes, to `$to`: `$m` is twice its multiplier, less 2^32, and `$s` its right shift less one.
macro_rules! output {
    ($sum:literal $m:literal $s:literal $to:literal) => {
        text!(
            "smmlar " $sum ", " $sum ", " $m ", " $sum "
            add " $sum ", " $sum ", " $sum ", asr #31
            asr " $sum ", " $sum ", " $s "
            add " $sum ", " $sum ", {middle}
            ssat " $sum ", #8, " $sum ", asr #1
            strb " $sum ", " $to
        )
    };
}

every!(
    /// [`outputs`] of all bytes.
    ///
    /// # Safety
    /// That of [`outputs`]; `count` is a multiple of 2, and the multipliers are
    /// [plain](crate::kernels::int8::outputs::Outputs).
    outputs_of_pairs [
        "ldmia {multipliers}!, {{r0, r1, r2, r3}}",
        "ldr {next}, [{sums}, {step}]",
        "ldr {sum}, [{sums}]",
        "add {sums}, {sums}, {step}, lsl #1",
        "lsl r0, r0, #1",
        "mvn r1, r1",
        "lsl r2, r2, #1",
        "mvn r3, r3",
        output!("{sum}" "r0" "r1" "[{out}], #1"),
        output!("{next}" "r2" "r3" "[{out}], #1"),
    ] range [next = out(reg) _, middle = in(reg) 2 * range.output + 1, out("r2") _, out("r3") _,]
);

/// [`outputs_of_pairs`] of four positions, `[filter][position]`, to four rows of `out` that lie `stride` bytes apart.
///
/// # Safety
/// `count` is at least 1, `multipliers` has as many elements, which are plain, and `sums` four times as many. In each of the four
/// rows `out` has `count` bytes.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn outputs_of_4(
    sums: *const i32,
    multipliers: *const [i32; 2],
    range: &Range,
    (out, stride): (*mut i8, usize),
    count: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            processor!(),
            "2:",
            "ldrd {m}, {s}, [{multipliers}], #8",
            "ldmia {sums}!, {{r0, r1, r2, r3}}",
            "lsl {m}, {m}, #1",
            "mvn {s}, {s}",
            output!("r1" "{m}" "{s}" "[{out}, {stride}]"),
            output!("r2" "{m}" "{s}" "[{out}, {stride}, lsl #1]"),
            output!("r3" "{m}" "{s}" "[{out}, {stride3}]"),
            output!("r0" "{m}" "{s}" "[{out}], #1"),
            "cmp {out}, {end}",
            "bne 2b",
            m = out(reg) _,
            s = out(reg) _,
            sums = inout(reg) sums => _,
            multipliers = inout(reg) multipliers => _,
            middle = in(reg) 2 * range.output + 1,
            out = inout(reg) out => _,
            end = in(reg) out.wrapping_add(count),
            stride = in(reg) stride,
            stride3 = in(reg) 3 * stride,
            out("r0") _, out("r1") _, out("r2") _, out("r3") _,
            options(nostack),
        );
    }
}
