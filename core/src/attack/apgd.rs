//! Auto-PGD: projected gradient descent that chooses its step size itself.
//!
//! ```text
//! z       <- clip(x_k + alpha * sign(grad_x J(x_k, y)))
//! x_(k+1) <- clip(x_k + 3/4 (z - x_k) + 1/4 (x_k - x_(k-1)))          the first step goes all the way to z
//! ```
//! `alpha` starts at `2 eps`. At each checkpoint it is halved, and the walk goes back to the best point so far, if no more than
//! three quarters of the steps since the last one raised the loss, or if neither `alpha` nor the best loss has changed since then.
//!
//! Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, ICML 2020,
//! algorithm 1 and section 3.2. The best point's gradient is computed again and not kept.

use super::Attack;
use super::course::Course;
use super::goal::{Goal, Prediction};
use super::one::Alone;
use super::step::{Starts, Step};
use super::walk::{Gradients, Walk};
use crate::error::{Error, check_option};
use crate::loss::{Loss, argmax};
use crate::network::Network;
use crate::span::{span, span_mut, split_mut};

/// Steps from one random point, whose size follows from what they achieve. With [`Targeted`](super::Targeted) and
/// [`Loss::Margin`] they go where the paper's APGD-T goes with another loss (DLR, the margin in parts of the spread of the logits).
///
/// ```
/// use midge_core::{Layer, Model, Network, Shape, attack::{Apgd, Attack}};
/// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// let (mut adversarial, mut buffer) = ([0.0; 2], [0.0; Apgd::len(&NETWORK)]);
/// let outcome = Apgd::new(0.2, 1).attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
/// assert_eq!(outcome.after.class, 1);
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apgd {
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Number of steps, up to 2^24; a return to the best point is none.
    pub steps: usize,
    /// Seed of the start. Give every image a seed of its own.
    pub seed: u64,
    /// What to raise.
    pub loss: Loss,
}

impl Apgd {
    /// 100 steps and cross-entropy, as in the paper's APGD-CE.
    pub fn new(eps: f32, seed: u64) -> Self {
        Self { eps, steps: 100, seed, loss: Loss::CrossEntropy }
    }

    /// Elements of the buffer for one image of a network: what [`Attack::buffer_len`] says, at compile time.
    pub const fn len(network: &Network) -> usize {
        network.gradient_len() + kept_len(network.input().len())
    }

    /// Steps to the first checkpoint, and the fewest from one to the next.
    fn periods(&self) -> [usize; 2] {
        [22, 6].map(|percent| (self.steps * percent / 100).max(1))
    }

    /// Steps from one checkpoint to the next, if there were `period` before it.
    fn next_period(&self, period: usize) -> usize {
        period.saturating_sub((3 * self.steps / 100).max(1)).max(self.periods()[1])
    }
}

impl Attack for Apgd {
    type Course = Self;

    #[inline(always)]
    fn course(&self) -> Self {
        *self
    }
}

/// Where a walk is, between two gradients.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// At its start.
    Start,
    /// At a new point.
    Step,
    /// Back at the best point.
    Best,
    /// All steps are done.
    End,
}

/// What is kept of a walk beside its images; numbers of steps lie in an f32 as they are.
#[derive(Clone, Copy)]
struct State {
    at: At,
    alpha: f32,
    /// Steps so far, those since the last checkpoint, and how many steps the next is from the last.
    steps: usize,
    since: usize,
    period: usize,
    /// Steps since the last checkpoint that raised the loss.
    raised: usize,
    /// The loss before the last step, the largest, and the largest at the last checkpoint.
    last: f32,
    best: f32,
    best_at_checkpoint: f32,
    /// Whether the last checkpoint halved `alpha`.
    halved: bool,
}

/// Elements of a [`State`] as it is kept.
const STATE: usize = 10;

/// Above the second number an f32 does not count on.
const STEPS: [f32; 2] = [1.0, (1 << 24) as f32];

