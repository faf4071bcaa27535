//! Dot products of a filter's weights with what lies under a few positions.
//!
//! A *patch* is what lies under the positions, unpacked to 16 bits less the zero point, in the order in which a word of four
//! weights is unpacked by SXTB16:
//! ```text
//! P positions, for each four elements 2 * P words:
//!
//! | elements 0, 2 of position 0 | .. of position 1 | .. P | elements 1, 3 of position 0 | .. of position 1 | .. P |
//! ```

use super::unpack::unpack;
#[cfg(cortex_m_dsp)]
use crate::span::{reach_rest, split_mut};

/// Words of a patch of `elements` elements under each of `positions` positions.
pub(super) const fn patch_words(positions: usize, elements: usize) -> usize {
    2 * positions * elements.div_ceil(4)
}

/// Begins the sums of each filter, `[filter][position]`, with its bias.
#[inline(always)]
pub(super) fn begin<const P: usize>(sums: &mut [i32], bias: &[i32]) {
    #[cfg(cortex_m_dsp)]
    if P == 4 && !bias.is_empty() && sums.len() >= 4 * bias.len() {
        // SAFETY: all elements are there.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            super::cortex_m::repeat4(bias.as_ptr(), sums.as_mut_ptr(), bias.len());
        }
        return;
    }
    sums.as_chunks_mut::<P>().0.iter_mut().zip(bias).for_each(|(sums, bias)| *sums = [*bias; P]);
}

/// Adds to the sums of each filter, `[filter][position]`, the products of `len` of its weights with the elements under each
/// position; from one filter to the next it is `stride` weights. Where `len` is no multiple of 4 the patch ends with zeros, so
/// that it does not matter which weights they meet.
#[inline(never)]
pub(super) fn add_all_dots<const P: usize>(
    sums: &mut [i32],
    patch: &[u32],
    weights: &[i8],
    (len, stride): (usize, usize),
) {
    const { assert!(P == 1 || P == 2 || P == 4, "as many positions as the assembly takes") };
    #[cfg(cortex_m_dsp)]
    let padded = len.next_multiple_of(4);
    debug_assert!(patch.len() >= patch_words(P, len), "{len} elements of a patch of {}", patch.len());
    if len == 0 || patch.len() < patch_words(P, len) {
        return;
    }
    let sums = sums.as_chunks_mut::<P>().0;
    #[cfg(cortex_m_dsp)]
    let (sums, mut weights) = {
        // Those behind which there are weights to fill a word up.
        let whole = weights.len().checked_sub(padded).map_or(0, |more| more / stride.max(1) + 1);
        let whole = whole.min(sums.len());
        let (at_once, others) = split_mut(sums, whole);
        at_once_all(at_once, patch, weights, (padded, stride));
        (others, reach_rest(weights, whole * stride))
    };
    #[cfg(not(cortex_m_dsp))]
    let mut weights = weights;
    for sums in sums {
        add_quads(sums, patch, weights.get(..len).unwrap_or(weights));
        weights = weights.get(stride..).unwrap_or(&[]);
    }
}

/// [`add_all_dots`] in assembly.
#[cfg(cortex_m_dsp)]
#[inline(always)]
fn at_once_all<const P: usize>(sums: &mut [[i32; P]], patch: &[u32], weights: &[i8], lengths: (usize, usize)) {
    use super::cortex_m::{dots1, dots2, dots4};

    let (patch, weights) = (patch.as_ptr(), weights.as_ptr());
    let (filters, sums) = (sums.len(), sums.as_mut_ptr().cast());
    if filters == 0 {
        return;
    }
    // SAFETY: the caller checked the lengths of patch and weights.
    #[allow(unsafe_code, reason = "inline assembly")]
    unsafe {
        match P {
            1 => dots1((sums, filters), patch, weights, lengths),
            2 => dots2((sums, filters), patch, weights, lengths),
            _ => dots4((sums, filters), patch, weights, lengths),
        }
    }
}

/// Adds the products of one filter's weights.
#[inline(never)]
fn add_quads<const P: usize>(sums: &mut [i32; P], patch: &[u32], weights: &[i8]) {
    let (quads, tail) = weights.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(tail).for_each(|(last, w)| *last = *w);
    portable(sums, patch, quads);
    portable(sums, patch.get(2 * P * quads.len()..).unwrap_or(&[]), &[last]);
}

/// [`add_quads`] of whole words of weights.
fn portable<const P: usize>(sums: &mut [i32; P], patch: &[u32], weights: &[[i8; 4]]) {
    for (patch, weights) in patch.chunks_exact(2 * P).zip(weights) {
        let (even, odd) = patch.split_at_checked(P).unwrap_or_default();
        let [w_even, w_odd] = unpack(*weights, 0);
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
