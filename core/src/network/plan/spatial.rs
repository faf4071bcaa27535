//! A spatial stage: its geometry, the rows that it keeps and the bits that it leaves for backward.
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

use crate::network::layer::MAX_LAYERS;
use crate::network::shape::{Shape, Size};

/// Lanes of a word of ReLU or winner bits.
pub(crate) const WORD_BITS: usize = 32;

/// The larger of two numbers, also where the compiler computes.
pub(super) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Hundredths as a number: a byte of a plan instead of four.
pub(super) fn threshold(shift: u8) -> f32 {
    f32::from(shift) / 100.0
}

/// What a spatial stage does before its ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Nothing: the stage only pools or rectifies.
    Identity,
    /// Convolution.
    Conv,
    /// Convolution of each channel by itself.
    Depthwise,
    /// Mean of each window.
    Average,
    /// Sum of two maps.
    Add,
}

/// A map's shape in half the space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    height: u16,
    width: u16,
    channels: u16,
}

impl Map {
    /// No dimension is above `MAX_DIMENSION`.
    const fn of(shape: Shape) -> Self {
        Self { height: shape.height as u16, width: shape.width as u16, channels: shape.channels as u16 }
    }

    #[inline(always)]
    const fn shape(self) -> Shape {
        Shape::hwc(self.height as usize, self.width as usize, self.channels as usize)
    }
}

/// Bits beside the number of a layer: whether the stage waits for its whole input, and for its output's whole gradient.
pub(super) const WAITS: [u8; 2] = [0x80, 0x40];
const _: () = assert!(MAX_LAYERS <= WAITS[1] as usize, "the number of a layer leaves the bits free");

/// The value that a stage without a skip connection adds.
pub(super) const NO_SKIP: u8 = u8::MAX;

/// Convolution (or another operation) + ReLU + max-pooling. Numbers are as small as they can be, because a network's constant
/// has room for all stages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spatial {
    pub(super) input: Map,
    pub(super) output: Map,
    /// Height and width of the convolution's map before pooling; it is never stored.
    pub(super) conv: (u16, u16),
    pub operation: Operation,
    pub(super) kernel: Size,
    pub(super) stride: Size,
    pub(super) has_bias: bool,
    pub relu: bool,
    /// Whether the ReLU ends at 6.
    pub capped: bool,
    /// Threshold of the ReLU, in hundredths; 0 without one.
    pub shift: u8,
    pub(super) pool: u8,
    /// Rows and columns by which the first convolution window hangs over the border: fewer than a kernel has.
    pub(super) conv_pad: (u8, u8),
    /// The same for the first pooling window, counted in convolution outputs.
    pub pool_pad: (u8, u8),
    /// The value that it reads: 0 is the image, `i + 1` what stage `i` puts out.
    pub(super) source: u8,
    /// The value that it adds, or [`NO_SKIP`].
    pub(super) skip: u8,
    /// Rows that it keeps of what it reads and of what it adds, and rows of its output's gradient.
    pub(super) slots: [u8; 3],
    /// The layer that begins it, and [`WAITS`].
    pub(super) layer: u8,
}

impl Spatial {
    /// A stage that passes on what it reads as it is, to be changed.
    pub(super) const fn identity(input: Shape, source: usize, layer: usize) -> Self {
        Self {
            input: Map::of(input),
            output: Map::of(input),
            conv: (input.height as u16, input.width as u16),
            operation: Operation::Identity,
            kernel: Size::ONE,
            stride: Size::ONE,
            has_bias: false,
            relu: false,
            capped: false,
            shift: 0,
            pool: 1,
            conv_pad: (0, 0),
            pool_pad: (0, 0),
            source: source as u8,
            skip: NO_SKIP,
            slots: [1; 3],
            layer: layer as u8,
        }
    }

    /// With another operation: its map, and how its windows lie.
    pub(super) const fn with_windows(
        self,
        operation: Operation,
        output: Shape,
        (kernel, stride): (Size, Size),
        conv_pad: (u8, u8),
    ) -> Self {
        let conv = (output.height as u16, output.width as u16);
        Self { operation, output: Map::of(output), conv, kernel, stride, conv_pad, ..self }
    }

