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
