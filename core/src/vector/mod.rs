//! Vectors of f32: one algorithm, the number of lanes as a parameter.
//!
//! A microcontroller runs every kernel with [`Scalar`], a host with the widest vectors it has. The kernels
//! accumulate each output in the same order whatever the lanes. Only the rounding of a fused multiply-add, the rounding of
//! a sum over lanes, and Winograd's way of a convolution (which needs vectors) can differ.
//!
//! ```text
//! Level::run(kernel)                     the level is a value: Scalar, Portable, Neon, Avx2, Avx512
//!   x86::run_avx2(token, kernel)         a function that the compiler may fill with AVX2 instructions
//!     kernel.run(token)                  Kernel::run, generic over Simd: the token chose the type
//!       token.mul_add(a, b, c)           one instruction
//! ```
//! A new instruction set is a file beside `neon.rs` with the functions in the same order, a variant of [`Level`], and its
//! lines in `level.rs`.
//!
//! # Why `inline(always)` stands here so often
//! Two reasons, for all of the crate:
//! - On a host, only the body of a function with `#[target_feature]` may use the instructions. A function that such a body
//!   calls is compiled for any processor: its vectors would go through memory, and each instruction would be a call. So
//!   everything between `run_avx2` and the instruction has to be inlined, also where the compiler finds it too large.
//! - On a device, a slice whose length the caller has just cut needs no check, and a block of sums stays in registers, only
//!   where the callee is inlined. Where code would be there several times for little gain, `inline(never)` says so.
//!
//! [`Simd::call`] is the way out: it begins a function of its own with the same instructions.

#[cfg(feature = "std")]
pub(crate) mod int8;
mod level;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod neon;
mod portable;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86_token;

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

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::Vector;
    /// The first `LANES` elements of `x`; zeros where it is shorter.
    fn load<T: Number>(self, x: &[T]) -> Self::Vector;
    /// The elements of a vector in memory.
    type Array<T: Number>: Copy;
    /// As many whole vectors as `x` has.
    fn arrays<T: Number>(x: &[T]) -> &[Self::Array<T>];
    /// A vector from memory, converted to f32.
    fn load_array<T: Number>(self, x: &Self::Array<T>) -> Self::Vector;
    /// Writes as many lanes as `out` takes.
    fn store(self, x: Self::Vector, out: &mut [f32]);
    /// `a * b + c`
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Bit `i` is set where lane `i` of `a` is greater than that of `b`.
    fn greater(self, a: Self::Vector, b: Self::Vector) -> u32;
    /// Bit `i` is set where lane `i` is not zero.
    fn not_zero(self, x: Self::Vector) -> u32;
    /// The larger of each pair of lanes; both are numbers.
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
    /// Whether there are instructions for integers.
    #[cfg(feature = "std")]
    const HAS_INT8: bool = false;
    /// Runs a kernel of integers with the best instructions for them that are there at this level; none runs where there are
    /// none.
    #[cfg(feature = "std")]
    #[inline(always)]
    fn call_int8<K: int8::Int8Kernel>(self, _: K) {
        debug_assert!(Self::HAS_INT8, "called where there are instructions");
    }
}

/// Work that can run with any vectors: the fields of the type are its arguments.
///
/// (A trait and not a closure, because a closure cannot be generic over [`Simd`]. A *kernel* of a convolution, the window of
/// weights, is another thing.)
pub(crate) trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work with the vectors of `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
