//! Dot products of filters with what lies under one, two or four positions.

use core::arch::asm;

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
        pub(in crate::kernels::int8) unsafe fn $name(
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

/// Writes each of `count` numbers four times.
///
/// # Safety
/// `count` is at least 1; `from` has as many elements, `to` four times as many.
#[inline(always)]
#[allow(unsafe_code, reason = "inline assembly")]
pub(in crate::kernels::int8) unsafe fn repeat4(from: *const i32, to: *mut i32, count: usize) {
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
