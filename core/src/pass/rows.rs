//! Input rows of every spatial stage, and the walk that fills them.
//!
//! A stage keeps the padded input rows under one output row. As soon as they are there it makes that output
//! row, straight into the next stage's rows, and the oldest rows give way to new ones. Training keeps all
//! rows, because weight gradients read them again. Beside each row lies a bit for each of its elements that tells
//! whether it is worth multiplying.
//!
//! ```text
//! the ring of a stage with a 3x3 kernel and a 2x2 pooling: four slots; r0, r1, .. are input rows, - is padding
//!
//! slot                 0    1    2    3
//! for output row 0     -    r0   r1   r2       first = 0
//! for output row 1     r3   r4   r1   r2       first = 2: the window's rows are r1, r2, r3, r4
//! for output row 2     r3   r4   r5   r6       first = 0
//! ```
//! One cursor walks over the stages. It goes down to the stage whose row is missing. When a row was made it goes up: in a
//! chain to the next stage, in a graph to the last one, which asks again.
//!
//! `keep.rs` says where the rows lie; `graph_rows.rs` has what only graphs need.

use super::arithmetic::Arithmetic;
use super::keep::{Keep, Place, place};
use super::progress::Progress;
use super::sources::Sources;
use crate::model::Model;
use crate::network::plan::{Spatial, Stages};
use crate::span::{reach, reach_mut, span, span_mut};
use crate::vector::Simd;

/// Where a forward pass through the spatial stages reads and writes.
pub(crate) struct ForwardRows<'m, 'a, 'b, T: Arithmetic> {
    pub model: &'a Model<'m, T>,
    pub image: T::Image<'a>,
    pub keep: Keep,
    /// Where those rows lie, as [`Keep::places`] counts it.
    pub places: &'a [Place],
    /// Input rows of all spatial stages.
    pub rows: &'b mut [T::Value],
    /// Bits of all stages, or empty to keep none.
    pub masks: &'b mut [u32],
    /// Whether those of integers are packed.
    pub packs: bool,
    /// Takes some columns (at least one) of the last stage's output row at a time.
    pub tail: &'b mut [T::Value],
    /// What a convolution of integers unpacks at a time; empty for others.
    pub scratch: &'b mut [u32],
}

/// Takes the output of the spatial stages piece by piece. (A trait and not a closure, which would be compiled for
/// any processor and stay a call.)
pub(crate) trait Sink<V> {
    /// `x` starts at element `first` of the output.
    fn accept<S: Simd>(&mut self, simd: S, first: usize, x: &[V]);
}

/// Keeps the output.
impl Sink<f32> for &mut [f32] {
    #[inline(always)]
    fn accept<S: Simd>(&mut self, _: S, first: usize, x: &[f32]) {
        span_mut(self, first, x.len()).iter_mut().zip(x).for_each(|(target, x)| *target = *x);
    }
}

