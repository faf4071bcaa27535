//! The types weights are stored in. Arithmetic is always f32.
//!
//! A new type needs: an `impl Number`, a variant of [`Kind`] for kernels with a version for each type, `load_array` in each
//! file of `vector`, and a line at the end of `pass/element.rs`, which compiles the passes for it.

#[cfg(cortex_m_fpu)]
mod cortex_m;

use bytemuck::Pod;
use half::f16;

mod sealed {
    /// Keeps [`Number`](super::Number) to the types that the kernels know.
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for i8 {}
}

/// Which [`Number`] a type is, for kernels that have a version for each.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    I8,
}

/// A type of tensors in a file.
pub trait Stored: Pod + core::fmt::Debug {
    /// The safetensors name of the type.
    const DTYPE: &'static str;
}

impl Stored for f32 {
    const DTYPE: &'static str = "F32";
}

impl Stored for f16 {
    const DTYPE: &'static str = "F16";
}

impl Stored for i8 {
    const DTYPE: &'static str = "I8";
}

impl Stored for i32 {
    const DTYPE: &'static str = "I32";
}

/// Type of stored weights: `f32`, [`f16`](struct@f16), or `i8` for the integers of a quantised network.
///
/// ```
/// use midge_core::{Number, Stored, f16};
///
/// assert_eq!((f32::DTYPE, f16::DTYPE), ("F32", "F16"));
/// assert_eq!(Number::to_f32(f16::from_f32(0.1)), 0.099975586);
/// ```
pub trait Number: sealed::Sealed + Stored + Send + Sync {
    #[doc(hidden)]
    const KIND: Kind;
    /// The value in the arithmetic type; the value must be finite.
    fn to_f32(self) -> f32;
    /// Whether the value is neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

impl Number for f32 {
    const KIND: Kind = Kind::F32;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Number for f16 {
    const KIND: Kind = Kind::F16;

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

impl Number for i8 {
    const KIND: Kind = Kind::I8;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }

    fn is_finite(self) -> bool {
        true
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
                assert_eq!(Number::to_f32(x).to_bits(), x.to_f32().to_bits(), "{bits:#06x}");
            }
        }
    }
}
