//! NEON: four registers hold 16 integers. With `sdot` a register holds the sums of four filters, without it those of two, in
//! pairs.

use super::{FILTERS, Int8Kernel, Int8Simd, Multipliers};
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

/// NEON, with the instructions for dot products if `DOT`, which `detect` proves.
#[derive(Clone, Copy)]
pub(crate) struct NeonInt8<const DOT: bool>(());

type Lanes = [int32x4_t; 4];

/// With `sdot` the first four, without it all.
type Partial = [int32x4_t; 8];

impl NeonInt8<false> {
    /// NEON as every processor has it.
    pub(crate) const BASE: Self = Self(());

    #[inline(never)]
    pub(crate) fn run<K: Int8Kernel>(self, kernel: K) {
        kernel.run(self);
    }
}

impl NeonInt8<true> {
    #[inline(always)]
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }

    /// Compiles `kernel` with the instructions for dot products.
    #[inline(never)]
    pub(crate) fn run<K: Int8Kernel>(self, kernel: K) {
        #[target_feature(enable = "neon,dotprod")]
        fn inner<K: Int8Kernel>(simd: NeonInt8<true>, kernel: K) {
            kernel.run(simd);
        }
        // SAFETY: `self` proves that the processor has them.
        #[allow(unsafe_code, reason = "the feature was detected")]
        unsafe {
            inner(self, kernel);
        }
    }
}

/// One instruction on all registers of both.
macro_rules! each {
    ($a:ident, $b:ident, $instruction:ident) => {{
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = ($a, $b);
        neon!([$instruction(a0, b0), $instruction(a1, b1), $instruction(a2, b2), $instruction(a3, b3)])
    }};
}

