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

/// Products of four weights with the four elements under each of some positions. A word of each position comes in r0 and so
/// on; `$of` takes elements 0 and 2, after another `$load` `$and` takes 1 and 3.
macro_rules! quad {
    ($load:literal, [$($sum:literal $of:literal)*], $more:literal, [$($and:literal)*]) => {
        concat!(
            "ldr r10, [lr], #4\n",
            $load,
            "sxtb16 r11, r10, ror #8\n",
            "sxtb16 r10, r10\n",
            $("smlad ", $sum, ", ", $of, ", r10, ", $sum, "\n",)*
            $more,
            $("smlad ", $sum, ", ", $and, ", r11, ", $sum, "\n",)*
        )
    };
}

/// One function for a number of positions.
macro_rules! dots {
    ($name:ident $count:literal, $load:literal, $store:literal: $quad:expr) => {
        /// Adds the products of `len` weights of each of `filters` filters with the elements under each position to its sum;
        /// `stride` weights lie between one filter and the next.
        ///
        /// # Safety
        /// `len` is a multiple of 4 and at least 4, `filters` at least 1. `weights` has `(filters - 1) * stride + len` elements,
        #[doc = concat!("and for each of ", $count, " positions `patch` has `len / 2` words and `sums` `filters`.")]
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(super) unsafe fn $name(
            (sums, filters): (*mut i32, usize),
            patch: *const u32,
            weights: *const i8,
            (len, stride): (usize, usize),
        ) {
            // SAFETY: the caller's. What lies on the stack is taken off again.
            unsafe {
                asm!(
                    processor!(),
                    "push {{r0, r1, r2, r3, r4}}",
                    "2:",
                    "ldr r0, [sp]",
                    $load,
                    "ldrd r12, r0, [sp, #4]",
                    "add {end}, lr, r0",
                    // An odd word of weights first, so that the others go in pairs.
                    "lsls r0, r0, #29",
                    "beq 3f",
                    $quad,
                    "cmp lr, {end}",
                    "beq 4f",
                    "3:",
                    $quad,
                    $quad,
                    "cmp lr, {end}",
                    "bne 3b",
                    "4:",
                    "ldr r0, [sp]",
                    $store,
                    "str r0, [sp]",
                    "ldrd r0, r1, [sp, #12]",
                    "add lr, lr, r0",
                    "subs r1, r1, #1",
                    "str r1, [sp, #16]",
                    "bne 2b",
                    "add sp, sp, #20",
                    end = out(reg) _,
                    inout("r0") sums => _,
                    inout("r1") patch => _,
                    inout("r2") len => _,
                    inout("r3") stride.wrapping_sub(len) => _,
                    inout("r4") filters => _,
                    out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
                    inout("lr") weights => _,
                );
            }
        }
    };
}

dots!(dots1 1, "ldr r4, [r0]", "str r4, [r0], #4": quad!("ldmia r12!, {{r0, r1}}\n", ["r4" "r0"], "", ["r1"]));
dots!(dots2 2, "ldrd r4, r5, [r0]", "strd r4, r5, [r0], #8": quad!("ldmia r12!, {{r0, r1, r2, r3}}\n", ["r4" "r0" "r5" "r1"], "", ["r2" "r3"]));
dots!(dots4 4, "ldmia r0, {{r4, r5, r8, r9}}", "stmia r0!, {{r4, r5, r8, r9}}": quad!(
    "ldmia r12!, {{r0, r1, r2, r3}}\n",
    ["r4" "r0" "r5" "r1" "r8" "r2" "r9" "r3"],
    "ldmia r12!, {{r0, r1, r2, r3}}\n",
    ["r0" "r1" "r2" "r3"]
));

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

/// Adds to `4 * count` sums the products of `taps` times as many inputs, less `zero`, with as many weights: the first of each tap
/// to the first sum.
///
/// # Safety
/// `count` and `taps` are at least 1; `sums` has `4 * count` elements, `x` and `weights` have `taps` times as many.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(super) unsafe fn add_products(
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

/// Products of four inputs of one tap with their weights: `$x` and `$w` load them.
macro_rules! tap {
    ($x:literal, $w:literal) => {
        concat!(
            "ldr {w}, ",
            $w,
            "\nldr {u}, ",
            $x,
            "\nsxtb16 {t}, {w}\n",
            "sxtab16 {v}, {less}, {u}\n",
            "smlabb r0, {v}, {t}, r0\n",
            "smlatt r2, {v}, {t}, r2\n",
            "sxtb16 {t}, {w}, ror #8\n",
            "sxtab16 {v}, {less}, {u}, ror #8\n",
            "smlabb r1, {v}, {t}, r1\n",
            "smlatt r3, {v}, {t}, r3\n",
        )
    };
}

/// [`add_products`] of three taps, which are added at once.
///
/// # Safety
/// That of [`add_products`].
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(super) unsafe fn add_products_of_3(
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
            tap!("[{x}, {stride}]", "[{weights}, {stride}]"),
            tap!("[{x}, {stride}, lsl #1]", "[{weights}, {stride}, lsl #1]"),
            tap!("[{x}], #4", "[{weights}], #4"),
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

/// Writes each of `count` numbers four times.
///
/// # Safety
/// `count` is at least 1; `from` has as many elements, `to` four times as many.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(super) unsafe fn repeat4(from: *const i32, to: *mut i32, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "2:",
            "ldr r0, [{from}], #4",
            "mov r1, r0",
            "mov r2, r0",
            "mov r3, r0",
            "stmia {to}!, {{r0, r1, r2, r3}}",
            "cmp {from}, {end}",
            "bne 2b",
            from = inout(reg) from => _,
            end = in(reg) from.wrapping_add(count),
            to = inout(reg) to => _,
            out("r0") _, out("r1") _, out("r2") _, out("r3") _,
            options(nostack),
        );
    }
}

/// One function of [`requantise`](super::requantise::requantise) and [`Range::output`]: `$clamp` ends the range.
macro_rules! outputs {
    ($name:ident: $($clamp:literal),*) => {
        /// The outputs of `count` sums, which lie `step` bytes apart.
        ///
        /// # Safety
        /// `count` is at least 1; `sums`, `multipliers` and `out` have as many elements.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(super) unsafe fn $name(
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
pub(super) unsafe fn outputs_of_4(
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
