//! AVX2 and AVX-512 vectors.
//!
//! Loads and stores take slices whose lengths were checked, or mask what is not there.
//! (Other `unsafe` code of the crate: `neon.rs`, and the assembly for Cortex-M in `kernels/sparse` and `number`.)

use super::int8::{Avx2Int8, Avx512Int8, Int8Kernel};
use super::x86_token::{Avx2, Avx512, proven};
use super::{Kernel, Simd};
use crate::number::{Kind, Number};
use core::arch::x86_64::*;

/// Compiles `kernel` with AVX2 instructions.
pub(crate) fn run_avx2<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn inner<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: `simd` proves that the processor has these features.
    #[allow(unsafe_code, reason = "the features were detected")]
    unsafe {
        inner(simd, kernel)
    }
}

/// Compiles `kernel` with AVX-512 instructions.
pub(crate) fn run_avx512<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    fn inner<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: `simd` proves that the processor has these features.
    #[allow(unsafe_code, reason = "the features were detected")]
    unsafe {
        inner(simd, kernel)
    }
}

impl Simd for Avx2 {
    type Vector = __m256;
    type Array<T: Number> = [T; 8];
    const LANES: usize = 8;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        proven!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn load<T: Number>(self, x: &[T]) -> __m256 {
        match x.first_chunk() {
            Some(x) => self.load_array(x),
            None if size_of::<T>() == size_of::<f32>() => {
                // SAFETY: only the f32 that `x` has are read; `self` exists only if the processor has the feature.
                #[allow(unsafe_code, reason = "a load of as many elements as there are")]
                unsafe {
                    _mm256_maskload_ps(x.as_ptr().cast(), first_of_8(self, x.len()))
                }
            }
            None => self.load_array(&filled_up(x)),
        }
    }
    #[inline(always)]
    fn arrays<T: Number>(x: &[T]) -> &[[T; 8]] {
        x.as_chunks().0
    }
    #[inline(always)]
    fn load_array<T: Number>(self, x: &[T; 8]) -> __m256 {
        if size_of::<T>() == size_of::<f32>() {
            // SAFETY: `x` has eight f32, at any address.
            #[allow(unsafe_code, reason = "a load of checked elements")]
            unsafe {
                _mm256_loadu_ps(x.as_ptr().cast())
            }
        } else if T::KIND == Kind::I8 {
            bytemuck::cast(x.map(|x| x.to_f32()))
        } else {
            // SAFETY: `x` has eight f16, at any address; `self` exists only if the processor has the feature.
            #[allow(unsafe_code, reason = "a load of checked elements")]
            unsafe {
                _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast()))
            }
        }
    }
    #[inline(always)]
    fn store(self, x: __m256, out: &mut [f32]) {
        if let Some(out) = out.first_chunk_mut() {
            *out = bytemuck::cast::<_, [f32; 8]>(x);
        } else {
            // SAFETY: only the elements that `out` has are written; `self` exists only if the processor has the feature.
            #[allow(unsafe_code, reason = "a store of as many elements as there are")]
            unsafe {
                _mm256_maskstore_ps(out.as_mut_ptr(), first_of_8(self, out.len()), x);
            }
        }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn greater(self, a: __m256, b: __m256) -> u32 {
        proven!(_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))) as u32
    }
    #[inline(always)]
    fn not_zero(self, x: __m256) -> u32 {
        proven!(_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps()))) as u32
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_max_ps(a, b))
    }
    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        run_avx2(self, kernel)
    }
    const HAS_INT8: bool = true;
    #[inline(always)]
    fn call_int8<K: Int8Kernel>(self, kernel: K) {
        Avx2Int8::of(self).run(kernel);
    }
    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        let x: [f32; 8] = bytemuck::cast(x);
        sum(x)
    }
}

impl Simd for Avx512 {
    type Vector = __m512;
    type Array<T: Number> = [T; 16];
    const LANES: usize = 16;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        proven!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load<T: Number>(self, x: &[T]) -> __m512 {
        match x.first_chunk() {
            Some(x) => self.load_array(x),
            None if size_of::<T>() == size_of::<f32>() => {
                // SAFETY: only the f32 that `x` has are read; `self` exists only if the processor has the feature.
                #[allow(unsafe_code, reason = "a load of as many elements as there are")]
                unsafe {
                    _mm512_maskz_loadu_ps(first_of_16(x.len()), x.as_ptr().cast())
                }
            }
            None => self.load_array(&filled_up(x)),
        }
    }
    #[inline(always)]
    fn arrays<T: Number>(x: &[T]) -> &[[T; 16]] {
        x.as_chunks().0
    }
    #[inline(always)]
    fn load_array<T: Number>(self, x: &[T; 16]) -> __m512 {
        if size_of::<T>() == size_of::<f32>() {
            // SAFETY: `x` has sixteen f32, at any address; `self` exists only if the processor has the feature.
            #[allow(unsafe_code, reason = "a load of checked elements")]
            unsafe {
                _mm512_loadu_ps(x.as_ptr().cast())
            }
        } else if T::KIND == Kind::I8 {
            bytemuck::cast(x.map(|x| x.to_f32()))
        } else {
            // SAFETY: `x` has sixteen f16, at any address; `self` exists only if the processor has the feature.
            #[allow(unsafe_code, reason = "a load of checked elements")]
            unsafe {
                _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast()))
            }
        }
    }
    #[inline(always)]
    fn store(self, x: __m512, out: &mut [f32]) {
        if let Some(out) = out.first_chunk_mut() {
            *out = bytemuck::cast::<_, [f32; 16]>(x);
        } else {
            // SAFETY: only the elements that `out` has are written; `self` exists only if the processor has the feature.
            #[allow(unsafe_code, reason = "a store of as many elements as there are")]
            unsafe {
                _mm512_mask_storeu_ps(out.as_mut_ptr(), first_of_16(out.len()), x);
            }
        }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn greater(self, a: __m512, b: __m512) -> u32 {
        u32::from(proven!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)))
    }
    #[inline(always)]
    fn not_zero(self, x: __m512) -> u32 {
        u32::from(proven!(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, _mm512_setzero_ps())))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }
    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        run_avx512(self, kernel)
    }
    const HAS_INT8: bool = true;
    #[inline(always)]
    fn call_int8<K: Int8Kernel>(self, kernel: K) {
        match Avx512Int8::detect() {
            Some(simd) => simd.run(kernel),
            None => Avx2Int8::of_wider(self).run(kernel),
        }
    }
    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        proven!(_mm512_reduce_add_ps(x))
    }
}

/// A mask of the first `count` of eight lanes: those that are there.
#[inline(always)]
fn first_of_8(_: Avx2, count: usize) -> __m256i {
    // SAFETY: the token exists only if the processor has the feature; no memory is touched.
    #[allow(unsafe_code, reason = "the features were detected")]
    unsafe {
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

/// A mask of the first `count` of sixteen lanes.
#[inline(always)]
fn first_of_16(count: usize) -> u16 {
    (u16::MAX as u32 >> 16usize.saturating_sub(count)) as u16
}

/// The elements of `x`, fewer than `L`, and zeros.
#[cold]
#[inline(never)]
fn filled_up<T: Number, const L: usize>(x: &[T]) -> [T; L] {
    let mut some = [T::zeroed(); L];
    for (target, x) in some.iter_mut().zip(x) {
        *target = *x;
    }
    some
}

/// Halves added until one is left.
#[inline(always)]
fn sum(x: [f32; 8]) -> f32 {
    let x: [f32; 4] = core::array::from_fn(|i| x[i] + x[i + 4]);
    (x[0] + x[2]) + (x[1] + x[3])
}
