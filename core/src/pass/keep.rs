//! Where the rows of each stage lie.
//!
//! ```text
//! the rows of one stage: | slot 0 | slot 1 | slot 2 | slot 3 | bits of slot 0, 1, 2, 3 | rows of its output's size |
//! ```
//! What is done once a row is not inlined: on a device its code would be there many times.

use core::ops::Range;

use super::arithmetic::Arithmetic;
use super::sources::NewRow;
use crate::kernels::conv::Window;
use crate::network::plan::{Direction, Operation, PLACE, Spatial, Stages};
use crate::span::{CACHE_LINE, rest, rest_mut, span, span_mut, split_mut};

/// Of a stage, where its rows start, how far they lie apart, and where its bits start.
pub(crate) type Place = [u32; PLACE];

/// That of stage `index`.
#[inline(always)]
pub(super) fn place(places: &[Place], index: usize) -> Place {
    debug_assert!(index < places.len(), "stage {index} of {}", places.len());
    places.get(index).copied().unwrap_or_default()
}

/// Which input rows stay in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those under one output row.
    Window,
    /// All.
    All,
}

impl Keep {
    /// Input rows that `stage` has room for.
    pub(super) const fn slots(self, stage: &Spatial) -> usize {
        match self {
            Self::Window => stage.input_slots(),
            // An average adds its rows up; nobody reads them again.
            Self::All if matches!(stage.operation, Operation::Average) => 1,
            Self::All => stage.whole_height(),
        }
    }

    /// Elements of the rows of one stage. Where all are kept, the next stage's start at a cache line, if these do.
    #[inline(always)]
    fn stage_len<T: Arithmetic>(self, stage: &Spatial) -> usize {
        let mut len = T::input_rows_len(stage, self.slots(stage));
        if T::GRAPHS {
            len += stage.skip_slots() * T::own_row_len(stage);
        }
        match self {
            Self::Window => len,
            Self::All => len.next_multiple_of(CACHE_LINE),
        }
    }

    /// Elements of the rows of all spatial stages.
    pub(crate) fn rows_len<T: Arithmetic>(self, plan: &Stages) -> usize {
        self.offset::<T>(plan, plan.spatial_count())
    }

    /// Where the rows of each stage start, and how far they lie apart: noted once for a graph, whose stages are many. In a chain
    /// both are counted when they are asked for.
    #[inline(always)]
    pub(crate) fn places<T: Arithmetic>(self, plan: &Stages) -> T::PerStage<Place> {
        let mut places = T::PerStage::<Place>::default();
        if T::GRAPHS {
            let (mut start, mut bits) = (0, 0);
            for stage in (0..plan.spatial_count()).filter_map(|index| plan.spatial(index)) {
                T::push(&mut places, [start, stage.padded_row_step() as u32, bits]);
                start += self.stage_len::<T>(stage) as u32;
                bits += stage.mask_len() as u32;
            }
        }
        places
    }

