//! Logits to the gradient of the loss with respect to an image of integers, in integers: a few rows at a time, so that neither a map's
//! gradient nor the image's is ever there as a whole.
//!
//! ```text
//! logits -- Loss::gradient --> sums -- normalise --> flat, of the last dense layer -- dense_stages --> flat, of the first
//!
//! the first stage asks for rows of its gradient, each stage those of all its readers   (as in graph_backward.rs)
//!     readers' rows -- contribute --> sums -- normalise --> a row of the stage
//! a row of the first stage -- contribute --> sums of the image's rows -- no window left over a row --> sink(first, values, exponent)
//!
//! work: | where each stage stands | rows of all stages, each with its exponent behind it | rows of the image | flat | sums | terms |
//! ```

use super::gradient_rows::{ALL_ZERO, LIKELY, MADE, ROWS, Rows, SHIFT, State, exponent_of, masks_of_row};
use crate::kernels::int8::gradient::{
    Alive, Factors, OpenRows, Room, Sums, TERMS, Term, Terms, Way, contribute, contribute_to_all, normalise,
};
use crate::model::Model;
use crate::network::plan::{Direction, GRADIENT_TERMS, MAX_STAGES, Spatial, Stages};
use crate::span::{span, span_mut, take};

/// Bits of the largest of the logits' gradients.
const LOGIT_BITS: i32 = 22;

/// Takes pixels of the gradient in their order: the number of the first, values, and the exponent of their unit.
pub(crate) type Sink<'s> = &'s mut dyn FnMut(usize, &[i32], i32);

struct Backward<'m, 'a, 'b> {
    model: &'a Model<'m, i8>,
    plan: &'a Stages,
    masks: &'a [u32],
    states: &'b mut [State],
    /// Rows of the gradients of all stages' sums.
    rows: &'b mut [u32],
    /// The gradient of the first dense layer's sums, or of the logits.
    flat: &'b mut [i16],
    flat_exponent: Option<i32>,
    sums: &'b mut [i32],
    terms: &'b mut [Term],
}

/// Passes the gradient of a loss on to `sink`: that with respect to the image's integers, if `fill` writes that with respect to the logits'
/// integers, or any multiple of both. `masks` are those of the forward pass; `work` is as long as `network/plan/lengths.rs` says.
#[inline(never)]
pub(crate) fn backward(
    model: &Model<'_, i8>,
    fill: &dyn Fn(&mut [f32]),
    masks: &[u32],
    work: &mut [f32],
    sink: Sink<'_>,
) {
    let plan = model.network().plan();
    let (lengths, own) = (plan.lengths(), &plan.lengths().int8_backward);
    let mut work: &mut [u32] = bytemuck::cast_slice_mut(work);
    let states = take(&mut work, own.states).as_chunks_mut().0;
    let rows = take(&mut work, lengths.backward_rows);
    let image = bytemuck::cast_slice_mut(take(&mut work, own.image_rows));
    let flat = bytemuck::cast_slice_mut(take(&mut work, own.flat));
    let sums = take(&mut work, own.sums);
    let terms = bytemuck::cast_slice_mut(take(&mut work, GRADIENT_TERMS)).as_chunks_mut().0;
    fill(bytemuck::cast_slice_mut(span_mut(sums, 0, lengths.classes)));
    let sums = bytemuck::cast_slice_mut(sums);
    let mut walk = Backward { model, plan, masks, states, rows, flat, flat_exponent: None, sums, terms };
    walk.dense_stages();
    walk.prepare();
    match plan.spatial(0) {
        Some(first) => walk.run(&mut OpenRows::new(first, image), sink),
        None => walk.image_from_dense(sink),
    }
}

/// [`backward`] with respect to pixels: `fill` writes the gradient with respect to the logits, both as real numbers.
#[inline(never)]
pub(crate) fn backward_to_pixels(
    model: &Model<'_, i8>,
    fill: &dyn Fn(&mut [f32]),
    masks: &[u32],
    gradient: &mut [f32],
    work: &mut [f32],
) {
    let unit = model.logit_grid().scale / model.image_grid().scale;
    backward(model, fill, masks, work, &mut |first, values, exponent| {
        let unit = libm::ldexpf(unit, exponent);
        let gradient = span_mut(gradient, first, values.len());
        gradient.iter_mut().zip(values).for_each(|(g, value)| *g = *value as f32 * unit);
    });
}

