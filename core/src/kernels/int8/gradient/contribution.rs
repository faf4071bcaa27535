//! Rows of gradients and sums of them, and what a row contributes to another.

use crate::kernels::int8::Int8Layer;
use crate::kernels::masks::RowMasks;
use crate::network::plan::Spatial;

/// Bits of the largest value of a row.
pub(super) const VALUE_BITS: u32 = 15;

/// Bits of a sum below those of a value of 15 bits, where values are passed on as they are.
pub(super) const HEADROOM: i32 = 12;

/// Gradients of one row: each is `value * 2^exponent`.
#[derive(Clone, Copy)]
pub(crate) struct Gradients<'a> {
    pub values: &'a [i16],
    /// `None` if all are 0.
    pub exponent: Option<i32>,
}

/// A row of the gradients of a stage's sums, with its number and its bits.
#[derive(Clone, Copy)]
pub(crate) struct OutputGradients<'a> {
    pub row: usize,
    /// `[column][o]`, 0 for the dead.
    pub gradients: Gradients<'a>,
    pub masks: RowMasks<'a>,
}

/// Sums of gradients: each is `value * 2^exponent`.
pub(crate) struct Sums<'b> {
    pub values: &'b mut [i32],
    pub exponent: i32,
}

/// How a stage's row reaches one of its sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By what it reads.
    Read,
    /// By what it adds.
    Add,
}

/// What one row contributes to one input row.
#[derive(Clone, Copy)]
pub(super) struct Contribution<'a> {
    pub(super) layer: &'a Int8Layer<'a>,
    pub(super) output: &'a OutputGradients<'a>,
    pub(super) row: usize,
    /// From the row's unit to that of the sums: to the right, or below 0 to the left.
    pub(super) shift: i32,
}

/// Where a window's row lies over the map.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The first column of the kernel that lies on the map, and the column of the map under it.
    pub(super) kernel: usize,
    pub(super) column: usize,
    /// Columns of the kernel that lie on the map.
    pub(super) len: usize,
}

impl<'a> Contribution<'a> {
    pub(super) fn stage(&self) -> &'a Spatial {
        self.output.masks.stage
    }

    /// For each row of the pooling window that has the input row under its kernel: that row, and the kernel's row.
    pub(super) fn kernel_rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let stage = self.stage();
        let (kernel, stride) = (stage.kernel_height(), stage.row_stride());
        let above = (self.row + stage.pad_top()).wrapping_sub(self.output.row * stage.row_step());
        (0..stage.pool()).filter_map(move |wy| {
            let ky = above.wrapping_sub(wy * stride);
            (ky < kernel).then_some((wy, ky))
        })
    }

    /// The columns under the window of column `q`, at column `wx` of the pooling window.
    #[inline(always)]
    pub(super) fn run(&self, q: usize, wx: usize) -> Run {
        let stage = self.stage();
        let start = q * stage.column_step() + wx * stage.column_stride();
        let (left, width) = (stage.pad_left(), stage.kernel_width());
        let kernel = left.saturating_sub(start).min(width);
        let end = (left + stage.input().width).saturating_sub(start).min(width);
        Run { kernel, column: (start + kernel).saturating_sub(left), len: end.saturating_sub(kernel) }
    }
}

/// `x / 2^shift`, rounded to nearest, halves up; `x` has at most 30 bits beside its sign.
#[inline(always)]
pub(super) fn shift_right(x: i32, shift: u32) -> i32 {
    let half = (1u32 << shift >> 1) as i32;
    (x + half) >> shift
}

/// `value * 2^-shift`, to the right with [`shift_right`].
#[inline(always)]
pub(super) fn shifted(value: i32, shift: i32) -> i32 {
    if shift < 0 { value << (-shift).min(HEADROOM) } else { shift_right(value, shift.min(30) as u32) }
}

/// `a * b / 2^32`, rounded down.
#[inline(always)]
pub(super) fn high_product(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_rounds_to_nearest() {
        assert_eq!([5, 6, 7, -5, -6, -7].map(|x| shift_right(x, 2)), [1, 2, 2, -1, -1, -2]);
        assert_eq!([3, -3].map(|x| shift_right(x, 0)), [3, -3]);
        assert_eq!([1, -1, 40].map(|x| shifted(x, -3)), [8, -8, 320]);
        assert_eq!(shifted(32767, 100), 0);
    }
}
