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

/// Words of a patch of `elements` elements under each of `positions` positions.
pub(super) const fn patch_words(positions: usize, elements: usize) -> usize {
    2 * positions * elements.div_ceil(4)
}

/// Adds to the sums of each filter, `[filter][position]`, the products of `len` of its weights with the elements under each
/// position; from one filter to the next it is `stride` weights. Where `len` is no multiple of 4 the patch ends with zeros, so
/// that it does not matter which weights they meet.
#[inline(never)]
pub(super) fn add_all_dots<const P: usize>(
    sums: &mut [i32],
    patch: &[u32],
    mut weights: &[i8],
    (len, stride): (usize, usize),
) {
    let padded = len.next_multiple_of(4);
    if len == 0 || patch.len() < patch_words(P, len) {
        return;
    }
    for sums in sums.as_chunks_mut::<P>().0 {
        match weights.get(..padded) {
            Some(weights) => add_quads(sums, patch, weights.as_chunks().0),
            None => add_last(sums, patch, weights),
        }
        weights = weights.get(stride..).unwrap_or(&[]);
    }
}

/// Adds the products of the last filter, behind which there may be no weights.
#[inline(never)]
fn add_last<const P: usize>(sums: &mut [i32; P], patch: &[u32], weights: &[i8]) {
    let (quads, tail) = weights.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(tail).for_each(|(last, w)| *last = *w);
    portable(sums, patch, quads);
    portable(sums, patch.get(2 * P * quads.len()..).unwrap_or(&[]), &[last]);
}

/// Adds the products of whole words of weights, of which there is one at least, with a patch that is long enough.
#[inline(always)]
fn add_quads<const P: usize>(sums: &mut [i32; P], patch: &[u32], weights: &[[i8; 4]]) {
    #[cfg(cortex_m_dsp)]
    if add_quads_at_once(sums, patch, weights) {
        return;
    }
    portable(sums, patch, weights);
}

/// [`add_quads`] in assembly; false for a number of positions for which there is none.
#[cfg(cortex_m_dsp)]
#[inline(always)]
fn add_quads_at_once<const P: usize>(sums: &mut [i32; P], patch: &[u32], weights: &[[i8; 4]]) -> bool {
    use super::cortex_m::{dots1, dots2, dots4};

    let (patch, weights, quads) = (patch.as_ptr(), weights.as_ptr().cast(), weights.len());
    // SAFETY: the caller checked the length of the patch.
    #[allow(unsafe_code, reason = "inline assembly")]
    unsafe {
        if let Ok(sums) = <&mut [i32; 4]>::try_from(&mut sums[..]) {
            dots4(sums, patch, weights, quads);
        } else if let Ok(sums) = <&mut [i32; 2]>::try_from(&mut sums[..]) {
            dots2(sums, patch, weights, quads);
        } else if let Ok(sums) = <&mut [i32; 1]>::try_from(&mut sums[..]) {
            dots1(sums, patch, weights, quads);
        } else {
            return false;
        }
    }
    true
}

/// The loop that the assembly has.
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
