//! Backward one value at a time: winners are few and so are the inputs that want a gradient, so only their pairs are
//! multiplied.
//!
//! ```text
//! for each input column and its live channels j     (RowMasks::alive: dead ones are left out)
//!     for each kernel tap over the column           (kernel_rows, over_column)
//!         list the filters o that won there         (RowMasks::winners, Outputs::push)
//!     dx[j] += sum over the list of g[o] * w[tap, j, o]     (Outputs::add_dots)
//! ```

use super::views::{Conv, GradientRow};
use crate::kernels::masks::{RowMasks, channels_of_word};
use crate::kernels::sparse::Outputs;
use crate::network::plan::{Spatial, WORD_BITS};
use crate::number::Number;
use crate::span::{rest, rest_mut, span, span_mut};
use crate::vector::{Kernel, Simd};

/// Backward: adds what one output row contributes to the gradient of input row `input_row` (`[column][i]`).
///
/// Each pooling window passes gradient to one position, a dead ReLU to none.
pub(crate) struct InputGradientRow<'a, 'b, T> {
    pub conv: Conv<'a, T>,
    pub output: &'b GradientRow<'b>,
    pub input_row: usize,
    /// The bits of the input row, if a stage made it: who is dead needs no gradient.
    pub wanted: Option<RowMasks<'b>>,
    pub target: &'b mut [f32],
}

impl<T: Number> Kernel for InputGradientRow<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        if self.conv.stage.convolves() { self.gather() } else { self.pass_on() }
    }
}

impl<T: Number> InputGradientRow<'_, '_, T> {
    /// For each row of the pooling windows that has the input row under its kernel: that row, and the kernel's row.
    #[inline(always)]
    fn kernel_rows(&self) -> impl Iterator<Item = (usize, usize)> + Clone + use<T> {
        let stage = self.conv.stage;
        let (kernel, stride) = (stage.kernel_height(), stage.row_stride());
        let above = (self.input_row + stage.pad_top()).wrapping_sub(self.output.row * stage.row_step());
        (0..stage.pool()).filter_map(move |wy| {
            let ky = above.wrapping_sub(wy * stride);
            (ky < kernel).then_some((wy, ky))
        })
    }
}

impl<T: Number> InputGradientRow<'_, '_, T> {
    /// Input by input: lists the winners of all windows over it, for the channels that are alive.
    #[inline(always)]
    pub(super) fn gather(&mut self) {
        let (conv, output) = (self.conv, self.output);
        let (channels, filters) = (conv.stage.input().channels, conv.stage.output().channels);
        let rows = self.kernel_rows();
        // Indices count from the first channel's weights to the last tap's.
        let mut outputs = Outputs::new(conv.stage.weight_len() - (channels - 1) * filters);
        for column in 0..conv.stage.input().width {
            for word in 0..channels.div_ceil(WORD_BITS) {
                let wanted = self.wanted.map_or(channels_of_word(channels, word), |masks| masks.alive(column, word));
                if wanted == 0 {
                    continue;
                }
                let first = column * channels + word * WORD_BITS;
                let weights = (rest(conv.weights, word * WORD_BITS * filters), filters);
                let target = rest_mut(self.target, first);
                let mut products = Products { outputs: &mut outputs, weights: Some(weights), wanted, target };
                for (wy, ky) in rows.clone() {
                    for (kx, q, wx) in over_column(conv.stage, column) {
                        let tap = (ky * conv.stage.kernel_width() + kx) * channels * filters;
                        products.list_winners(output, (q, wy, wx), tap);
                    }
                }
                products.finish();
            }
        }
    }

    /// A stage without a convolution passes the gradient of its winners on.
    pub(super) fn pass_on(&mut self) {
        let (stage, output) = (self.conv.stage, self.output);
        let rows = self.kernel_rows();
        let mut outputs = Outputs::new(self.target.len());
        let mut products = Products::<T> { outputs: &mut outputs, weights: None, wanted: 0, target: self.target };
        for (wy, _) in rows {
            for q in 0..stage.output().width {
                for wx in 0..stage.pool() {
                    if let Some(column) = (q * stage.column_step() + wx).checked_sub(stage.pad_left()) {
                        products.list_winners(output, (q, wy, wx), column * stage.input().channels);
                    }
                }
            }
        }
        products.finish();
    }
}