    /// With a max-pooling behind it.
    pub(super) const fn with_pool(self, output: Shape, pool: usize, pool_pad: (u8, u8)) -> Self {
        Self { output: Map::of(output), pool: pool as u8, pool_pad, ..self }
    }

    /// Shape of what it reads.
    #[inline(always)]
    pub(crate) const fn input(&self) -> Shape {
        self.input.shape()
    }

    /// Shape of what it puts out.
    #[inline(always)]
    pub(crate) const fn output(&self) -> Shape {
        self.output.shape()
    }

    /// Rows of the convolution's map before pooling.
    #[inline(always)]
    pub(crate) const fn conv_height(&self) -> usize {
        self.conv.0 as usize
    }

    /// Columns of the convolution's map before pooling.
    #[inline(always)]
    pub(crate) const fn conv_width(&self) -> usize {
        self.conv.1 as usize
    }

    /// Whether it is a convolution over all channels.
    #[inline(always)]
    pub(crate) const fn convolves(&self) -> bool {
        matches!(self.operation, Operation::Conv)
    }

    /// Rows of the window.
    #[inline(always)]
    pub(crate) const fn kernel_height(&self) -> usize {
        self.kernel.rows()
    }

    /// Columns of the window.
    #[inline(always)]
    pub(crate) const fn kernel_width(&self) -> usize {
        self.kernel.columns()
    }

    /// Elements of one input row under one window.
    #[inline(always)]
    pub(crate) const fn run_len(&self) -> usize {
        self.kernel_width() * self.input().channels
    }

    /// Positions of the window.
    #[inline(always)]
    pub(crate) const fn taps(&self) -> usize {
        self.kernel.area()
    }

    /// Rows from one window to the next.
    #[inline(always)]
    pub(crate) const fn row_stride(&self) -> usize {
        self.stride.rows()
    }

    /// Columns from one window to the next.
    #[inline(always)]
    pub(crate) const fn column_stride(&self) -> usize {
        self.stride.columns()
    }

    /// Whether it is a convolution with a window of 3x3 that moves by 1.
    #[inline(always)]
    pub(crate) const fn is_3x3_of_stride_1(&self) -> bool {
        self.convolves()
            && self.kernel_height() == 3
            && self.kernel_width() == 3
            && self.row_stride() == 1
            && self.column_stride() == 1
    }

    /// Side of the max-pooling's window; 1 where nothing is pooled.
    #[inline(always)]
    pub(crate) const fn pool(&self) -> usize {
        self.pool as usize
    }

    /// Threshold of the ReLU.
    pub(crate) fn threshold(&self) -> f32 {
        threshold(self.shift)
    }

    /// The value that it reads: 0 is the image, `i + 1` what stage `i` puts out.
    #[inline(always)]
    pub(crate) const fn source(&self) -> usize {
        self.source as usize
    }

    /// The value that it adds.
    #[inline(always)]
    pub(crate) const fn skip(&self) -> Option<usize> {
        if self.skip == NO_SKIP { None } else { Some(self.skip as usize) }
    }

    /// The value that it adds, if its row `made` of that, counted in `received`, is still missing.
    #[inline(always)]
    pub(crate) fn missing_skip(&self, made: usize, received: Option<&u16>) -> Option<usize> {
        self.skip().filter(|_| received.is_some_and(|received| usize::from(*received) <= made))
    }

    /// Input rows between one output row and the next.
    #[inline(always)]
    pub(crate) const fn row_step(&self) -> usize {
        // Never 0; the maximum says so to the compiler.
        max(self.pool() * self.row_stride(), 1)
    }

    /// Input columns between one output column and the next.
    #[inline(always)]
    pub(crate) const fn column_step(&self) -> usize {
        max(self.pool() * self.column_stride(), 1)
    }

    /// Input rows under one output row.
    #[inline(always)]
    pub(crate) const fn row_extent(&self) -> usize {
        (self.pool() - 1) * self.row_stride() + self.kernel_height()
    }

    /// Input columns under one output column.
    #[inline(always)]
    pub(crate) const fn column_extent(&self) -> usize {
        (self.pool() - 1) * self.column_stride() + self.kernel_width()
    }

    /// Rows of padding above the first input row.
    pub(crate) const fn pad_top(&self) -> usize {
        self.pool_pad.0 as usize * self.row_stride() + self.conv_pad.0 as usize
    }

