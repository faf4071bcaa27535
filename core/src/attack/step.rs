//! The step that every attack is made of, and the random points that some start from.
//!
//! Every attack is a choice of these options. `alpha` and `steps` are those of `new`; `-` is what the attack has not.
//!
//! | attack | `steps` | `alpha` | `decay` | [`Starts`] | goal |
//! |---|---|---|---|---|---|
//! | `Fgsm` | 1 | eps | - | - | away |
//! | `Otcm` | 1 | eps | - | - | toward its target |
//! | `Bim` | 10 | eps / 10 | - | - | away |
//! | `MiFgsm` | 10 | eps / 10 | 1 | - | away |
//! | `Pgd` | 40 | eps / 30 | - | 1 | away |
//! | `Targeted<A>` | those of `A` | | | | toward its target |
//!
//! ```text
//! one step (walk.rs, Step::follow)
//!
//! x -- gradient of the loss at the goal's class --> g -- accumulate, if there is a decay --> direction
//!   -- advance: x + alpha * sign(direction), minus towards a target --> clip to the ball and to [0, 1] --> x
//! ```

use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::goal::Goal;
use crate::error::{Error, check_option};
use crate::loss::Loss;
use crate::pass::UNITS;

/// The options of the step.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Largest change of a pixel in all.
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    pub steps: usize,
    /// Momentum's decay, or `None` to follow each gradient by itself.
    pub decay: Option<f32>,
    pub loss: Loss,
}

/// Random points of the ball from which steps start.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Starts {
    /// How many are tried until one leads to the goal.
    pub restarts: usize,
    pub seed: u64,
}

