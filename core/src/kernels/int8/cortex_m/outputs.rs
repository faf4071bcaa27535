//! From sums to bytes.

use core::arch::asm;

use crate::kernels::int8::Range;

/// One function of [`requantise`](super::requantise::requantise) and [`Range::output`]: `$clamp` ends the range.
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
                    "smull {sum}, r0, {sum}, r0",
                    "adds {sum}, {sum}, #0x40000000",
                    "adc r0, r0, #0",
                    "lsl r0, r0, #1",
                    "orr r0, r0, {sum}, lsr #31",
                    "add r0, r0, r0, asr #31",
                    "asr r0, r0, r1",
                    "3:",
                    "add r0, r0, {middle}",
                    "asr r0, r0, #1",
                    $($clamp,)*
                    "strb r0, [{out}], #1",
                    "cmp {out}, {end}",
                    "bne 2b",
                    "b 5f",
                    // A shift to the left, which is rare.
                    "4:",
                    "mvn r1, r1",
                    "lsl {sum}, {sum}, r1",
                    "smull {sum}, r0, {sum}, r0",
                    "adds {sum}, {sum}, #0x40000000",
                    "adc r0, r0, #0",
                    "lsl r0, r0, #1",
                    "orr r0, r0, {sum}, lsr #31",
                    "lsl r0, r0, #1",
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

outputs!(outputs_between: "cmp r0, {low}", "it lt", "movlt r0, {low}", "cmp r0, {high}", "it gt", "movgt r0, {high}");
// The ends are named so that they are used.
outputs!(outputs_of_all_bytes: "ssat r0, #8, r0 // {low} {high}");

/// One sum as an output of all bytes, to `$to`.
macro_rules! output {
    ($sum:literal, $to:literal) => {
        concat!(
            "smull {t}, ",
            $sum,
            ", ",
            $sum,
            ", {m}\n",
            "adds {t}, {t}, #0x40000000\n",
            "adc ",
            $sum,
            ", ",
            $sum,
            ", #0\n",
            "lsl ",
            $sum,
            ", ",
            $sum,
            ", #1\n",
            "orr ",
            $sum,
            ", ",
            $sum,
            ", {t}, lsr #31\n",
            "add ",
            $sum,
            ", ",
            $sum,
            ", ",
            $sum,
            ", asr #31\n",
            "asr ",
            $sum,
            ", ",
            $sum,
            ", {s}\n",
            "add ",
            $sum,
            ", ",
            $sum,
            ", {middle}\n",
            "asr ",
            $sum,
            ", ",
            $sum,
            ", #1\n",
            "ssat ",
            $sum,
            ", #8, ",
            $sum,
            "\n",
            "strb ",
            $sum,
            ", ",
            $to,
            "\n",
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
            output!("r1", "[{out}, {stride}]"),
            output!("r2", "[{out}, {stride}, lsl #1]"),
            output!("r3", "[{out}, {stride3}]"),
            output!("r0", "[{out}], #1"),
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
