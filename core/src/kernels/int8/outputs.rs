//! Bytes of many sums at once.

use super::Range;
#[cfg(cortex_m_dsp)]
use super::cortex_m;
#[cfg(not(cortex_m_dsp))]
use super::requantise::requantise;
use crate::span::{reach_mut, reach_rest};

/// Every `step`-th sum as an output.
#[inline(always)]
pub(super) fn requantise_all((sums, step): (&[i32], usize), multipliers: &[[i32; 2]], range: &Range, out: &mut [i8]) {
    debug_assert!(multipliers.len() >= out.len() && sums.len() + step > out.len() * step, "{} outputs", out.len());
    #[cfg(cortex_m_dsp)]
    {
        let count = out.len();
        if count > 0 && multipliers.len() >= count && sums.len() > (count - 1) * step {
            let sums = (sums.as_ptr(), size_of::<i32>() * step);
            // SAFETY: all elements are there.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                if (range.low, range.high) == (-128, 127) {
                    cortex_m::outputs_of_all_bytes(sums, multipliers.as_ptr(), range, out.as_mut_ptr(), count);
                } else {
                    cortex_m::outputs_between(sums, multipliers.as_ptr(), range, out.as_mut_ptr(), count);
                }
            }
        }
    }
    #[cfg(not(cortex_m_dsp))]
    for ((out, sum), [multiplier, shift]) in out.iter_mut().zip(sums.iter().step_by(step.max(1))).zip(multipliers) {
        *out = range.output(requantise(*sum, *multiplier, *shift));
    }
}

/// The outputs of `P` positions from their sums, `[filter][position]`, to as many rows of `out`, which lie `stride` bytes apart.
#[inline(always)]
pub(super) fn requantise_rows<const P: usize>(
    sums: &[i32],
    multipliers: &[[i32; 2]],
    range: &Range,
    (out, stride): (&mut [i8], usize),
) {
    #[cfg(cortex_m_dsp)]
    if P == 4 && (range.low, range.high) == (-128, 127) {
        let count = multipliers.len();
        let all_there = count > 0 && sums.len() >= P * count && out.len() >= (P - 1) * stride + count;
        if all_there && multipliers.iter().all(|[_, shift]| *shift < 0) {
            // SAFETY: all elements are there, and all shifts are to the right.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                cortex_m::outputs_of_4(sums.as_ptr(), multipliers.as_ptr(), range, (out.as_mut_ptr(), stride), count);
            }
            return;
        }
    }
    for p in 0..P {
        let out = reach_mut(out, p * stride, multipliers.len());
        requantise_all((reach_rest(sums, p), P), multipliers, range, out);
    }
}
