//! The way back through layers of integers, in integers: straight through their rounding, at the bits of the forward pass.
//!
//! ```text
//! a row of gradients    i16 values and one exponent: value * 2^exponent (block floating point), of which the largest has 15 bits
//! sums                  i32 values and one exponent, to which every reader of a row contributes
//!
//! sums of a stage's output gradient -- normalise.rs: times the multiplier of each channel, 0 for the dead -->
//!     row of the gradient of its sums -- conv.rs, depthwise.rs, pass_on.rs: times the weights --> sums of its input's gradient
//!
//! terms.rs      a list of weights with factors, and its products: what conv.rs and dense layers are made of
//! ```
//! All gradients are with respect to integers, so that no scale of a tensor is needed on the way: a convolution's slope is
//! `multiplier * weight`, that of a sum of two maps the quotient of two scales, which its multipliers hold. Rows of 16 bits
//! lose 2^-16 of their largest value at each stage.

mod conv;
mod depthwise;
mod normalise;
mod open_rows;
mod pass_on;
mod terms;

use crate::kernels::int8::Int8Layer;
use crate::kernels::masks::RowMasks;
use crate::network::plan::{Operation, Spatial};

pub(crate) use normalise::{Alive, Factors, normalise};
pub(crate) use open_rows::OpenRows;
pub(crate) use terms::{TERMS, Term, Terms};

/// Bits of the largest value of a row.
const VALUE_BITS: u32 = 15;

/// So many products of a value of a row and a weight fit into a sum.
const PRODUCTS: usize = 480;

/// Bits of a sum below those of a value of 15 bits, where values are passed on as they are.
const HEADROOM: i32 = 12;
/// What such a value is as large as.
const PRODUCTS_PASSED_ON: usize = 1 << (HEADROOM - 7);

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

/// The unit of sums in which all that contributes to them has room.
#[derive(Clone, Copy, Default)]
pub(crate) struct Room {
    exponent: Option<i32>,
    products: usize,
}

impl Room {
    /// For `count` products of values with an exponent and weights.
    pub(crate) fn of_products(exponent: Option<i32>, count: usize) -> Self {
        Self { exponent, products: count }
    }

    /// For a row as well. A row in which all is 0 takes none.
    pub(crate) fn with(self, layer: &Int8Layer<'_>, output: &OutputGradients<'_>, way: Way) -> Self {
        let Some(exponent) = output.gradients.exponent else { return self };
        let stage = output.masks.stage;
        let columns = stage.column_extent().div_ceil(stage.column_step());
        let (growth, products) = match stage.operation {
            Operation::Conv => (0, columns * stage.output().channels),
            Operation::Depthwise => (0, columns * (stage.output().channels / stage.input().channels.max(1))),
            Operation::Add => (pass_on::share_of_operand(layer, way).1 - HEADROOM, PRODUCTS_PASSED_ON),
            Operation::Average | Operation::Identity => (-HEADROOM, PRODUCTS_PASSED_ON),
        };
        let exponent = self.exponent.map_or(exponent + growth, |own| own.max(exponent + growth));
        Self { exponent: Some(exponent), products: self.products + products }
    }

    /// For so many times as much.
    pub(crate) fn times(self, count: usize) -> Self {
        Self { products: self.products * count, ..self }
    }

    /// The exponent of the unit; `None` if there is nothing to add.
    pub(crate) fn exponent(&self) -> Option<i32> {
        let mut exponent = self.exponent?;
        let mut most = PRODUCTS;
        while self.products > most {
            most *= 2;
            exponent += 1;
        }
        Some(exponent)
    }
}

