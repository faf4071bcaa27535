//! Vectors in plain Rust: one lane for devices, four for hosts without a file of their own here.

use super::{Kernel, Simd};
use crate::number::Number;

/// One lane.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type Vector = f32;
    const LANES: usize = 1;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn load<T: Number>(self, x: &[T]) -> f32 {
        x.first().map_or(0.0, |x| x.to_f32())
    }
    type Array<T: Number> = T;
    #[inline(always)]
    fn arrays<T: Number>(x: &[T]) -> &[T] {
        x
    }
    #[inline(always)]
    fn load_array<T: Number>(self, x: &T) -> f32 {
        x.to_f32()
    }
    #[inline(always)]
    fn store(self, x: f32, out: &mut [f32]) {
        if let Some(out) = out.first_mut() {
            *out = x;
        }
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    fn greater(self, a: f32, b: f32) -> u32 {
        u32::from(a > b)
    }
    #[inline(always)]
    fn not_zero(self, x: f32) -> u32 {
        // Without the sign: an integer comparison is cheaper than one of floats.
        u32::from(x.to_bits() << 1 != 0)
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn sum(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn as_scalars(x: &mut [f32]) -> Option<&mut [f32]> {
        Some(x)
    }
    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Four lanes, written as arrays that the compiler turns into whatever vectors the target has.
#[cfg(feature = "std")]
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[cfg(feature = "std")]
impl Simd for Portable {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn load<T: Number>(self, x: &[T]) -> [f32; 4] {
        lanes(x)
    }
    type Array<T: Number> = [T; 4];
    #[inline(always)]
    fn arrays<T: Number>(x: &[T]) -> &[[T; 4]] {
        x.as_chunks().0
    }
    #[inline(always)]
    fn load_array<T: Number>(self, x: &[T; 4]) -> [f32; 4] {
        core::array::from_fn(|i| x[i].to_f32())
    }
    #[inline(always)]
    fn store(self, x: [f32; 4], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x;
        }
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn greater(self, a: [f32; 4], b: [f32; 4]) -> u32 {
        (0..4).map(|i| u32::from(a[i] > b[i]) << i).sum()
    }
    #[inline(always)]
    fn not_zero(self, x: [f32; 4]) -> u32 {
        (0..4).map(|i| u32::from(x[i] != 0.0) << i).sum()
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn sum(self, x: [f32; 4]) -> f32 {
        (x[0] + x[1]) + (x[2] + x[3])
    }
    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// The first `L` elements, converted; zeros where `x` is shorter.
#[cfg(feature = "std")]
#[inline(always)]
fn lanes<T: Number, const L: usize>(x: &[T]) -> [f32; L] {
    match x.first_chunk::<L>() {
        Some(x) => core::array::from_fn(|i| x[i].to_f32()),
        None => core::array::from_fn(|i| x.get(i).map_or(0.0, |x| x.to_f32())),
    }
}