/// The seed of start number `restart`, if that of the first is `seed`: multiples of the golden ratio's fraction lie as far
/// apart as can be, so that the starts of neighbouring seeds do not meet (Steele, Lea, Flood: Fast Splittable Pseudorandom
/// Number Generators, OOPSLA 2014, section 2).
///
/// ```
/// use midge_core::attack::start_seed;
///
/// assert_eq!(start_seed(7, 0), 7);
/// assert_ne!(start_seed(7, 1), 8);
/// ```
pub const fn start_seed(seed: u64, restart: usize) -> u64 {
    seed.wrapping_add((restart as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Starts {
    /// There must be at least one.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.restarts == 0 { Err(Error::NoRestarts) } else { Ok(()) }
    }

    /// Moves `adversarial` to a random point of the ball within the range: each image, known by its seed, and each start has
    /// one of its own.
    #[inline(always)]
    pub(super) fn draw(
        &self,
        (step, range): (&Step, [f32; 2]),
        (image_seed, restart): (u64, usize),
        image: &[f32],
        adversarial: &mut [f32],
    ) {
        if step.eps == 0.0 {
            return;
        }
        let points = self.points(image_seed, restart);
        for ((x, clean), point) in adversarial.iter_mut().zip(image).zip(points) {
            *x = step.clip(clean + step.eps * point, *clean, range);
        }
    }

    /// The same random point as changes of integers, for the first image; it may lie outside the range.
    pub(super) fn draw_changes(&self, restart: usize, changes: &mut [i8]) {
        for (change, point) in changes.iter_mut().zip(self.points(0, restart)) {
            *change = (point * UNITS as f32 + if point < 0.0 { -0.5 } else { 0.5 }) as i8;
        }
    }

    /// Uniform numbers in [-1, 1).
    #[inline(always)]
    fn points(&self, image_seed: u64, restart: usize) -> impl Iterator<Item = f32> + use<> {
        let seed = start_seed(self.seed.wrapping_add(image_seed), restart);
        let mut random = Xoshiro128PlusPlus::seed_from_u64(seed);
        // 24 bits are what an f32 in [0, 1) holds.
        core::iter::repeat_with(move || 2.0 * ((random.next_u32() >> 8) as f32 / (1 << 24) as f32) - 1.0)
    }
}

impl Step {
    /// Images that the buffer holds beside what a gradient needs: the momentum, or the nearest place so far.
    pub(super) fn kept_images(&self, starts: Option<Starts>) -> usize {
        usize::from(self.decay.is_some() || starts.is_some_and(|starts| starts.restarts > 1))
    }

    // Not inlined: each way of the steps asks for it.
    #[inline(never)]
    pub(super) fn check_options(&self) -> Result<(), Error> {
        for (what, value) in [("eps", self.eps), ("alpha", self.alpha), ("decay", self.decay.unwrap_or(0.0))] {
            check_option(what, value)?;
        }
        if self.steps == 0 { Err(Error::NoSteps) } else { Ok(()) }
    }

    /// The step along the gradient of the loss at the goal's class.
    pub(super) fn signed_alpha(&self, goal: Goal) -> f32 {
        if matches!(goal, Goal::Away(_)) { self.alpha } else { -self.alpha }
    }

    /// `x` in the ball of `eps` around `clean` and in the range. (`f32::max` would be a call on a device.)
    #[inline(always)]
    pub(super) fn clip(&self, x: f32, clean: f32, [lowest, highest]: [f32; 2]) -> f32 {
        let (low, high) = (clean - self.eps, clean + self.eps);
        let low = if low > lowest { low } else { lowest };
        let high = if high < highest { high } else { highest };
        let x = if x < low { low } else { x };
        if x > high { high } else { x }
    }

    /// `x <- clip(x + alpha * sign(direction))`, see [`Self::clip`].
    #[inline(always)]
    pub(super) fn advance(
        &self,
        (image, range): (&[f32], [f32; 2]),
        direction: &[f32],
        alpha: f32,
        adversarial: &mut [f32],
    ) {
        for ((x, clean), g) in adversarial.iter_mut().zip(image).zip(direction) {
            // Without branches, which signs of gradients would mislead; a step of 0 leaves a pixel of the ball where it is.
            let signed = f32::from_bits(alpha.to_bits() ^ g.to_bits() & (-0.0f32).to_bits());
            let step = if *g != 0.0 { signed } else { 0.0 };
            *x = self.clip(*x + step, *clean, range);
        }
    }
}

/// `momentum <- decay * momentum + gradient / ||gradient||_1`; a zero gradient adds nothing.
pub(super) fn accumulate(momentum: &mut [f32], decay: f32, gradient: &[f32]) {
    // A sum that overflows or underflows would make the quotient infinite or NaN, so the largest is divided out.
    let largest = gradient.iter().fold(0.0, |largest: f32, g| largest.max(g.abs()));
    let sum: f32 = gradient.iter().map(|g| (g / largest).abs()).sum();
    for (m, g) in momentum.iter_mut().zip(gradient) {
        *m *= decay;
        if largest > 0.0 {
            *m += g / largest / sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: [f32; 2] = [0.0, 1.0];

    #[test]
    fn momentum_adds_the_normalised_gradient() {
        let mut momentum = [1.0, -1.0];
        accumulate(&mut momentum, 0.5, &[3.0, 1.0]);
        assert_eq!(momentum, [0.5 + 0.75, -0.5 + 0.25]);
    }

    #[test]
    fn a_zero_gradient_lets_momentum_decay() {
        let mut momentum = [1.0, -1.0];
        accumulate(&mut momentum, 0.5, &[0.0, -0.0]);
        assert_eq!(momentum, [0.5, -0.5]);
    }

    #[test]
    fn extreme_gradients_are_normalised() {
        for scale in [1e-40, 1e38] {
            let mut momentum = [0.0; 4];
            accumulate(&mut momentum, 1.0, &[scale; 4]);
            assert_eq!(momentum, [0.25; 4], "{scale}");
        }
    }

    #[test]
    fn starts_fill_the_ball_and_stay_in_range() {
        let image: std::vec::Vec<f32> = (0..1000).map(|i| i as f32 / 999.0).collect();
        let step = Step { eps: 0.3, alpha: 0.0, steps: 1, decay: None, loss: Loss::CrossEntropy };
        let random = Starts { restarts: 2, seed: 7 };
        let mut starts = [image.clone(), image.clone()];
        for (restart, start) in starts.iter_mut().enumerate() {
            random.draw((&step, UNIT), (0, restart), &image, start);
            let changes = || start.iter().zip(&image).map(|(x, clean)| x - clean);
            assert!(start.iter().all(|x| (0.0..=1.0).contains(x)) && changes().all(|d| d.abs() <= 0.3 + 1e-6));
            // Uniform in the middle of the range, where nothing is clipped.
            let middle: std::vec::Vec<f32> = changes().skip(300).take(400).collect();
            let mean = middle.iter().sum::<f32>() / 400.0;
            let square = middle.iter().map(|d| d * d).sum::<f32>() / 400.0;
            assert!(mean.abs() < 0.03 && (square - 0.03).abs() < 0.006, "{mean} {square}");
        }
        assert_ne!(starts[0], starts[1]);
    }

    #[test]
    fn neighbouring_images_do_not_share_starts() {
        let step = Step { eps: 0.3, alpha: 0.0, steps: 1, decay: None, loss: Loss::CrossEntropy };
        let draw = |image_seed, restart| {
            let mut point = [0.5; 8];
            Starts { restarts: 3, seed: 1 }.draw((&step, UNIT), (image_seed, restart), &[0.5; 8], &mut point);
            point
        };
        let all: std::vec::Vec<_> = (0..9).map(|i| draw(i / 3, i as usize % 3)).collect();
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{i}");
        }
    }

    const STEP: Step = Step { eps: 0.25, alpha: 0.125, steps: 1, decay: None, loss: Loss::CrossEntropy };

    #[test]
    fn a_step_follows_signs_and_ends_at_the_borders() {
        // Freely, up and down; not at all; at the ball's border, up and down; at the range's, up and down.
        let image = [0.5, 0.5, 0.5, 0.5, 0.5, 0.9375, 0.0625];
        let mut x = [0.5, 0.5, 0.5, 0.6875, 0.3125, 0.9375, 0.0625];
        STEP.advance((&image, UNIT), &[1e-9, -9.0, -0.0, 1.0, -1.0, 1.0, -1.0], STEP.alpha, &mut x);
        assert_eq!(x, [0.625, 0.375, 0.5, 0.75, 0.25, 1.0, 0.0]);
        let mut x = [0.5, 0.5];
        STEP.advance((&[0.5, 0.5], UNIT), &[1.0, -1.0], STEP.signed_alpha(Goal::Toward(1)), &mut x);
        assert_eq!((x, STEP.signed_alpha(Goal::Away(1))), ([0.375, 0.625], 0.125));
    }

    #[test]
    fn an_image_is_kept_for_momentum_and_for_restarts() {
        let with_momentum = Step { decay: Some(1.0), ..STEP };
        let starts = |restarts| Some(Starts { restarts, seed: 0 });
        assert_eq!([None, starts(1), starts(2)].map(|starts| STEP.kept_images(starts)), [0, 0, 1]);
        assert_eq!([None, starts(1), starts(2)].map(|starts| with_momentum.kept_images(starts)), [1, 1, 1]);
    }

    #[test]
    fn options_without_a_meaning_are_named() {
        assert_eq!(STEP.check_options(), Ok(()));
        for (step, name) in [
            (Step { eps: -1.0, ..STEP }, "eps"),
            (Step { alpha: f32::INFINITY, ..STEP }, "alpha"),
            (Step { decay: Some(f32::NAN), ..STEP }, "decay"),
        ] {
            assert!(matches!(step.check_options(), Err(Error::Option { what, .. }) if what == name), "{name}");
        }
        assert_eq!(Step { steps: 0, ..STEP }.check_options(), Err(Error::NoSteps));
        assert_eq!(Starts { restarts: 0, seed: 0 }.check(), Err(Error::NoRestarts));
        assert_eq!(Starts { restarts: 1, seed: 0 }.check(), Ok(()));
    }

    #[test]
    fn a_ball_of_one_point_has_one_start() {
        let mut x = [0.25, 0.75];
        Starts { restarts: 1, seed: 3 }.draw((&Step { eps: 0.0, ..STEP }, UNIT), (0, 0), &[0.0, 0.0], &mut x);
        assert_eq!(x, [0.25, 0.75]);
    }
}
