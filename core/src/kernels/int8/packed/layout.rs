//! The order of the weights, in words of four bytes.
//!
//! ```text
//! a stage: | block of the filters 0 .. 16 | 16 .. 32 | ..        filters that are not there have zeros
//!
//! a block: | sums of weights | biases | multipliers | shifts to the left | to the right |        16 words each
//!          | weights [kernel row][four inputs][filter][input]       bytes; a depthwise one's are [tap][filter]
//! ```
//! The inputs of a kernel row, `kernel columns * channels` neighbours, are filled up with weights of zero to whole fours.
//! The sums of the weights are what a zero point of 1 takes off.

use crate::kernels::int8::Int8Layer;
use crate::network::plan::{Operation, Spatial, Stage};
use crate::span::{span, span_mut, split_mut};
use crate::vector::int8::{FILTERS, Int8Simd, Multipliers};

/// Words before the weights of a block.
const HEADER: usize = 5 * FILTERS;

/// How many weights a layer has, and where they lie in the stored order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub outputs: usize,
    /// Kernel rows, and neighbouring inputs under one.
    pub rows: usize,
    pub run: usize,
    /// Whether each channel is convolved by itself.
    pub is_depthwise: bool,
    /// Whether the filters of one input lie together, and not the inputs of a filter.
    by_input: bool,
}

impl Form {
    /// Of a convolution. Depthwise filters of an only channel are those of an ordinary one.
    pub(crate) fn spatial(stage: &Spatial) -> Option<Self> {
        let (outputs, channels) = (stage.output().channels, stage.input().channels);
        let by_input = stage.operation == Operation::Depthwise;
        let is_depthwise = by_input && (channels == outputs && channels > 1);
        let (rows, run) = if is_depthwise { (1, stage.taps()) } else { (stage.kernel_height(), stage.run_len()) };
        (stage.weight_len() > 0).then_some(Self { outputs, rows, run, is_depthwise, by_input })
    }

    /// Of a dense layer.
    pub(crate) const fn dense(inputs: usize, units: usize) -> Self {
        Self { outputs: units, rows: 1, run: inputs, is_depthwise: false, by_input: false }
    }

    /// Of a stage with weights.
    pub(crate) fn of(stage: &Stage) -> Option<Self> {
        match stage {
            Stage::Spatial(stage) => Self::spatial(stage),
            Stage::Dense(stage) => Some(Self::dense(stage.inputs, stage.units)),
        }
    }

    /// Blocks of 16 filters.
    pub(crate) const fn blocks(&self) -> usize {
        self.outputs.div_ceil(FILTERS)
    }

    /// Groups of four inputs of a kernel row.
    pub(crate) const fn fours(&self) -> usize {
        self.run.div_ceil(4)
    }

    const fn block_len(&self) -> usize {
        let weights = if self.is_depthwise { self.run * FILTERS / 4 } else { self.rows * self.fours() * FILTERS };
        HEADER + weights
    }

    /// Words of all blocks.
    pub(crate) const fn packed_len(&self) -> usize {
        self.blocks() * self.block_len()
    }

    /// Where a weight lies in the stored order.
    const fn stored(&self, o: usize, row: usize, input: usize) -> usize {
        if self.by_input {
            (row * self.run + input) * self.outputs + o
        } else {
            (o * self.rows + row) * self.run + input
        }
    }

    /// Where it lies among the bytes of its block; `o` is counted there.
    const fn packed(&self, o: usize, row: usize, input: usize) -> usize {
        if self.is_depthwise {
            input * FILTERS + o
        } else {
            ((row * self.fours() + input / 4) * FILTERS + o) * 4 + input % 4
        }
    }

    /// Block `index` of packed weights.
    #[inline(always)]
    pub(super) fn block<'a>(&self, packed: &'a [i32], index: usize) -> Block<'a> {
        const NONE: [i32; FILTERS] = [0; FILTERS];
        let words = span(packed, index * self.block_len(), self.block_len());
        let (groups, _) = words.as_chunks::<FILTERS>();
        let [sums, bias, multiplier, left, right] = match groups.first_chunk::<5>() {
            Some([a, b, c, d, e]) => [a, b, c, d, e],
            None => [&NONE; 5],
        };
        let weights = bytemuck::cast_slice(words.get(HEADER..).unwrap_or(&[]));
        Block { sums, bias, multipliers: Multipliers { multiplier, left, right }, weights }
    }
}

/// What belongs to 16 filters.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Of the weights.
    pub sums: &'a [i32; FILTERS],
    pub bias: &'a [i32; FILTERS],
    pub multipliers: Multipliers<'a>,
    pub weights: &'a [i8],
}

impl Block<'_> {
    /// What is added to the sums of products of inputs from which no zero point was taken off, but to which `offset` was
    /// added.
    #[inline(always)]
    pub(super) fn base(&self, zero: i32, offset: i32) -> [i32; FILTERS] {
        core::array::from_fn(|o| self.bias[o].wrapping_sub(self.sums[o].wrapping_mul(zero + offset)))
    }
}

/// [`Block::base`] of several blocks.
#[inline(always)]
pub(super) fn bases<S: Int8Simd, const B: usize>(
    simd: S,
    blocks: &[Block<'_>; B],
    zero: i32,
    offset: i32,
) -> [S::Sums; B] {
    let mut bases = [simd.splat(0); B];
    for (base, block) in bases.iter_mut().zip(blocks) {
        *base = simd.load(&block.base(zero, offset));
    }
    bases
}

/// Writes the weights of a layer to `target`, of [`Form::packed_len`] words.
pub(crate) fn pack(form: &Form, layer: &Int8Layer<'_>, target: &mut [i32]) {
    target.fill(0);
    for (index, block) in target.chunks_exact_mut(form.block_len()).enumerate() {
        let (header, weights) = split_mut(block, HEADER);
        let weights: &mut [i8] = bytemuck::cast_slice_mut(weights);
        for o in 0..FILTERS.min(form.outputs - index * FILTERS) {
            let filter = index * FILTERS + o;
            let mut sum = 0;
            for row in 0..form.rows {
                for input in 0..form.run {
                    let w = layer.weights.get(form.stored(filter, row, input)).copied().unwrap_or(0);
                    span_mut(weights, form.packed(o, row, input), 1).fill(w);
                    sum += i32::from(w);
                }
            }
            let [multiplier, shift] = layer.multipliers.get(filter).copied().unwrap_or_default();
            let own = [sum, layer.bias(filter), multiplier, shift.max(0), (-shift).max(0)];
            for (group, value) in header.chunks_exact_mut(FILTERS).zip(own) {
                span_mut(group, o, 1).fill(value);
            }
        }
    }
}