/// Elements that are kept of a walk: its state and two images.
const fn kept_len(pixels: usize) -> usize {
    STATE + 2 * pixels
}

impl State {
    fn start(apgd: &Apgd) -> Self {
        let (at, alpha, period) = (At::Start, 2.0 * apgd.eps, apgd.periods()[0]);
        let (steps, since, raised, halved) = (0, 0, 0, true);
        Self { at, alpha, steps, since, period, raised, last: 0.0, best: 0.0, best_at_checkpoint: 0.0, halved }
    }

    fn read(kept: &[f32]) -> Self {
        let mut elements = [0.0; STATE];
        copy(span(kept, 0, STATE), &mut elements);
        let [at, alpha, steps, since, period, raised, last, best, best_at_checkpoint, halved] = elements;
        let [steps, since, period, raised] = [steps, since, period, raised].map(|count| count as usize);
        let at = match at as usize {
            0 => At::Start,
            1 => At::Step,
            2 => At::Best,
            number => {
                debug_assert!(number == At::End as usize);
                At::End
            }
        };
        Self { at, alpha, steps, since, period, raised, last, best, best_at_checkpoint, halved: halved != 0.0 }
    }

    fn write(&self, kept: &mut [f32]) {
        let counts = [self.at as usize, self.steps, self.since, self.period, self.raised, usize::from(self.halved)];
        let [at, steps, since, period, raised, halved] = counts.map(|count| count as f32);
        let elements: [f32; STATE] =
            [at, self.alpha, steps, since, period, raised, self.last, self.best, self.best_at_checkpoint, halved];
        kept.iter_mut().zip(elements).for_each(|(kept, x)| *kept = x);
    }

    /// Notes the loss after a step; whether it is the largest so far.
    fn see(&mut self, loss: f32) -> bool {
        self.raised += usize::from(loss > self.last);
        self.last = loss;
        let is_best = loss > self.best;
        if is_best {
            self.best = loss;
        }
        self.steps += 1;
        self.since += 1;
        is_best
    }

    /// At a checkpoint: whether to halve `alpha` and go back to the best point.
    fn checkpoint(&mut self, apgd: &Apgd) -> bool {
        let oscillates = 4 * self.raised <= 3 * self.since;
        let stands = !self.halved && self.best_at_checkpoint >= self.best;
        self.halved = oscillates || stands;
        self.best_at_checkpoint = self.best;
        (self.period, self.since, self.raised) = (apgd.next_period(self.period), 0, 0);
        if self.halved {
            self.alpha /= 2.0;
        }
        self.halved
    }
}

/// What is kept of a walk: its state, the point before, and the best point.
struct Kept<'k> {
    state: &'k mut [f32],
    before: &'k mut [f32],
    best: &'k mut [f32],
}

impl<'k> Kept<'k> {
    fn of(walk: &Walk<'_>, kept: &'k mut [f32]) -> Self {
        let pixels = walk.image().len();
        let (state, images) = split_mut(walk.part(kept, kept_len(pixels)), STATE);
        let (before, best) = split_mut(images, pixels);
        Self { state, before, best }
    }
}

