//! Vectors of integers in plain Rust, for the compiler to map to what the processor has.

use super::{FILTERS, Int8Kernel, Int8Simd, Multipliers};

/// Arrays.
#[derive(Clone, Copy)]
pub(crate) struct PortableInt8;

/// Runs `kernel` on any processor.
#[inline(never)]
pub(crate) fn run_portable<K: Int8Kernel>(kernel: K) {
    kernel.run(PortableInt8);
}

type Lanes = [i32; FILTERS];

impl Int8Simd for PortableInt8 {
    type Sums = Lanes;
    type Partial = Lanes;
    type Weights = [i8; 4 * FILTERS];
    type Inputs = [i8; 4];
    const OFFSET: i32 = 0;
    const MANY_REGISTERS: bool = false;
    const IS_ONE_REGISTER: bool = false;

    #[inline(always)]
    fn zero(self) -> Lanes {
        [0; FILTERS]
    }
    #[inline(always)]
    fn weights(self, w: &[i8; 4 * FILTERS]) -> [i8; 4 * FILTERS] {
        *w
    }
    #[inline(always)]
    fn inputs(self, x: [i8; 4]) -> [i8; 4] {
        x
    }
    #[inline(always)]
    fn add_dots(self, sums: Lanes, x: [i8; 4], w: [i8; 4 * FILTERS]) -> Lanes {
        let (w, _) = w.as_chunks::<4>();
        let mut sums = sums;
        for (sum, w) in sums.iter_mut().zip(w) {
            // Pairs of products of 16 bits, for which most processors have an instruction.
            let [a, b, c, d]: [i32; 4] = core::array::from_fn(|i| i32::from(i16::from(x[i])) * i32::from(i16::from(w[i])));
            *sum = sum.wrapping_add((a + b) + (c + d));
        }
        sums
    }
    #[inline(always)]
    fn sums(self, partial: Lanes) -> Lanes {
        partial
    }
    #[inline(always)]
    fn load(self, x: &Lanes) -> Lanes {
        *x
    }
    #[inline(always)]
    fn store(self, x: Lanes) -> Lanes {
        x
    }
    #[inline(always)]
    fn splat(self, x: i32) -> Lanes {
        [x; FILTERS]
    }
    #[inline(always)]
    fn widen(self, x: &[i8; FILTERS]) -> Lanes {
        x.map(i32::from)
    }
    #[inline(always)]
    fn narrow(self, x: Lanes) -> [i8; FILTERS] {
        x.map(|x| x as i8)
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        core::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        core::array::from_fn(|i| a[i].wrapping_mul(b[i]).wrapping_add(c[i]))
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        core::array::from_fn(|i| a[i].max(b[i]))
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        core::array::from_fn(|i| a[i].min(b[i]))
    }
    #[inline(always)]
    fn greater(self, a: Lanes, b: Lanes) -> u32 {
        (0..FILTERS).map(|i| u32::from(a[i] > b[i]) << i).sum()
    }
    #[inline(always)]
    fn requantise(self, x: Lanes, Multipliers { multiplier, left, right }: Multipliers<'_>) -> Lanes {
        core::array::from_fn(|i| {
            // To the nearest, half up, which is what truncation makes of the nudge of either sign.
            let product = i64::from(x[i].checked_shl(left[i] as u32).unwrap_or(0)) * i64::from(multiplier[i]);
            let high = ((product + (1 << 30)) >> 31) as i32;
            let mask = ((1u64 << right[i]) - 1) as i32;
            (high >> right[i]) + i32::from((high & mask) > (mask >> 1) + i32::from(high < 0))
        })
    }
}
