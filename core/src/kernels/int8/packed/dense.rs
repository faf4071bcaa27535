//! Dense layer of integers with packed weights: an input is the kernel's row, a sample is a position.

use super::layout::{Form, bases};
use super::outputs::{Ends, existing, put_bits, put_bytes};
use super::tile::{Operands, PLACES, Place, add_row};
use crate::kernels::conv::Window;
use crate::kernels::int8::{Grid, Int8Layer};
use crate::network::plan::DenseStage;
use crate::span::{reach_mut, rest_mut, span, span_mut};
use crate::vector::int8::{FILTERS, Int8Kernel, Int8Simd, sixteen};

/// Adds the inputs `first .. first + x.len()` of one sample to the sums; `first` is 0 before all others, and a multiple of 4.
pub(crate) struct PackedAccumulate<'a, 'b> {
    pub stage: DenseStage,
    pub layer: Int8Layer<'a>,
    pub first: usize,
    pub x: &'b [i8],
    pub sums: &'b mut [i32],
}

impl Int8Kernel for PackedAccumulate<'_, '_> {
    #[inline(always)]
    fn run<S: Int8Simd>(mut self, simd: S) {
        let (mut block, blocks) = (0, self.stage.units.div_ceil(FILTERS));
        while block < blocks {
            block += match blocks - block {
                4.. => self.blocks::<S, 4>(simd, block),
                _ => self.blocks::<S, 1>(simd, block),
            };
        }
    }
}

impl PackedAccumulate<'_, '_> {
    /// `B` blocks of units; returns `B`.
    #[inline(always)]
    fn blocks<S: Int8Simd, const B: usize>(&mut self, simd: S, block: usize) -> usize {
        let Self { stage, layer, first, x, .. } = *self;
        let form = Form::dense(stage.inputs, stage.units);
        let own: [_; B] = core::array::from_fn(|b| form.block(layer.packed, block + b));
        let fours = x.len().div_ceil(4);
        let weights = own.map(|block| span(block.weights.as_chunks::<{ 4 * FILTERS }>().0, first / 4, fours));
        let mut sums = [[simd.zero(); B]];
        add_row(simd, layer.range.input == -S::OFFSET, &mut sums, ([x], x.len()), weights);
        let [sums] = sums;
        for (b, (sum, own)) in sums.into_iter().zip(own).enumerate() {
            let target = rest_mut(self.sums, (block + b) * FILTERS);
            let before = if first == 0 { own.base(layer.range.input, S::OFFSET) } else { sixteen(target) };
            let sum = simd.store(simd.add(simd.sums(sum), simd.load(&before)));
            target.iter_mut().zip(sum).for_each(|(target, sum)| *target = sum);
        }
        B
    }
}

/// Where the outputs of a dense layer go, `[sample][unit]`.
pub(crate) enum Target<'b> {
    /// Bytes, with as many from one sample to the next.
    Bytes(&'b mut [i8], usize),
    /// The real numbers that they stand for.
    Logits(&'b mut [f32], Grid),
}

/// A dense layer of several samples.
pub(crate) struct PackedDense<'a, 'b> {
    pub stage: DenseStage,
    pub layer: Int8Layer<'a>,
    pub samples: usize,
    /// Inputs, and elements from one sample to the next.
    pub x: (&'b [i8], usize),
    pub target: Target<'b>,
    /// Bits of the first sample, and words from one to the next; empty to keep none.
    pub masks: (&'b mut [u32], usize),
}

impl Int8Kernel for PackedDense<'_, '_> {
    #[inline(always)]
    fn run<S: Int8Simd>(mut self, simd: S) {
        let (masks, stride) = &mut self.masks;
        let samples = if masks.is_empty() { 0 } else { self.samples };
        for sample in 0..samples {
            span_mut(masks, sample * *stride, self.stage.mask_len()).fill(0);
        }
        let (mut block, blocks) = (0, self.stage.units.div_ceil(FILTERS));
        while block < blocks {
            block += match blocks - block {
                4.. if S::BLOCKS >= 4 => self.blocks::<S, 4>(simd, block),
                2.. if S::BLOCKS >= 2 => self.blocks::<S, 2>(simd, block),
                _ => self.blocks::<S, 1>(simd, block),
            };
        }
    }
}

impl PackedDense<'_, '_> {
    /// All samples of `B` blocks of units; returns `B`.
    #[inline(always)]
    fn blocks<S: Int8Simd, const B: usize>(&mut self, simd: S, block: usize) -> usize {
        let Self { stage, layer, samples, x: (x, stride), .. } = *self;
        let form = Form::dense(stage.inputs, stage.units);
        let blocks = core::array::from_fn(|b| form.block(layer.packed, block + b));
        let window = &Window { values: x, live: &[], lengths: [0; 3], slots: 1, first: 0, row: 0 };
        let operands = Operands {
            form,
            window,
            blocks,
            skips: layer.range.input == -S::OFFSET,
            channel: 0,
            columns: 0,
            channels: 0,
        };
        let bases = bases(simd, &blocks, layer.range.input, S::OFFSET);
        let ends = Ends::of(simd, &layer.range, stage.capped);
        let mut sums = [[simd.splat(0); B]; PLACES];
        for sample in (0..samples).step_by(PLACES) {
            let mut places = [Place::default(); PLACES];
            let places = span_mut(&mut places, 0, PLACES.min(samples - sample));
            for (place, sample) in places.iter_mut().zip(sample..) {
                place.start = sample * stride;
            }
            operands.sums(simd, places, &mut sums);
            for (sums, sample) in sums.iter().take(places.len()).zip(sample..) {
                for (b, ((sum, base), own)) in sums.iter().zip(bases).zip(&blocks).enumerate() {
                    let (bytes, alive) = ends.outputs(simd, own, simd.add(*sum, base));
                    self.put(sample, (block + b) * FILTERS, &bytes, alive);
                }
            }
        }
        B
    }

    /// Writes 16 outputs of a sample and their bits.
    #[inline(always)]
    fn put(&mut self, sample: usize, first: usize, bytes: &[i8; FILTERS], alive: u32) {
        let DenseStage { units, relu, .. } = self.stage;
        match &mut self.target {
            Target::Bytes(out, stride) => put_bytes(span_mut(out, sample * *stride, units), first, bytes),
            Target::Logits(logits, grid) => {
                let logits = rest_mut(span_mut(logits, sample * units, units), first);
                logits.iter_mut().zip(bytes).for_each(|(logit, byte)| *logit = grid.value(*byte));
            }
        }
        if relu {
            let (masks, stride) = &mut self.masks;
            let masks = if masks.is_empty() { &mut [][..] } else { rest_mut(masks, sample * *stride) };
            put_bits(reach_mut(masks, 0, self.stage.mask_len()), first, alive & existing(units, first));
        }
    }
}
