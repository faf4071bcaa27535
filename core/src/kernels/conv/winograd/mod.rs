//! Forward of 3x3 convolutions with vectors where 2x2 windows are pooled, with 16 multiplications instead of 36 for a
//! window and a channel.
//!
//! ```text
//! y = A' [(G w G') * (B' x B)] A        x: 4x4 inputs, w: 3x3 weights, y: the window's 2x2 values; * by element
//!
//!      1  0 -1  0          1   0   0
//! B' = 0  1  1  0     G = 1/2 1/2 1/2     A' = 1  1  1  0
//!      0 -1  1  0         1/2 -1/2 1/2         0  1 -1 -1
//!      0  1  0 -1          0   0   1
//! ```
//! Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.1: F(2x2, 3x3). Products are summed
//! over the channels before A. Zeros stay zeros, and positions with equal inputs keep equal values: where a window's inputs
//! do not change along an axis, what tells its two positions apart is exactly zero.
//!
//! `transforms.rs` holds the three transformations and says which stages suit.

mod transforms;

use self::transforms::{SIDE, TILE, inverse_transform, suits, transform_data};
use super::views::{Columns, InputRow};
use crate::kernels::pool::pool_2x2;
use crate::kernels::sparse::{add_shared_rows, live_bits, load_all, store_all};
use crate::network::plan::WORD_BITS;
use crate::number::Number;
use crate::span::{reach_mut, reach_rest, rest, span, span_mut};
use crate::vector::{Kernel, Simd};
pub(crate) use transforms::{TransformWeights, weights_len};

/// Windows at a time, which share each load of weights.
const WINDOWS: usize = 4;

/// Part of the inputs that are not zero from which on it pays.
const DENSE: (usize, usize) = (1, 2);

/// Most filters at a time: four vectors.
const FILTERS: usize = 64;

/// `B' x` of a column of inputs, at the elements `start ..` of the rows.
#[inline(always)]
fn column<S: Simd>(simd: S, rows: &[InputRow<'_>; SIDE], start: usize, len: usize) -> [S::Vector; SIDE] {
    let mut x = [simd.splat(0.0); SIDE];
    for (x, row) in x.iter_mut().zip(rows) {
        *x = simd.load(span(row.values, start, len));
    }
    transform_data(simd, x)
}

impl<'a, T: Number> Columns<'a, '_, T> {
    /// The transformed weights, if the model has them and this row can take this way.
    #[inline(always)]
    pub(super) fn winograd_weights<S: Simd>(&self) -> Option<&'a [f32]> {
        let stage = self.conv.stage;
        let fits = suits(stage) && self.are_whole_2x2::<S>();
        if !fits || self.conv.transposed.is_empty() || !self.is_dense() {
            return None;
        }
        self.conv.transposed.get(stage.weight_len()..)?.get(..weights_len(stage))
    }

    /// Whether so many inputs are not zero that skipping the others saves less.
    #[inline(always)]
    fn is_dense(&self) -> bool {
        let (mut live, mut all) = (0, 0);
        for row in 0..SIDE {
            let row = self.window.input_row(row);
            live += row.live.iter().map(|word| word.count_ones() as usize).sum::<usize>();
            all += row.values.len();
        }
        DENSE.1 * live >= DENSE.0 * all
    }
}

/// One row of windows.
pub(super) struct Winograd<'c, 'a, 'b, T> {
    pub columns: &'c mut Columns<'a, 'b, T>,
    /// [`Columns::winograd_weights`]
    pub weights: &'a [f32],
}

/// Inputs after their transformation, and products before theirs.
struct Scratch {
    /// `[tile element][window][channel]`, of up to 32 channels.
    inputs: [[[f32; WORD_BITS]; WINDOWS]; TILE],
    /// A bit for each of these channels that is not zero.
    live: [[u32; WINDOWS]; TILE],
    /// `[tile element][window][filter]`
    products: [[[f32; FILTERS]; WINDOWS]; TILE],
}

