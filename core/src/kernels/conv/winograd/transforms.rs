//! The transformations of Winograd's convolutions, and the weights that went through theirs beforehand.

use crate::network::plan::Spatial;
use crate::number::Number;
use crate::span::{span, span_mut};
use crate::vector::{Kernel, Simd};

/// Rows and columns of inputs under a window, and of its products.
pub(super) const SIDE: usize = 4;

/// Elements of a tile of that side.
pub(super) const TILE: usize = SIDE * SIDE;

/// Fewest channels for which it pays.
const FEWEST_CHANNELS: usize = 8;

/// Whether a stage can take this way, on a processor with vectors.
pub(super) const fn suits(stage: &Spatial) -> bool {
    cfg!(feature = "std")
        && stage.is_3x3_of_stride_1()
        && stage.pool() == 2
        && stage.relu
        && stage.pool_pad.0 + stage.pool_pad.1 == 0
        && stage.input().channels >= FEWEST_CHANNELS
}

/// Elements of a stage's transformed weights, `[row][column][i][o]` with four rows and columns; 0 if it does not suit.
pub(crate) const fn weights_len(stage: &Spatial) -> usize {
    if suits(stage) { TILE * stage.input().channels * stage.output().channels } else { 0 }
}

/// Fills `target` with `G w G'` of stored weights `[ky][kx][i][o]`.
pub(crate) struct TransformWeights<'b, T> {
    pub stage: &'b Spatial,
    pub weights: &'b [T],
    /// [`weights_len`] elements.
    pub target: &'b mut [f32],
}

impl<T: Number> Kernel for TransformWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { stage, weights, target } = self;
        let pairs = weights_len(stage) / TILE;
        for first in (0..pairs).step_by(S::LANES) {
            let len = S::LANES.min(pairs - first);
            let mut along = [[simd.splat(0.0); SIDE]; 3];
            for (ky, along) in along.iter_mut().enumerate() {
                let mut row = [simd.splat(0.0); 3];
                for (kx, w) in row.iter_mut().enumerate() {
                    let start = (3 * ky + kx) * pairs + first;
                    *w = simd.load(span(weights, start, len));
                }
                *along = transform_filter(simd, row);
            }
            let [top, middle, bottom] = along;
            for (column, ((top, middle), bottom)) in top.into_iter().zip(middle).zip(bottom).enumerate() {
                let rows = transform_filter(simd, [top, middle, bottom]);
                for (row, w) in rows.into_iter().enumerate() {
                    simd.store(w, span_mut(target, (SIDE * row + column) * pairs + first, len));
                }
            }
        }
    }
}

/// `G w` of three vectors.
#[inline(always)]
fn transform_filter<S: Simd>(simd: S, [a, b, c]: [S::Vector; 3]) -> [S::Vector; SIDE] {
    let (half, zero) = (simd.splat(0.5), simd.splat(0.0));
    let ends = simd.mul_add(a, half, simd.mul_add(c, half, zero));
    [a, simd.mul_add(b, half, ends), simd.mul_add(b, simd.splat(-0.5), ends), c]
}

/// `B' x` of four vectors.
#[inline(always)]
pub(super) fn transform_data<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; SIDE]) -> [S::Vector; SIDE] {
    let plus = simd.splat(1.0);
    let minus = simd.splat(-1.0);
    [simd.mul_add(c, minus, a), simd.mul_add(b, plus, c), simd.mul_add(b, minus, c), simd.mul_add(d, minus, b)]
}

/// `A' x` of four vectors.
#[inline(always)]
pub(super) fn inverse_transform<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; SIDE]) -> [S::Vector; 2] {
    let plus = simd.splat(1.0);
    let minus = simd.splat(-1.0);
    let sum = simd.mul_add(b, plus, c);
    let difference = simd.mul_add(c, minus, b);
    [simd.mul_add(a, plus, sum), simd.mul_add(d, minus, difference)]
}