impl<T: Arithmetic> ForwardRows<'_, '_, '_, T> {
    /// Runs the spatial stages into `sink`.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S, mut sink: impl Sink<T::Value>) {
        let plan = self.model.network().plan();
        let Some(last) = plan.spatial_count().checked_sub(1) else {
            return sink.accept(simd, 0, T::whole_image(self.model, self.image, &mut *self.tail));
        };
        let mut progress = T::PerStage::<Progress>::default();
        T::fill(&mut progress, plan.spatial_count());
        let mut skipped = T::PerStage::<u16>::default();
        if T::GRAPHS {
            T::fill(&mut skipped, plan.spatial_count());
            self.count_top_paddings(&mut progress);
        }
        let mut index = last;
        while let (Some(stage), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
            let received = state.received();
            let needed = if T::GRAPHS {
                stage.rows_before(state.made())
            } else {
                state.made() * stage.row_step() + stage.row_extent()
            };
            if received >= needed {
                if T::GRAPHS
                    && let Some(value) = stage.missing_skip(state.made(), skipped.get(index))
                {
                    index = value - 1;
                    continue;
                }
                let row = state.make();
                if index == last {
                    self.last_row(simd, index, stage, row, &mut sink);
                    if row + 1 == stage.output().height {
                        return;
                    }
                } else if T::GRAPHS {
                    self.row_for_all(simd, (index, stage), row, (&mut progress, &mut skipped));
                    index = last;
                } else {
                    index += 1;
                    if let (Some(next), Some(state)) = (plan.spatial(index), progress.get_mut(index)) {
                        self.inner_row(simd, (index, next), state.receive(), (stage, row));
                    }
                }
            } else if received < stage.pad_top() || received >= stage.pad_top() + stage.input().height {
                let (_, new) = self.keep.next_row::<T>((plan, self.places), self.rows, (index, stage), state.receive());
                new.clear(T::zero(self.model, index));
            } else if if T::GRAPHS { stage.source() == 0 } else { index == 0 } {
                let row = state.receive();
                if T::GRAPHS {
                    self.clear_top_padding((index, stage), row);
                }
                self.image_row(simd, (index, stage), row);
            } else {
                index = if T::GRAPHS { stage.source() } else { index } - 1;
            }
        }
    }

    /// Receives padded row `row` of the image.
    #[inline(always)]
    fn image_row<S: Simd>(&mut self, simd: S, (index, stage): (usize, &Spatial), row: usize) {
        let plan = self.model.network().plan();
        let len = stage.input().row_len();
        let (_, mut new) = self.keep.next_row::<T>((plan, self.places), self.rows, (index, stage), row);
        let first = (row - stage.pad_top()) * len;
        T::read_image(self.model, self.image, first, new.content(T::zero(self.model, index)));
        T::finish(simd, new);
        if T::GRAPHS {
            self.add_up((index, stage), row);
        }
    }

    /// Makes input row `target_row` of stage `index` from output row `row` of the stage before.
    #[inline(always)]
    fn inner_row<S: Simd>(
        &mut self,
        simd: S,
        target: (usize, &Spatial),
        target_row: usize,
        (stage, row): (&Spatial, usize),
    ) {
        let plan = self.model.network().plan();
        let index = target.0 - 1;
        let (rows, mut new) = self.keep.next_row::<T>((plan, self.places), self.rows, target, target_row);
        let window = &self.keep.window::<T>((plan, self.places), rows, (index, stage), row);
        let masks = row_masks::<T>((plan, self.places), (self.masks, self.packs), (index, stage), row);
        let out = new.content(T::zero(self.model, target.0));
        T::make(
            simd,
            self.model,
            (index, stage),
            Sources { window, own: &[], first: 0, scratch: &mut *self.scratch },
            out,
            masks,
        );
        T::finish(simd, new);
    }

    /// Makes output row `row` of the last spatial stage, in pieces that fit `tail`.
    #[inline(always)]
    fn last_row<S: Simd>(
        &mut self,
        simd: S,
        index: usize,
        stage: &Spatial,
        row: usize,
        sink: &mut impl Sink<T::Value>,
    ) {
        let plan = self.model.network().plan();
        let window = &self.keep.window::<T>((plan, self.places), self.rows, (index, stage), row);
        let masks = row_masks::<T>((plan, self.places), (self.masks, self.packs), (index, stage), row);
        let (channels, width) = (stage.output().channels, stage.output().width);
        let piece = (self.tail.len() / channels.max(1)).max(1).min(width);
        let mask_len = stage.planes() * stage.words();
        let mut first = 0;
        while first < width {
            let count = piece.min(width - first);
            let out = span_mut(self.tail, 0, count * channels);
            let bits = reach_mut(masks, first * mask_len, count * mask_len);
            let mut own = &[][..];
            if T::GRAPHS {
                let place = self.keep.own_row::<T>((plan, self.places), (index, stage), row);
                own = reach(self.rows, place.start, place.len());
            }
            T::make(
                simd,
                self.model,
                (index, stage),
                Sources { window, own, first, scratch: &mut *self.scratch },
                out,
                bits,
            );
            sink.accept(simd, (row * width + first) * channels, span(self.tail, 0, count * channels));
            first += count;
        }
        if T::IS_INT8 && self.packs {
            stage.pack(masks);
        }
        if T::GRAPHS {
            self.clear_sums((index, stage), row);
        }
    }
}

/// The bits of output row `row` of stage `index`, or nothing if none are kept. They are not packed yet.
#[inline(never)]
pub(super) fn row_masks<'b, T: Arithmetic>(
    (plan, places): (&Stages, &[Place]),
    (masks, packs): (&'b mut [u32], bool),
    (index, stage): (usize, &Spatial),
    row: usize,
) -> &'b mut [u32] {
    let start = if T::GRAPHS { place(places, index)[2] as usize } else { plan.mask_range(index).start };
    let row_len = if T::IS_INT8 && packs { stage.packed_row_len() } else { stage.mask_row_len() };
    let start = start + row * row_len;
    reach_mut(masks, start, stage.mask_row_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::MNIST_CNN;

    #[test]
    fn the_ring_is_the_one_that_is_drawn() {
        let plan = MNIST_CNN.plan();
        let (stage, rows) = (plan.spatial(0).unwrap(), std::vec![0.0; plan.lengths().forward_rows]);
        let first = [0, 1, 2].map(|row| {
            Keep::Window.window::<f32>((plan, &Keep::Window.places::<f32>(plan)), &rows, (0, stage), row).first
        });
        assert_eq!((Keep::Window.slots(stage), first), (4, [0, 2, 0]));
    }
}
