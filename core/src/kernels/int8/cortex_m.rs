//! Inner loops for Cortex-M processors that multiply two pairs of 16 bits at once (SMLAD), in assembly: the M4, the M7 and
//! most M33. Each has a portable twin in [`dots`](super::dots), with which the firmware's self-test compares it.

use core::arch::asm;

use super::Range;

/// Tells the assembler that the processor has these instructions. (ARMv8-M leaves them to the processor.)
#[cfg(armv8_m)]
macro_rules! processor {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(armv8_m))]
macro_rules! processor {
    () => {
        ""
    };
}

/// Products of four weights with the four elements under each of some positions: `$x` are the registers that take a word of
/// each.
macro_rules! quad {
    ($x:literal, $($sum:literal $of:literal),*) => {
        concat!(
            "ldr {w}, [{weights}], #4\n",
            "ldmia {patch}!, {{", $x, "}}\n",
            // Elements 1 and 3, then 0 and 2.
            "sxtb16 {t}, {w}, ror #8\n",
            "sxtb16 {w}, {w}\n",
            $("smlad {", $sum, "}, ", $of, ", {w}, {", $sum, "}\n",)*
            "ldmia {patch}!, {{", $x, "}}\n",
            $("smlad {", $sum, "}, ", $of, ", {t}, {", $sum, "}\n",)*
        )
    };
}

/// [`quad`] of few positions, for which one load is enough: `$of` are the registers of elements 0 and 2, `$and` those of 1 and 3.
macro_rules! short_quad {
    ($x:literal, $($sum:literal $of:literal $and:literal),*) => {
        concat!(
            "ldr {w}, [{weights}], #4\n",
            "ldmia {patch}!, {{", $x, "}}\n",
            "sxtb16 {t}, {w}, ror #8\n",
            "sxtb16 {w}, {w}\n",
            $("smlad {", $sum, "}, ", $of, ", {w}, {", $sum, "}\n",)*
            $("smlad {", $sum, "}, ", $and, ", {t}, {", $sum, "}\n",)*
        )
    };
}

/// One function for a number of positions.
macro_rules! dots {
    ($name:ident $count:literal: $quad:expr, $($sum:ident)*) => {
        /// Adds the products of `4 * quads` weights with the elements under each position to its sum.
        ///
        /// # Safety
        #[doc = concat!("`weights` has `4 * quads` elements, `quads` being at least 1, and `patch` `2 * quads` words for each of ", $count, " positions.")]
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(super) unsafe fn $name(sums: &mut [i32; $count], patch: *const u32, weights: *const i8, quads: usize) {
            let [$(mut $sum),*] = *sums;
            let end = weights.wrapping_add(4 * quads);
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    processor!(),
                    // An odd one first, so that the others go in pairs.
                    "lsls {w}, {w}, #31",
                    "beq 2f",
                    $quad,
                    "cmp {weights}, {end}",
                    "beq 3f",
                    "2:",
                    $quad,
                    $quad,
                    "cmp {weights}, {end}",
                    "bne 2b",
                    "3:",
                    $($sum = inout(reg) $sum,)*
                    w = inout(reg) quads => _,
                    t = out(reg) _,
                    weights = inout(reg) weights => _,
                    end = in(reg) end,
                    patch = inout(reg) patch => _,
                    out("r0") _, out("r1") _, out("r2") _, out("r3") _,
                );
            }
            *sums = [$($sum),*];
        }
    };
}

dots!(dots1 1: short_quad!("r0, r1", "a" "r0" "r1"), a);
dots!(dots2 2: short_quad!("r0, r1, r2, r3", "a" "r0" "r2", "b" "r1" "r3"), a b);
dots!(dots4 4: quad!("r0, r1, r2, r3", "a" "r0", "b" "r1", "c" "r2", "d" "r3"), a b c d);

/// Elements 0 and 2, and elements 1 and 3, of four bytes, less `zero`.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(super) fn unpack(bytes: [i8; 4], zero: i16) -> [u32; 2] {
    let word = u32::from_le_bytes(bytes.map(|byte| byte as u8));
    let (even, odd);
    // SAFETY: registers only.
    unsafe {
        asm!(
            processor!(),
            "sxtab16 {odd}, {less}, {word}, ror #8",
            "sxtab16 {even}, {less}, {word}",
            word = in(reg) word,
            less = in(reg) twice(-zero),
            odd = out(reg) odd,
            even = lateout(reg) even,
            options(pure, nomem, nostack),
        );
    }
    [even, odd]
}

/// A number in both halves of a word.
#[inline(always)]
fn twice(x: i16) -> u32 {
    u32::from(x as u16) * 0x1_0001
}

/// Adds to `4 * count` sums the products of as many inputs, less `zero`, with as many weights, one by one.
///
/// # Safety
/// `count` is at least 1; `sums`, `x` and `weights` have `4 * count` elements.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(super) unsafe fn add_products(sums: *mut i32, (x, weights): (*const i8, *const i8), zero: i16, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            processor!(),
            "2:",
            "ldr {w}, [{weights}], #4",
            "ldr {v}, [{x}], #4",
            "ldmia {sums}, {{r0, r1, r2, r3}}",
            "sxtb16 {t}, {w}",
            "sxtab16 {u}, {less}, {v}",
            "smlabb r0, {u}, {t}, r0",
            "smlatt r2, {u}, {t}, r2",
            "sxtb16 {t}, {w}, ror #8",
            "sxtab16 {u}, {less}, {v}, ror #8",
            "smlabb r1, {u}, {t}, r1",
            "smlatt r3, {u}, {t}, r3",
            "stmia {sums}!, {{r0, r1, r2, r3}}",
            "subs {count}, {count}, #1",
            "bne 2b",
            w = out(reg) _,
            v = out(reg) _,
            t = out(reg) _,
            u = out(reg) _,
            sums = inout(reg) sums => _,
            x = inout(reg) x => _,
            weights = inout(reg) weights => _,
            count = inout(reg) count => _,
            less = in(reg) twice(-zero),
            out("r0") _, out("r1") _, out("r2") _, out("r3") _,
            options(nostack),
        );
    }
}

/// [`requantise`](super::requantise::requantise) and [`Range::output`] of `count` sums, which lie `step` bytes apart.
///
/// # Safety
/// `count` is at least 1; `sums`, `multipliers` and `out` have as many elements.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(super) unsafe fn outputs(
    (sums, step): (*const i32, usize),
    multipliers: *const [i32; 2],
    range: &Range,
    out: *mut i8,
    count: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "2:",
            "ldrd r0, r1, [{multipliers}], #8",
            "ldr {sum}, [{sums}]",
            "add {sums}, {sums}, {step}",
            // A shift to the left comes first and is rare.
            "cmp r1, #0",
            "it ge",
            "lslge {sum}, {sum}, r1",
            "smull {sum}, r0, {sum}, r0",
            "adds {sum}, {sum}, #0x40000000",
            "adc r0, r0, #0",
            "lsl r0, r0, #1",
            "orr r0, r0, {sum}, lsr #31",
            // A shift to the right by one less than it says; the last bit goes with the rounding.
            "mvns r1, r1",
            "itte pl",
            "addpl r0, r0, r0, asr #31",
            "asrpl r0, r0, r1",
            "lslmi r0, r0, #1",
            "add r0, r0, {middle}",
            "asr r0, r0, #1",
            "cmp r0, {low}",
            "it lt",
            "movlt r0, {low}",
            "cmp r0, {high}",
            "it gt",
            "movgt r0, {high}",
            "strb r0, [{out}], #1",
            "cmp {out}, {end}",
            "bne 2b",
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
