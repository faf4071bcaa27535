//! Weight gradients, filter by filter: the inputs under the kernel at each place where the filter won, times the output's
//! gradient, summed in registers.

use super::patches::Patches;
use super::views::{GradientMap, GradientRow};
use crate::kernels::masks::take_bit;
use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::{rest, rest_mut, span, span_mut};
use crate::vector::{Kernel, Simd};

/// Most places of a filter that are listed before they are added up.
const PLACES: usize = 64;

/// Adds what a whole output contributes to the weight gradient (`[o][ky][kx][i]`) and the bias gradient.
pub(crate) struct WeightGradientMap<'a, 'b> {
    pub stage: &'a Spatial,
    pub output: &'b GradientMap<'b>,
    /// The whole padded input, and anything behind it.
    pub input: &'b [f32],
    /// Elements between the rows of the padded input.
    pub row_stride: usize,
    pub weight_gradient: &'b mut [f32],
    pub bias_gradient: &'b mut [f32],
}

/// Places where a filter won: where its kernel starts in the padded input, and the output's gradient.
#[derive(Clone, Copy)]
struct Places {
    list: [(u32, f32); PLACES],
    count: usize,
}

impl Places {
    const NONE: Self = Self { list: [(0, 0.0); PLACES], count: 0 };
}

impl Kernel for WeightGradientMap<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let stage = self.stage;
        if Patches::suit::<S>(stage) {
            let patches = Patches { stage, output: self.output, row_stride: self.row_stride };
            return patches.add_to_weights(simd, self.input, (self.weight_gradient, self.bias_gradient));
        }
        let mut places = [Places::NONE; WORD_BITS];
        for word in 0..stage.words() {
            for row in 0..stage.output().height {
                let output = self.output.row(row);
                if output.gradient.is_empty() {
                    continue;
                }
                for q in 0..stage.output().width {
                    self.list(simd, (&output, q), word, &mut places);
                }
            }
            for (bit, places) in places.iter_mut().enumerate() {
                self.add(simd, word * WORD_BITS + bit, places);
            }
        }
    }
}

impl WeightGradientMap<'_, '_> {
    /// Lists the winners of one window, among the filters of one word. Full lists are added up.
    #[inline(always)]
    fn list<S: Simd>(
        &mut self,
        simd: S,
        (output, q): (&GradientRow<'_>, usize),
        word: usize,
        places: &mut [Places; WORD_BITS],
    ) {
        let stage = self.stage;
        let (down, right) = (stage.row_stride() * self.row_stride, stage.column_stride() * stage.input().channels);
        let start = output.row * stage.pool() * down + q * stage.pool() * right;
        let gradient = rest(output.gradient, q * stage.output().channels + word * WORD_BITS);
        let window = output.masks.window(q, word);
        let mut alive = window.alive;
        while alive != 0 {
            let bit = take_bit(&mut alive);
            let (wy, wx) = window.winner(bit);
            let Some(own) = places.get_mut(bit) else { return };
            if let (Some(place), Some(g)) = (own.list.get_mut(own.count), gradient.get(bit)) {
                *place = ((start + wy * down + wx * right) as u32, *g);
                own.count += 1;
            }
            if own.count == PLACES {
                self.add(simd, word * WORD_BITS + bit, own);
            }
        }
    }

    /// Adds the listed places of filter `o`; the list is empty then.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, o: usize, places: &mut Places) {
        let listed = span(&places.list, 0, places.count);
        places.count = 0;
        if listed.is_empty() {
            return;
        }
        if let Some(bias) = self.bias_gradient.get_mut(o) {
            *bias += listed.iter().map(|(_, g)| g).sum::<f32>();
        }
        let mut ky = 0;
        while S::MANY_REGISTERS && ky + 3 <= self.stage.kernel_height() {
            self.rows::<S, 3>(simd, o, ky, listed);
            ky += 3;
        }
        while ky < self.stage.kernel_height() {
            self.rows::<S, 1>(simd, o, ky, listed);
            ky += 1;
        }
    }

    /// `K` kernel rows of filter `o` from `ky` on.
    #[inline(always)]
    fn rows<S: Simd, const K: usize>(&mut self, simd: S, o: usize, ky: usize, places: &[(u32, f32)]) {
        let run = self.stage.run_len();
        let mut at = 0;
        if !S::MANY_REGISTERS {
            at = self.tiles::<S, K, 12>(simd, o, (ky, at), places);
        }
        at = self.tiles::<S, K, 6>(simd, o, (ky, at), places);
        at = self.tiles::<S, K, 2>(simd, o, (ky, at), places);
        while at < run {
            self.tile::<S, K, 1>(simd, o, (ky, at), places);
            at += S::LANES;
        }
    }

    /// Whole tiles from element `at` of the rows on; returns where they end.
    #[inline(always)]
    fn tiles<S: Simd, const K: usize, const R: usize>(
        &mut self,
        simd: S,
        o: usize,
        (ky, mut at): (usize, usize),
        places: &[(u32, f32)],
    ) -> usize {
        while at + R * S::LANES <= self.stage.run_len() {
            self.tile::<S, K, R>(simd, o, (ky, at), places);
            at += R * S::LANES;
        }
        at
    }

    /// `R` vectors of each row; what is behind a row's end is not added.
    #[inline(always)]
    fn tile<S: Simd, const K: usize, const R: usize>(
        &mut self,
        simd: S,
        o: usize,
        (ky, at): (usize, usize),
        places: &[(u32, f32)],
    ) {
        let stage = self.stage;
        let (row_stride, run) = (self.row_stride, stage.run_len());
        let input = rest(self.input, ky * row_stride + at);
        let mut sums = [[simd.splat(0.0); R]; K];
        for (start, g) in places {
            let g = simd.splat(*g);
            for (k, sums) in sums.iter_mut().enumerate() {
                let x = rest(input, *start as usize + k * row_stride);
                if let Some(x) = S::arrays(x).first_chunk::<R>() {
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = simd.mul_add(g, simd.load_array(x), *sum);
                    }
                } else if let ([sum], 1) = (&mut sums[..], R) {
                    *sum = simd.mul_add(g, simd.load(x), *sum);
                }
            }
        }
        let mut lanes = [0.0; WORD_BITS];
        for (k, sums) in sums.into_iter().enumerate() {
            let own = span_mut(self.weight_gradient, (o * stage.kernel_height() + ky + k) * run, run);
            let own = rest_mut(own, at);
            for (target, sum) in own.chunks_mut(S::LANES).zip(sums) {
                simd.store(sum, &mut lanes);
                target.iter_mut().zip(&lanes).for_each(|(target, lane)| *target += lane);
            }
        }
    }
}
