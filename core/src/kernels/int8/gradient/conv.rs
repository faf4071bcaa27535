//! What a row contributes through a convolution: the weights of the filters that are alive, or that won.

use super::contribution::{Contribution, shift_right};
use super::open_rows::OpenRows;
use super::terms::{TERMS, Term, Terms};
use crate::kernels::masks::take_bit;
use crate::network::plan::WORD_BITS;
use crate::span::{span, span_mut};

impl Contribution<'_> {
    /// Adds it to the sums of an input row, `[column][i]`.
    pub(super) fn convolve(self, sums: &mut [i32], list: &mut [Term]) {
        if self.shift > 16 {
            return;
        }
        let stage = self.stage();
        let channels = stage.input().channels;
        let mut terms = Terms::new(self.layer.weights, list);
        for (wy, ky) in self.kernel_rows() {
            for q in 0..stage.output().width {
                for wx in 0..stage.pool() {
                    let run = self.run(q, wx);
                    let sums = span_mut(sums, run.column * channels, run.len * channels);
                    if sums.is_empty() {
                        continue;
                    }
                    let first = (ky * stage.kernel_width() + run.kernel) * channels;
                    if stage.pool() == 1 {
                        let len = sums.len();
                        self.with_all((q, first), len, &mut terms, |terms| terms.add(sums));
                    } else {
                        self.add_winners((q, first), (wy, wx), &mut terms, sums);
                    }
                }
            }
        }
    }

    /// Adds it to the sums of all rows under it.
    pub(super) fn convolve_to_all(self, rows: &mut OpenRows<'_>, list: &mut [Term]) {
        let stage = self.stage();
        let (run, channels) = (stage.run_len(), stage.input().channels);
        let mut terms = Terms::new(self.layer.weights, list);
        for q in 0..stage.output().width {
            self.with_all((q, 0), stage.kernel_height() * run, &mut terms, |terms| {
                for ky in 0..stage.kernel_height() {
                    terms.add(span_mut(rows.row(self.row + ky), q * stage.column_step() * channels, run));
                }
            });
        }
    }

    /// Lists all filters at column `q`, a few at a time, with `len` weights each from `first` on.
    #[inline(always)]
    fn with_all<'l>(
        &self,
        (q, first): (usize, usize),
        len: usize,
        terms: &mut Terms<'_, 'l>,
        mut add: impl FnMut(&mut Terms<'_, 'l>),
    ) {
        let stage = self.stage();
        let (filters, filter_len) = (stage.output().channels, stage.taps() * stage.input().channels);
        let values = span(self.output.gradients.values, q * filters, filters);
        let mut place = first;
        for values in values.chunks(TERMS) {
            terms.list(values, self.shift as u32, (place, filter_len), len);
            add(terms);
            place += TERMS * filter_len;
        }
    }

    /// Adds the filters that won at one place of the pooling window.
    #[inline(never)]
    fn add_winners(
        &self,
        (q, first): (usize, usize),
        (wy, wx): (usize, usize),
        terms: &mut Terms<'_, '_>,
        sums: &mut [i32],
    ) {
        let stage = self.stage();
        let (filters, filter_len) = (stage.output().channels, stage.taps() * stage.input().channels);
        let values = span(self.output.gradients.values, q * filters, filters);
        for word in 0..stage.words() {
            let mut winners = self.output.masks.winners(q, word, wy, wx);
            while winners != 0 {
                let o = word * WORD_BITS + take_bit(&mut winners);
                let value = values.get(o).copied().unwrap_or(0);
                terms.push(first + o * filter_len, shift_right(i32::from(value), self.shift as u32), sums);
            }
        }
        terms.finish(sums);
    }
}
