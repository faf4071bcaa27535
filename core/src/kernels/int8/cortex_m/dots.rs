//! Dot products of filters with what lies under one to four positions.

use core::arch::asm;

/// Products of a quad of weights, those of the filter at `lr` or at `$at`, with the elements of each position. `$load` brings a
/// word of each position and the quad's place, `$place`; `$of` take elements 0 and 2. After `$more` the words `$and` take 1 and 3.
macro_rules! quad {
    ($load:literal, $place:literal, [$($sum:literal $of:literal)*], $more:literal, [$($and:literal)*]) => {
        concat!(
            $load,
            "ldr r10, [lr, ", $place, "]\n",
            "sxtb16 r11, r10, ror #8\n",
            "sxtb16 r10, r10\n",
            $("smlad ", $sum, ", ", $of, ", r10, ", $sum, "\n",)*
            $more,
            $("smlad ", $sum, ", ", $and, ", r11, ", $sum, "\n",)*
        )
    };
}

/// One function for a number of positions. `$load` and `$store` the sums at `r7`.
macro_rules! dots {
    ($name:ident $count:literal $at_once:literal: [$($load:literal),*], $store:literal, $quad:expr) => {
        /// Adds the products of a patch's elements with the weights of each of `filters` filters to its sums; `stride` weights
        /// lie between the start of one filter and that of the next.
        ///
        /// # Safety
        #[doc = concat!("`patch` is one of ", $count, " positions and not empty. `filters` is a multiple of ", $at_once, ", at")]
        /// least that many, and so many sums there are for each position. Each filter has weights for all of the patch.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (sums, filters): (*mut i32, usize),
            patch: &[u32],
            weights: *const i8,
            stride: usize,
        ) {
            const ENTRY: usize = 2 * $count + 1;
            let is_odd = patch.len() / ENTRY % 2;
            // SAFETY: the caller's. What lies on the stack is taken off again.
            unsafe {
                asm!(
                    processor!(),
                    "push {{r1, r3, r4, r5, r6, r7}}",
                    "mov r6, r2",
                    "mov r7, r0",
                    "2:",
                    $($load,)*
                    "ldr r12, [sp]",
                    // Quads go in pairs; an odd one begins in the middle.
                    "lsls r0, r12, #31",
                    "itt ne",
                    "subne r12, r12, #1",
                    "bne 4f",
                    "3:",
                    $quad,
                    "4:",
                    $quad,
                    "cmp r12, r6",
                    "bne 3b",
                    $store,
                    "ldrd r0, r1, [sp, #4]",
                    "add lr, lr, r1",
                    "cmp lr, r0",
                    "bne 2b",
                    "add sp, sp, #16",
                    "pop {{r6, r7}}",
                    inout("r0") sums => _,
                    inout("r1") patch.as_ptr().wrapping_byte_add(is_odd) => _,
                    inout("r2") patch.as_ptr_range().end => _,
                    inout("r3") weights.wrapping_add(filters * stride) => _,
                    inout("r4") $at_once * stride => _,
                    inout("r5") stride => _,
                    out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
                    inout("lr") weights => _,
                );
            }
        }
    };
}

// Two filters share each load of the patch.
dots!(dots1 1 2: ["ldr r3, [sp, #12]", "add r3, r3, lr", "ldrd r4, r5, [r7]"], "strd r4, r5, [r7], #8", concat!(
    quad!("ldmia r12!, {{r0, r1, r2}}\nldr r8, [r3, r1]\n", "r1", ["r4" "r0"], "", ["r2"]),
    "sxtb16 r9, r8, ror #8
    sxtb16 r8, r8
    smlad r5, r0, r8, r5
    smlad r5, r2, r9, r5\n"
));
dots!(dots2 2 1: ["ldrd r4, r5, [r7]"], "strd r4, r5, [r7], #8",
    quad!("ldmia r12!, {{r0, r1, r2, r3, r8}}\n", "r2", ["r4" "r0" "r5" "r1"], "", ["r3" "r8"])
);
dots!(dots3 3 1: ["ldmia r7, {{r4, r5, r8}}"], "stmia r7!, {{r4, r5, r8}}", quad!(
    "ldmia r12!, {{r0, r1, r2, r10}}\n", "r10",
    ["r4" "r0" "r5" "r1" "r8" "r2"],
    "ldmia r12!, {{r0, r1, r2}}\n",
    ["r0" "r1" "r2"]
));
dots!(dots4 4 1: ["ldmia r7, {{r4, r5, r8, r9}}"], "stmia r7!, {{r4, r5, r8, r9}}", quad!(
    "ldmia r12!, {{r0, r1, r2, r3, r10}}\n", "r10",
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
