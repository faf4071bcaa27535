//! Four bytes as two words of two numbers of 16 bits.

/// Elements 0 and 2, and elements 1 and 3, less `zero`.
#[inline(always)]
pub(super) fn unpack(bytes: [i8; 4], zero: i16) -> [u32; 2] {
    #[cfg(cortex_m_dsp)]
    return super::cortex_m::unpack(bytes, zero);
    #[cfg(not(cortex_m_dsp))]
    portable(bytes, zero)
}

/// [`unpack`] without assembly.
#[cfg_attr(cortex_m_dsp, allow(dead_code, reason = "the twin of the assembly"))]
fn portable(bytes: [i8; 4], zero: i16) -> [u32; 2] {
    let [a, b, c, d] = bytes.map(|byte| u32::from((i16::from(byte) - zero) as u16));
    [a | c << 16, b | d << 16]
}
