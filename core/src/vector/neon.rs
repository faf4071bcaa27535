//! NEON vectors, which every 64-bit Arm processor has: their instructions need no check. f16 are converted one lane after
//! the other, by [`Number::to_f32`].

use super::int8::{Int8Kernel, NeonInt8};
use super::{Kernel, Simd};
use crate::number::Number;
use core::arch::aarch64::*;

/// One instruction; no memory is touched.
macro_rules! neon {
    ($instruction:expr) => {{
        // SAFETY: NEON is part of the target.
        #[allow(unsafe_code, reason = "every aarch64 processor has NEON")]
        unsafe {
            $instruction
        }
    }};
}

/// Four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    type Vector = float32x4_t;
    type Array<T: Number> = [T; 4];
    const LANES: usize = 4;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        neon!(vdupq_n_f32(x))
    }
    #[inline(always)]
    fn load<T: Number>(self, x: &[T]) -> float32x4_t {
        let mut some = [T::zeroed(); 4];
        match x.first_chunk() {
            Some(x) => self.load_array(x),
            None => {
                some.iter_mut().zip(x).for_each(|(target, x)| *target = *x);
                self.load_array(&some)
            }
        }
    }
    #[inline(always)]
    fn arrays<T: Number>(x: &[T]) -> &[[T; 4]] {
        x.as_chunks().0
    }
    #[inline(always)]
    fn load_array<T: Number>(self, x: &[T; 4]) -> float32x4_t {
        let [a, b, c, d] = *x;
        let x = [a.to_f32(), b.to_f32(), c.to_f32(), d.to_f32()];
        // SAFETY: `x` has four f32.
        #[allow(unsafe_code, reason = "a load of checked elements")]
        unsafe {
            vld1q_f32(x.as_ptr())
        }
    }
    #[inline(always)]
    fn store(self, x: float32x4_t, out: &mut [f32]) {
        let mut lanes = [0.0; 4];
        // SAFETY: `lanes` has four f32.
        #[allow(unsafe_code, reason = "a store to checked elements")]
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), x);
        }
        match out.first_chunk_mut() {
            Some(out) => *out = lanes,
            None => out.iter_mut().zip(lanes).for_each(|(out, x)| *out = x),
        }
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        neon!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn greater(self, a: float32x4_t, b: float32x4_t) -> u32 {
        bits(neon!(vcgtq_f32(a, b)))
    }
    #[inline(always)]
    fn not_zero(self, x: float32x4_t) -> u32 {
        bits(neon!(vmvnq_u32(vceqzq_f32(x))))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vmaxq_f32(a, b))
    }
    #[inline(always)]
    fn sum(self, x: float32x4_t) -> f32 {
        neon!(vaddvq_f32(x))
    }
    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    const HAS_INT8: bool = true;
    #[inline(always)]
    fn call_int8<K: Int8Kernel>(self, kernel: K) {
        match NeonInt8::<true>::detect() {
            Some(simd) => simd.run(kernel),
            None => NeonInt8::<false>::BASE.run(kernel),
        }
    }
}

/// A bit for each lane of a comparison's result.
#[inline(always)]
fn bits(lanes: uint32x4_t) -> u32 {
    neon!({
        let values = vcombine_u32(vcreate_u32(1 | 2 << 32), vcreate_u32(4 | 8 << 32));
        vaddvq_u32(vandq_u32(lanes, values))
    })
}