impl<T: Number> Kernel for Winograd<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // Made for each row: handed down from the batch it would be 0 to 2 % faster (measured).
        let mut scratch = Scratch {
            inputs: [[[0.0; WORD_BITS]; WINDOWS]; TILE],
            live: [[0; WINDOWS]; TILE],
            products: [[[0.0; FILTERS]; WINDOWS]; TILE],
        };
        let windows = self.columns.out.len() / self.columns.conv.stage.output().channels.max(1);
        for first in (0..windows).step_by(WINDOWS) {
            let some = (first, WINDOWS.min(windows - first));
            let mut o = 0;
            if S::MANY_REGISTERS {
                o = self.blocks::<S, 4>(simd, &mut scratch, some, o);
            }
            o = self.blocks::<S, 2>(simd, &mut scratch, some, o);
            self.blocks::<S, 1>(simd, &mut scratch, some, o);
        }
    }
}

impl<T: Number> Winograd<'_, '_, '_, T> {
    /// Blocks of `N` vectors of filters from filter `o` on, for `count` windows from window `first` of the row on; returns
    /// where they end. The last size to be tried also takes what is left.
    #[inline(always)]
    fn blocks<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        scratch: &mut Scratch,
        (first, count): (usize, usize),
        mut o: usize,
    ) -> usize {
        let (input, output) = (self.columns.conv.stage.input(), self.columns.conv.stage.output());
        while o + N * S::LANES <= output.channels || N == 1 && o < output.channels {
            for channel in (0..input.channels).step_by(WORD_BITS) {
                // Few channels are still there for the next filters.
                if o == 0 || input.channels > WORD_BITS {
                    self.transform_inputs(simd, scratch, (first, count), channel);
                }
                self.multiply::<S, N>(simd, scratch, count, (channel, o));
            }
            self.finish::<S, N>(simd, scratch, (first, count), o);
            o += N * S::LANES;
        }
        o
    }

    /// `B' x B` for up to 32 channels from `channel` on.
    #[inline(always)]
    fn transform_inputs<S: Simd>(
        &self,
        simd: S,
        scratch: &mut Scratch,
        (first, count): (usize, usize),
        channel: usize,
    ) {
        let Columns { conv, window, first: before, .. } = &*self.columns;
        let channels = conv.stage.input().channels;
        let block = WORD_BITS.min(channels - channel);
        let rows: [InputRow<'_>; SIDE] = [0, 1, 2, 3].map(|row| window.input_row(row));
        for lane in (0..block).step_by(S::LANES) {
            let len = S::LANES.min(block - lane);
            let start = (before + first) * 2 * channels + channel + lane;
            let mut left = column(simd, &rows, start, len);
            let mut right = column(simd, &rows, start + channels, len);
            for w in 0..count {
                let start = start + (2 * w + 2) * channels;
                let next = column(simd, &rows, start, len);
                let last = column(simd, &rows, start + channels, len);
                for row in 0..SIDE {
                    let x = transform_data(simd, [left[row], right[row], next[row], last[row]]);
                    for (column, x) in x.into_iter().enumerate() {
                        simd.store(x, &mut scratch.inputs[SIDE * row + column][w][lane..]);
                    }
                }
                (left, right) = (next, last);
            }
        }
        for (live, inputs) in scratch.live.iter_mut().zip(&scratch.inputs) {
            live.fill(0);
            for (live, inputs) in live.iter_mut().zip(&inputs[..count]) {
                *live = live_bits(simd, &inputs[..block]);
            }
        }
    }

    /// Adds the products of `N` vectors of filters from `o` on, of the channels in `scratch`.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(
        &self,
        simd: S,
        scratch: &mut Scratch,
        count: usize,
        (channel, o): (usize, usize),
    ) {
        let (input, output) = (self.columns.conv.stage.input(), self.columns.conv.stage.output());
        for (element, ((inputs, live), products)) in
            scratch.inputs.iter().zip(&scratch.live).zip(&mut scratch.products).enumerate()
        {
            let start = (element * input.channels + channel) * output.channels + o;
            let weights = (rest(self.weights, start), output.channels);
            // Windows beyond the last one would only cost time; 3 is what a row of 7 leaves.
            if count == 3 {
                add_products::<S, 3, N>(simd, (inputs, live), channel == 0, weights, products);
            } else {
                add_products::<S, WINDOWS, N>(simd, (inputs, live), channel == 0, weights, products);
            }
        }
    }

    /// Values, ReLU and pooling of `N` vectors of filters from `o` on.
    #[inline(always)]
    fn finish<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        scratch: &Scratch,
        (first, count): (usize, usize),
        o: usize,
    ) {
        let Columns { conv, out, masks, .. } = &mut *self.columns;
        let stage = conv.stage;
        let (filters, mask_len) = (stage.output().channels, stage.planes() * stage.words());
        let mut bias = [simd.splat(0.0); N];
        load_all(simd, reach_rest(conv.bias, o), &mut bias);
        for w in 0..count {
            let mut values = [[simd.splat(0.0); N]; 4];
            for n in 0..N {
                let mut rows = [[simd.splat(0.0); 2]; SIDE];
                for (row, target) in rows.iter_mut().enumerate() {
                    let mut products = [simd.splat(0.0); SIDE];
                    for (column, product) in products.iter_mut().enumerate() {
                        *product = simd.load(&scratch.products[SIDE * row + column][w][n * S::LANES..]);
                    }
                    *target = inverse_transform(simd, products);
                }
                for x in 0..2 {
                    let [top, bottom] = inverse_transform(simd, [rows[0][x], rows[1][x], rows[2][x], rows[3][x]]);
                    values[x][n] = simd.mul_add(top, simd.splat(1.0), bias[n]);
                    values[2 + x][n] = simd.mul_add(bottom, simd.splat(1.0), bias[n]);
                }
            }
            let out = span_mut(out, (first + w) * filters, filters);
            let masks = reach_mut(masks, (first + w) * mask_len, mask_len);
            pool_2x2(simd, stage, &values, (o, out, masks));
        }
    }
}

