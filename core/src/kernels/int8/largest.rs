//! The largest sum of each pooling window.

use crate::network::plan::{POSITIONS, Spatial, WORD_BITS};

/// Makes the first sum of each filter the largest, and notes where in the window it was found, in word `word` of the planes and
/// those behind it, unless `masks` is empty. `slots` has twice the row and the column of each of `count` positions.
#[inline(never)]
pub(super) fn keep_largest(
    stage: &Spatial,
    sums: &mut [i32],
    (count, slots): (usize, &[usize; POSITIONS]),
    (masks, word): (&mut [u32], usize),
) {
    if count == POSITIONS && masks.is_empty() {
        return sums
            .as_chunks_mut::<POSITIONS>()
            .0
            .iter_mut()
            .for_each(|[a, b, c, d]| *a = (*a).max(*b).max(*c).max(*d));
    }
    let filters = sums.len() / count.max(1);
    let mut bits = [0; WINNER_PLANES];
    for (o, sums) in sums.chunks_exact_mut(count.max(1)).enumerate() {
        let [a, b, c, d] = match *sums {
            [a, b, c, d] => [a, b, c, d],
            _ => spread(sums, slots),
        };
        // Only a larger one takes the first one's place.
        let (above, below) = (a.max(b), c.max(d));
        let (is_below, is_right) = (below > above, if below > above { d > c } else { b > a });
        sums.iter_mut().take(1).for_each(|sum| *sum = above.max(below));
        let place = o % WORD_BITS;
        bits = [bits[0] | u32::from(is_below) << place, bits[1] | u32::from(is_right) << place];
        if place == WORD_BITS - 1 || o + 1 == filters {
            put_winners(stage, masks, word + o / WORD_BITS, core::mem::take(&mut bits));
        }
    }
}

/// The sums of a window of which some places are missing.
fn spread(sums: &[i32], slots: &[usize; POSITIONS]) -> [i32; POSITIONS] {
    let mut all = [i32::MIN; POSITIONS];
    for (sum, slot) in sums.iter().zip(slots) {
        if let Some(place) = all.get_mut(*slot) {
            *place = *sum;
        }
    }
    all
}

/// Planes of the winner in a window of 2x2: row and column.
const WINNER_PLANES: usize = 2;

/// Word `word` of the planes of winners.
fn put_winners(stage: &Spatial, masks: &mut [u32], word: usize, bits: [u32; WINNER_PLANES]) {
    let first = usize::from(stage.relu);
    for (plane, bits) in (first..).zip(bits) {
        if let Some(target) = masks.get_mut(plane * stage.words() + word) {
            *target = bits;
        }
    }
}
