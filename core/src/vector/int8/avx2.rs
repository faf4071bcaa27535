//! AVX2: two registers hold 16 integers. `vpmaddubsw` adds pairs of products in 16 bits, which inputs of seven bits always fit;
//! the highest bit is multiplied by itself, where it is set.

use super::super::x86_token::{Avx2, Avx512, proven};
use super::{FILTERS, Int8Kernel, Int8Simd, Multipliers};
use core::arch::x86_64::*;

/// Proof of AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Int8(());

impl Avx2Int8 {
    /// Of a processor that has AVX2.
    #[inline(always)]
    pub(crate) fn of(_: Avx2) -> Self {
        Self(())
    }

    /// Of a processor that has AVX-512, and so AVX2.
    #[inline(always)]
    pub(crate) fn of_wider(_: Avx512) -> Self {
        Self(())
    }

    /// Compiles `kernel` with AVX2 instructions.
    #[inline(never)]
    pub(crate) fn run<K: Int8Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx2")]
        fn inner<K: Int8Kernel>(simd: Avx2Int8, kernel: K) {
            kernel.run(simd);
        }
        // SAFETY: `self` proves that the processor has AVX2.
        #[allow(unsafe_code, reason = "the feature was detected")]
        unsafe {
            inner(self, kernel);
        }
    }
}

type Pair = [__m256i; 2];

/// One instruction on both registers. (A macro and not a function of a closure, which would be compiled for any processor.)
macro_rules! both {
    (|$a:ident, $b:ident| $instruction:expr) => {{
        let ([a0, a1], [b0, b1]) = ($a, $b);
        let low = {
            let ($a, $b) = (a0, b0);
            proven!($instruction)
        };
        let high = {
            let ($a, $b) = (a1, b1);
            proven!($instruction)
        };
        [low, high]
    }};
}

impl Int8Simd for Avx2Int8 {
    type Sums = Pair;
    type Partial = Pair;
    type Weights = Pair;
    /// The lower seven bits of each, and the highest bits.
    type Inputs = Pair;
    /// The first operand of `vpmaddubsw` has no sign.
    const OFFSET: i32 = 128;
    const MANY_REGISTERS: bool = false;
    const BLOCKS: usize = 2;
    const HAS_LOW: bool = true;

    #[inline(always)]
    fn zero(self) -> Pair {
        self.splat(0)
    }
    #[inline(always)]
    fn weights(self, w: &[i8; 4 * FILTERS]) -> Pair {
        bytemuck::cast(*w)
    }
    #[inline(always)]
    fn inputs(self, x: [i8; 4]) -> Pair {
        let x = proven!(_mm256_set1_epi32(i32::from_ne_bytes(x.map(|x| x as u8))));
        let highest = proven!(_mm256_set1_epi8(i8::MIN));
        // With the offset the highest bit is the other one.
        proven!([_mm256_andnot_si256(highest, x), _mm256_andnot_si256(x, highest)])
    }
    #[inline(always)]
    fn live(self, x: &[i8; 32]) -> [u32; 2] {
        let x = bytemuck::cast(*x);
        let is_dead = proven!(_mm256_cmpeq_epi32(x, _mm256_set1_epi8(i8::MIN)));
        // No byte has its sign's bit cleared.
        let highest = proven!(_mm256_set1_epi8(i8::MIN));
        let is_low = proven!(_mm256_cmpeq_epi32(_mm256_and_si256(x, highest), highest));
        [is_dead, is_low].map(|lanes| !proven!(_mm256_movemask_ps(_mm256_castsi256_ps(lanes))) as u32 & 0xff)
    }
    #[inline(always)]
    fn add_low_dots(self, sums: Pair, [low, _]: Pair, w: Pair) -> Pair {
        // Sums of two products of seven and eight bits fit 16.
        let ones = proven!(_mm256_set1_epi16(1));
        both!(|sums, w| _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(low, w), ones)))
    }
    #[inline(always)]
    fn add_dots(self, sums: Pair, [low, high]: Pair, w: Pair) -> Pair {
        // 128 times two weights fits 16 bits too.
        self.add_low_dots(self.add_low_dots(sums, [low, high], w), [high, low], w)
    }
    #[inline(always)]
    fn sums(self, partial: Pair) -> Pair {
        partial
    }
    #[inline(always)]
    fn load(self, x: &[i32; FILTERS]) -> Pair {
        bytemuck::cast(*x)
    }
    #[inline(always)]
    fn store(self, x: Pair) -> [i32; FILTERS] {
        bytemuck::cast(x)
    }
    #[inline(always)]
    fn splat(self, x: i32) -> Pair {
        [proven!(_mm256_set1_epi32(x)); 2]
    }
    #[inline(always)]
    fn widen(self, x: &[i8; FILTERS]) -> Pair {
        let x: __m128i = bytemuck::cast(*x);
        [proven!(_mm256_cvtepi8_epi32(x)), proven!(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(x)))]
    }
    #[inline(always)]
    fn narrow(self, [a, b]: Pair) -> [i8; FILTERS] {
        // Packed within halves of a register: 0..4, 8..12, 4..8, 12..16.
        let words = proven!(_mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b)));
        let (low, high) = proven!((_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words)));
        bytemuck::cast(proven!(_mm_packs_epi16(low, high)))
    }
    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        both!(|a, b| _mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        // Pairs of 16 bits: the upper half of `b` is cleared, so that only the lower halves have a product.
        let product = both!(|a, b| _mm256_madd_epi16(a, _mm256_blend_epi16::<0b1010_1010>(b, _mm256_setzero_si256())));
        self.add(product, c)
    }
    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        both!(|a, b| _mm256_max_epi32(a, b))
    }
    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        both!(|a, b| _mm256_min_epi32(a, b))
    }
    #[inline(always)]
    fn greater(self, a: Pair, b: Pair) -> u32 {
        let [low, high] = both!(|a, b| _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))));
        (low | high << 8) as u32
    }
    #[inline(always)]
    fn requantise(self, x: Pair, Multipliers { multiplier, left, right }: Multipliers<'_>) -> Pair {
        let ([m0, m1], [left0, left1], [right0, right1]) = (self.load(multiplier), self.load(left), self.load(right));
        let [x0, x1] = x;
        [requantise(self, x0, [m0, left0, right0]), requantise(self, x1, [m1, left1, right1])]
    }
}

#[inline(always)]
fn requantise(_: Avx2Int8, x: __m256i, [multiplier, left, right]: [__m256i; 3]) -> __m256i {
    // SAFETY: the token exists only if the processor has the feature; no memory is touched.
    #[allow(unsafe_code, reason = "the feature was detected")]
    unsafe {
        let x = _mm256_sllv_epi32(x, left);
        // Products of 64 bits of the even and of the odd lanes, rounded half up.
        let half = _mm256_set1_epi64x(1 << 30);
        let even = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier), half);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(x), _mm256_srli_epi64::<32>(multiplier));
        let odd = _mm256_slli_epi64::<1>(_mm256_add_epi64(odd, half));
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<31>(even), odd);
        // To the right, rounded half away from zero.
        let ones = _mm256_set1_epi32(-1);
        let mask = _mm256_andnot_si256(_mm256_sllv_epi32(ones, right), ones);
        let threshold = _mm256_add_epi32(_mm256_srli_epi32::<1>(mask), _mm256_srli_epi32::<31>(high));
        let is_up = _mm256_cmpgt_epi32(_mm256_and_si256(high, mask), threshold);
        _mm256_sub_epi32(_mm256_srav_epi32(high, right), is_up)
    }
}