/// Products of one tile element of `P` windows; the first channels start from zero.
#[inline(always)]
fn add_products<S: Simd, const P: usize, const N: usize>(
    simd: S,
    (inputs, live): (&[[f32; WORD_BITS]; WINDOWS], &[u32; WINDOWS]),
    are_first: bool,
    weights: (&[f32], usize),
    products: &mut [[f32; FILTERS]; WINDOWS],
) {
    let mut block = [[simd.splat(0.0); N]; P];
    let mut x = [&[][..]; P];
    for (x, inputs) in x.iter_mut().zip(inputs) {
        *x = inputs;
    }
    if !are_first {
        for (block, products) in block.iter_mut().zip(&*products) {
            load_all(simd, products, block);
        }
    }
    let live = live.iter().fold(0, |all, live| all | live);
    add_shared_rows(simd, &mut block, (x, live), weights);
    for (block, products) in block.iter().zip(products) {
        store_all(simd, block, products);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use crate::loss::Loss;
    use crate::model::Model;
    use crate::network::{Layer, Network, Padding, Shape, Size};
    use crate::vector::Level;

    /// Rows of 7 and of 6 windows, padding on some sides.
    fn network(channels: usize, filters: usize, padding: Padding, bias: bool) -> Network {
        let layers = [
            Layer::Conv2d { filters, kernel: Size::square(3), stride: Size::ONE, padding, bias },
            Layer::Relu,
            Layer::MaxPool2d { pool: 2, padding: Padding::Valid },
            Layer::Flatten,
            Layer::Dense { units: 5, bias: false },
        ];
        Network::new(Shape::hwc(9, 15, channels), &layers)
    }

    /// Numbers in [-1, 1) that look random.
    fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let mixed = |i: u32| (i + seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
        (0..len as u32).map(|i| (mixed(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Logits and input gradient, with Winograd's way or, without transformed weights, one position after the other.
    fn run(network: &Network, image: &[f32], level: Option<Level>) -> (Vec<f32>, Vec<f32>) {
        let tensors = network.layers().iter().enumerate().flat_map(|(i, _)| {
            let (weight, bias) = network.layer_parameters(i);
            [weight, bias].into_iter().filter(|len| *len > 0).map(move |len| (len, 7 * i as u32))
        });
        // Small, so that rounding changes the probabilities little.
        let small = |(len, seed)| numbers(len, seed).iter().map(|w| 0.1 * w).collect();
        let tensors: Vec<Vec<f32>> = tensors.map(small).collect();
        let tensors: Vec<&[f32]> = tensors.iter().map(Vec::as_slice).collect();
        let mut transposed = vec![0.0; Model::<f32>::transposed_len(network)];
        let mut model = Model::<f32>::from_tensors(network, &tensors).unwrap();
        if let Some(level) = level {
            model = model.with_transposed(level, &mut transposed).unwrap();
        }
        let mut buffer = vec![0.0; model.gradient_len()];
        let result = model.loss_gradient(Loss::CrossEntropy, image, 1, &mut buffer).unwrap();
        (result.logits.to_vec(), result.gradient.to_vec())
    }

    fn assert_near(found: &[f32], expected: &[f32], what: &str) {
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let apart = found.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(found.len() == expected.len() && apart <= 1e-4 * largest, "{what}: {apart} apart of {largest}");
    }

    #[test]
    fn results_are_those_of_the_plain_sum() {
        for (channels, filters, padding, bias) in [
            (32, 64, Padding::Same, false),
            (8, 1, Padding::Valid, true),
            (33, 20, Padding::Same, true),
            (70, 101, Padding::Valid, false),
            // More winners than backward lists at a time.
            (16, 300, Padding::Same, false),
        ] {
            let network = network(channels, filters, padding, bias);
            assert!(Model::<f32>::transposed_len(&network) > 25 * channels * filters, "not the way that is tested");
            let image: Vec<f32> = numbers(network.input().len(), 3).iter().map(|x| x.abs()).collect();
            let (logits, gradient) = run(&network, &image, None);
            // With the same vectors, only the other way of summing can change a bit.
            assert_ne!(run(&network, &image, Some(Level::detect())).0, logits, "the plain sum was taken");
            for level in Level::all().filter(|level| level.lanes() > 1) {
                let found = run(&network, &image, Some(level));
                let what = std::format!("{channels} channels, {filters} filters, {level:?}");
                assert_near(&found.0, &logits, &what);
                assert_near(&found.1, &gradient, &what);
            }
        }
    }

    /// Where the image does not change, the four positions of a window are equal and the first has the gradient.
    #[test]
    fn ties_stay_ties() {
        let network = network(16, 40, Padding::Valid, true);
        let (width, channels) = (network.input().width, network.input().channels);
        let column = |i: usize| (i / channels % width, i % channels);
        let (flat, stripes) = (|i: usize| 0.1 + i as f32 / 50.0, |x: usize, i: usize| ((x / 2 + i) % 5) as f32 / 5.0);
        let images: [Vec<f32>; 2] = [
            (0..network.input().len()).map(|i| flat(column(i).1)).collect(),
            (0..network.input().len()).map(|i| stripes(column(i).0, column(i).1)).collect(),
        ];
        for image in images {
            let (_, gradient) = run(&network, &image, None);
            for level in Level::all().filter(|level| level.lanes() > 1) {
                assert_near(&run(&network, &image, Some(level)).1, &gradient, &std::format!("{level:?}"));
            }
        }
    }
}
