//! Projected gradient descent with random starts.
//!
//! ```text
//! x <- clip(x0 + uniform(-eps, eps))          then T times          x <- clip(x + alpha * sign(grad_x J(x, y)))
//! ```
//! Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, section 2.1. Restarts keep
//! the worst image: the first that reaches the goal, or else the one with the highest loss (towards a target: the
//! lowest).

use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::step::{Attack, Goal, Outcome, Prediction, Step};
use crate::element::Element;
use crate::error::{Error, check_buffer};
use crate::loss::Loss;
use crate::model::Model;
use crate::network::Network;
use crate::span::take;

/// From each of `restarts` random points, `steps` steps of size `alpha` away from the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pgd {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    /// Number of steps from each start, T.
    pub steps: usize,
    /// Number of random starts, at least 1. After the first that reaches the goal no other is tried.
    pub restarts: usize,
    /// Seed of the starts. Give every image a seed of its own.
    pub seed: u64,
    /// What to raise; cross-entropy in the paper.
    pub loss: Loss,
}

impl Pgd {
    /// The paper's setting for MNIST, scaled to `eps`: 40 steps of `eps / 30` from one start, cross-entropy.
    pub fn new(eps: f32, seed: u64) -> Self {
        Self::with_steps(eps, 40, seed)
    }

    /// Steps of `eps / 30`, or longer ones where that would not cross the radius of the ball with a third to spare.
    pub fn with_steps(eps: f32, steps: usize, seed: u64) -> Self {
        let alpha = eps / f32::min(30.0, 0.75 * steps.max(1) as f32);
        Self { eps, alpha, steps, restarts: 1, seed, loss: Loss::CrossEntropy }
    }

    /// Elements of the buffer: [`Network::gradient_len`], and [`Network::attack_len`] with more than one start.
    pub fn buffer_len(&self, network: &Network) -> usize {
        if self.restarts > 1 { network.attack_len() } else { network.gradient_len() }
    }

    /// Attacks `image` (pixels in [0, 1], row, column, channel) of class `label`; writes `adversarial`, of the same
    /// length. The buffer has [`Self::buffer_len`] elements or more.
    ///
    /// # Errors
    /// Wrong lengths, a bad pixel, class or option, and a gradient that is not finite.
    pub fn attack<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        self.run(model, image, Goal::Away(label), adversarial, buffer)
    }

    pub(super) fn step(&self) -> Step {
        Step { eps: self.eps, alpha: self.alpha, steps: self.steps, decay: None, loss: self.loss }
    }

    /// Moves `adversarial` to a random point of the ball within [0, 1].
    pub(super) fn start_at_random(&self, restart: usize, image: &[f32], adversarial: &mut [f32]) {
        if self.eps == 0.0 {
            return;
        }
        let step = self.step();
        let mut random = Xoshiro128PlusPlus::seed_from_u64(self.seed.wrapping_add(restart as u64));
        for (x, clean) in adversarial.iter_mut().zip(image) {
            // 24 bits are what an f32 in [0, 1) holds.
            let uniform = (random.next_u32() >> 8) as f32 / (1 << 24) as f32;
            *x = step.clip(clean + self.eps * (2.0 * uniform - 1.0), *clean);
        }
    }
}

impl Attack for Pgd {
    fn run<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        let step = self.step();
        step.start(model, image, goal, adversarial, buffer)?;
        if self.restarts == 0 {
            return Err(Error::NoRestarts);
        }
        check_buffer(self.buffer_len(model.network()), buffer.len())?;
        let mut work = buffer;
        // Holds the worst image while others are tried; a single start needs no memory for it.
        let worst = take(&mut work, if self.restarts > 1 { image.len() } else { 0 });
        let before = step.look(model, image, goal, work)?;
        let mut after: Option<Prediction> = None;
        let mut zero_gradient_steps = 0;
        for restart in 0..self.restarts {
            self.start_at_random(restart, image, adversarial);
            zero_gradient_steps += step.go_on(model, image, goal, adversarial, work)?.1;
            let found = step.look(model, adversarial, goal, work)?;
            let reached = goal.is_reached(found);
            if reached || after.is_none_or(|after| goal.is_nearer(found, after)) {
                after = Some(found);
                worst.iter_mut().zip(&*adversarial).for_each(|(worst, x)| *worst = *x);
            }
            if reached {
                break;
            }
        }
        adversarial.iter_mut().zip(&*worst).for_each(|(x, worst)| *x = *worst);
        // `restarts` is not zero, so there was one.
        let after = after.unwrap_or(before);
        Ok(Outcome::new(image, adversarial, goal, before, after, zero_gradient_steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_fill_the_ball_and_stay_in_range() {
        let image: std::vec::Vec<f32> = (0..1000).map(|i| i as f32 / 999.0).collect();
        let pgd = Pgd::new(0.3, 7);
        let mut starts = [image.clone(), image.clone()];
        for (restart, start) in starts.iter_mut().enumerate() {
            pgd.start_at_random(restart, &image, start);
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
    fn the_default_is_the_papers() {
        let pgd = Pgd::new(0.3, 0);
        assert!((pgd.alpha - 0.01).abs() < 1e-7 && pgd.steps == 40, "{pgd:?}");
        assert_eq!(Pgd::with_steps(0.3, 100, 0).alpha, pgd.alpha);
        assert!(Pgd::with_steps(0.3, 2, 0).alpha > 0.15);
    }
}
