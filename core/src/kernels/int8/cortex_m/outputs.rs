//! From sums to bytes.

use core::arch::asm;

use crate::kernels::int8::Range;

/// `$x` becomes its product with `$by`, of Q31, rounded; `$low` is lost.
macro_rules! product {
    ($x:literal $by:literal $low:literal) => {
        text!(
            "smull " $low ", " $x ", " $x ", " $by "
            adds " $low ", " $low ", #0x40000000
            adc " $x ", " $x ", #0
            lsl " $x ", " $x ", #1
            orr " $x ", " $x ", " $low ", lsr #31"
        )
    };
}

/// `$x` is shifted to the right, rounded: by one more than `$shift` says, the last bit going with what `middle` adds.
macro_rules! shifted {
    ($x:literal $shift:literal) => {
        text!(
            "add " $x ", " $x ", " $x ", asr #31
            asr " $x ", " $x ", " $shift "
            add " $x ", " $x ", {middle}
            asr " $x ", " $x ", #1"
        )
    };
}

/// Parts of a text.
macro_rules! text {
    ($($part:literal)*) => {
        concat!($($part,)*)
    };
}

/// One function of [`requantise`](crate::kernels::int8::requantise::requantise) and [`Range::output`]: `$clamp` ends the range.
macro_rules! outputs {
    ($name:ident: $($clamp:literal),*) => {
        /// The outputs of `count` sums, which lie `step` bytes apart.
        ///
        /// # Safety
        /// `count` is at least 1; `sums`, `multipliers` and `out` have as many elements.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (sums, step): (*const i32, usize),
            multipliers: *const [i32; 2],
            range: &Range,
            out: *mut i8,
            count: usize,
        ) {
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    processor!(),
                    "2:",
                    "ldrd r0, r1, [{multipliers}], #8",
                    "ldr {sum}, [{sums}]",
                    "add {sums}, {sums}, {step}",
                    // The right shift less one: the last bit goes with the rounding.
                    "mvns r1, r1",
                    "bmi 4f",
                    product!("{sum}" "r0" "r0"),
                    shifted!("{sum}" "r1"),
                    "3:",
                    $($clamp,)*
                    "strb {sum}, [{out}], #1",
                    "cmp {out}, {end}",
                    "bne 2b",
                    "b 5f",
                    // A shift to the left, which is rare.
                    "4:",
                    "mvn r1, r1",
                    "lsl {sum}, {sum}, r1",
                    product!("{sum}" "r0" "r0"),
                    "add {sum}, {sum}, {middle}, asr #1",
                    "b 3b",
                    "5:",
                    sum = out(reg) _,
                    sums = inout(reg) sums => _,
                    step = in(reg) step,
                    multipliers = inout(reg) multipliers => _,
                    middle = in(reg) 2 * range.output + 1,
                    low = in(reg) range.low,
                    high = in(reg) range.high,
                    out = inout(reg) out => _,
                    end = in(reg) out.wrapping_add(count),
                    out("r0") _, out("r1") _,
                    options(nostack),
                );
            }
        }
    };
}

outputs!(outputs_between:
    "cmp {sum}, {low}", "it lt", "movlt {sum}, {low}", "cmp {sum}, {high}", "it gt", "movgt {sum}, {high}"
);
// The ends are named so that they are used.
outputs!(outputs_of_all_bytes: "ssat {sum}, #8, {sum} // {low} {high}");

/// One sum as an output of all bytes, to `$to`.
macro_rules! output {
    ($sum:literal $to:literal) => {
        concat!(
            product!($sum "{m}" "{t}"), "\n",
            shifted!($sum "{s}"), "\n",
            text!("ssat " $sum ", #8, " $sum "\nstrb " $sum ", " $to),
        )
    };
}

/// [`outputs_of_all_bytes`] of four positions, `[filter][position]`, to four rows of `out` that lie `stride` bytes apart.
///
/// # Safety
/// `count` is at least 1, `multipliers` has as many elements, each with a shift to the right, and `sums` four times as many. In
/// each of the four rows `out` has `count` bytes.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn outputs_of_4(
    sums: *const i32,
    multipliers: *const [i32; 2],
    range: &Range,
    (out, stride): (*mut i8, usize),
    count: usize,
) {
    // SAFETY: the caller's. What lies on the stack is taken off again.
    unsafe {
        asm!(
            processor!(),
            "push {{r0, r1}}",
            "2:",
            "ldmia {sums}!, {{r0, r1, r2, r3}}",
            "ldrd {m}, {s}, [{multipliers}], #8",
            "mvn {s}, {s}",
            output!("r1" "[{out}, {stride}]"),
            output!("r2" "[{out}, {stride}, lsl #1]"),
            output!("r3" "[{out}, {stride3}]"),
            output!("r0" "[{out}], #1"),
            "ldr r0, [sp]",
            "cmp {out}, r0",
            "bne 2b",
            "add sp, sp, #8",
            t = out(reg) _,
            m = out(reg) _,
            s = out(reg) _,
            sums = inout(reg) sums => _,
            multipliers = inout(reg) multipliers => _,
            middle = in(reg) 2 * range.output + 1,
            out = inout(reg) out => _,
            stride = in(reg) stride,
            stride3 = in(reg) 3 * stride,
            inout("r0") out.wrapping_add(count) => _,
            inout("r1") 0 => _,
            out("r2") _, out("r3") _,
        );
    }
}