/// The kernel columns over an input column, each with the column of the output and of the pooling window.
#[inline(always)]
fn over_column(stage: &Spatial, column: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    // Neither is 0; this says so to the compiler.
    let (kernel, stride, pool) = (stage.kernel_width(), stage.column_stride().max(1), stage.pool().max(1));
    let (padded, width) = (column + stage.pad_left(), stage.output().width);
    (0..kernel).filter_map(move |kx| {
        let start = padded.checked_sub(kx)?;
        let (position, q) = (start / stride, start / stride / pool);
        (position * stride == start && q < width).then_some((kx, q, position - q * pool))
    })
}

/// The winners listed so far and what to multiply them with. Its methods are not inlined on a device: their code would
/// be there several times.
struct Products<'a, 'b, T> {
    outputs: &'b mut Outputs,
    /// The first channel's row of weights, and elements from one row to the next. Without weights the target gets the
    /// gradient as it is.
    weights: Option<(&'a [T], usize)>,
    /// A bit for each channel that wants a gradient.
    wanted: u32,
    target: &'b mut [f32],
}

impl<T: Number> Products<'_, '_, T> {
    /// Lists the winners at one place of a pooling window, counted from `first`; false if there are none.
    #[cfg_attr(cortex_m_fpu, inline(never))]
    fn list_winners(&mut self, output: &GradientRow<'_>, (q, wy, wx): (usize, usize, usize), first: usize) -> bool {
        let stage = output.masks.stage;
        let gradient = span(output.gradient, q * stage.output().channels, stage.output().channels);
        let mut some = false;
        for word in 0..stage.words() {
            let mut mask = output.masks.winners(q, word, wy, wx);
            some |= mask != 0;
            while mask != 0 {
                let o = word * WORD_BITS + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if self.outputs.push(first + o, gradient.get(o).copied().unwrap_or(0.0)) {
                    self.finish();
                }
            }
        }
        some
    }

    /// Adds the products to the target; the list is empty then.
    #[cfg_attr(cortex_m_fpu, inline(never))]
    fn finish(&mut self) {
        match self.weights {
            Some(weights) => self.outputs.add_dots(weights, self.wanted, self.target),
            None => self.outputs.pass_on(self.target),
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

impl<T: Number> WindowGradients<'_, '_, T> {
    /// Whether this is the way for this stage.
    pub(crate) fn suits(&self) -> bool {
        let stage = self.conv.stage;
        stage.convolves() && stage.taps() * stage.input().channels <= WORD_BITS
    }

    /// One place of a pooling window. `gradient` is that under one kernel; it is zero before and after.
    #[inline(always)]
    fn window(&mut self, (q, wy, wx): (usize, usize, usize), outputs: &mut Outputs, gradient: &mut [f32]) {
        let (conv, output, stage) = (self.conv, self.output, self.conv.stage);
        let (weights, wanted) = ((conv.weights, stage.output().channels), channels_of_word(gradient.len(), 0));
        let mut products = Products { outputs, weights: Some(weights), wanted, target: &mut *gradient };
        if !products.list_winners(output, (q, wy, wx), 0) {
            return;
        }
        products.finish();
        let row = output.row * stage.row_step() + wy * stage.row_stride();
        let column = q * stage.column_step() + wx * stage.column_stride();
        self.add(row, column, gradient);
        gradient.fill(0.0);
    }

    /// Adds the gradients under one kernel, `[ky][kx][i]`, to the input, leaving out the padding.
    #[inline(always)]
    fn add(&mut self, row: usize, column: usize, gradient: &[f32]) {
        let stage = self.conv.stage;
        let (channels, input) = (stage.input().channels, stage.input());
        let cut = stage.pad_left().saturating_sub(column);
        let column = column.saturating_sub(stage.pad_left());
        for (ky, gradient) in gradient.chunks_exact(stage.run_len().max(1)).enumerate() {
            let Some(row) = (row + ky).checked_sub(stage.pad_top()).filter(|row| *row < input.height) else { continue };
            let count = (stage.kernel_width() - cut.min(stage.kernel_width())).min(input.width.saturating_sub(column));
            let target = span_mut(self.target, (row * input.width + column) * channels, count * channels);
            for (target, g) in target.iter_mut().zip(gradient.iter().skip(cut * channels)) {
                *target += g;
            }
        }
    }
}

impl<T: Number> Kernel for WindowGradients<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let stage = self.conv.stage;
        let mut outputs = Outputs::new(stage.output().channels);
        let mut gradient = [0.0; WORD_BITS];
        let gradient = span_mut(&mut gradient, 0, stage.taps() * stage.input().channels);
        for q in 0..stage.output().width {
            for wy in 0..stage.pool() {
                for wx in 0..stage.pool() {
                    self.window((q, wy, wx), &mut outputs, gradient);
                }
            }
        }
    }
}
