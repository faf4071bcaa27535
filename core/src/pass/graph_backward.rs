//! The walk back through a graph: rows of gradient that several readers contribute to.

use super::arithmetic::FloatArithmetic;
use super::backward::{BackwardRows, masks_of_row};
use super::sources::InputRowGradient;
use crate::kernels::conv::GradientRow;
use crate::network::plan::Spatial;
use crate::span::{span, span_mut, split_mut};
use crate::vector::Simd;

impl<T: FloatArithmetic> BackwardRows<'_, '_, '_, T> {
    /// The walk through a graph: the first stage asks for rows of its output's gradient, each stage those of all its readers.
    #[inline(always)]
    pub(super) fn run_graph<S: Simd>(mut self, simd: S) {
        let plan = self.model.network().plan();
        let mut made = T::PerStage::<u16>::default();
        T::fill(&mut made, plan.spatial_count());
        let mut index = 0;
        while let (Some(stage), Some(row)) = (plan.spatial(index), made.get(index).copied().map(usize::from)) {
            let missing = plan.readers(index).find(|(reader, is_skip)| {
                let needed = plan.spatial(*reader).map_or(0, |reader| reader.last_reader_row(row, *is_skip));
                made.get(*reader).is_some_and(|made| usize::from(*made) <= needed)
            });
            if let Some((reader, _)) = missing {
                index = reader;
                continue;
            }
            if let Some(made) = made.get_mut(index) {
                *made += 1;
            }
            if index + 1 == plan.spatial_count() {
                self.last_row(simd, index, stage, row);
            } else {
                self.row_from_all(simd, (index, stage), row);
            }
            if index == 0 {
                self.row_to_image(simd, stage, row);
                if row + 1 == stage.output().height {
                    return;
                }
            }
            index = 0;
        }
    }

    /// Row `row` of the output gradient of stage `index`: the sum of what all its readers contribute.
    #[inline(always)]
    fn row_from_all<S: Simd>(&mut self, simd: S, (index, stage): (usize, &Spatial), row: usize) {
        let plan = self.model.network().plan();
        let (start, slots) = Self::ring(plan, index);
        let len = stage.output().row_len();
        let (before, rows) = split_mut(self.rows, start + slots * len);
        let target = span_mut(before, start + row % slots * len, len);
        target.fill(0.0);
        let wanted = Some(masks_of_row(plan, self.masks, index, stage, row));
        for (reader, is_skip) in plan.readers(index) {
            let Some(own) = plan.spatial(reader) else { return };
            let (place, slots) = Self::ring(plan, reader);
            let len = own.output().row_len();
            let (first, last) = if is_skip { (row, row) } else { own.covering_rows(row) };
            for p in first..=last {
                let place = place - start - Self::ring(plan, index).1 * stage.output().row_len();
                let output = &GradientRow {
                    row: p,
                    gradient: span(rows, place + p % slots * len, len),
                    masks: masks_of_row(plan, self.masks, reader, own, p),
                };
                let to = InputRowGradient { row, wanted, target: &mut *target };
                T::contribute(simd, self.model, (reader, own), output, to);
            }
        }
    }

    /// Adds what output row `row` of the first stage contributes to the image's gradient.
    #[inline(always)]
    fn row_to_image<S: Simd>(&mut self, simd: S, stage: &Spatial, row: usize) {
        if stage.convolves() {
            return self.add_to_image(simd, stage, row);
        }
        let gradient = core::mem::take(&mut self.gradient);
        let output = &self.gradient_row(0, stage, row);
        let len = stage.input().row_len();
        for padded in row * stage.row_step()..row * stage.row_step() + stage.row_extent() {
            if let Some(input_row) = padded.checked_sub(stage.pad_top()).filter(|row| *row < stage.input().height) {
                let target = span_mut(gradient, input_row * len, len);
                let to = InputRowGradient { row: input_row, wanted: None, target };
                T::contribute(simd, self.model, (0, stage), output, to);
            }
        }
        self.gradient = gradient;
    }
}
