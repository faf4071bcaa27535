//! What the walk that fills the rows of a graph does beyond that of a chain: rows for several readers, and an average's sums.

use core::ops::Range;

use bytemuck::Zeroable as _;

use super::arithmetic::Arithmetic;
use super::progress::Progress;
use super::rows::{ForwardRows, row_masks};
use super::sources::Sources;
use crate::network::plan::{Operation, Spatial};
use crate::span::{copy_part, reach, span, span_mut, split_mut};
use crate::vector::Simd;

impl<T: Arithmetic> ForwardRows<'_, '_, '_, T> {
    /// Receives the padding above the first row of each stage: a row may come before its reader asks for one.
    pub(super) fn clear_top_paddings(&mut self, progress: &mut [Progress]) {
        let plan = self.model.network().plan();
        for (index, state) in progress.iter_mut().enumerate() {
            let Some(stage) = plan.spatial(index) else { return };
            for _ in 0..stage.pad_top() {
                self.keep
                    .next_row::<T>((plan, self.places), self.rows, (index, stage), state.receive())
                    .1
                    .clear(T::zero(self.model, index));
            }
        }
    }

    /// Makes output row `row` of stage `index`, for all that read it: the first of them gets it where it is made, the others
    /// get copies.
    #[inline(always)]
    pub(super) fn row_for_all<S: Simd>(
        &mut self,
        simd: S,
        (index, stage): (usize, &Spatial),
        row: usize,
        (progress, skipped): (&mut [Progress], &mut [u16]),
    ) {
        let plan = self.model.network().plan();
        let mut made: Option<Range<usize>> = None;
        for (reader, is_skip) in plan.readers(index) {
            let Some(target) = plan.spatial(reader) else { return };
            let (Some(state), Some(skipped)) = (progress.get_mut(reader), skipped.get_mut(reader)) else { return };
            let at = if is_skip {
                *skipped += 1;
                self.keep.own_row::<T>((plan, self.places), (reader, target), usize::from(*skipped - 1))
            } else {
                self.keep.content::<T>((plan, self.places), (reader, target), state.receive())
            };
            match &made {
                None => {
                    self.make(simd, (index, stage), row, at.clone());
                    made = Some(at);
                }
                Some(made) => copy_part(self.rows, made.clone(), at.start),
            }
            if !is_skip {
                let received = state.received() - 1;
                let (_, mut new) = self.keep.next_row::<T>((plan, self.places), self.rows, (reader, target), received);
                // Clears the paddings.
                new.content(T::zero(self.model, reader));
                T::finish(simd, new);
                self.add_up((reader, target), received);
            }
        }
        self.clear_sums((index, stage), row);
    }

    /// Makes output row `row` of stage `index` at a place behind all rows of that stage.
    #[inline(always)]
    fn make<S: Simd>(&mut self, simd: S, (index, stage): (usize, &Spatial), row: usize, at: Range<usize>) {
        let plan = self.model.network().plan();
        let (rows, target) = split_mut(self.rows, at.start);
        let out = span_mut(target, 0, at.len());
        let window = &self.keep.window::<T>((plan, self.places), rows, (index, stage), row);
        let own = self.keep.own_row::<T>((plan, self.places), (index, stage), row);
        let own = reach(rows, own.start, own.len());
        let masks = row_masks(plan, self.masks, index, stage, row);
        T::make(
            simd,
            self.model,
            (index, stage),
            Sources { window, own, first: 0, scratch: &mut *self.scratch },
            out,
            masks,
        );
    }

    /// Adds padded input row `row` of an average to its sums.
    pub(super) fn add_up(&mut self, (index, stage): (usize, &Spatial), row: usize) {
        if stage.operation != Operation::Average {
            return;
        }
        let plan = self.model.network().plan();
        let content = self.keep.content::<T>((plan, self.places), (index, stage), row);
        let sums = self.keep.own_row::<T>((plan, self.places), (index, stage), 0);
        let (rows, behind) = split_mut(self.rows, sums.start);
        let sums = span_mut(behind, 0, sums.len());
        if row == stage.pad_top() {
            sums.fill(T::Value::zeroed());
        }
        T::add_up(stage, span(rows, content.start, content.len()), sums);
    }

    /// Begins an average's next row.
    pub(super) fn clear_sums(&mut self, (index, stage): (usize, &Spatial), row: usize) {
        if stage.operation == Operation::Average {
            let own = self.keep.own_row::<T>((self.model.network().plan(), self.places), (index, stage), row);
            span_mut(self.rows, own.start, own.len()).fill(T::Value::zeroed());
        }
    }
}