impl<const DOT: bool> Int8Simd for NeonInt8<DOT> {
    type Sums = Lanes;
    type Partial = Partial;
    type Weights = [int8x16_t; 4];
    type Inputs = int8x16_t;
    const OFFSET: i32 = 0;
    const MANY_REGISTERS: bool = DOT;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn zero(self) -> Partial {
        [neon!(vdupq_n_s32(0)); 8]
    }
    #[inline(always)]
    fn weights(self, w: &[i8; 4 * FILTERS]) -> [int8x16_t; 4] {
        let (parts, _) = w.as_chunks::<16>();
        let mut weights = [neon!(vdupq_n_s8(0)); 4];
        for (target, w) in weights.iter_mut().zip(parts) {
            // SAFETY: `w` has 16 bytes.
            #[allow(unsafe_code, reason = "a load of checked elements")]
            unsafe {
                *target = vld1q_s8(w.as_ptr());
            }
        }
        weights
    }
    #[inline(always)]
    fn inputs(self, x: [i8; 4]) -> int8x16_t {
        neon!(vreinterpretq_s8_s32(vdupq_n_s32(i32::from_ne_bytes(x.map(|x| x as u8)))))
    }
    #[inline(always)]
    fn live(self, x: &[i8; 32]) -> [u32; 2] {
        let (fours, _) = x.as_chunks::<4>();
        [fours.iter().enumerate().fold(0, |live, (i, four)| live | u32::from(*four != [0; 4]) << i), 0]
    }
    #[inline(always)]
    fn add_dots(self, mut sums: Partial, x: int8x16_t, w: [int8x16_t; 4]) -> Partial {
        if DOT {
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum = sdot(self, *sum, x, w);
            }
            return sums;
        }
        for (sums, w) in sums.chunks_exact_mut(2).zip(w) {
            if let [low, high] = sums {
                // Products of 16 bits, which 128 * 128 fits.
                *low = neon!(vpadalq_s16(*low, vmull_s8(vget_low_s8(x), vget_low_s8(w))));
                *high = neon!(vpadalq_s16(*high, vmull_high_s8(x, w)));
            }
        }
        sums
    }
    #[inline(always)]
    fn sums(self, [a, b, c, d, e, f, g, h]: Partial) -> Lanes {
        if DOT { [a, b, c, d] } else { neon!([vpaddq_s32(a, b), vpaddq_s32(c, d), vpaddq_s32(e, f), vpaddq_s32(g, h)]) }
    }
    #[inline(always)]
    fn load(self, x: &[i32; FILTERS]) -> Lanes {
        let (parts, _) = x.as_chunks::<4>();
        let mut lanes = self.splat(0);
        for (target, x) in lanes.iter_mut().zip(parts) {
            // SAFETY: `x` has four integers.
            #[allow(unsafe_code, reason = "a load of checked elements")]
            unsafe {
                *target = vld1q_s32(x.as_ptr());
            }
        }
        lanes
    }
    #[inline(always)]
    fn store(self, x: Lanes) -> [i32; FILTERS] {
        let mut out = [0; FILTERS];
        let (parts, _) = out.as_chunks_mut::<4>();
        for (target, x) in parts.iter_mut().zip(x) {
            // SAFETY: `target` has four integers.
            #[allow(unsafe_code, reason = "a store to checked elements")]
            unsafe {
                vst1q_s32(target.as_mut_ptr(), x);
            }
        }
        out
    }
    #[inline(always)]
    fn splat(self, x: i32) -> Lanes {
        [neon!(vdupq_n_s32(x)); 4]
    }
    #[inline(always)]
    fn widen(self, x: &[i8; FILTERS]) -> Lanes {
        // SAFETY: `x` has 16 bytes.
        #[allow(unsafe_code, reason = "a load of checked elements")]
        let x = unsafe { vld1q_s8(x.as_ptr()) };
        neon!({
            let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
            let (a, b) = (vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low));
            [a, b, vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
        })
    }
    #[inline(always)]
    fn narrow(self, [a, b, c, d]: Lanes) -> [i8; FILTERS] {
        let mut out = [0; FILTERS];
        // SAFETY: `out` has 16 bytes.
        #[allow(unsafe_code, reason = "a store to checked elements")]
        unsafe {
            let (low, high) = (vmovn_high_s32(vmovn_s32(a), b), vmovn_high_s32(vmovn_s32(c), d));
            vst1q_s8(out.as_mut_ptr(), vmovn_high_s16(vmovn_s16(low), high));
        }
        out
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each!(a, b, vaddq_s32)
    }
    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        let products = each!(a, b, vmulq_s32);
        self.add(products, c)
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each!(a, b, vmaxq_s32)
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each!(a, b, vminq_s32)
    }
    #[inline(always)]
    fn greater(self, a: Lanes, b: Lanes) -> u32 {
        let mut bits = 0;
        for (i, lanes) in each!(a, b, vcgtq_s32).into_iter().enumerate() {
            let values = neon!(vcombine_u32(vcreate_u32(1 | 2 << 32), vcreate_u32(4 | 8 << 32)));
            bits |= neon!(vaddvq_u32(vandq_u32(lanes, values))) << (4 * i);
        }
        bits
    }
    #[inline(always)]
    fn requantise(self, x: Lanes, Multipliers { multiplier, left, right }: Multipliers<'_>) -> Lanes {
        let (multiplier, left, right) = (self.load(multiplier), self.load(left), self.load(right));
        let x = each!(x, left, vshlq_s32);
        let mut high = each!(x, multiplier, vqrdmulhq_s32);
        for (high, right) in high.iter_mut().zip(right) {
            *high = neon!({
                // Rounded half up; one less below 0 makes half away from zero of that.
                let down = vnegq_s32(right);
                let less = vshrq_n_s32::<31>(vandq_s32(*high, down));
                vrshlq_s32(vqaddq_s32(*high, less), down)
            });
        }
        high
    }
}

/// Adds the products of four bytes to each lane. (In assembly, because the language has no name for it yet.)
#[inline(always)]
fn sdot<const DOT: bool>(_: NeonInt8<DOT>, mut sums: int32x4_t, x: int8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: called only with the token that proves the instruction; no memory is touched.
    #[allow(unsafe_code, reason = "the feature was detected")]
    unsafe {
        core::arch::asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {w:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
