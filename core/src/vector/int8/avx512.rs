//! AVX-512 with VNNI: a register holds the sums of 16 filters.

use super::super::x86_token::proven;
use super::{FILTERS, Int8Kernel, Int8Simd, Multipliers};
use core::arch::x86_64::*;

/// Proof of AVX-512F, BW, VL and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Int8(());

impl Avx512Int8 {
    #[inline(always)]
    pub(crate) fn detect() -> Option<Self> {
        let found = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni");
        found.then_some(Self(()))
    }

    /// Compiles `kernel` with these instructions.
    #[inline(never)]
    pub(crate) fn run<K: Int8Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
        fn inner<K: Int8Kernel>(simd: Avx512Int8, kernel: K) {
            kernel.run(simd);
        }
        // SAFETY: `self` proves that the processor has these features.
        #[allow(unsafe_code, reason = "the features were detected")]
        unsafe {
            inner(self, kernel);
        }
    }
}

impl Int8Simd for Avx512Int8 {
    type Sums = __m512i;
    type Partial = __m512i;
    type Weights = __m512i;
    type Inputs = __m512i;
    /// The first operand of `vpdpbusd` has no sign.
    const OFFSET: i32 = 128;
    const MANY_REGISTERS: bool = true;
    const BLOCKS: usize = 4;

    #[inline(always)]
    fn zero(self) -> __m512i {
        proven!(_mm512_setzero_si512())
    }
    #[inline(always)]
    fn weights(self, w: &[i8; 4 * FILTERS]) -> __m512i {
        bytemuck::cast(*w)
    }
    #[inline(always)]
    fn inputs(self, x: [i8; 4]) -> __m512i {
        let x = proven!(_mm512_set1_epi32(i32::from_ne_bytes(x.map(|x| x as u8))));
        proven!(_mm512_xor_si512(x, _mm512_set1_epi8(i8::MIN)))
    }
    #[inline(always)]
    fn live(self, x: &[i8; 32]) -> [u32; 2] {
        [u32::from(proven!(_mm256_cmpneq_epi32_mask(bytemuck::cast(*x), _mm256_set1_epi8(i8::MIN)))), 0]
    }
    #[inline(always)]
    fn add_dots(self, sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        proven!(_mm512_dpbusd_epi32(sums, x, w))
    }
    #[inline(always)]
    fn sums(self, partial: __m512i) -> __m512i {
        partial
    }
    #[inline(always)]
    fn load(self, x: &[i32; FILTERS]) -> __m512i {
        bytemuck::cast(*x)
    }
    #[inline(always)]
    fn store(self, x: __m512i) -> [i32; FILTERS] {
        bytemuck::cast(x)
    }
    #[inline(always)]
    fn splat(self, x: i32) -> __m512i {
        proven!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn widen(self, x: &[i8; FILTERS]) -> __m512i {
        proven!(_mm512_cvtepi8_epi32(bytemuck::cast(*x)))
    }
    #[inline(always)]
    fn narrow(self, x: __m512i) -> [i8; FILTERS] {
        bytemuck::cast(proven!(_mm512_cvtepi32_epi8(x)))
    }
    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // Pairs of 16 bits: the upper half of `b` is cleared, so that only the lower halves have a product.
        let low = proven!(_mm512_maskz_mov_epi16(0x5555_5555, b));
        proven!(_mm512_dpwssd_epi32(c, a, low))
    }
    #[inline(always)]
    fn max(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_max_epi32(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_min_epi32(a, b))
    }
    #[inline(always)]
    fn greater(self, a: __m512i, b: __m512i) -> u32 {
        u32::from(proven!(_mm512_cmpgt_epi32_mask(a, b)))
    }
    #[inline(always)]
    fn requantise(self, x: __m512i, Multipliers { multiplier, left, right }: Multipliers<'_>) -> __m512i {
        let (multiplier, left, right) = (self.load(multiplier), self.load(left), self.load(right));
        proven!({
            let x = _mm512_sllv_epi32(x, left);
            // Products of 64 bits of the even and of the odd lanes, rounded half up.
            let half = _mm512_set1_epi64(1 << 30);
            let even = _mm512_add_epi64(_mm512_mul_epi32(x, multiplier), half);
            let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(x), _mm512_srli_epi64::<32>(multiplier));
            let odd = _mm512_slli_epi64::<1>(_mm512_add_epi64(odd, half));
            let high = _mm512_mask_mov_epi32(_mm512_srli_epi64::<31>(even), 0xaaaa, odd);
            // To the right, rounded half away from zero.
            let mask = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), right), _mm512_set1_epi32(-1));
            let threshold = _mm512_add_epi32(_mm512_srli_epi32::<1>(mask), _mm512_srli_epi32::<31>(high));
            let is_up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(high, mask), threshold);
            let result = _mm512_srav_epi32(high, right);
            _mm512_mask_sub_epi32(result, is_up, result, _mm512_set1_epi32(-1))
        })
    }
}
