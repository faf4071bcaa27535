//! The rows of gradients that stages keep, and where each stage stands on the way back.

use crate::kernels::int8::Int8Layer;
use crate::kernels::int8::gradient::{Gradients, OutputGradients, Way};
use crate::kernels::masks::RowMasks;
use crate::model::Model;
use crate::network::plan::{GRADIENT_STATE, Spatial, Stages};
use crate::span::span;

/// The exponent that stands behind a row in which all is 0.
pub(super) const ALL_ZERO: u32 = i32::MIN as u32;

/// What is noted, if anything.
pub(super) fn exponent_of(word: u32) -> Option<i32> {
    (word != ALL_ZERO).then_some(word as i32)
}

/// Where a stage stands.
pub(super) type State = [u32; GRADIENT_STATE];

/// Rows of its output's gradient that it has made.
pub(super) const MADE: usize = 0;
/// Where its rows start.
pub(super) const ROWS: usize = 1;
/// Where its bits start.
pub(super) const MASKS: usize = 2;
/// The power of two above its largest slope.
pub(super) const SHIFT: usize = 3;
/// The exponent that its next row is likely to have.
pub(super) const LIKELY: usize = 4;

/// The bits of output row `row` of a stage, packed as they are: only those of a pooling or a ReLU by itself are read one by one, and no
/// such are packed.
pub(super) fn masks_of_row<'s>(masks: &'s [u32], state: State, stage: &'s Spatial, row: usize) -> RowMasks<'s> {
    let len = stage.packed_row_len();
    RowMasks { stage, words: span(masks, state[MASKS] as usize + row * len, len) }
}

/// The rows that are there.
pub(super) struct Rows<'m, 'a, 's> {
    pub(super) model: &'a Model<'m, i8>,
    pub(super) plan: &'a Stages,
    pub(super) masks: &'a [u32],
    pub(super) states: &'s [State],
    pub(super) rows: &'s [u32],
}

impl Rows<'_, '_, '_> {
    /// Row `row` of the output gradient of stage `index`.
    pub(super) fn row<'s>(&'s self, index: usize, stage: &'s Spatial, row: usize) -> OutputGradients<'s> {
        let state = self.states.get(index).copied().unwrap_or_default();
        let len = stage.int8_gradient_row_len();
        let place = state[ROWS] as usize + row % stage.gradient_slots().max(1) * len;
        let (values, exponent) = span(self.rows, place, len).split_at_checked(len - 1).unwrap_or_default();
        let exponent = exponent.first().and_then(|exponent| exponent_of(*exponent));
        let values = span(bytemuck::cast_slice(values), 0, stage.output().row_len());
        let masks = masks_of_row(self.masks, state, stage, row);
        OutputGradients { row, gradients: Gradients { values, exponent }, masks }
    }

    /// All rows of stages that read or add row `row` of stage `index`.
    #[inline(never)]
    pub(super) fn for_each_reader(
        &self,
        index: usize,
        row: usize,
        visit: &mut dyn FnMut(&Int8Layer<'_>, &OutputGradients<'_>, Way),
    ) {
        for (reader, is_skip) in self.plan.readers(index) {
            let Some(stage) = self.plan.spatial(reader) else { return };
            let layer = &self.model.quantised(reader);
            let way = if is_skip { Way::Add } else { Way::Read };
            let (first, last) = if is_skip { (row, row) } else { stage.covering_rows(row) };
            for p in first..=last {
                visit(layer, &self.row(reader, stage, p), way);
            }
        }
    }
}
