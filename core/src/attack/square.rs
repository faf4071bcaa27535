//! The Square attack: random search in squares, without a gradient.
//!
//! ```text
//! x  <- clip(x0 +- eps)              a sign for each column and channel
//! then, queries - 1 times:
//! x' <- x with a square of +- eps, a sign for each channel          x <- x' if the loss is larger there
//! ```
//! Every pixel is at an end of the ball, so that a bit says where. The share of the image that a square covers starts at 0.8 and is
//! halved nine times on the way.
//!
//! Andriushchenko, Croce, Flammarion, Hein: Square Attack, a query-efficient black-box adversarial attack via random search,
//! ECCV 2020, algorithms 1 and 2; the schedule is that of section 5 and appendix B.

use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::Attack;
use super::course::Course;
use super::one::Alone;
use super::step::{Step, start_seed};
use super::walk::{Gradients, Walk};
use crate::error::{Error, check_option};
use crate::loss::Loss;
use crate::network::{Network, Shape};
use crate::span::span_mut;

/// Random search: what it needs of a model is its logits.
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Square}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let square = Square { queries: 20, ..Square::new(0.2, 1) };
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; Square::len(&NETWORK)]);
/// let outcome = square.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!(outcome.after.class, 1);
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Images that the model is asked about, the first at random points included.
    pub queries: usize,
    /// Seed of all that is random. Give every image a seed of its own.
    pub seed: u64,
    /// What to raise.
    pub loss: Loss,
}