    /// Columns of padding before the first input column.
    pub(crate) const fn pad_left(&self) -> usize {
        self.pool_pad.1 as usize * self.column_stride() + self.conv_pad.1 as usize
    }

    /// Input rows including padding, as far as the last window reads.
    pub(crate) const fn padded_height(&self) -> usize {
        (self.output().height - 1) * self.row_step() + self.row_extent()
    }

    /// Input rows including padding: all, also those at the end that no window of this stage reaches, but another reader's may.
    pub(crate) const fn whole_height(&self) -> usize {
        max(self.padded_height(), self.pad_top() + self.input().height)
    }

    /// Elements of one padded input row.
    pub(crate) const fn padded_row_len(&self) -> usize {
        let windows = (self.output().width - 1) * self.column_step() + self.column_extent();
        let whole = self.pad_left() + self.input().width;
        max(windows, whole) * self.input().channels
    }

    /// Elements of padding after a row that are also the padding before the next row.
    const fn shared_padding(&self) -> usize {
        let left = self.pad_left() * self.input().channels;
        let right = self.padded_row_len() - left - self.input().row_len();
        if left < right { left } else { right }
    }

    /// Elements between the start of a padded row and that of the next.
    pub(crate) const fn padded_row_step(&self) -> usize {
        self.padded_row_len() - self.shared_padding()
    }

    /// Elements of `rows` padded rows.
    pub(crate) const fn values_len(&self, rows: usize) -> usize {
        rows * self.padded_row_step() + self.shared_padding()
    }

    /// Words that hold one bit per element of a padded row.
    pub(crate) const fn row_words(&self) -> usize {
        self.padded_row_len().div_ceil(WORD_BITS)
    }

    /// Elements and words of `rows` padded input rows with their bits.
    pub(crate) const fn rows_len(&self, rows: usize) -> usize {
        self.values_len(rows) + rows * self.row_words()
    }

    /// Elements of all rows that it keeps, with the bits of its input.
    pub(super) const fn all_rows_len(&self) -> usize {
        self.rows_len(self.input_slots()).saturating_add(self.skip_slots() * self.output().row_len())
    }

    /// Input rows that it keeps.
    #[inline(always)]
    pub(crate) const fn input_slots(&self) -> usize {
        self.slots[0] as usize
    }

    /// Rows of its output's size that it keeps: of the map that it adds, or an average's sums.
    #[inline(always)]
    pub(crate) const fn skip_slots(&self) -> usize {
        self.slots[1] as usize
    }

    /// Rows of its output's gradient that it keeps.
    #[inline(always)]
    pub(crate) const fn gradient_slots(&self) -> usize {
        self.slots[2] as usize
    }

    /// The first and the last output row whose window contains input row `row`; the first is larger if none does.
    #[inline(never)]
    pub(crate) const fn covering_rows(&self, row: usize) -> (usize, usize) {
        let padded = row + self.pad_top();
        let first = (padded + 1).saturating_sub(self.row_extent()).div_ceil(self.row_step());
        let last = padded / self.row_step();
        let height = self.output().height;
        (first, if last < height { last } else { height - 1 })
    }

    /// The last output row on which row `row` of what it reads, or adds, depends.
    #[inline(always)]
    pub(crate) fn last_reader_row(&self, row: usize, is_skip: bool) -> usize {
        if is_skip { row } else { self.covering_rows(row).1 }
    }

    /// Elements of the weights.
    pub(crate) const fn weight_len(&self) -> usize {
        match self.operation {
            Operation::Conv => self.output().channels * self.taps() * self.input().channels,
            Operation::Depthwise => self.output().channels * self.taps(),
            _ => 0,
        }
    }

    /// Elements of the bias.
    pub(crate) const fn bias_len(&self) -> usize {
        if self.has_bias { self.output().channels } else { 0 }
    }

    /// Multiply-adds of one forward pass if nothing is skipped, borders counted as whole windows.
    pub(super) const fn multiply_adds(&self) -> u64 {
        let inputs = match self.operation {
            Operation::Conv => self.input().channels,
            Operation::Depthwise => 1,
            _ => return 0,
        };
        (self.conv_height() * self.conv_width()) as u64 * (self.output().channels * self.taps() * inputs) as u64
    }
}
