//! The bits of ReLUs.

use core::arch::asm;

/// One sum: its bit enters the word at the top.
macro_rules! bit {
    ($step:literal) => {
        concat!("ldr {sum}, [{sums}], #", $step, "\nrsb {sum}, {sum}, #0\nlsls {sum}, {sum}, #1\nrrx {bits}, {bits}\n")
    };
}

/// One function for a distance between sums.
macro_rules! above_zero {
    ($name:ident $step:literal $bytes:literal) => {
        #[doc = concat!("A word with a bit for each of `count` sums, of which every ", $step, ". is looked at: whether it is above 0.")]
        /// No sum is the smallest of all numbers.
        ///
        /// # Safety
        /// `count` is from 1 to 32, and there are so many sums.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(sums: *const i32, count: usize) -> u32 {
            let mut bits = 0u32;
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    "lsrs r0, r0, #1",
                    "bcc 2f",
                    bit!($bytes),
                    "cbz r0, 3f",
                    "2:",
                    bit!($bytes),
                    bit!($bytes),
                    "subs r0, r0, #1",
                    "bne 2b",
                    "3:",
                    sums = inout(reg) sums => _,
                    inout("r0") count => _,
                    bits = inout(reg) bits,
                    sum = out(reg) _,
                    options(nostack, readonly),
                );
            }
            bits >> (32 - count)
        }
    };
}

above_zero!(above_zero1 "1" "4");
above_zero!(above_zero2 "2" "8");
above_zero!(above_zero3 "3" "12");
above_zero!(above_zero4 "4" "16");