/// Makes integers of numbers, whose bits stand in their places; returns the exponent of their unit.
fn integers_of(numbers: &mut [i32]) -> i32 {
    let value = |bits: &i32| f32::from_bits(*bits as u32);
    let largest = numbers.iter().map(|bits| value(bits).abs()).fold(0.0, f32::max);
    let exponent = libm::frexpf(largest).1 - LOGIT_BITS;
    numbers.iter_mut().for_each(|bits| *bits = libm::ldexpf(value(bits), -exponent) as i32);
    exponent
}

impl Backward<'_, '_, '_> {
    /// From the logits to the gradient of the first dense layer's sums; to that of the logits where there is none.
    fn dense_stages(&mut self) {
        let (first, count) = (self.plan.spatial_count(), self.plan.count());
        let mut len = self.plan.lengths().classes;
        let mut exponent = integers_of(span_mut(self.sums, 0, len));
        if first == count {
            let sums = &Sums { values: span_mut(self.sums, 0, len), exponent };
            self.flat_exponent = normalise(sums, len, Alive::ALL, None, &mut None, self.flat);
        }
        for index in (first..count).rev() {
            let Some(stage) = self.plan.dense(index) else { return };
            let layer = self.model.quantised(index);
            let words = span(self.masks, self.plan.packed_start(index), stage.mask_len());
            let alive = Alive { words, step: words.len(), columns: 1 };
            let factors = Factors::of(layer.multipliers, Factors::largest(layer.multipliers));
            let sums = &Sums { values: span_mut(self.sums, 0, len), exponent };
            let flat = span_mut(self.flat, 0, len);
            self.flat_exponent = normalise(sums, len, alive, Some(factors), &mut None, flat);
            if index > first {
                len = stage.inputs;
                exponent = self.dense_gradient(index, 0, len);
            }
        }
    }

    /// Sums of the gradient of the inputs `start .. start + len` of dense layer `index`, from that of its own; returns their exponent.
    fn dense_gradient(&mut self, index: usize, start: usize, len: usize) -> i32 {
        let sums = span_mut(self.sums, 0, len);
        sums.fill(0);
        let (Some(stage), Some(own)) = (self.plan.dense(index), self.flat_exponent) else { return 0 };
        let exponent = Room::of_products(Some(own), stage.units).exponent().unwrap_or(own);
        let mut terms = Terms::new(self.model.quantised(index).weights, self.terms);
        let mut place = start;
        for values in span(self.flat, 0, stage.units).chunks(TERMS) {
            terms.list(values, (exponent - own) as u32, (place, stage.inputs), len);
            terms.finish(sums);
            place += TERMS * stage.inputs;
        }
        exponent
    }

    /// Notes where the rows and the bits of each stage are.
    fn prepare(&mut self) {
        let mut masks = 0;
        for (index, state) in self.states.iter_mut().enumerate() {
            let Some(stage) = self.plan.spatial(index) else { return };
            let shift = Factors::largest(self.model.quantised(index).multipliers);
            // Rows that are used at once all lie at the start.
            *state = [0, 0, masks as u32, shift as u32, ALL_ZERO];
            masks += stage.packed_len();
        }
        for (state, start) in self.states.iter_mut().rev().zip(self.plan.starts(Direction::Backward)) {
            state[ROWS] = start as u32;
        }
    }

    fn state(&self, index: usize) -> State {
        debug_assert!(index < self.states.len(), "stage {index} of {}", self.states.len());
        self.states.get(index).copied().unwrap_or_default()
    }

    /// Rows of its output's gradient that stage `index` has made.
    fn made(&self, index: usize) -> usize {
        self.state(index)[MADE] as usize
    }

    /// Where row `row` of the output gradient of stage `index` stands.
    fn place(&self, index: usize, stage: &Spatial, row: usize) -> usize {
        self.state(index)[ROWS] as usize + row % stage.gradient_slots().max(1) * stage.int8_gradient_row_len()
    }

    /// The walk: the first stage asks for rows of its output's gradient, each stage those of all its readers.
    fn run(&mut self, open: &mut OpenRows<'_>, sink: Sink<'_>) {
        let mut index = 0;
        // Who asked for a row of each stage.
        let mut asked_by = [0u8; MAX_STAGES];
        while let Some(stage) = self.plan.spatial(index) {
            let row = self.made(index);
            let missing = self.plan.readers(index).find(|(reader, is_skip)| {
                let needed = self.plan.spatial(*reader).map_or(0, |reader| reader.gradient_rows_before(row, *is_skip));
                self.made(*reader) <= needed
            });
            if let Some((reader, _)) = missing {
                if let Some(asked_by) = asked_by.get_mut(reader) {
                    *asked_by = index as u8;
                }
                index = reader;
                continue;
            }
            let exponent = if index + 1 == self.plan.spatial_count() {
                let len = stage.output().row_len();
                self.sums_before(index + 1, row * len, len)
            } else {
                self.row_from_all(index, stage, row)
            };
            self.keep_row((index, stage), row, exponent);
            if let Some(state) = self.states.get_mut(index) {
                state[MADE] += 1;
            }
            if index == 0 {
                self.row_to_image((stage, open), row, sink);
                if row + 1 == stage.output().height {
                    return;
                }
            }
            index = asked_by.get(index).copied().map_or(0, usize::from);
        }
    }

    /// Sums of the gradient of the values `start .. start + len` that stage `index` reads, the first dense layer, or that are the logits
    /// themselves; returns their exponent.
    fn sums_before(&mut self, index: usize, start: usize, len: usize) -> i32 {
        if self.plan.dense(index).is_some() {
            return self.dense_gradient(index, start, len);
        }
        let flat = span(self.flat, start, len);
        self.sums.iter_mut().zip(flat).for_each(|(sum, value)| *sum = i32::from(*value));
        self.flat_exponent.unwrap_or(0)
    }

    /// Sums of row `row` of stage `index`: all that its readers contribute; returns their exponent.
    fn row_from_all(&mut self, index: usize, stage: &Spatial, row: usize) -> i32 {
        let len = stage.output().row_len();
        let values = span_mut(self.sums, 0, len);
        values.fill(0);
        let rows = Rows { model: self.model, plan: self.plan, masks: self.masks, states: self.states, rows: self.rows };
        let mut room = Room::default();
        rows.for_each_reader(index, row, &mut |layer, output, way| room = room.with(layer, output, way));
        let Some(exponent) = room.exponent() else { return 0 };
        let mut sums = Sums { values, exponent };
        rows.for_each_reader(index, row, &mut |layer, output, way| {
            contribute(layer, output, (row, way), &mut sums, self.terms);
        });
        exponent
    }

    /// Makes a row of stage `index` of its sums.
    fn keep_row(&mut self, (index, stage): (usize, &Spatial), row: usize, exponent: i32) {
        let place = self.place(index, stage, row);
        let len = stage.output().row_len();
        let layer = self.model.quantised(index);
        let masks = masks_of_row(self.masks, self.state(index), stage, row);
        let alive = if stage.relu { Alive::of(&masks) } else { Alive::ALL };
        let multipliers = if stage.weight_len() > 0 { layer.multipliers } else { &[] };
        let (shift, mut likely) = (self.state(index)[SHIFT] as i32, exponent_of(self.state(index)[LIKELY]));
        let factors = (!multipliers.is_empty()).then_some(Factors::of(multipliers, shift));
        let sums = &Sums { values: span_mut(self.sums, 0, len), exponent };
        let target = span_mut(self.rows, place, stage.int8_gradient_row_len());
        let Some((last, values)) = target.split_last_mut() else { return };
        let values = span_mut(bytemuck::cast_slice_mut(values), 0, len);
        let exponent = normalise(sums, stage.output().channels, alive, factors, &mut likely, values);
        if let Some(state) = self.states.get_mut(index) {
            state[LIKELY] = likely.map_or(ALL_ZERO, |exponent| exponent as u32);
        }
        *last = exponent.map_or(ALL_ZERO, |exponent| exponent as u32);
    }

    /// Adds what output row `row` of the first stage contributes to the image's rows, and passes those on that are complete.
    fn row_to_image(&mut self, (stage, open): (&Spatial, &mut OpenRows<'_>), row: usize, sink: Sink<'_>) {
        let layer = &self.model.quantised(0);
        let rows = Rows { model: self.model, plan: self.plan, masks: self.masks, states: self.states, rows: self.rows };
        let output = &rows.row(0, stage, row);
        let overlap = stage.row_extent().div_ceil(stage.row_step());
        open.make_room(row, Room::default().with(layer, output, Way::Read).times(overlap).exponent());
        contribute_to_all(layer, output, open, self.terms);
        let first = row * stage.row_step();
        let is_last = row + 1 == stage.output().height;
        let end = if is_last { stage.whole_height() } else { first + stage.row_step() };
        let len = stage.input().row_len();
        for padded in first..end {
            let input_row = padded.checked_sub(stage.pad_top()).filter(|row| *row < stage.input().height);
            open.close(stage, padded, |values, exponent| {
                if let Some(row) = input_row {
                    sink(row * len, values, exponent);
                }
            });
        }
    }

    /// The gradient of an image that a dense layer reads.
    fn image_from_dense(&mut self, sink: Sink<'_>) {
        let shape = self.model.network().input();
        for row in 0..shape.height {
            let (start, len) = (row * shape.row_len(), shape.row_len());
            let exponent = self.sums_before(0, start, len);
            sink(start, span(self.sums, 0, len), exponent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Int8Tensors;
    use crate::network::Network;
    use crate::pass::Int8Image;
    use std::vec::Vec;

    /// Whatever the unit of the logits' gradient is, the image's has the same values, in a unit that goes with it: no exponent means
    /// something else.
    #[test]
    fn the_unit_of_a_gradient_is_free() {
        let text = "input(4,3,1) conv2d(filters=2,kernel=3) relu conv2d(filters=3,kernel=2,padding=valid) flatten dense(units=2)";
        let network = text.parse::<Network>().unwrap().int8();
        let weights: Vec<i8> = (0..36).map(|i| (i * 53 % 255 - 127) as i8).collect();
        let tensors = |weights, multipliers, bias| Int8Tensors {
            weights,
            bias,
            multipliers,
            range: &[0, -128, 0, -128, 127],
            scales: &[1.0, 1.0],
        };
        let multipliers = [[3 << 29, -7], [1 << 30, -8], [5 << 28, -7]];
        let tensors = [
            tensors(&weights[..18], &multipliers[..2], &[900; 2]),
            tensors(&weights[..24], &multipliers[..], &[0; 3]),
            tensors(&weights[..36], &multipliers[..2], &[0; 2]),
        ];
        let model = Model::from_int8_tensors(&network, &tensors).unwrap();
        let mut buffer = std::vec![0.0; network.integers_len()];
        let image = [9, -3, 4, 0, 77, -20, 5, 6, 7, -8, 100, 1];
        let mut gradient = |power: i32| {
            let mut observation = model.observe(Int8Image::Integers(&image), &mut buffer);
            let mut found = Vec::new();
            observation.along(
                &|target| target.copy_from_slice(&[libm::ldexpf(0.7, power), libm::ldexpf(-1.1, power)]),
                &mut |_, values, exponent| {
                    found.extend(values.iter().map(|value| libm::ldexp(f64::from(*value), exponent - power)));
                },
            );
            found
        };
        let expected = gradient(0);
        assert!(expected.len() == image.len() && expected.iter().filter(|g| **g != 0.0).count() > 6, "{expected:?}");
        // An interpreter takes a few of them.
        for power in (-60..90).step_by(if cfg!(miri) { 50 } else { 1 }) {
            assert_eq!(gradient(power), expected, "2^{power}");
        }
    }
}