/// Adds what a row contributes to the gradient of row `row` of one of the stage's sources. (A row in which all is 0 has nothing.)
#[inline(never)]
pub(crate) fn contribute(
    layer: &Int8Layer<'_>,
    output: &OutputGradients<'_>,
    (row, way): (usize, Way),
    sums: &mut Sums<'_>,
    list: &mut [Term],
) {
    let Some(exponent) = output.gradients.exponent else { return };
    let shift = sums.exponent - exponent;
    let contribution = Contribution { layer, output, row, shift };
    match output.masks.stage.operation {
        Operation::Conv => contribution.convolve(sums.values, list),
        Operation::Depthwise => contribution.convolve_depthwise(sums.values),
        Operation::Average => contribution.spread(sums.values),
        Operation::Add => contribution.add(way, sums.values),
        Operation::Identity => contribution.hand_on(sums.values),
    }
}

/// Adds what a row contributes to all rows of what its stage reads.
pub(crate) fn contribute_to_all(
    layer: &Int8Layer<'_>,
    output: &OutputGradients<'_>,
    rows: &mut OpenRows<'_>,
    list: &mut [Term],
) {
    let stage = output.masks.stage;
    let first = output.row * stage.row_step();
    let (Some(exponent), Some(own)) = (rows.exponent(), output.gradients.exponent) else { return };
    if stage.operation == Operation::Conv && stage.pool() == 1 {
        let shift = exponent - own;
        if shift <= 16 {
            Contribution { layer, output, row: first, shift }.convolve_to_all(rows, list);
        }
        return;
    }
    for padded in first..first + stage.row_extent() {
        if let Some(row) = padded.checked_sub(stage.pad_top()).filter(|row| *row < stage.input().height) {
            let mut sums = Sums { values: rows.content(stage, padded), exponent };
            contribute(layer, output, (row, Way::Read), &mut sums, list);
        }
    }
}

/// What one row contributes to one input row.
#[derive(Clone, Copy)]
struct Contribution<'a> {
    layer: &'a Int8Layer<'a>,
    output: &'a OutputGradients<'a>,
    row: usize,
    /// From the row's unit to that of the sums: to the right, or below 0 to the left.
    shift: i32,
}

/// Where a window's row lies over the map.
#[derive(Clone, Copy)]
struct Run {
    /// The first column of the kernel that lies on the map, and the column of the map under it.
    kernel: usize,
    column: usize,
    /// Columns of the kernel that lie on the map.
    len: usize,
}

impl<'a> Contribution<'a> {
    fn stage(&self) -> &'a Spatial {
        self.output.masks.stage
    }

    /// For each row of the pooling window that has the input row under its kernel: that row, and the kernel's row.
    fn kernel_rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
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
    fn run(&self, q: usize, wx: usize) -> Run {
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
fn shift_right(x: i32, shift: u32) -> i32 {
    let half = (1u32 << shift >> 1) as i32;
    (x + half) >> shift
}

/// `value * 2^-shift`, to the right with [`shift_right`].
#[inline(always)]
fn shifted(value: i32, shift: i32) -> i32 {
    if shift < 0 { value << (-shift).min(HEADROOM) } else { shift_right(value, shift.min(30) as u32) }
}

/// `a * b / 2^32`, rounded down.
#[inline(always)]
fn high_product(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::plan::GRADIENT_TERMS;

    #[test]
    fn the_plan_has_room_for_the_list() {
        assert_eq!(GRADIENT_TERMS, 2 * terms::TERMS);
    }

    #[test]
    fn a_shift_rounds_to_nearest() {
        assert_eq!([5, 6, 7, -5, -6, -7].map(|x| shift_right(x, 2)), [1, 2, 2, -1, -1, -2]);
        assert_eq!([3, -3].map(|x| shift_right(x, 0)), [3, -3]);
        assert_eq!([1, -1, 40].map(|x| shifted(x, -3)), [8, -8, 320]);
        assert_eq!(shifted(32767, 100), 0);
    }

    #[test]
    fn sums_have_room_for_all_products() {
        for count in [1, 480, 481, 2304, 100_000] {
            let growth = Room::of_products(Some(3), count).exponent().unwrap() - 3;
            let most = (count as i64 * 128) * ((32767 >> growth) + 1);
            assert!(most + (1 << 20) < 1 << 31, "{count}");
        }
        assert_eq!(PRODUCTS_PASSED_ON * 128, 1 << HEADROOM);
    }
}