fn copy(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

impl Apgd {
    fn step(&self, alpha: f32) -> Step {
        Step { eps: self.eps, alpha, steps: self.steps, decay: None, loss: self.loss }
    }

    /// What a walk does with the gradient and the logits at its place.
    fn follow(&self, (walk, range): (&mut Walk<'_>, [f32; 2]), (gradient, logits): (&[f32], &[f32]), kept: Kept<'_>) {
        let mut state = State::read(kept.state);
        let (goal, class) = (walk.goal(), argmax(logits));
        let loss = self.loss.value(logits, goal.class());
        // Towards a target the loss is to fall.
        let raised = if matches!(goal, Goal::Away(_)) { loss } else { -loss };
        if goal.is_reached(Prediction { class, confidence: 0.0, loss }) {
            copy(walk.adversarial(), kept.best);
            state.at = At::End;
            return state.write(kept.state);
        }
        match state.at {
            At::Start => {
                (state.last, state.best, state.best_at_checkpoint) = (raised, raised, raised);
                copy(walk.adversarial(), kept.best);
                copy(walk.adversarial(), kept.before);
            }
            At::Step => {
                if state.see(raised) {
                    copy(walk.adversarial(), kept.best);
                }
                let is_last = state.steps >= self.steps;
                if is_last || state.since >= state.period && state.checkpoint(self) {
                    copy(kept.best, walk.images_mut().1);
                    state.at = if is_last { At::End } else { At::Best };
                    return state.write(kept.state);
                }
            }
            At::Best | At::End => {}
        }
        walk.note_gradient(gradient);
        let momentum = if state.at == At::Start { 0.0 } else { 0.25 };
        self.advance((walk, range), gradient, (state.alpha, momentum), kept.before);
        state.at = At::Step;
        state.write(kept.state);
    }

    /// One step; `before` is the last place and becomes this one.
    fn advance(
        &self,
        (walk, range): (&mut Walk<'_>, [f32; 2]),
        gradient: &[f32],
        (alpha, momentum): (f32, f32),
        before: &mut [f32],
    ) {
        let step = self.step(alpha);
        let alpha = step.signed_alpha(walk.goal());
        let (image, adversarial) = walk.images_mut();
        for (((x, clean), g), before) in adversarial.iter_mut().zip(image).zip(gradient).zip(before) {
            let (last, mut z) = (*x, [*x]);
            step.advance((&[*clean], range), &[*g], alpha, &mut z);
            let moved = last + (1.0 - momentum) * (z[0] - last) + momentum * (last - *before);
            (*x, *before) = (step.clip(moved, *clean, range), last);
        }
    }
}

impl Alone for Apgd {}

impl Course for Apgd {
    fn loss(&self) -> Loss {
        self.loss
    }

    fn check(&self) -> Result<(), Error> {
        check_option("eps", self.eps)?;
        let value = self.steps as f32;
        match self.steps {
            0 => Err(Error::NoSteps),
            _ if value > STEPS[1] => Err(Error::Range { what: "steps", value, range: &STEPS }),
            _ => Ok(()),
        }
    }

    fn kept_len(&self, pixels: usize) -> usize {
        kept_len(pixels)
    }

    fn run(&self, source: &mut impl Gradients, walks: &mut [Walk<'_>], kept: &mut [f32]) -> Result<(), Error> {
        source.look(walks, |walk, prediction| walk.see_clean(|| prediction))?;
        let (range, starts) = (source.range(), Starts { restarts: 1, seed: self.seed });
        for walk in walks.iter_mut() {
            walk.start((&self.step(self.eps), range), starts);
            State::start(self).write(Kept::of(walk, kept).state);
        }
        let mut count = walks.len();
        while count > 0 {
            let walking = span_mut(walks, 0, count);
            source.gradients(walking, |_, walk, found| {
                let kept = Kept::of(walk, kept);
                self.follow((walk, range), found, kept);
            })?;
            let len = self.kept_len(source.input().len());
            let is_walking = |walk: &Walk<'_>| State::read(span(kept, walk.place() * len, len)).at != At::End;
            count = source.to_the_front(span_mut(walks, 0, count), is_walking);
        }
        source.settle(self.eps, walks);
        source.look(walks, |walk, prediction| walk.see_end(prediction))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::model::Model;
    use crate::network::{Layer, Shape};

    /// Section 3.2 of the paper has them for 100 steps.
    #[test]
    fn the_checkpoints_are_the_papers() {
        let apgd = Apgd::new(0.3, 0);
        let (mut period, mut at, mut checkpoints) = (apgd.periods()[0], 0, Vec::new());
        while at + period <= apgd.steps {
            at += period;
            checkpoints.push(at);
            period = apgd.next_period(period);
        }
        assert_eq!(checkpoints, [22, 41, 57, 70, 80, 87, 93, 99]);
    }

    fn state(steps: &[f32], halved: bool) -> State {
        let mut state = State { halved, ..State::start(&Apgd::new(0.5, 0)) };
        steps.iter().for_each(|loss| {
            state.see(*loss);
        });
        state
    }

    #[test]
    fn alpha_is_halved_where_the_loss_does_not_rise() {
        let apgd = Apgd::new(0.5, 0);
        // Four of five steps raise the loss; three of four are not more than three quarters.
        for (losses, halved, expected) in [
            (&[1.0, 2.0, 1.5, 3.0, 4.0][..], false, false),
            (&[1.0, 2.0, 1.5, 3.0], false, true),
            // The best loss is still that of the last checkpoint, though every step raises it from where it fell to.
            (&[-9.0, -8.0, -7.0, -6.0, -5.0], false, true),
            (&[-9.0, -8.0, -7.0, -6.0, -5.0], true, false),
        ] {
            let mut state = state(losses, halved);
            assert_eq!((state.checkpoint(&apgd), state.halved), (expected, expected), "{losses:?} {halved}");
            assert_eq!(state.alpha, if expected { 0.5 } else { 1.0 });
            assert_eq!((state.since, state.raised, state.period), (0, 0, 19));
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let written = State { at: At::Best, ..state(&[1.0, 0.5], false) };
        let mut kept = [f32::NAN; STATE];
        written.write(&mut kept);
        let read = State::read(&kept);
        assert!(read.at == At::Best && !read.halved);
        assert_eq!((read.steps, read.since, read.period, read.raised), (2, 2, 22, 1));
        assert_eq!((read.alpha, read.last, read.best, read.best_at_checkpoint), (1.0, 0.5, 1.0, 0.0));
    }

    #[test]
    fn steps_can_be_counted() {
        let check = |steps| Apgd { steps, ..Apgd::new(0.1, 0) }.check();
        assert_eq!((check(0), check(1), check(1 << 24)), (Err(Error::NoSteps), Ok(()), Ok(())));
        assert!(matches!(check(1 << 25), Err(Error::Range { what: "steps", .. })));
        assert!(matches!(Apgd::new(-1.0, 0).check(), Err(Error::Option { what: "eps", .. })));
    }

    const NETWORK: Network =
        Network::new(Shape::hwc(1, 3, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);

    /// The class is decided by twice the first pixel less the second; the bias keeps it out of reach.
    fn run(bias: f32, goal: Goal) -> ([f32; 3], crate::attack::Outcome) {
        let bias = [bias, 0.0];
        let model = Model::<f32>::from_tensors(&NETWORK, &[&[2.0, 0.0, -1.0, 0.0, 0.0, 0.0], &bias]).unwrap();
        let apgd = Apgd { steps: 20, loss: Loss::Margin, ..Apgd::new(0.25, 3) };
        assert_eq!(apgd.buffer_len(&model), Apgd::len(&NETWORK));
        let (mut adversarial, mut buffer) = ([f32::NAN; 3], [f32::NAN; Apgd::len(&NETWORK)]);
        let outcome = apgd.attack_towards(&model, &[0.5, 0.5, 0.5], goal, &mut adversarial, &mut buffer).unwrap();
        (adversarial, outcome)
    }

    #[test]
    fn the_walk_ends_at_the_best_corner_or_at_the_goal() {
        for goal in [Goal::Away(0), Goal::Toward(1)] {
            let ([a, b, c], outcome) = run(9.0, goal);
            assert_eq!([a, b], [0.25, 0.75], "{goal:?}");
            assert!((c - 0.5).abs() <= 0.25 && outcome.after.class == 0 && outcome.largest_change <= 0.25);
            assert_eq!(run(-0.25, goal).1.after.class, 1);
        }
        // The clean image is in the other class already.
        assert_eq!(run(-9.0, Goal::Away(0)).1.before.class, 1);
    }
}
