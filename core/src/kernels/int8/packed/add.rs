//! The sum of two maps of integers + ReLU, 16 elements at a time.

use super::outputs::{Ends, existing, put_bits, put_bytes};
use crate::kernels::int8::Int8Layer;
use crate::kernels::int8::add::MORE_BITS;
use crate::network::plan::Spatial;
use crate::span::{reach_mut, rest, span};
use crate::vector::int8::{FILTERS, Int8Kernel, Int8Simd, Multipliers, sixteen};

/// Adds two rows; `masks` takes the bits of the ReLU, unless it is empty.
pub(crate) struct PackedAdd<'a, 'b> {
    pub stage: &'a Spatial,
    pub layer: Int8Layer<'a>,
    pub x: &'b [i8],
    pub other: &'b [i8],
    pub out: &'b mut [i8],
    pub masks: &'b mut [u32],
}

/// The multiplier and the shifts of all lanes.
#[derive(Clone, Copy)]
struct Same([[i32; FILTERS]; 3]);

impl Same {
    #[inline(always)]
    fn of([multiplier, shift]: [i32; 2], more_bits: u32) -> Self {
        Self([multiplier, shift.max(0) + more_bits as i32, (-shift).max(0)].map(|x| [x; FILTERS]))
    }

    #[inline(always)]
    fn by(&self) -> Multipliers<'_> {
        let [multiplier, left, right] = &self.0;
        Multipliers { multiplier, left, right }
    }
}

impl Int8Kernel for PackedAdd<'_, '_> {
    #[inline(always)]
    fn run<S: Int8Simd>(self, simd: S) {
        let Self { stage, layer, x, other, out, masks } = self;
        let [x_by, other_by, by] = *layer.multipliers else { return };
        let (x_by, other_by, by) = (Same::of(x_by, MORE_BITS), Same::of(other_by, MORE_BITS), Same::of(by, 0));
        let channels = stage.output().channels;
        masks.fill(0);
        let ends = Ends::of(simd, &layer.range, stage.capped);
        for (column, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
            let (x, other) = (span(x, column * channels, channels), span(other, column * channels, channels));
            for first in (0..channels).step_by(FILTERS) {
                let x = simd.add(simd.widen(&sixteen(rest(x, first))), simd.splat(-layer.range.input));
                let other = simd.add(simd.widen(&sixteen(rest(other, first))), simd.splat(-layer.range.added));
                let x = simd.requantise(x, x_by.by());
                let other = simd.requantise(other, other_by.by());
                let sums = simd.add(x, other);
                let (bytes, alive) = ends.bytes(simd, sums, simd.requantise(sums, by.by()));
                put_bytes(out, first, &bytes);
                if stage.relu {
                    // None where no bits are kept.
                    put_bits(
                        reach_mut(masks, column * stage.words(), stage.words()),
                        first,
                        alive & existing(channels, first),
                    );
                }
            }
        }
    }
}
