//! Average pooling of integers: rounded to nearest, half away from zero. Sums have 16 bits, two bytes of a row each: a window has
//! at most 255 inputs.

use super::Int8Layer;
use crate::kernels::average::{columns, count};
use crate::kernels::masks::write_bits;
use crate::network::plan::Spatial;
use crate::span::span;

/// Adds an input row (`[column][i]`, without padding) to the sums of its row of windows (`[q][i]`, two bytes each).
pub(crate) fn add_row(stage: &Spatial, x: &[i8], sums: &mut [i8]) {
    let channels = stage.input().channels;
    for (q, sums) in sums.chunks_exact_mut((2 * channels).max(1)).enumerate() {
        for column in columns(stage, q) {
            let (sums, _) = sums.as_chunks_mut::<2>();
            for (sum, x) in sums.iter_mut().zip(span(x, column * channels, channels)) {
                *sum = bytes(value(*sum).wrapping_add(i16::from(*x)));
            }
        }
    }
}

/// The means of output row `p` from its sums, from column `first` on, as many as `out` takes.
pub(crate) fn means(stage: &Spatial, layer: &Int8Layer<'_>, (p, first): (usize, usize), sums: &[i8], out: &mut [i8]) {
    let channels = stage.output().channels;
    let (sums, _) = sums.as_chunks::<2>();
    for (column, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        let q = first + column;
        let n = count(stage, p, q).max(1) as i32;
        for (out, sum) in out.iter_mut().zip(span(sums, q * channels, channels)) {
            let sum = i32::from(value(*sum));
            let mean = (if sum > 0 { sum + n / 2 } else { sum - n / 2 }) / n;
            *out = layer.range.output(mean - layer.range.output);
        }
    }
}

fn value(bytes: [i8; 2]) -> i16 {
    i16::from_ne_bytes(bytes.map(|byte| byte as u8))
}

fn bytes(value: i16) -> [i8; 2] {
    value.to_ne_bytes().map(|byte| byte as i8)
}

/// The bits of a ReLU behind an average, whose sums are not kept: those of its outputs.
pub(crate) fn note_alive_means(stage: &Spatial, layer: &Int8Layer<'_>, out: &[i8], masks: &mut [u32]) {
    let channels = stage.output().channels.max(1);
    for (masks, out) in masks.chunks_exact_mut(stage.words().max(1)).zip(out.chunks_exact(channels)) {
        let alive = |value: &i8| layer.is_alive(stage.capped, i32::from(*value) - layer.range.output, *value);
        write_bits(masks, out.iter().map(alive));
    }
}
