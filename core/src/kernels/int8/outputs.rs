//! Bytes of many sums at once.

#[cfg(cortex_m_dsp)]
use super::cortex_m;
#[cfg(not(cortex_m_dsp))]
use super::requantise::requantise;
use super::{Int8Layer, Range};
use crate::span::{reach_mut, reach_rest, span};

/// How the sums of some channels become outputs.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'a> {
    multipliers: &'a [[i32; 2]],
    range: Range,
    /// Whether outputs are all bytes, and each sum is shifted to the right by 2 at least, or lost.
    is_plain: bool,
}

impl<'a> Outputs<'a> {
    /// Those of a layer.
    pub(super) fn of(layer: &Int8Layer<'a>) -> Self {
        let Int8Layer { multipliers, range, .. } = *layer;
        // A multiplier that is not 0 is at least 2^30. What comes of 0 depends on the shift that stands beside it.
        let is_plain = |[multiplier, shift]: &[i32; 2]| {
            if *multiplier >= 1 << 30 { (-31..=-2).contains(shift) } else { [*multiplier, *shift] == [0, 0] }
        };
        let is_plain = (range.low, range.high) == (-128, 127) && multipliers.iter().all(is_plain);
        Self { multipliers, range, is_plain }
    }

    /// Those of `len` channels from `first` on.
    pub(super) fn channels(&self, first: usize, len: usize) -> Self {
        Self { multipliers: span(self.multipliers, first, len), ..*self }
    }

    /// Every `step`-th sum as an output.
    #[inline(never)]
    pub(super) fn every(&self, (sums, step): (&[i32], usize), out: &mut [i8]) {
        debug_assert!(self.multipliers.len() >= out.len() && sums.len() + step > out.len() * step, "{}", out.len());
        #[cfg(cortex_m_dsp)]
        {
            let count = out.len();
            if count > 0 && self.multipliers.len() >= count && sums.len() > (count - 1) * step {
                let (sums, multipliers) = ((sums.as_ptr(), size_of::<i32>() * step), self.multipliers.as_ptr());
                let out = out.as_mut_ptr();
                // SAFETY: all elements are there, an even number of them for the first function.
                #[allow(unsafe_code, reason = "inline assembly")]
                unsafe {
                    if self.is_plain && count.is_multiple_of(2) {
                        cortex_m::outputs_of_pairs(sums, multipliers, &self.range, out, count);
                    } else {
                        cortex_m::outputs(sums, multipliers, &self.range, out, count);
                    }
                }
            }
        }
        #[cfg(not(cortex_m_dsp))]
        for ((out, sum), [multiplier, shift]) in
            out.iter_mut().zip(sums.iter().step_by(step.max(1))).zip(self.multipliers)
        {
            *out = self.range.output(requantise(*sum, *multiplier, *shift));
        }
    }

    /// The outputs of `positions` positions from their sums, `[filter][position]`, to as many rows of `out`, which lie `stride` bytes
    /// apart.
    #[inline(never)]
    pub(super) fn rows(&self, sums: &[i32], positions: usize, (out, stride): (&mut [i8], usize)) {
        let count = self.multipliers.len();
        #[cfg(cortex_m_dsp)]
        if positions == 4 && self.is_plain {
            let all_there = count > 0 && sums.len() >= 4 * count && out.len() >= 3 * stride + count;
            let multipliers = self.multipliers.as_ptr();
            if all_there {
                // SAFETY: all elements are there.
                #[allow(unsafe_code, reason = "inline assembly")]
                return unsafe {
                    cortex_m::outputs_of_4(sums.as_ptr(), multipliers, &self.range, (out.as_mut_ptr(), stride), count)
                };
            }
        }
        for p in 0..positions {
            self.every((reach_rest(sums, p), positions), reach_mut(out, p * stride, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::requantise::requantise;
    use super::*;

    const ZEROS: [i32; 4] = [-128, -3, 0, 127];

    /// What `cortex_m/outputs.rs` makes of plain multipliers: SMMLAR, and one shift for the last bit and the zero point.
    fn at_once(sum: i32, [multiplier, shift]: [i32; 2], zero: i32) -> i8 {
        let (sum, multiplier) = (i64::from(sum), i64::from(multiplier << 1));
        let product = ((sum << 32).wrapping_add(sum * multiplier).wrapping_add(1 << 31) >> 32) as i32;
        // A register holds the shift in its lowest byte, and nothing but the sign is left from 32 on.
        let below = product.wrapping_add(product >> 31) >> (!shift & 0xff).min(31);
        (below.wrapping_add(2 * zero + 1) >> 1).clamp(-128, 127) as i8
    }

    /// The sums at which an output steps, those before them, and the ends. Outputs grow with their sums, so two ways that agree there
    /// agree everywhere.
    fn steps(of: impl Fn(i32) -> i8) -> Vec<i32> {
        let mut sums = std::vec![i32::MIN, i32::MAX];
        for byte in of(i32::MIN)..of(i32::MAX) {
            // The largest sum of that byte or a smaller one.
            let (mut low, mut high) = (i64::from(i32::MIN), i64::from(i32::MAX));
            while high - low > 1 {
                let middle = (low + high) >> 1;
                *if of(middle as i32) > byte { &mut high } else { &mut low } = middle;
            }
            sums.extend([low as i32, high as i32]);
        }
        sums
    }

    fn is_plain(pair: [i32; 2], low: i32) -> bool {
        let range = Range { low, high: 127, ..Range::default() };
        Outputs::of(&Int8Layer { multipliers: &[pair], range, ..Int8Layer::default() }).is_plain
    }

    #[test]
    fn plain_multipliers_need_one_rounding_step() {
        let multipliers =
            [0, 1, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 0x5555_5555, 0x6db6_db6d, i32::MAX - 1, i32::MAX];
        let mut plain = 0;
        for multiplier in multipliers.into_iter().step_by(if cfg!(miri) { 4 } else { 1 }) {
            for shift in (-31..=0).step_by(if cfg!(miri) { 9 } else { 1 }) {
                let pair = [multiplier, shift];
                let is_same = ZEROS.iter().all(|zero| {
                    let range = Range { output: *zero, low: -128, high: 127, ..Range::default() };
                    let one_by_one = |sum: i32| range.output(requantise(sum, multiplier, shift));
                    steps(one_by_one).into_iter().all(|sum| at_once(sum, pair, *zero) == one_by_one(sum))
                });
                assert!(is_same || !is_plain(pair, -128), "{pair:?}");
                // Shifted by 1, small multipliers would do; what 0 leaves of a number is not worth another case.
                assert!(!is_same || is_plain(pair, -128) || shift == -1 || multiplier == 0, "{pair:?} could be plain");
                assert!(!is_plain(pair, -127) && !is_plain([multiplier, 1 - shift], -128));
                plain += usize::from(is_plain(pair, -128));
            }
        }
        assert!(cfg!(miri) || plain == 6 * 30 + 1, "{plain}");
    }
}
