//! Vectors of integers for hosts: sums of products of bytes for 16 filters at a time, and what becomes of sums.
//!
//! The results are the same to the bit with all instruction sets: sums have 32 bits and never overflow, whatever their order.
//!
//! | file | products | taken by |
//! |---|---|---|
//! | `portable.rs` | in plain Rust | [`Portable`](super::Level::Portable), and whatever is none of those below |
//! | `neon.rs` | `sdot` where the processor has it, else `smull` and `sadalp` | `Neon` |
//! | `avx2.rs` | `vpmaddwd` on bytes that became 16 bits (`vpmaddubsw` would saturate) | `Avx2`, `Avx512` without VNNI |
//! | `avx512.rs` | `vpdpbusd` | `Avx512` with VNNI |
//!
//! Weights lie in blocks of 16 filters: `[four inputs][filter][input]`, so that a block of 64 bytes meets four inputs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2Int8;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512Int8;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::NeonInt8;
pub(super) use portable::run_portable;

/// Filters whose sums lie in a vector.
pub(crate) const FILTERS: usize = 16;

/// From 16 sums to outputs: a number of Q31 for each, and shifts to the left (by 32 and more there is nothing left) and to the
/// right.
#[derive(Clone, Copy)]
pub(crate) struct Multipliers<'a> {
    pub multiplier: &'a [i32; FILTERS],
    pub left: &'a [i32; FILTERS],
    pub right: &'a [i32; FILTERS],
}

/// Vectors of 16 integers; `self` is the proof that the processor has their instructions.
pub(crate) trait Int8Simd: Copy {
    /// 16 integers of 32 bits.
    type Sums: Copy;
    /// Sums under way.
    type Partial: Copy;
    /// Weights of 16 filters for four inputs.
    type Weights: Copy;
    /// Four inputs, for all filters.
    type Inputs: Copy;
    /// What [`Self::inputs`] adds to each input, because the instructions want no sign.
    const OFFSET: i32;
    /// Whether [`Self::Partial`] leaves room for 16 of them in registers rather than 2.
    const MANY_REGISTERS: bool;
    /// Whether a [`Self::Partial`] is one register.
    const IS_ONE_REGISTER: bool;

    /// Zeros.
    fn zero(self) -> Self::Partial;
    /// Weights `[filter][input]`.
    fn weights(self, w: &[i8; 4 * FILTERS]) -> Self::Weights;
    /// Four inputs.
    fn inputs(self, x: [i8; 4]) -> Self::Inputs;
    /// Adds the products of inputs and weights, four for each filter.
    fn add_dots(self, sums: Self::Partial, x: Self::Inputs, w: Self::Weights) -> Self::Partial;
    /// The sums.
    fn sums(self, partial: Self::Partial) -> Self::Sums;
    /// From memory.
    fn load(self, x: &[i32; FILTERS]) -> Self::Sums;
    /// To memory.
    fn store(self, x: Self::Sums) -> [i32; FILTERS];
    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::Sums;
    /// Bytes as integers.
    fn widen(self, x: &[i8; FILTERS]) -> Self::Sums;
    /// The lowest byte of each lane, where the lanes are bytes.
    fn narrow(self, x: Self::Sums) -> [i8; FILTERS];
    /// `a + b`
    fn add(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// `a * b + c`; `a` and `b` fit 16 bits.
    fn mul_add(self, a: Self::Sums, b: Self::Sums, c: Self::Sums) -> Self::Sums;
    /// The larger of each pair of lanes.
    fn max(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// The smaller of each pair of lanes.
    fn min(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// Bit `i` is set where lane `i` of `a` is greater than that of `b`.
    fn greater(self, a: Self::Sums, b: Self::Sums) -> u32;
    /// Each lane times its multiplier, as [`requantise`](crate::kernels::int8::requantise) rounds.
    fn requantise(self, x: Self::Sums, by: Multipliers<'_>) -> Self::Sums;
}

/// Work with vectors of integers: the fields of the type are its arguments.
pub(crate) trait Int8Kernel {
    /// Does the work.
    fn run<S: Int8Simd>(self, simd: S);
}

/// The first 16 elements; zeros where `x` is shorter.
#[inline(always)]
pub(crate) fn sixteen<T: Copy + Default>(x: &[T]) -> [T; FILTERS] {
    match x.first_chunk() {
        Some(x) => *x,
        None => filled_up(x),
    }
}

/// The elements of `x`, fewer than `L`, and zeros.
#[cold]
#[inline(never)]
pub(crate) fn filled_up<T: Copy + Default, const L: usize>(x: &[T]) -> [T; L] {
    let mut some = [T::default(); L];
    some.iter_mut().zip(x).for_each(|(target, x)| *target = *x);
    some
}
