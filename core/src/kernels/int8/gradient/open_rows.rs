//! The rows of an image's gradient that windows still lie over: sums in one unit, that of the largest row which contributes to them.
//!
//! ```text
//! | row 0 | row 1 | ... extent of a window    each with its paddings | exponents of the last rows that contributed |
//! ```

use crate::network::plan::Spatial;
use crate::span::{span, span_mut, split_mut};

/// Stands for the exponent of a row in which all is 0.
const ALL_ZERO: i32 = i32::MIN;

pub(crate) struct OpenRows<'b> {
    values: &'b mut [i32],
    /// As [`Room`](super::Room) finds them.
    exponents: &'b mut [i32],
    row_len: usize,
    exponent: i32,
}

impl<'b> OpenRows<'b> {
    /// All 0.
    pub(crate) fn new(stage: &Spatial, memory: &'b mut [i32]) -> Self {
        let row_len = stage.padded_row_len();
        let (values, exponents) = split_mut(memory, stage.row_extent() * row_len);
        values.fill(0);
        exponents.fill(ALL_ZERO);
        Self { values, exponents, row_len, exponent: ALL_ZERO }
    }

    /// The exponent of the unit.
    pub(super) fn exponent(&self) -> Option<i32> {
        if self.exponent == ALL_ZERO { None } else { Some(self.exponent) }
    }

    /// Makes room for row `row` of the first stage, which needs sums with an exponent; rows that are out of reach need none any more.
    pub(crate) fn make_room(&mut self, row: usize, exponent: Option<i32>) {
        let places = self.exponents.len().max(1);
        if let Some(place) = self.exponents.get_mut(row % places) {
            *place = exponent.unwrap_or(ALL_ZERO);
        }
        let largest = self.exponents.iter().copied().max().unwrap_or(ALL_ZERO);
        if self.exponent != ALL_ZERO && largest != ALL_ZERO {
            let right = largest - self.exponent;
            for value in &mut *self.values {
                *value = if right < 0 { *value << (-right).min(31) } else { *value >> right.min(31) };
            }
        }
        self.exponent = largest;
    }

    /// Padded row number `padded`.
    #[inline(always)]
    pub(super) fn row(&mut self, padded: usize) -> &mut [i32] {
        let rows = self.values.len() / self.row_len.max(1);
        span_mut(self.values, padded % rows.max(1) * self.row_len, self.row_len)
    }

    /// The same without its paddings.
    pub(super) fn content(&mut self, stage: &Spatial, padded: usize) -> &mut [i32] {
        let left = stage.pad_left() * stage.input().channels;
        span_mut(self.row(padded), left, stage.input().row_len())
    }

    /// Passes a row without its paddings on, with the exponent of its unit, and clears it for another.
    pub(crate) fn close(&mut self, stage: &Spatial, padded: usize, use_row: impl FnOnce(&[i32], i32)) {
        let exponent = self.exponent().unwrap_or(0);
        let left = stage.pad_left() * stage.input().channels;
        let row = self.row(padded);
        use_row(span(row, left, stage.input().row_len()), exponent);
        row.fill(0);
    }
}
