//! What a row contributes where nothing is multiplied with weights: averages, sums of two maps, poolings and ReLUs by themselves.

use super::contribution::{Contribution, Way, high_product, shifted};
use crate::kernels::average;
use crate::kernels::int8::Int8Layer;
use crate::kernels::masks::take_bit;
use crate::network::plan::WORD_BITS;
use crate::span::{span, span_mut};

impl Contribution<'_> {
    /// Of an average: a share of the gradient to each input of a window.
    pub(super) fn spread(self, sums: &mut [i32]) {
        let stage = self.stage();
        if !average::rows(stage, self.output.row).contains(&self.row) {
            return;
        }
        let channels = stage.output().channels;
        for q in 0..stage.output().width {
            // A share of Q31.
            let share = (i32::MAX as usize / average::count(stage, self.output.row, q).max(1)) as i32;
            let values = span(self.output.gradients.values, q * channels, channels);
            for column in average::columns(stage, q) {
                add_shares(values, (share, self.shift), span_mut(sums, column * channels, channels));
            }
        }
    }

    /// Of a sum of two maps: to each its share.
    pub(super) fn add(self, way: Way, sums: &mut [i32]) {
        let (share, exponent) = share_of_operand(self.layer, way);
        add_shares(self.output.gradients.values, (share, self.shift - exponent), sums);
    }

    /// Of a pooling, or of nothing but a ReLU: the whole gradient to the winner.
    pub(super) fn hand_on(self, sums: &mut [i32]) {
        let stage = self.stage();
        let channels = stage.output().channels;
        for (wy, _) in self.kernel_rows() {
            for q in 0..stage.output().width {
                let values = span(self.output.gradients.values, q * channels, channels);
                for wx in 0..stage.pool() {
                    let run = self.run(q, wx);
                    let sums = span_mut(sums, run.column * channels, run.len * channels);
                    for word in 0..stage.words() {
                        let mut winners = self.output.masks.winners(q, word, wy, wx);
                        while winners != 0 {
                            let o = word * WORD_BITS + take_bit(&mut winners);
                            if let (Some(sum), Some(value)) = (sums.get_mut(o), values.get(o)) {
                                *sum += shifted(i32::from(*value), self.shift);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds `value * share * 2^-(31 + shift)` for each value; the share is of Q31.
fn add_shares(values: &[i16], (share, shift): (i32, i32), sums: &mut [i32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        // The product has a unit of 2^-15 of the value's.
        *sum += shifted(high_product(i32::from(*value) << 16, share), shift + 15);
    }
}

/// The slope of a sum of two maps in one of them, as a number of Q31 and a power of two: the product of the multiplier that brings
/// the map to their common scale, 20 bits higher, and of the one that brings the sum back.
pub(super) fn share_of_operand(layer: &Int8Layer<'_>, way: Way) -> (i32, i32) {
    let multiplier = |number: usize| layer.multipliers.get(number).copied().unwrap_or_default();
    let [own, own_shift] = multiplier(if way == Way::Read { 0 } else { 1 });
    let [output, output_shift] = multiplier(2);
    (high_product(own, output) << 1, own_shift + output_shift + 20)
}
