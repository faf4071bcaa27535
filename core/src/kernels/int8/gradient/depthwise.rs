//! What a row contributes through a depthwise convolution.

#[cfg(cortex_m_dsp)]
use super::super::cortex_m;
use super::contribution::{Contribution, shift_right};
use crate::network::plan::Spatial;
use crate::span::{rest, span, span_mut};

impl Contribution<'_> {
    /// Adds it to the sums of an input row, `[column][i]`.
    pub(super) fn convolve_depthwise(self, sums: &mut [i32]) {
        // Products of fewer than 2^9 taps have at most 30 bits.
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
        let mut total = 0;
        for tap in 0..taps.count {
            let values = span(self.output.gradients.values, (taps.q + tap) * filters, filters);
            let kx = taps.kx + (taps.count - 1 - tap) * taps.step;
            let weights = span(self.layer.weights, (ky * width + kx) * filters, filters);
            total += values.iter().zip(weights).map(|(g, w)| i32::from(*g) * i32::from(*w)).sum::<i32>();
        }
        if let Some(sum) = sums.get_mut(column) {
            *sum += shift_right(total, self.shift as u32);
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
