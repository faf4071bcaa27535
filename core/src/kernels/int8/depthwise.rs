//! Depthwise convolution of integers: the elements of one tap of the kernel at a time, for all channels.

use super::Int8Layer;
#[cfg(cortex_m_dsp)]
use super::cortex_m;
use crate::kernels::conv::Window;
use crate::network::plan::Spatial;
use crate::span::span;

/// Channels whose products are made together.
pub(super) const CHANNELS: usize = 4;

/// The sums of all channels at the position whose first element is `start`.
#[inline(never)]
pub(super) fn sums(stage: &Spatial, layer: &Int8Layer<'_>, window: &Window<'_, i8>, start: usize, sums: &mut [i32]) {
    let (channels, width, zero) = (sums.len(), stage.kernel_width(), layer.range.input as i16);
    sums.iter_mut().zip(layer.bias).for_each(|(sum, bias)| *sum = *bias);
    let len = width * channels;
    for ky in 0..stage.kernel_height() {
        let x = span(window.input_row(ky).values, start, len);
        add_products(sums, x, span(layer.weights, ky * len, len), zero);
    }
}

/// Adds the products of inputs, less `zero`, with weights, one by one: as many as there are sums, then those of the next tap. Of
/// each there is a multiple of 4.
#[inline(always)]
fn add_products(sums: &mut [i32], x: &[i8], weights: &[i8], zero: i16) {
    #[cfg(cortex_m_dsp)]
    {
        let (count, len) = (sums.len() / CHANNELS, x.len().min(weights.len()));
        let taps = len / sums.len().max(1);
        if count > 0 && taps > 0 {
            // SAFETY: all elements are there.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                let (sums, operands) = ((sums.as_mut_ptr(), count), (x.as_ptr(), weights.as_ptr()));
                if taps == 3 {
                    cortex_m::add_products_of_3(sums, operands, zero);
                } else {
                    cortex_m::add_products(sums, operands, taps, zero);
                }
            }
        }
    }
    #[cfg(not(cortex_m_dsp))]
    portable(sums, x, weights, zero);
}

/// [`add_products`] without assembly.
#[cfg_attr(cortex_m_dsp, allow(dead_code, reason = "the twin of the assembly"))]
fn portable(sums: &mut [i32], x: &[i8], weights: &[i8], zero: i16) {
    let channels = sums.len().max(1);
    for (x, weights) in x.chunks_exact(channels).zip(weights.chunks_exact(channels)) {
        for ((sum, x), w) in sums.iter_mut().zip(x).zip(weights) {
            *sum = sum.wrapping_add(i32::from(i16::from(*x) - zero) * i32::from(*w));
        }
    }
}
