//! Backward one value at a time: winners are few and so are the inputs that want a gradient, so only their pairs are
//! multiplied.

use super::{Conv, GradientRow, InputGradientRow};
use crate::element::Element;
use crate::layers::masks::{channels_of_word, take_bit};
use crate::layers::sparse::Outputs;
use crate::plan::{Spatial, WORD_BITS};
use crate::simd::{Kernel, Simd};
use crate::span::{span, span_mut};

impl<T: Element> InputGradientRow<'_, '_, T> {
    /// A stage without a convolution: winners get the gradient as it is.
    #[inline(always)]
    pub(super) fn pass_through(&mut self) {
        let (stage, output) = (self.conv.stage, self.output);
        let channels = stage.output.channels;
        for (wy, _) in self.kernel_rows() {
            for column in 0..stage.input.width {
                let target = span_mut(self.target, column * channels, channels);
                for (_, q, wx) in over_column(stage, column) {
                    let gradient = span(output.gradient, q * channels, channels);
                    for word in 0..stage.words() {
                        let mut mask = output.masks.winners(q, word, wy, wx);
                        while mask != 0 {
                            let channel = word * WORD_BITS + take_bit(&mut mask);
                            if let (Some(target), Some(g)) = (target.get_mut(channel), gradient.get(channel)) {
                                *target += g;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Input by input: lists the winners of all windows over it, for the channels that are alive.
    #[inline(always)]
    pub(super) fn gather(&mut self) {
        let (conv, output) = (self.conv, self.output);
        let (channels, filters) = (conv.stage.input.channels, conv.stage.output.channels);
        let rows = self.kernel_rows();
        // Indices count from the first channel's weights to the last tap's.
        let mut outputs = Outputs::new(conv.stage.weight_len() - (channels - 1) * filters);
        for column in 0..conv.stage.input.width {
            for word in 0..channels.div_ceil(WORD_BITS) {
                let wanted = self.wanted.map_or(channels_of_word(channels, word), |masks| masks.alive(column, word));
                if wanted == 0 {
                    continue;
                }
                let first = column * channels + word * WORD_BITS;
                let target = self.target.get_mut(first..).unwrap_or(&mut []);
                let weights = (conv.weights.get(word * WORD_BITS * filters..).unwrap_or(&[]), filters);
                for (wy, ky) in rows.clone() {
                    for (kx, q, wx) in over_column(conv.stage, column) {
                        let tap = (ky * conv.stage.kernel + kx) * channels * filters;
                        list_winners(output, (q, wy, wx), tap, &mut outputs, |full| {
                            full.add_dots(weights, wanted, target)
                        });
                    }
                }
                outputs.add_dots(weights, wanted, target);
            }
        }
    }
}

/// The kernel columns over an input column, each with the column of the output and of the pooling window.
#[inline(always)]
fn over_column(stage: &Spatial, column: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    // Neither is 0; this says so to the compiler.
    let (kernel, stride, pool) = (stage.kernel, stage.stride.max(1), stage.pool.max(1));
    let (padded, width) = (column + stage.pad_left(), stage.output.width);
    (0..kernel).filter_map(move |kx| {
        let start = padded.checked_sub(kx)?;
        let (position, q) = (start / stride, start / stride / pool);
        (position * stride == start && q < width).then_some((kx, q, position - q * pool))
    })
}

/// Lists the winners at one place of a pooling window, counted from `first`; `flush` empties a full list.
#[inline(always)]
fn list_winners(
    output: &GradientRow<'_>,
    (q, wy, wx): (usize, usize, usize),
    first: usize,
    outputs: &mut Outputs,
    mut flush: impl FnMut(&mut Outputs),
) {
    let stage = output.masks.stage;
    let gradient = span(output.gradient, q * stage.output.channels, stage.output.channels);
    for word in 0..stage.words() {
        let mut mask = output.masks.winners(q, word, wy, wx);
        while mask != 0 {
            let o = word * WORD_BITS + mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if outputs.push(first + o, gradient.get(o).copied().unwrap_or(0.0)) {
                flush(outputs);
            }
        }
    }
}

/// Adds what one output row contributes to the gradient of all input rows at once, window by window: cheaper than
/// row by row where a whole kernel has few weights, as on an image of one channel.
pub(crate) struct WindowGradients<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientRow<'b>,
    /// `[row][column][i]`
    pub target: &'b mut [f32],
}

impl<T: Element> WindowGradients<'_, '_, T> {
    /// Whether this is the way for this stage.
    pub(crate) fn suits(&self) -> bool {
        let stage = self.conv.stage;
        let taps = stage.kernel * stage.kernel * stage.input.channels;
        stage.convolves && taps <= WORD_BITS
    }

    /// One place of a pooling window.
    #[inline(always)]
    fn window(&mut self, (q, wy, wx): (usize, usize, usize), outputs: &mut Outputs) {
        let (conv, output, stage) = (self.conv, self.output, self.conv.stage);
        if (0..stage.words()).all(|word| output.masks.winners(q, word, wy, wx) == 0) {
            return;
        }
        let taps = stage.kernel * stage.kernel * stage.input.channels;
        let (weights, wanted) = ((conv.weights, stage.output.channels), channels_of_word(taps, 0));
        let mut gradient = [0.0; WORD_BITS];
        list_winners(output, (q, wy, wx), 0, outputs, |full| full.add_dots(weights, wanted, &mut gradient));
        outputs.add_dots(weights, wanted, &mut gradient);
        let (row, column) = (output.row * stage.step() + wy * stage.stride, q * stage.step() + wx * stage.stride);
        self.add(row, column, gradient.get(..taps).unwrap_or(&[]));
    }

    /// Adds the gradients under one kernel, `[ky][kx][i]`, to the input, leaving out the padding.
    #[inline(always)]
    fn add(&mut self, row: usize, column: usize, gradient: &[f32]) {
        let stage = self.conv.stage;
        let (channels, input) = (stage.input.channels, stage.input);
        let cut = stage.pad_left().saturating_sub(column);
        let column = column.saturating_sub(stage.pad_left());
        for (ky, gradient) in gradient.chunks_exact((stage.kernel * channels).max(1)).enumerate() {
            let Some(row) = (row + ky).checked_sub(stage.pad_top()).filter(|row| *row < input.height) else { continue };
            let count = (stage.kernel - cut.min(stage.kernel)).min(input.width.saturating_sub(column));
            let target = span_mut(self.target, (row * input.width + column) * channels, count * channels);
            for (target, g) in target.iter_mut().zip(gradient.iter().skip(cut * channels)) {
                *target += g;
            }
        }
    }
}

impl<T: Element> Kernel for WindowGradients<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let stage = self.conv.stage;
        let mut outputs = Outputs::new(stage.output.channels);
        for q in 0..stage.output.width {
            for wy in 0..stage.pool {
                for wx in 0..stage.pool {
                    self.window((q, wy, wx), &mut outputs);
                }
            }
        }
    }
}
