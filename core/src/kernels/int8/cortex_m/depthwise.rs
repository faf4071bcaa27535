//! The way back through a depthwise convolution.

use core::arch::asm;

/// Products of four values, at `$low` and `$high`, with four weights, added to r0 to r3.
macro_rules! tap {
    ($low:literal $high:literal $w:literal) => {
        concat!(
            "ldr r10, ",
            $low,
            "\nldr r11, ",
            $high,
            "\nldr r12, ",
            $w,
            "\n",
            "sxtb16 lr, r12
            sxtb16 r12, r12, ror #8
            smlabb r0, r10, lr, r0
            smlatb r1, r10, r12, r1
            smlabt r2, r11, lr, r2
            smlatt r3, r11, r12, r3\n",
        )
    };
}

/// One function for a way through the taps: `$taps` leaves {values} and {weights} at the next four of the first tap.
macro_rules! add_windows {
    ($name:ident: $taps:expr) => {
        /// Adds to `4 * count` sums the products of values of `taps` windows with their weights, shifted to the right and rounded: those of
        /// the first window stand at `values`, each next one `stride` values further, and `step` weights before those at `weights`.
        ///
        /// # Safety
        /// `count` and `taps` are at least 1; `sums` has `4 * count` elements, and at the place of each window there are as many
        /// values and weights. `shift` is at most 30.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (sums, count): (*mut i32, usize),
            (values, stride): (*const i16, usize),
            (weights, step): (*const i8, usize),
            taps: usize,
            shift: u32,
        ) {
            // SAFETY: the caller's. What lies on the stack is taken off again.
            unsafe {
                asm!(
                    processor!(),
                    // Half a unit, taps, shift, sums, where they end.
                    "push {{r0, r1, r2, r3, {n}}}",
                    "2:",
                    "ldrd r0, {n}, [sp]",
                    "mov r1, r0",
                    "mov r2, r0",
                    "mov r3, r0",
                    $taps,
                    "ldrd r12, {n}, [sp, #8]",
                    "asr r0, r0, r12",
                    "asr r1, r1, r12",
                    "asr r2, r2, r12",
                    "asr r3, r3, r12",
                    "ldrd r10, r11, [{n}]",
                    "add r0, r0, r10",
                    "add r1, r1, r11",
                    "ldrd r10, r11, [{n}, #8]",
                    "add r2, r2, r10",
                    "add r3, r3, r11",
                    "stmia {n}!, {{r0, r1, r2, r3}}",
                    "str {n}, [sp, #12]",
                    "ldr r12, [sp, #16]",
                    "cmp {n}, r12",
                    "bne 2b",
                    "add sp, sp, #20",
                    n = inout(reg) sums.wrapping_add(4 * count) => _,
                    values = inout(reg) values => _,
                    weights = inout(reg) weights => _,
                    stride = in(reg) 2 * stride,
                    step = in(reg) step,
                    inout("r0") (1u32 << shift >> 1) => _,
                    inout("r1") taps => _,
                    inout("r2") shift => _,
                    inout("r3") sums => _,
                    out("r10") _, out("r11") _, out("r12") _, out("lr") _,
                );
            }
        }
    };
}

add_windows!(add_windows: concat!(
    "mls {weights}, {step}, {n}, {weights}
    add {weights}, {weights}, {step}
    mla {values}, {stride}, {n}, {values}
    sub {values}, {values}, {stride}
    3:\n",
    // From the last window back.
    tap!("[{values}]" "[{values}, #4]" "[{weights}]"),
    "subs {n}, {n}, #1
    itt ne
    subne {values}, {values}, {stride}
    addne {weights}, {weights}, {step}
    bne 3b
    adds {values}, {values}, #8
    adds {weights}, {weights}, #4",
));
add_windows!(add_3_windows: concat!(
    // The weights of the last window, before those of the others; the values' second halves from the other address.
    "sub {weights}, {weights}, {step}, lsl #1
    add {n}, {values}, #4\n",
    tap!("[{values}, {stride}, lsl #1]" "[{n}, {stride}, lsl #1]" "[{weights}]"),
    tap!("[{values}, {stride}]" "[{n}, {stride}]" "[{weights}, {step}]"),
    tap!("[{values}]" "[{n}]" "[{weights}, {step}, lsl #1]"),
    "add {weights}, {weights}, {step}, lsl #1
    adds {values}, {values}, #8
    adds {weights}, {weights}, #4",
));
