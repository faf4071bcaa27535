//! The ReLU of a stage that neither convolves over all channels nor pools, and the upper end of a ReLU6.

use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::span_mut;

/// Where a ReLU6 ends.
const CAP: f32 = 6.0;

/// ReLU of whole positions, `[column][channel]`. Its bits go to `masks` (`[column][word]`), unless that is empty.
pub(crate) fn rectify(stage: &Spatial, x: &mut [f32], masks: &mut [u32]) {
    let mut words = masks.iter_mut();
    for position in x.chunks_exact_mut(stage.output().channels.max(1)) {
        for part in position.chunks_mut(WORD_BITS) {
            let mut alive = 0;
            for (bit, x) in part.iter_mut().enumerate() {
                let above = *x - stage.threshold();
                alive |= u32::from(above > 0.0) << bit;
                *x = if above > 0.0 { above } else { 0.0 };
            }
            if let Some(word) = words.next() {
                *word = alive;
            }
        }
    }
}

/// Cuts what is 6 or more off, and clears its bits of life: `x` is `[column][channel]`, `masks` `[column][planes][word]` with
/// the plane of life first, or empty.
pub(crate) fn cap(stage: &Spatial, x: &mut [f32], masks: &mut [u32]) {
    let (words, planes) = (stage.words(), stage.planes());
    for (column, position) in x.chunks_exact_mut(stage.output().channels.max(1)).enumerate() {
        let own = if masks.is_empty() { &mut [][..] } else { span_mut(masks, column * planes * words, words) };
        cap_values(position, own);
    }
}

/// [`cap`] of one vector, whose bits are `alive`.
pub(crate) fn cap_values(x: &mut [f32], alive: &mut [u32]) {
    for (i, x) in x.iter_mut().enumerate() {
        if *x >= CAP {
            *x = CAP;
            if let Some(word) = alive.get_mut(i / WORD_BITS) {
                *word &= !(1 << (i % WORD_BITS));
            }
        }
    }
}

/// Adds the live part of one gradient to another, both `[column][channel]`.
pub(crate) fn add_live(output: &super::conv::GradientRow<'_>, target: &mut [f32]) {
    let stage = output.masks.stage;
    for (q, target) in target.chunks_exact_mut(stage.output().channels.max(1)).enumerate() {
        output.for_each_live(q, |i, g| {
            if let Some(target) = target.get_mut(i) {
                *target += g;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;

    #[test]
    fn both_ends_of_a_relu6_are_dead() {
        let network: Network = "input(1,1,5) relu6 flatten".parse().unwrap();
        let stage = network.plan().spatial(0).unwrap();
        let (mut x, mut masks) = ([-1.0, 0.0, 3.0, 6.0, 7.0], [0]);
        rectify(stage, &mut x, &mut masks);
        cap(stage, &mut x, &mut masks);
        assert_eq!((x, masks), ([0.0, 0.0, 3.0, 6.0, 6.0], [0b00100]));
    }
}