    /// Those of integers under a window, which may take turns, in `memory`; their bits may be packed.
    #[inline(never)]
    pub(crate) fn int8_places<'b>(plan: &Stages, packs: bool, memory: &'b mut [u32]) -> &'b [Place] {
        let (places, mut bits) = (memory.as_chunks_mut().0, 0);
        for (index, (place, start)) in places.iter_mut().zip(plan.starts(Direction::Forward)).enumerate() {
            let Some(stage) = plan.spatial(index) else { return &[] };
            *place = [start as u32, stage.padded_row_step() as u32, bits];
            bits += if packs { stage.packed_len() } else { stage.mask_len() } as u32;
        }
        places
    }

    /// Where the rows of a stage start.
    #[inline(always)]
    pub(super) fn start<T: Arithmetic>(self, (plan, places): (&Stages, &[Place]), index: usize) -> usize {
        if T::GRAPHS { place(places, index)[0] as usize } else { self.offset::<T>(plan, index) }
    }

    /// How far they lie apart.
    #[inline(always)]
    fn step<T: Arithmetic>(self, places: &[Place], (index, stage): (usize, &Spatial)) -> usize {
        if T::GRAPHS { place(places, index)[1] as usize } else { stage.padded_row_step() }
    }

    /// Where the rows of stage `index` start: those of its input, then those of its output's size.
    #[inline(never)]
    fn offset<T: Arithmetic>(self, plan: &Stages, index: usize) -> usize {
        (0..index).filter_map(|i| plan.spatial(i)).map(|stage| self.stage_len::<T>(stage)).sum()
    }

    /// Where row `row` of the output's size lies that stage `index` keeps: one that it adds, or sums.
    pub(super) fn own_row<T: Arithmetic>(
        self,
        (plan, places): (&Stages, &[Place]),
        (index, stage): (usize, &Spatial),
        row: usize,
    ) -> Range<usize> {
        let (len, slot) = (T::own_row_len(stage), row % stage.skip_slots().max(1));
        let start = self.start::<T>((plan, places), index) + T::input_rows_len(stage, self.slots(stage)) + slot * len;
        start..start + len
    }

    /// The window of a stage under its output row `row`; `rows` are those of all stages, or of the first ones.
    #[inline(never)]
    pub(crate) fn window<'b, T: Arithmetic>(
        self,
        (plan, places): (&Stages, &[Place]),
        rows: &'b [T::Value],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> Window<'b, T::Value> {
        self.window_of::<T>(places, rest(rows, self.start::<T>((plan, places), index)), (index, stage), row)
    }

    /// [`Self::window`] in `rows`, which begin with those of the stage.
    #[inline(always)]
    pub(super) fn window_of<'b, T: Arithmetic>(
        self,
        places: &[Place],
        rows: &'b [T::Value],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> Window<'b, T::Value> {
        let slots = self.slots(stage).max(1);
        let own = span(rows, 0, T::input_rows_len(stage, slots));
        let (values, live) = T::split(own, stage, slots);
        let lengths = [stage.padded_row_len(), self.step::<T>(places, (index, stage)), T::row_words(stage)];
        Window { values, live, lengths, slots, first: row * stage.row_step() % slots, row }
    }

    /// The whole padded input of a stage and what lies behind it, if all rows are kept.
    pub(crate) fn map<'b, T: Arithmetic>(self, plan: &Stages, rows: &'b [T::Value], index: usize) -> &'b [T::Value] {
        rest(rows, self.offset::<T>(plan, index))
    }

    /// Where the content of padded input row `row` of stage `index` lies.
    pub(super) fn content<T: Arithmetic>(
        self,
        (plan, places): (&Stages, &[Place]),
        (index, stage): (usize, &Spatial),
        row: usize,
    ) -> Range<usize> {
        let slot = row % self.slots(stage).max(1);
        let left = stage.pad_left() * stage.input().channels;
        let start = self.start::<T>((plan, places), index) + slot * self.step::<T>(places, (index, stage)) + left;
        start..start + stage.input().row_len()
    }

    /// The rows of the stages before stage `index`, and its own padded row number `row` (padding rows count).
    #[inline(never)]
    pub(super) fn next_row<'b, T: Arithmetic>(
        self,
        (plan, places): (&Stages, &[Place]),
        rows: &'b mut [T::Value],
        (index, stage): (usize, &'b Spatial),
        row: usize,
    ) -> (&'b [T::Value], NewRow<'b, T::Value>) {
        let (before, own) = split_mut(rows, self.start::<T>((plan, places), index));
        let slots = self.slots(stage);
        let slot = row % slots.max(1);
        let (values, live) = T::split_mut(own, stage, slots);
        let values = span_mut(values, slot * self.step::<T>(places, (index, stage)), stage.padded_row_len());
        let words = T::row_words(stage);
        (before, NewRow { stage, values, live: span_mut(live, slot * words, words) })
    }
}

impl<V: Copy> NewRow<'_, V> {
    /// A row of padding.
    #[inline(never)]
    pub(super) fn clear(self, zero: V) {
        self.values.fill(zero);
        self.live.fill(0);
    }

    /// The row between its paddings.
    #[inline(never)]
    pub(super) fn content(&mut self, zero: V) -> &mut [V] {
        let (left, content) = (self.stage.pad_left() * self.stage.input().channels, self.stage.input().row_len());
        span_mut(self.values, 0, left).fill(zero);
        rest_mut(self.values, left + content).fill(zero);
        span_mut(self.values, left, content)
    }
}
