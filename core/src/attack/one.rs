//! One image at a time: all that a device needs.

use core::slice;

use super::course::{Course, FromImage, FromPoints, Steps};
use super::goal::{Goal, Outcome, Prediction};
use super::walk::{Gradients, Walk};
use crate::error::{Error, check_buffer};
use crate::loss::Loss;
use crate::model::{Model, Weights};
use crate::network::Shape;
use crate::pass::{Element, InputGradient};
use crate::span::take;

/// The gradients of one image, until `go_on` says no.
struct One<'w, 'm, 'b, T: Weights, W> {
    model: &'m Model<'w, T>,
    loss: Loss,
    buffer: &'b mut [f32],
    go_on: W,
}

/// Nobody stops the attack. A function, and not a closure, whose type would be another in each attack.
pub(super) fn always() -> bool {
    true
}

impl<T: Element, W: FnMut() -> bool> Gradients for One<'_, '_, '_, T, W> {
    #[inline(always)]
    fn gradients(
        &mut self,
        walks: &mut [Walk<'_>],
        mut follow: impl FnMut(usize, &mut Walk<'_>, (&[f32], &[f32])),
    ) -> Result<(), Error> {
        let Some(walk) = walks.first_mut() else { return Ok(()) };
        self.check_stop()?;
        let class = walk.goal().class();
        let InputGradient { loss, logits, gradient } =
            self.model.loss_gradient(self.loss, walk.adversarial(), class, self.buffer)?;
        follow(0, walk, (gradient, logits));
        walk.see_clean(|| Prediction::of(logits, loss));
        Ok(())
    }

    #[inline(always)]
    fn check_stop(&mut self) -> Result<(), Error> {
        if (self.go_on)() { Ok(()) } else { Err(Error::Stopped) }
    }

    #[inline(always)]
    fn look(&mut self, walks: &mut [Walk<'_>], mut see: impl FnMut(&mut Walk<'_>, Prediction)) -> Result<(), Error> {
        let Some(walk) = walks.first_mut() else { return Ok(()) };
        let logits = self.model.logits(walk.adversarial(), self.buffer)?;
        let loss = self.loss.value(logits, walk.goal().class());
        see(walk, Prediction::of(logits, loss));
        Ok(())
    }

    fn input(&self) -> Shape {
        self.model.network().input()
    }

    #[inline(always)]
    fn range(&self) -> [f32; 2] {
        self.model.range()
    }

    #[inline(always)]
    fn settle(&self, eps: f32, walks: &mut [Walk<'_>]) {
        if T::IS_INT8
            && let Some(grid) = self.model.grid()
        {
            walks.iter_mut().for_each(|walk| walk.settle(grid, eps));
        }
    }
}

/// Elements of the buffer, and how many of them are for what is kept.
#[inline(always)]
pub(super) fn buffer_len<T: Element, C: Course>(model: &Model<'_, T>, course: &C) -> (usize, usize) {
    let kept = course.kept_len(model.network().input().len());
    let pass = if C::NEEDS_GRADIENT { model.gradient_len() } else { model.network().inference_len() };
    (pass + kept, kept)
}

/// A course on one image.
pub trait Alone: Course {
    /// All of an attack.
    #[inline(always)]
    fn attack_one<T: Element>(
        &self,
        model: &Model<'_, T>,
        path: (&[f32], Goal),
        adversarial: &mut [f32],
        buffer: &mut [f32],
        go_on: impl FnMut() -> bool,
    ) -> Result<Outcome, Error> {
        run(model, self, path, adversarial, buffer, go_on)
    }
}

impl Alone for Steps {
    // Two functions, so that only the stack of the attack that runs is in use.
    #[inline(always)]
    fn attack_one<T: Element>(
        &self,
        model: &Model<'_, T>,
        path: (&[f32], Goal),
        adversarial: &mut [f32],
        buffer: &mut [f32],
        go_on: impl FnMut() -> bool,
    ) -> Result<Outcome, Error> {
        match self.starts {
            None => run(model, &FromImage(&self.step), path, adversarial, buffer, go_on),
            Some(starts) => run(model, &FromPoints(&self.step, starts), path, adversarial, buffer, go_on),
        }
    }
}

/// All of an attack. Not inlined, so that only the stack of the attack that runs is in use.
#[inline(never)]
fn run<T: Element>(
    model: &Model<'_, T>,
    course: &impl Course,
    (image, goal): (&[f32], Goal),
    adversarial: &mut [f32],
    mut buffer: &mut [f32],
    go_on: impl FnMut() -> bool,
) -> Result<Outcome, Error> {
    let walk = &mut Walk::new(image, adversarial, goal, 0);
    course.check()?;
    let (len, kept) = buffer_len(model, course);
    check_buffer(len, buffer.len())?;
    let network = model.network();
    walk.begin((network.input().len(), network.classes()), model.range(), 0)?;
    let kept = take(&mut buffer, kept);
    let mut source = One { model, loss: course.loss(), buffer, go_on };
    course.run(&mut source, slice::from_mut(walk), kept)?;
    walk.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Attack, Bim, MiFgsm, Pgd};
    use crate::network::{Layer, Network, Shape};

    const NETWORK: Network =
        Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: false }]);
    const IMAGE: [f32; 2] = [0.75, 0.25];

    /// The pixels are the logits; with a factor of 0 there is no gradient.
    fn run(factor: f32, attack: &impl Attack, goal: Goal) -> ([f32; 2], Outcome) {
        let tensor = [factor, 0.0, 0.0, factor];
        let model = Model::<f32>::from_tensors(&NETWORK, &[&tensor]).unwrap();
        let (mut adversarial, mut buffer) = ([f32::NAN; 2], [f32::NAN; NETWORK.attack_len()]);
        let len = attack.buffer_len(&model);
        let mut attack = |len| attack.attack_towards(&model, &IMAGE, goal, &mut adversarial, &mut buffer[..len]);
        assert_eq!(attack(len - 1), Err(Error::Length { what: "buffer", expected: len, found: len - 1 }));
        let outcome = attack(len).unwrap();
        (adversarial, outcome)
    }

    #[test]
    fn the_outcome_says_what_was_seen() {
        let bim = Bim { alpha: 0.125, ..Bim::with_steps(0.25, 3) };
        let loss = |image: [f32; 2], class| loss_at(Loss::CrossEntropy, image, class);
        for (goal, class, target) in [(Goal::Away(0), 0, None), (Goal::Toward(1), 1, Some(1))] {
            let (adversarial, outcome) = run(1.0, &bim, goal);
            assert_eq!((adversarial, outcome.largest_change, outcome.target), ([0.5, 0.5], 0.25, target));
            assert_eq!((outcome.before.class, outcome.before.loss), (0, loss(IMAGE, class)));
            assert_eq!((outcome.after.class, outcome.after.loss), (0, loss([0.5, 0.5], class)));
            assert_eq!((outcome.after.confidence, outcome.zero_gradient_steps), (0.5, 0));
            let momentum = MiFgsm { alpha: 0.125, ..MiFgsm::with_steps(0.25, 3) };
            assert_eq!(run(1.0, &momentum, goal), (adversarial, outcome));
        }
        let (adversarial, outcome) = run(0.0, &bim, Goal::Away(0));
        assert_eq!((adversarial, outcome.zero_gradient_steps, outcome.largest_change), (IMAGE, 3, 0.0));
    }

    fn loss_at(loss: Loss, logits: [f32; 2], class: usize) -> f32 {
        loss.value(&logits, class)
    }

    #[test]
    fn of_several_starts_the_nearest_place_is_kept() {
        let pgd = |restarts, seed| Pgd { eps: 0.2, alpha: 0.01, steps: 1, restarts, seed, loss: Loss::Margin };
        let mut better = 0;
        for seed in 0..20 {
            let mut before = f32::NEG_INFINITY;
            for restarts in 1..4 {
                let (adversarial, outcome) = run(1.0, &pgd(restarts, seed), Goal::Away(0));
                assert_eq!(outcome.after.loss, loss_at(Loss::Margin, adversarial, 0));
                assert!(outcome.after.class == 0 && outcome.after.loss >= before);
                better += usize::from(restarts > 1 && outcome.after.loss > before);
                before = outcome.after.loss;
            }
        }
        assert!((10..35).contains(&better), "{better} of 40");
    }

    #[test]
    fn the_first_start_that_arrives_is_the_last() {
        let pgd = |restarts| Pgd { eps: 0.3, alpha: 0.3, steps: 2, restarts, seed: 1, loss: Loss::CrossEntropy };
        let one = run(1.0, &pgd(1), Goal::Away(0));
        assert_eq!((one.1.after.class, run(1.0, &pgd(5), Goal::Away(0))), (1, one));
    }
}
