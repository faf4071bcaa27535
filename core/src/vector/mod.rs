//! Vectors of f32: one algorithm, the number of lanes as a parameter.
//!
//! A microcontroller runs every kernel with [`Scalar`], a host with the widest vectors it has. The kernels
//! accumulate each output in the same order whatever the lanes, so that only the rounding of a fused
//! multiply-add (and of a sum over lanes) can differ.

mod level;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod neon;
mod portable;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86;

use crate::number::Number;
pub use level::Level;
pub(crate) use portable::Scalar;

/// Vector operations; `self` is the proof that the processor has them.
pub(crate) trait Simd: Copy {
    /// [`Self::LANES`] values.
    type Vector: Copy;
    /// Lanes of a vector; divides 32.
    const LANES: usize;
    /// Whether there are 32 vector registers rather than 16.
    const MANY_REGISTERS: bool;

    fn splat(self, x: f32) -> Self::Vector;
    /// The first `LANES` elements of `x`; zeros where it is shorter.
    fn load<T: Number>(self, x: &[T]) -> Self::Vector;
    /// The elements of a vector in memory.
    type Array<T: Number>: Copy;
    /// As many whole vectors as `x` has.
    fn arrays<T: Number>(x: &[T]) -> &[Self::Array<T>];
    fn load_array<T: Number>(self, x: &Self::Array<T>) -> Self::Vector;
    /// Writes as many lanes as `out` takes.
    fn store(self, x: Self::Vector, out: &mut [f32]);
    /// `a * b + c`
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Bit `i` is set where lane `i` of `a` is greater than that of `b`.
    fn greater(self, a: Self::Vector, b: Self::Vector) -> u32;
    /// Bit `i` is set where lane `i` is not zero.
    fn not_zero(self, x: Self::Vector) -> u32;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Sum of all lanes.
    fn sum(self, x: Self::Vector) -> f32;
    /// The vectors as numbers, if they have one lane.
    #[inline(always)]
    fn as_scalars(_: &mut [Self::Vector]) -> Option<&mut [f32]> {
        None
    }
    /// Runs `kernel` as a function of its own: one copy of it, however many places call it.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;
}

/// Work that can run with any vectors.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
