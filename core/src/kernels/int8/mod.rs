//! Layers of integers of 8 bits, to the bit as TensorFlow Lite for Microcontrollers computes them.
//!
//! ```text
//! requantise.rs   from a sum of products to a byte              conv.rs      convolution + ReLU + max-pooling, depthwise
//! average.rs      average pooling                               add.rs       sum of two maps
//! dense.rs        dense layer                                   blocks.rs    convolution by blocks of positions, with
//! depthwise.rs    depthwise convolution                         patch.rs, dots.rs, largest.rs, outputs.rs, cortex_m/
//! columns.rs      which way is taken
//! packed/         all of that with a host's vectors
//! ```
//! A value is `scale * (byte - zero point)`. Products are those of a byte less its zero point and a weight, so what is padded
//! with the zero point adds nothing. What a ReLU does is in the smallest and the largest output. The weights' order is that of a
//! `.tflite` file: filter by filter.

pub(crate) mod add;
#[cfg_attr(not(cortex_m_dsp), allow(dead_code, reason = "as `blocks`"))]
mod alive;
pub(crate) mod average;
#[cfg_attr(not(cortex_m_dsp), allow(dead_code, reason = "tests compare it with the other way"))]
pub(crate) mod blocks;
mod columns;
pub(crate) mod conv;
#[cfg(cortex_m_dsp)]
mod cortex_m;
pub(crate) mod dense;
mod depthwise;
mod dots;
pub(crate) mod gradient;
mod largest;
#[cfg_attr(not(cortex_m_dsp), allow(dead_code, reason = "as above"))]
mod outputs;
#[cfg(feature = "std")]
pub(crate) mod packed;
mod patch;
mod requantise;

use requantise::requantise;

/// Zero points of a layer, and where its outputs end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    pub input: i32,
    pub output: i32,
    /// Of what it adds.
    pub added: i32,
    pub low: i32,
    pub high: i32,
}

impl Range {
    /// A result, less the output's zero point, as an output.
    #[inline(always)]
    pub(crate) fn output(&self, result: i32) -> i8 {
        // The ends are bytes, and so is what lies between.
        (result.saturating_add(self.output)).max(self.low).min(self.high) as i8
    }
}

/// The tensors of a layer of integers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Int8Layer<'a> {
    pub weights: &'a [i8],
    pub bias: &'a [i32],
    /// For each output channel, from a sum to an output less its zero point.
    pub multipliers: &'a [[i32; 2]],
    pub range: Range,
    /// Of input and output.
    pub scales: [f32; 2],
    /// The weights in the order of [`packed`], and what lies behind them; or empty.
    #[cfg(feature = "std")]
    pub packed: &'a [i32],
}

impl Int8Layer<'_> {
    /// A sum of products of output channel `o` as an output.
    #[inline(always)]
    pub(crate) fn output(&self, o: usize, sum: i32) -> i8 {
        let [output] = self.outputs(o, [sum]);
        output
    }

    /// [`Self::output`] of several sums.
    #[inline(always)]
    pub(crate) fn outputs<const P: usize>(&self, o: usize, sums: [i32; P]) -> [i8; P] {
        let [multiplier, shift] = self.multipliers.get(o).copied().unwrap_or_default();
        sums.map(|sum| self.range.output(requantise(sum, multiplier, shift)))
    }

    /// Whether a sum is above 0 before any rounding, which could hide it, and its output is not at the end of a ReLU6, which `capped`
    /// says there is. (At the largest byte it is alive: saturation is no part of the model.)
    #[inline(always)]
    pub(crate) fn is_alive(&self, capped: bool, sum: i32, value: i8) -> bool {
        sum > 0 && !(capped && i32::from(value) >= self.range.high)
    }

    /// The real number that a weight of 1 of output channel `o` stands for.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn weight_scale(&self, o: usize) -> f32 {
        let [multiplier, shift] = self.multipliers.get(o).copied().unwrap_or_default();
        let [input, output] = self.scales;
        // 2^(shift - 31): its exponent is from -62 to 0.
        let power = f32::from_bits(((127 - 31 + shift) as u32) << 23);
        multiplier as f32 * power * output / input
    }

    /// The sum with which output channel `o` starts.
    #[inline(always)]
    pub(crate) fn bias(&self, o: usize) -> i32 {
        self.bias.get(o).copied().unwrap_or(0)
    }
}

/// The grid of a model's input: the real numbers that its bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// From one byte to the next.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: i32,
}

impl Grid {
    /// The byte nearest to `x`; the smallest or the largest beyond their ends.
    ///
    /// ```
    /// use midge_core::Grid;
    ///
    /// let grid = Grid { scale: 0.5, zero_point: -128 };
    /// assert_eq!([0.0, 0.6, 1.0, -3.0, 1e9].map(|x| grid.round(x)), [-128, -127, -126, -128, 127]);
    /// assert_eq!(grid.value(-126), 1.0);
    /// ```
    #[inline]
    pub fn round(&self, x: f32) -> i8 {
        // A cast cuts off toward zero, and saturates.
        let steps = x / self.scale + if x < 0.0 { -0.5 } else { 0.5 };
        (steps as i32).saturating_add(self.zero_point).clamp(-128, 127) as i8
    }

    /// The number that a byte stands for.
    pub fn value(&self, byte: i8) -> f32 {
        (i32::from(byte) - self.zero_point) as f32 * self.scale
    }

    /// The smallest and the largest number of the grid.
    pub fn range(&self) -> [f32; 2] {
        [self.value(i8::MIN), self.value(i8::MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_beyond_all_bytes_end_the_range() {
        let range = |output: i32| Range { output, low: -128, high: 100, ..Range::default() };
        assert_eq!([i32::MIN, -1, 0, i32::MAX].map(|result| range(127).output(result)), [-128, 100, 100, 100]);
        assert_eq!([i32::MIN, 0, 1, i32::MAX].map(|result| range(-128).output(result)), [-128, -128, -127, 100]);
    }
}
