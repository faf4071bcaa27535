//! Vectors of integers in plain Rust, with which tests compare the others.

use super::{FILTERS, Int8Simd, Multipliers};

/// Arrays.
#[derive(Clone, Copy)]
pub(crate) struct PortableInt8;

type Lanes = [i32; FILTERS];

impl Int8Simd for PortableInt8 {
    type Sums = Lanes;
    type Partial = Lanes;
    type Weights = [i8; 4 * FILTERS];
    type Inputs = [i8; 4];
    const OFFSET: i32 = 0;
    const MANY_REGISTERS: bool = false;
    const BLOCKS: usize = 1;

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
    fn live(self, x: &[i8; 32]) -> [u32; 2] {
        let (fours, _) = x.as_chunks::<4>();
        [fours.iter().enumerate().fold(0, |live, (i, four)| live | u32::from(*four != [0; 4]) << i), 0]
    }
    #[inline(always)]
    fn add_dots(self, sums: Lanes, x: [i8; 4], w: [i8; 4 * FILTERS]) -> Lanes {
        let (w, _) = w.as_chunks::<4>();
        let mut sums = sums;
        for (sum, w) in sums.iter_mut().zip(w) {
            for (x, w) in x.iter().zip(w) {
                *sum = sum.wrapping_add(i32::from(*x) * i32::from(*w));
            }
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
            // Two roundings, each half away from zero; the first as gemmlowp writes it.
            let x = x[i].checked_shl(left[i] as u32).unwrap_or(0);
            let product = i64::from(x) * i64::from(multiplier[i]);
            let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
            let high = (product + nudge) / (1 << 31);
            let half = (1i64 << right[i]) >> 1;
            (if high >= 0 { (high + half) >> right[i] } else { -((half - high) >> right[i]) }) as i32
        })
    }
}
