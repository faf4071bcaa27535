//! Inner loops for Cortex-M processors that multiply two pairs of 16 bits at once (SMLAD), in assembly: the M4, the M7 and
//! most M33. Beside the function that calls one stands what other processors compute instead; the firmware's self-test compares the
//! bytes of both, on random networks too.
//!
//! ```text
//! patch.rs      what lies under a few positions      dots.rs                 dot products with that
//! products.rs   products one by one, depthwise       outputs.rs, alive.rs    from sums to bytes and bits
//! depthwise.rs, terms.rs, normalise.rs   back to gradients
//! ```

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

mod alive;
mod depthwise;
mod dots;
mod normalise;
mod outputs;
mod patch;
mod products;
mod terms;

pub(super) use alive::{above_zero1, above_zero2, above_zero3, above_zero4};
pub(super) use depthwise::{add_3_windows, add_windows};
pub(super) use dots::{dots1, dots2, dots3, dots4, repeat4};
pub(super) use normalise::{values, values_of_products};
pub(super) use outputs::{outputs, outputs_of_4, outputs_of_pairs};
pub(super) use patch::{pairs_of_1, pairs_of_2, pairs_of_3, pairs_of_4};
pub(super) use products::{add_products, add_products_of_3};
pub(super) use terms::{add_terms4, add_terms8, list_terms};

/// A number in both halves of a word.
#[inline(always)]
fn twice(x: i16) -> u32 {
    u32::from(x as u16) * 0x1_0001
}
