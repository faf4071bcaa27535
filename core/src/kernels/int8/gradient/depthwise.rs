//! What a row contributes through a depthwise convolution.

#[cfg(cortex_m_dsp)]
use super::super::cortex_m;
use super::contribution::{Contribution, shift_right};
use crate::network::plan::Spatial;
use crate::span::{rest, span, span_mut};

impl Contribution<'_> {
    /// Adds it to the sums of an input row, `[column][i]`.
    pub(super) fn convolve_depthwise(self, sums: &mut [i32]) {
        // The products of a channel's taps have at most 30 bits.
        if self.shift > 30 {
            return;
        }
        let stage = self.stage();
        let is_single = stage.input().channels != stage.output().channels;
        for (_, ky) in self.kernel_rows() {
            for column in 0..stage.input().width {
                let taps = Taps::over(stage, column);
                if taps.count == 0 {
                    // No window reaches it.
                } else if is_single {
                    self.add_to_single(ky, (column, taps), sums);
                } else {
                    self.add_to_channels(ky, (column, taps), sums);
                }
            }
        }
    }

    /// Channel by channel.
    #[inline(always)]
    fn add_to_channels(&self, ky: usize, (column, taps): (usize, Taps), sums: &mut [i32]) {
        let stage = self.stage();
        let (channels, width) = (stage.output().channels, stage.kernel_width());
        let sums = span_mut(sums, column * channels, channels);
        let values = span(self.output.gradients.values, taps.q * channels, taps.values(channels));
        let weights = rest(self.layer.weights, (ky * width + taps.kx) * channels);
        let last = (taps.count - 1) * taps.step * channels;
        let shift = self.shift as u32;
        #[cfg(cortex_m_dsp)]
        if channels.is_multiple_of(4)
            && channels > 0
            && weights.len() >= last + channels
            && values.len() == taps.count * channels
        {
            let (sums, values) = ((sums.as_mut_ptr(), channels / 4), (values.as_ptr(), channels));
            let weights = (weights.as_ptr().wrapping_add(last), taps.step * channels);
            // SAFETY: all elements are there.
            #[allow(unsafe_code, reason = "inline assembly")]
            return unsafe {
                if taps.count == 3 {
                    cortex_m::add_3_windows(sums, values, weights, 3, shift);
                } else {
                    cortex_m::add_windows(sums, values, weights, taps.count, shift);
                }
            };
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            let mut total = 0;
            for tap in 0..taps.count {
                // Further to the right on the output is further to the left in the kernel.
                let value = values.get(tap * channels + i).copied().unwrap_or(0);
                let from = last - tap * taps.step * channels + i;
                total += i32::from(value) * i32::from(weights.get(from).copied().unwrap_or(0));
            }
            *sum += shift_right(total, shift);
        }
    }

    /// All filters over a single channel.
    #[inline(never)]
    fn add_to_single(&self, ky: usize, (column, taps): (usize, Taps), sums: &mut [i32]) {
        let stage = self.stage();
        let (filters, width) = (stage.output().channels, stage.kernel_width());
        let mut total = 0i64;
        for tap in 0..taps.count {
            let values = span(self.output.gradients.values, (taps.q + tap) * filters, filters);
            let kx = taps.kx + (taps.count - 1 - tap) * taps.step;
            let weights = span(self.layer.weights, (ky * width + kx) * filters, filters);
            total += values.iter().zip(weights).map(|(g, w)| i32::from(*g) * i32::from(*w)).map(i64::from).sum::<i64>();
        }
        if let Some(sum) = sums.get_mut(column) {
            // What is left has room: it was counted for the shift.
            *sum += ((total + (1 << self.shift >> 1)) >> self.shift) as i32;
        }
    }
}

/// The windows over one column: `count` of them from `q` on. The last one has it under column `kx` of the kernel, each one before
/// that `step` columns further.
#[derive(Clone, Copy)]
struct Taps {
    q: usize,
    kx: usize,
    count: usize,
    step: usize,
}

impl Taps {
    #[inline(always)]
    fn over(stage: &Spatial, column: usize) -> Self {
        let (padded, step) = (column + stage.pad_left(), stage.column_step());
        let q = (padded + 1).saturating_sub(stage.kernel_width()).div_ceil(step);
        let last = (padded / step).min(stage.output().width - 1);
        Self { q, kx: padded - last * step, count: (last + 1).saturating_sub(q), step }
    }

    /// Elements of the windows' values.
    #[inline(always)]
    fn values(self, channels: usize) -> usize {
        self.count * channels
    }
}

#[cfg(test)]
mod tests {
    use super::super::contribution::{Gradients, OutputGradients, Sums, Way};
    use super::super::{Room, contribute};
    use crate::kernels::int8::Int8Layer;
    use crate::kernels::masks::RowMasks;
    use crate::network::Network;

    /// Products of many filters over one channel do not fit in 32 bits before they are shifted.
    #[test]
    fn many_filters_over_one_channel_do_not_overflow() {
        let text = "input(1,12,1) depthwise_conv2d(multiplier=300,kernel=1x8,padding=valid) flatten dense(units=2)";
        let network = text.parse::<Network>().unwrap().int8();
        let stage = network.plan().spatial(0).unwrap();
        let (weights, values) = (std::vec![127; 8 * 300], std::vec![32767; 5 * 300]);
        let layer = Int8Layer { weights: &weights, ..Int8Layer::default() };
        let gradients = Gradients { values: &values, exponent: Some(0) };
        let output = &OutputGradients { row: 0, gradients, masks: RowMasks { stage, words: &[] } };
        let exponent = Room::default().with(&layer, output, Way::Read).exponent().unwrap();
        let mut found = [0; 12];
        contribute(&layer, output, (0, Way::Read), &mut Sums { values: &mut found, exponent }, &mut []);
        // So many windows lie over each column.
        let expected = [1, 2, 3, 4, 5, 5, 5, 5, 4, 3, 2, 1].map(|windows| {
            let total = windows * 300 * 32767i64 * 127;
            (total + (1 << exponent >> 1)) >> exponent
        });
        assert_eq!(found.map(i64::from), expected);
    }
}
