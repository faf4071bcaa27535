//! What the walk that fills the rows of a graph does beyond that of a chain: rows for several readers, and an average's sums.

use core::ops::Range;

use bytemuck::Zeroable as _;

use super::arithmetic::Arithmetic;
use super::progress::Progress;
use super::rows::{ForwardRows, row_masks};
use super::sources::Sources;
use crate::network::plan::{Operation, Spatial};
use crate::span::{copy_part, reach, rest, rest_mut, span, span_mut, split_mut};
use crate::vector::Simd;

impl<T: Arithmetic> ForwardRows<'_, '_, '_, T> {
    /// Counts the padding above the first row of each stage as received: a row may come before its reader asks for one.
    pub(super) fn count_top_paddings(&self, progress: &mut [Progress]) {
        let plan = self.model.network().plan();
        for (index, state) in progress.iter_mut().enumerate() {
            let Some(stage) = plan.spatial(index) else { return };
            for _ in 0..stage.pad_top() {
                state.receive();
            }
        }
    }

    /// Clears that padding, when `row` is the first below it: before, its memory may be another stage's.
    #[inline(never)]
    pub(super) fn clear_top_padding(&mut self, (index, stage): (usize, &Spatial), row: usize) {
        let plan = self.model.network().plan();
        for above in 0..if row == stage.pad_top() { row } else { 0 } {
            let (_, new) = self.keep.next_row::<T>((plan, self.places), self.rows, (index, stage), above);
            new.clear(T::zero(self.model, index));
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
                let row = state.receive();
                self.clear_top_padding((reader, target), row);
                self.keep.content::<T>((plan, self.places), (reader, target), row)
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

    /// Makes output row `row` of stage `index` at a place behind or before all rows of that stage.
    #[inline(always)]
    fn make<S: Simd>(&mut self, simd: S, (index, stage): (usize, &Spatial), row: usize, at: Range<usize>) {
        let plan = self.model.network().plan();
        let own = self.keep.own_row::<T>((plan, self.places), (index, stage), row);
        // Whatever the stage reads lies on one side of the place.
        let is_before = at.start < self.keep.start::<T>((plan, self.places), index);
        let (base, split_at) = if is_before { (at.end, at.end) } else { (0, at.start) };
        let (front, back) = split_mut(self.rows, split_at);
        let (rows, out) =
            if is_before { (back, rest_mut(front, at.start)) } else { (front, span_mut(back, 0, at.len())) };
        let start = self.keep.start::<T>((plan, self.places), index) - base;
        let window = &self.keep.window_of::<T>(self.places, rest(rows, start), (index, stage), row);
        let own = reach(rows, own.start - base, own.len());
        let masks = row_masks::<T>((plan, self.places), (self.masks, self.packs), (index, stage), row);
        T::make(
            simd,
            self.model,
            (index, stage),
            Sources { window, own, first: 0, scratch: &mut *self.scratch },
            out,
            &mut *masks,
        );
        if T::IS_INT8 && self.packs {
            stage.pack(masks);
        }
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
