//! The way back through layers of integers, in integers: straight through their rounding, at the bits of the forward pass.
//!
//! ```text
//! a row of gradients    i16 values and one exponent: value * 2^exponent (block floating point), of which the largest has 13 to 15 bits
//! sums                  i32 values and one exponent, to which every reader of a row contributes
//!
//! sums of a stage's output gradient -- normalise.rs: times the multiplier of each channel, 0 for the dead -->
//!     row of the gradient of its sums -- conv.rs, depthwise.rs, pass_on.rs: times the weights --> sums of its input's gradient
//!
//! contribution.rs   rows and sums        room.rs   the unit in which sums have room
//! terms.rs          a list of weights with factors, and its products: what conv.rs and dense layers are made of
//! ```
//! All gradients are with respect to integers, so that no scale of a tensor is needed on the way: a convolution's slope is
//! `multiplier * weight`, that of a sum of two maps the quotient of two scales, which its multipliers hold. Rows of 16 bits
//! lose 2^-14 of their largest value at each stage.

mod contribution;
mod conv;
mod depthwise;
mod normalise;
mod open_rows;
mod pass_on;
mod room;
mod terms;

use crate::kernels::int8::Int8Layer;
use crate::network::plan::Operation;

use contribution::Contribution;
pub(crate) use contribution::{Gradients, OutputGradients, Sums, Way};
pub(crate) use normalise::{Alive, Factors, normalise};
pub(crate) use open_rows::OpenRows;
pub(crate) use room::Room;
pub(crate) use terms::{TERMS, Term, Terms};

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
