//! The types weights are stored in. Arithmetic is always f32.

use bytemuck::Pod;
use half::f16;

use crate::layers::sparse::{Outputs, ROW};
use crate::pass::Passes;
#[cfg(cortex_m_fpu)]
use crate::simd::cortex_m;

/// Type of stored weights: `f32` or [`f16`](struct@f16).
pub trait Element: Pod + Passes + Send + Sync + 'static {
    /// The safetensors name of the type.
    const DTYPE: &'static str;
    /// The value in the arithmetic type; the value must be finite.
    fn to_f32(self) -> f32;
    /// Whether the value is neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// The processor's own version of `sparse::add_live_rows`; false if it has none or the slices do not suit it.
    #[doc(hidden)]
    #[inline(always)]
    fn add_live_rows(_sums: &mut [f32; ROW], _inputs: (&[f32], u32), _weights: (&[Self], usize)) -> bool {
        false
    }

    /// The processor's own version of `Outputs::add_dots`; false if it has none or the slices do not suit it.
    #[doc(hidden)]
    #[inline(always)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn add_dots(_outputs: &mut Outputs, _weights: (&[Self], usize), _wanted: u32, _target: &mut [f32]) -> bool {
        false
    }

    /// Dot products of the first elements of two rows with `x`, with the processor's own instructions: the sums and
    /// how many elements it took.
    #[doc(hidden)]
    #[inline(always)]
    fn dots(_rows: [&[Self]; 2], _x: &[f32]) -> ([f32; 2], usize) {
        ([0.0; 2], 0)
    }
}

/// Puts the versions of one element type in place.
macro_rules! processor_kernels {
    ($add_live_rows:ident $add_dots:ident $dots:ident) => {
        #[cfg(cortex_m_fpu)]
        #[inline(always)]
        fn add_live_rows(sums: &mut [f32; ROW], inputs: (&[f32], u32), weights: (&[Self], usize)) -> bool {
            cortex_m::$add_live_rows(sums, inputs, weights)
        }
        #[cfg(cortex_m_fpu)]
        #[inline(always)]
        #[allow(private_interfaces, reason = "only called in this crate")]
        fn add_dots(outputs: &mut Outputs, weights: (&[Self], usize), wanted: u32, target: &mut [f32]) -> bool {
            cortex_m::$add_dots(outputs, weights, wanted, target)
        }
        #[cfg(cortex_m_fpu)]
        #[inline(always)]
        fn dots(rows: [&[Self]; 2], x: &[f32]) -> ([f32; 2], usize) {
            cortex_m::$dots(rows, x)
        }
    };
}

impl Element for f32 {
    const DTYPE: &'static str = "F32";
    processor_kernels!(add_live_rows_f32 add_dots_f32 dots_f32);
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Element for f16 {
    const DTYPE: &'static str = "F16";
    processor_kernels!(add_live_rows_f16 add_dots_f16 dots_f16);

    #[cfg(cortex_m_fpu)]
    #[inline(always)]
    fn to_f32(self) -> f32 {
        cortex_m::to_f32(self)
    }

    /// Five integer and float instructions and no branch, where `half`'s portable conversion takes about
    /// twenty: the exponent and fraction are moved to their place in an f32, whose exponent is then too small
    /// by 127 - 15 = 112. The product is exact for every finite f16, subnormal or not; weights are finite.
    #[cfg(not(cortex_m_fpu))]
    #[inline(always)]
    fn to_f32(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * SCALE;
        f32::from_bits(magnitude.to_bits() | ((bits & 0x8000) << 16))
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

/// 2^112.
#[cfg(not(cortex_m_fpu))]
const SCALE: f32 = f32::from_bits((127 + 112) << 23);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_f16_converts_exactly() {
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits);
            if x.is_finite() {
                assert_eq!(Element::to_f32(x).to_bits(), x.to_f32().to_bits(), "{bits:#06x}");
            }
        }
    }
}
