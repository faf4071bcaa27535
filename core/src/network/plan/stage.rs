//! The fused stages, their geometry and the bits they leave for backward.
//!
//! ```text
//! one output row of a stage with a 3x3 kernel of stride 1 and a 2x2 pooling
//!
//! input rows, padding counted        2p   2p+1  2p+2  2p+3        extent() = 4 rows under output row p
//! convolution rows                     2p    2p+1                 never stored
//! output row                              p                       step() = 2 rows further for p + 1
//!
//! a padded input row: | pad_left | input.width | right |    the right padding is also the left one of the next row,
//!                     |<------- row_stride ------>|         as far as both go (shared_padding)
//! ```

use crate::network::shape::Shape;

/// Lanes of a word of ReLU or winner bits.
pub(crate) const WORD_BITS: usize = 32;

/// The larger of two numbers, also where the compiler computes.
pub(super) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Convolution (or identity) + ReLU + max-pooling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spatial {
    pub input: Shape,
    pub output: Shape,
    /// Height and width of the convolution's map before pooling; it is never stored.
    pub conv: (usize, usize),
    /// False for a stage that only pools or rectifies.
    pub convolves: bool,
    pub kernel: usize,
    pub stride: usize,
    pub bias: bool,
    pub relu: bool,
    /// Threshold of the ReLU, in hundredths; 0 without one.
    pub shift: u8,
    /// 1 where nothing is pooled.
    pub pool: usize,
    /// Rows and columns by which the first convolution window hangs over the border: fewer than a kernel has.
    pub conv_pad: (u8, u8),
    /// The same for the first pooling window, counted in convolution outputs.
    pub pool_pad: (u8, u8),
}

impl Spatial {
    /// Threshold of the ReLU.
    pub(crate) fn threshold(&self) -> f32 {
        threshold(self.shift)
    }

    /// Input rows between one output row and the next.
    pub(crate) const fn step(&self) -> usize {
        // Never 0; the maximum says so to the compiler.
        max(self.pool * self.stride, 1)
    }

    /// Input rows under one output row.
    pub(crate) const fn extent(&self) -> usize {
        (self.pool - 1) * self.stride + self.kernel
    }

    /// Rows of padding above the first input row.
    pub(crate) const fn pad_top(&self) -> usize {
        self.pool_pad.0 as usize * self.stride + self.conv_pad.0 as usize
    }

    /// Columns of padding before the first input column.
    pub(crate) const fn pad_left(&self) -> usize {
        self.pool_pad.1 as usize * self.stride + self.conv_pad.1 as usize
    }

    /// Input rows including padding, as far as the last window reads.
    pub(crate) const fn padded_height(&self) -> usize {
        (self.output.height - 1) * self.step() + self.extent()
    }

    /// Elements of one padded input row.
    pub(crate) const fn padded_row_len(&self) -> usize {
        let windows = (self.output.width - 1) * self.step() + self.extent();
        let whole = self.pad_left() + self.input.width;
        max(windows, whole) * self.input.channels
    }

    /// Elements of padding after a row that are also the padding before the next row.
    const fn shared_padding(&self) -> usize {
        let left = self.pad_left() * self.input.channels;
        let right = self.padded_row_len() - left - self.input.row_len();
        if left < right { left } else { right }
    }

    /// Elements between the start of a padded row and that of the next.
    pub(crate) const fn row_stride(&self) -> usize {
        self.padded_row_len() - self.shared_padding()
    }

    /// Elements of `rows` padded rows.
    pub(crate) const fn values_len(&self, rows: usize) -> usize {
        rows * self.row_stride() + self.shared_padding()
    }

    /// Words that hold one bit per element of a padded row.
    pub(crate) const fn row_words(&self) -> usize {
        self.padded_row_len().div_ceil(WORD_BITS)
    }

    /// Elements and words of `rows` padded input rows with their bits.
    pub(crate) const fn rows_len(&self, rows: usize) -> usize {
        self.values_len(rows) + rows * self.row_words()
    }

    /// Output rows whose windows can contain one given input row.
    pub(crate) const fn live_rows(&self) -> usize {
        self.extent().div_ceil(self.step())
    }

    /// Rows of output gradient that the stage keeps as number `index` of the spatial stages. The first stage adds to the
    /// whole image's gradient instead, so one row is enough there.
    pub(crate) const fn gradient_slots(&self, index: usize) -> usize {
        if index == 0 { 1 } else { self.live_rows() }
    }

    /// Words that hold one bit per output channel.
    pub(crate) const fn words(&self) -> usize {
        self.output.channels.div_ceil(WORD_BITS)
    }

    /// Bits that name a row (or a column) of the pooling window.
    pub(crate) const fn winner_bits(&self) -> usize {
        self.pool.div_ceil(2)
    }

    /// Bit planes of one position: alive, then winner's row, then winner's column.
    pub(crate) const fn planes(&self) -> usize {
        let winners = if self.pool > 1 { 2 * self.winner_bits() } else { 0 };
        self.relu as usize + winners
    }

    /// Words of bits of one output row.
    pub(crate) const fn mask_row_len(&self) -> usize {
        self.output.width * self.planes() * self.words()
    }

    /// Words of bits of the whole output.
    pub(crate) const fn mask_len(&self) -> usize {
        self.output.height * self.mask_row_len()
    }

    /// Elements of the weights.
    pub(crate) const fn weight_len(&self) -> usize {
        if self.convolves { self.output.channels * self.kernel * self.kernel * self.input.channels } else { 0 }
    }

    /// Elements of the bias.
    pub(crate) const fn bias_len(&self) -> usize {
        if self.bias { self.output.channels } else { 0 }
    }
}

/// Dense + ReLU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseStage {
    pub inputs: usize,
    pub units: usize,
    pub bias: bool,
    pub relu: bool,
    /// Threshold of the ReLU, in hundredths; 0 without one.
    pub shift: u8,
}

/// Hundredths as a number: a byte of a plan instead of four.
fn threshold(shift: u8) -> f32 {
    f32::from(shift) / 100.0
}

impl DenseStage {
    /// Threshold of the ReLU.
    pub(crate) fn threshold(&self) -> f32 {
        threshold(self.shift)
    }

    /// Words of ReLU bits.
    pub(crate) const fn mask_len(&self) -> usize {
        if self.relu { self.units.div_ceil(WORD_BITS) } else { 0 }
    }
}

/// What a stage computes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Spatial(Spatial),
    Dense(DenseStage),
}

/// A stage and the layer whose weights it uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    pub kind: Kind,
    /// Index in the list of layers; names the tensors `<layer>.weight` and `<layer>.bias`.
    pub layer: usize,
}

impl Stage {
    /// Elements of `weight` and of `bias`.
    pub(crate) const fn parameters(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Spatial(s) => (s.weight_len(), s.bias_len()),
            Kind::Dense(d) => (d.inputs * d.units, if d.bias { d.units } else { 0 }),
        }
    }

    /// Dimensions of `weight`: `[kernel, kernel, in channels, filters]` or `[inputs, units]`.
    pub(crate) fn weight_shape(&self) -> heapless::Vec<usize, 4> {
        match &self.kind {
            Kind::Spatial(s) => [s.kernel, s.kernel, s.input.channels, s.output.channels].into(),
            Kind::Dense(d) => heapless::Vec::from_iter([d.inputs, d.units]),
        }
    }

    pub(crate) const fn mask_len(&self) -> usize {
        match &self.kind {
            Kind::Spatial(s) => s.mask_len(),
            Kind::Dense(d) => d.mask_len(),
        }
    }
}
