//! From sums of gradients to rows of 16 bits.

use core::arch::asm;

/// One function for a way from the sum with number {i} to {x}, and what is shifted by to {s}.
macro_rules! values {
    ($name:ident: $product:expr) => {
        /// Writes the values of the sums whose bits are set in `alive`, the highest bit first, and returns all bits of their magnitudes: each
        /// sum is shifted to the right, rounded to nearest. With multipliers it is the high product with its own, and the shift is less by
        /// what stands beside it.
        ///
        /// # Safety
        /// `alive` is not 0. There are as many sums, values and multipliers as the lowest of its bits says; no sum is shifted by less than 1.
        #[inline(always)]
        #[allow(unsafe_code, reason = "inline assembly")]
        pub(in crate::kernels::int8) unsafe fn $name(
            (sums, values): (*const i32, *mut i16),
            alive: u32,
            multipliers: *const [i32; 2],
            shift: i32,
        ) -> u32 {
            let mut bits = 0;
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    processor!(),
                    "2:",
                    "clz {i}, {alive}",
                    "ldr {x}, [{sums}, {i}, lsl #2]",
                    $product,
                    // The last bit that goes is half a unit.
                    "asrs {x}, {x}, {s}",
                    "adc {x}, {x}, #0",
                    "strh {x}, [{values}, {i}, lsl #1]",
                    "eor {x}, {x}, {x}, asr #31",
                    "orr {bits}, {bits}, {x}",
                    "lsr {x}, {highest}, {i}",
                    "bics {alive}, {alive}, {x}",
                    "bne 2b",
                    sums = in(reg) sums,
                    values = in(reg) values,
                    alive = inout(reg) alive => _,
                    multipliers = in(reg) multipliers,
                    shift = in(reg) shift,
                    highest = in(reg) 1u32 << 31,
                    bits = inout(reg) bits,
                    i = out(reg) _,
                    m = out(reg) _,
                    s = out(reg) _,
                    x = out(reg) _,
                    options(nostack),
                );
            }
            bits
        }
    };
}

// (Operands that are not named would be refused.)
values!(values: "mov {s}, {shift} @ not {m}, {multipliers}");
values!(values_of_products: concat!(
    "add {m}, {multipliers}, {i}, lsl #3
    ldrd {m}, {s}, [{m}]
    sub {s}, {shift}, {s}
    smmul {x}, {x}, {m}",
));
