//! Dot products of filters' weights with a [`Patch`].

#[cfg(cortex_m_dsp)]
use super::cortex_m;
use super::patch::{Patch, unpack, weights_at};
use crate::span::reach_rest;

/// Begins the sums of each filter, `[filter][position]`, with its bias.
#[inline(always)]
pub(super) fn begin(sums: &mut [i32], positions: usize, bias: &[i32]) {
    #[cfg(cortex_m_dsp)]
    if positions == 4 && !bias.is_empty() && sums.len() >= 4 * bias.len() {
        // SAFETY: all elements are there.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            cortex_m::repeat4(bias.as_ptr(), sums.as_mut_ptr(), bias.len());
        }
        return;
    }
    for (sums, bias) in sums.chunks_exact_mut(positions.max(1)).zip(bias) {
        sums.iter_mut().for_each(|sum| *sum = *bias);
    }
}

/// Adds to the sums of each filter, `[filter][position]`, the products of a patch with its weights; from one filter to the next it
/// is `stride` weights.
#[inline(never)]
pub(super) fn add_dots(sums: &mut [i32], patch: &Patch<'_>, weights: &[i8], stride: usize) {
    if patch.words().is_empty() {
        return;
    }
    #[cfg(cortex_m_dsp)]
    let done = add_at_once(sums, patch, weights, stride);
    #[cfg(not(cortex_m_dsp))]
    let done = 0;
    for (o, sums) in sums.chunks_exact_mut(patch.positions().max(1)).enumerate().skip(done) {
        add_one(sums, patch, reach_rest(weights, o * stride));
    }
}

/// In assembly, for the first filters; returns for how many. Behind the others there are no weights to fill a word up.
#[cfg(cortex_m_dsp)]
fn add_at_once(sums: &mut [i32], patch: &Patch<'_>, weights: &[i8], stride: usize) -> usize {
    let positions = patch.positions().max(1);
    let whole = weights.len().checked_sub(patch.end()).map_or(0, |more| more / stride.max(1) + 1);
    let filters = whole.min(sums.len() / positions);
    // One position takes two filters at a time.
    let filters = if positions == 1 { filters & !1 } else { filters };
    if filters > 0 {
        let (sums, words, weights) = ((sums.as_mut_ptr(), filters), patch.words(), weights.as_ptr());
        // SAFETY: so many filters have weights for all of the patch, and sums.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            match positions {
                1 => cortex_m::dots1(sums, words, weights, stride),
                2 => cortex_m::dots2(sums, words, weights, stride),
                3 => cortex_m::dots3(sums, words, weights, stride),
                _ => cortex_m::dots4(sums, words, weights, stride),
            }
        }
    }
    filters
}

/// Adds the products of one filter's weights.
#[inline(never)]
fn add_one(sums: &mut [i32], patch: &Patch<'_>, weights: &[i8]) {
    let positions = patch.positions();
    for entry in patch.words().chunks_exact(2 * positions + 1) {
        let Some((even, [place, odd @ ..])) = entry.split_at_checked(positions) else { return };
        let [w_even, w_odd] = unpack(weights_at(weights, *place), 0);
        for ((sum, even), odd) in sums.iter_mut().zip(even).zip(odd) {
            *sum = sum.wrapping_add(dot2(*even, w_even)).wrapping_add(dot2(*odd, w_odd));
        }
    }
}

/// The sum of the products of lower and of upper halves: SMUAD.
fn dot2(a: u32, b: u32) -> i32 {
    let low = i32::from(a as u16 as i16).wrapping_mul(i32::from(b as u16 as i16));
    let high = i32::from((a >> 16) as u16 as i16).wrapping_mul(i32::from((b >> 16) as u16 as i16));
    low.wrapping_add(high)
}
