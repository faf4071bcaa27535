//! Conversion of f16 by Cortex-M processors with an FPU. They have an instruction for it, which the compiler makes no use
//! of.

use core::arch::asm;

use half::f16;

/// One f16; finite or not, the value is exact.
#[inline(always)]
pub(super) fn to_f32(x: f16) -> f32 {
    let mut bits = u32::from(x.to_bits());
    // SAFETY: changes two registers; every FPU of these processors has the instruction.
    #[allow(unsafe_code, reason = "inline assembly")]
    unsafe {
        asm!(
            "vmov s0, {bits}",
            "vcvtb.f32.f16 s0, s0",
            "vmov {bits}, s0",
            bits = inout(reg) bits,
            out("s0") _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    f32::from_bits(bits)
}
