//! The bits of ReLUs, from sums.

use super::Int8Layer;
#[cfg(cortex_m_dsp)]
use super::cortex_m;
use crate::kernels::masks::write_bits;
use crate::network::plan::Spatial;
#[cfg(cortex_m_dsp)]
use crate::network::plan::WORD_BITS;
#[cfg(cortex_m_dsp)]
use crate::span::{reach_rest, span_mut};

/// The bits of outputs, the first of which starts a word, from every `step`-th sum.
#[inline(never)]
pub(super) fn put_alive(
    (stage, layer): (&Spatial, &Int8Layer<'_>),
    (sums, step): (&[i32], usize),
    out: &[i8],
    masks: &mut [u32],
) {
    debug_assert!((1..=4).contains(&step), "{step}");
    #[cfg(cortex_m_dsp)]
    if !stage.capped {
        return put_above_zero((sums, step), out.len(), masks);
    }
    let pairs = sums.iter().step_by(step.max(1)).zip(out);
    write_bits(masks, pairs.map(|(sum, value)| layer.is_alive(stage.capped, *sum, *value)));
}

/// [`put_alive`] of `count` outputs of a ReLU that has no upper end.
#[cfg(cortex_m_dsp)]
fn put_above_zero((sums, step): (&[i32], usize), count: usize, masks: &mut [u32]) {
    for (number, word) in span_mut(masks, 0, count.div_ceil(WORD_BITS)).iter_mut().enumerate() {
        let first = number * WORD_BITS;
        let count = WORD_BITS.min(count - first);
        let sums = reach_rest(sums, first * step);
        if sums.len() > (count - 1) * step {
            // SAFETY: the last of them is there, because a step is at least 1.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                *word = match step {
                    4 => cortex_m::above_zero4(sums.as_ptr(), count),
                    3 => cortex_m::above_zero3(sums.as_ptr(), count),
                    2 => cortex_m::above_zero2(sums.as_ptr(), count),
                    _ => cortex_m::above_zero1(sums.as_ptr(), count),
                };
            }
        }
    }
}
