//! Bytes under a few positions, as pairs of 16 bits.

use core::arch::asm;

use super::twice;

/// One function for a number of positions: `$load` the four bytes of each, `$test` whether they are all the zero point, `$store` what
/// they become. `r0` to `r3` are the positions' bytes, `r4` counts elements.
macro_rules! pairs {
    ($name:ident $count:literal: [$($load:literal),*] [$first:literal $($more:literal)*] [$($store:literal),*]) => {
        /// Appends `len / 4` quads of elements to a patch, but for those that are the zero point at all positions; returns its end.
        ///
        /// # Safety
        /// `len` is a multiple of 4 and at least 4. The positions, as [`Lines`](crate::kernels::int8::patch::Lines) says, have
        #[doc = concat!("`len` elements each, of which there are ", $count, ", and the patch has room for all their words.")]
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (x, y, step): (*const i8, *const i8, usize),
            (first, len): (usize, usize),
            zero: i8,
            patch: *mut u32,
        ) -> *mut u32 {
            let end;
            // SAFETY: the caller's. What lies on the stack is taken off again.
            unsafe {
                asm!(
                    processor!(),
                    "push {{r6, r7}}",
                    "2:",
                    $($load,)*
                    concat!("cmp ", $first, ", r10"),
                    $("bne 3f", concat!("cmp ", $more, ", r10"),)*
                    "beq 4f",
                    "3:",
                    $($store,)*
                    "4:",
                    "add r4, r4, #4",
                    "cmp r4, lr",
                    "bne 2b",
                    "pop {{r6, r7}}",
                    inout("r5") x => _,
                    inout("r8") y => _,
                    inout("r9") step => _,
                    in("r10") u32::from(zero as u8) * 0x0101_0101,
                    in("r11") twice(-i16::from(zero)),
                    inout("r12") patch => end,
                    inout("lr") first + len => _,
                    inout("r4") first => _,
                    out("r0") _, out("r1") _, out("r2") _, out("r3") _,
                );
            }
            end
        }
    };
}

pairs!(pairs_of_1 1: ["ldr r0, [r5], #4"] ["r0"] [
    "sxtab16 r6, r11, r0, ror #8",
    "sxtab16 r0, r11, r0",
    "stmia r12!, {{r0, r4, r6}}"
]);
pairs!(pairs_of_2 2: ["ldr r0, [r5], #4", "ldr r1, [r8], #4"] ["r0" "r1"] [
    "sxtab16 r6, r11, r0, ror #8",
    "sxtab16 r7, r11, r1, ror #8",
    "sxtab16 r0, r11, r0",
    "sxtab16 r1, r11, r1",
    "stmia r12!, {{r0, r1, r4, r6, r7}}"
]);
pairs!(pairs_of_3 3: ["ldr r1, [r5, r9]", "ldr r0, [r5], #4", "ldr r2, [r8], #4"] ["r0" "r1" "r2"] [
    "sxtab16 r6, r11, r0, ror #8",
    "sxtab16 r7, r11, r1, ror #8",
    "strd r6, r7, [r12, #16]",
    "sxtab16 r6, r11, r2, ror #8",
    "str r6, [r12, #24]",
    "sxtab16 r0, r11, r0",
    "sxtab16 r1, r11, r1",
    "sxtab16 r2, r11, r2",
    "stmia r12!, {{r0, r1, r2, r4}}",
    "add r12, r12, #12"
]);
pairs!(pairs_of_4 4: ["ldr r1, [r5, r9]", "ldr r0, [r5], #4", "ldr r3, [r8, r9]", "ldr r2, [r8], #4"] ["r0" "r1" "r2" "r3"] [
    "sxtab16 r6, r11, r0, ror #8",
    "sxtab16 r7, r11, r1, ror #8",
    "strd r6, r7, [r12, #20]",
    "sxtab16 r6, r11, r2, ror #8",
    "sxtab16 r7, r11, r3, ror #8",
    "strd r6, r7, [r12, #28]",
    "sxtab16 r0, r11, r0",
    "sxtab16 r1, r11, r1",
    "sxtab16 r2, r11, r2",
    "sxtab16 r3, r11, r3",
    "stmia r12!, {{r0, r1, r2, r3, r4}}",
    "add r12, r12, #16"
]);