/// Of 10,000 queries, those after which the share of a square is halved.
const HALVED_AFTER: [usize; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

/// The share of the image that the first squares cover.
const SHARE: f32 = 0.8;

impl Square {
    /// 5000 queries and the margin, as in the paper and in AutoAttack.
    pub fn new(eps: f32, seed: u64) -> Self {
        Self { eps, queries: 5000, seed, loss: Loss::Margin }
    }

    /// Elements of the buffer for one image of a network: what [`Attack::buffer_len`] says, at compile time.
    pub const fn len(network: &Network) -> usize {
        network.inference_len() + kept_len(network.input().len())
    }

    /// Rows and columns of the square of query number `query`.
    fn side(&self, query: usize, input: Shape) -> usize {
        let of_10_000 = (query as u64 * 10_000 / self.queries.max(1) as u64) as usize;
        let halvings = HALVED_AFTER.iter().filter(|after| of_10_000 > **after).count();
        let area = SHARE * (input.height * input.width) as f32 / (1u32 << halvings) as f32;
        let most = input.height.min(input.width).saturating_sub(1).max(1);
        // The integer that is nearest to a root is half of the root of four times the number, rounded up.
        ((4.0 * area) as usize).isqrt().div_ceil(2).max(1).min(most)
    }

    fn random(&self, walk: &Walk<'_>, query: usize) -> Xoshiro128PlusPlus {
        Xoshiro128PlusPlus::seed_from_u64(start_seed(self.seed.wrapping_add(walk.seed()), query))
    }

    /// A square somewhere in the image, for a query but the first.
    fn patch(&self, walk: &Walk<'_>, query: usize, input: Shape) -> Patch {
        let (side, mut random) = (self.side(query, input), self.random(walk, query));
        // A multiply keeps the draw in range; its bias is below 2^-18 for images of up to 2^14 pixels a side.
        let mut below = |count: usize| ((u64::from(random.next_u32()) * count as u64) >> 32) as usize;
        let (top, left) =
            (below(input.height - side.min(input.height) + 1), below(input.width - side.min(input.width) + 1));
        Patch { rows: [top, top + side], columns: [left, left + side], signs: random.next_u32() }
    }

    fn step(&self) -> Step {
        Step { eps: self.eps, alpha: self.eps, steps: 1, decay: None, loss: self.loss }
    }

    /// Moves pixels to ends of the ball: `sign` says to which, for a row, a column and a channel.
    fn paint(
        &self,
        (walk, range): (&mut Walk<'_>, [f32; 2]),
        (patch, input): (&Patch, Shape),
        sign: impl Fn(usize, usize) -> bool,
    ) {
        // Not even the sign of a zero changes.
        if self.eps == 0.0 {
            return;
        }
        let step = self.step();
        let (image, adversarial) = walk.images_mut();
        patch.each(input, |index, channel| {
            if let (Some(x), Some(clean)) = (adversarial.get_mut(index), image.get(index)) {
                let change = if sign(index, channel) { self.eps } else { -self.eps };
                *x = step.clip(clean + change, *clean, range);
            }
        });
    }

    /// Moves every pixel of a column and channel to the same end of the ball.
    fn stripes(&self, (walk, range): (&mut Walk<'_>, [f32; 2]), input: Shape, bits: &mut [u32]) {
        let mut random = self.random(walk, 0);
        for column in 0..input.width {
            let patch = Patch { rows: [0, input.height], columns: [column, column + 1], signs: random.next_u32() };
            patch.note(input, bits);
            self.paint((walk, range), (&patch, input), |_, channel| patch.sign(channel));
        }
    }
}

/// Elements that are kept of a walk: a bit for each pixel, the end of the ball where the best image has it.
const fn kept_len(pixels: usize) -> usize {
    pixels.div_ceil(32)
}

/// A part of the image, and a sign for each channel: bit number `channel`, counted round.
struct Patch {
    rows: [usize; 2],
    columns: [usize; 2],
    signs: u32,
}

impl Patch {
    fn sign(&self, channel: usize) -> bool {
        self.signs >> (channel % 32) & 1 == 1
    }

    /// Calls `act` with the index and the channel of each element.
    fn each(&self, input: Shape, mut act: impl FnMut(usize, usize)) {
        let [rows, columns] = [self.rows, self.columns].map(|[first, end]| first..end);
        for row in rows {
            for column in columns.clone() {
                for channel in 0..input.channels {
                    act((row * input.width + column) * input.channels + channel, channel);
                }
            }
        }
    }

    /// Writes the signs to the bits of all elements.
    fn note(&self, input: Shape, bits: &mut [u32]) {
        self.each(input, |index, channel| {
            if let Some(word) = bits.get_mut(index / 32) {
                let bit = 1 << (index % 32);
                *word = if self.sign(channel) { *word | bit } else { *word & !bit };
            }
        });
    }
}

fn is_set(bits: &[u32], index: usize) -> bool {
    bits.get(index / 32).is_some_and(|word| word >> (index % 32) & 1 == 1)
}

impl Attack for Square {
    type Course = Self;

    #[inline(always)]
    fn course(&self) -> Self {
        *self
    }
}

impl Alone for Square {}

impl Course for Square {
    const NEEDS_GRADIENT: bool = false;

    fn loss(&self) -> Loss {
        self.loss
    }

    fn check(&self) -> Result<(), Error> {
        check_option("eps", self.eps)?;
        if self.queries == 0 { Err(Error::NoSteps) } else { Ok(()) }
    }

    fn kept_len(&self, pixels: usize) -> usize {
        kept_len(pixels)
    }

    fn run(&self, source: &mut impl Gradients, walks: &mut [Walk<'_>], kept: &mut [f32]) -> Result<(), Error> {
        source.look(walks, |walk, prediction| walk.see_clean(|| prediction))?;
        let (range, input, bits) = (source.range(), source.input(), bytemuck::cast_slice_mut::<f32, u32>(kept));
        let words = self.kept_len(input.len());
        for walk in walks.iter_mut() {
            let bits = walk.part(bits, words);
            self.stripes((walk, range), input, bits);
        }
        source.settle(self.eps, walks);
        source.look(walks, |walk, found| walk.see_end(found))?;
        for query in 1..self.queries {
            source.check_stop()?;
            let count = source.to_the_front(walks, |walk| !walk.has_arrived());
            let walking = span_mut(walks, 0, count);
            if walking.is_empty() {
                break;
            }
            for walk in walking.iter_mut() {
                let patch = self.patch(walk, query, input);
                self.paint((walk, range), (&patch, input), |_, channel| patch.sign(channel));
            }
            source.settle(self.eps, walking);
            source.look(walking, |walk, found| {
                let (patch, bits) = (self.patch(walk, query, input), walk.part(bits, words));
                if walk.see_if_nearer(found) {
                    patch.note(input, bits);
                } else {
                    self.paint((walk, range), (&patch, input), |index, _| is_set(bits, index));
                }
            })?;
        }
        // What was painted over is as it was before it was settled.
        source.settle(self.eps, walks);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::super::Goal;
    use super::*;
    use crate::model::Model;
    use crate::network::Layer;

    #[test]
    fn squares_shrink_as_in_the_paper() {
        let square = Square::new(0.3, 0);
        let sides = [1, 5, 6, 26, 101, 251, 501, 1001, 2001, 3001, 4001, 4999]
            .map(|query| square.side(query, Shape::hwc(28, 28, 1)));
        // The nearest to the roots of 0.8 * 784 = 627.2, and of a half, a quarter, .. of that.
        assert_eq!(sides, [25, 25, 18, 13, 9, 6, 4, 3, 2, 2, 1, 1]);
        // A square is smaller than the image, and has a pixel.
        assert_eq!([Shape::hwc(3, 40, 1), Shape::hwc(1, 7, 2)].map(|input| square.side(1, input)), [2, 1]);
    }

    #[test]
    fn squares_lie_anywhere_in_the_image() {
        let (square, input) = (Square { queries: 4000, ..Square::new(0.3, 5) }, Shape::hwc(5, 4, 3));
        let (image, mut adversarial) = (vec![0.5; 60], vec![0.5; 60]);
        let walk = Walk::new(&image, &mut adversarial, Goal::Away(0), 8);
        let mut seen = Vec::new();
        for query in 3900..4000 {
            let Patch { rows, columns, signs } = square.patch(&walk, query, input);
            assert!(rows[1] == rows[0] + 1 && columns[1] == columns[0] + 1);
            seen.push((rows[0] * 4 + columns[0], signs & 7));
        }
        for place in 0..20 {
            assert!(seen.iter().any(|(seen, _)| *seen == place), "{place}");
        }
        assert!((0..8).all(|signs| seen.iter().any(|(_, seen)| *seen == signs)));
    }

    const NETWORK: Network =
        Network::new(Shape::hwc(4, 4, 2), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);

    /// The logits differ by the sum of all pixels, with alternating signs, and a bias.
    fn run(bias: f32, goal: Goal) -> (Vec<f32>, crate::attack::Outcome) {
        let weights: Vec<f32> = (0..32).flat_map(|i| [if i % 3 == 0 { -1.0 } else { 1.0 }, 0.0]).collect();
        let bias = [bias, 0.0];
        let model = Model::<f32>::from_tensors(&NETWORK, &[&weights, &bias]).unwrap();
        let square = Square { queries: 400, ..Square::new(0.25, 3) };
        assert_eq!(square.buffer_len(&model), Square::len(&NETWORK));
        let (mut adversarial, mut buffer) = (vec![f32::NAN; 32], [f32::NAN; Square::len(&NETWORK)]);
        let outcome = square.attack_towards(&model, &[0.875; 32], goal, &mut adversarial, &mut buffer).unwrap();
        (adversarial, outcome)
    }

    #[test]
    #[cfg_attr(miri, ignore = "hundreds of queries take the interpreter minutes")]
    fn the_best_corner_is_found_without_a_gradient() {
        for goal in [Goal::Away(0), Goal::Toward(1)] {
            let (adversarial, outcome) = run(9.0, goal);
            // Up is as far as the range goes.
            let best: Vec<f32> = (0..32).map(|i| if i % 3 == 0 { 1.0 } else { 0.625 }).collect();
            assert_eq!((adversarial, outcome.after.class, outcome.largest_change), (best, 0, 0.25), "{goal:?}");
            // 21 pixels less 11: 8.75 at the image, and 2.125 at the best corner.
            assert_eq!((outcome.before.class, run(-4.0, goal).1.after.class), (0, 1));
        }
    }
}
