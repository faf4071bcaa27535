//! The iterated step that every attack is made of.

use crate::element::Element;
use crate::error::{Error, check_buffer, check_class, check_len, check_option, check_pixels};
use crate::loss::{self, Loss};
use crate::model::{InputGradient, Model};
use crate::span::take;

/// What the model makes of an image at one point of an attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The predicted class.
    pub class: usize,
    /// Its probability.
    pub confidence: f32,
    /// The attack's loss at the true class, or at the target of a targeted attack; cross-entropy is in nats.
    pub loss: f32,
}

impl Prediction {
    fn of(logits: &mut [f32], loss: f32) -> Self {
        let class = loss::argmax(logits);
        loss::softmax(logits);
        Self { class, confidence: logits.get(class).copied().unwrap_or(0.0), loss }
    }
}

/// The result of an attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The clean image.
    pub before: Prediction,
    /// The adversarial image.
    pub after: Prediction,
    /// Steps in which the gradient was exactly zero, so that it added nothing. Not a sign of robustness.
    pub zero_gradient_steps: usize,
    /// Largest change of a pixel; at most `eps` up to rounding.
    pub largest_change: f32,
    /// The target class of a targeted attack.
    pub target: Option<usize>,
}

impl Outcome {
    #[inline(always)]
    pub(super) fn new(
        image: &[f32],
        adversarial: &[f32],
        goal: Goal,
        before: Prediction,
        after: Prediction,
        zero_gradient_steps: usize,
    ) -> Self {
        let changes = adversarial.iter().zip(image).map(|(x, clean)| (x - clean).abs());
        let largest_change = changes.fold(0.0, f32::max);
        let target = if let Goal::Toward(class) = goal { Some(class) } else { None };
        Self { before, after, zero_gradient_steps, largest_change, target }
    }
}

/// Which way to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Away from the class: raise its loss.
    Away(usize),
    /// To the class: lower its loss.
    Toward(usize),
}

impl Goal {
    /// The class to leave or to reach.
    pub fn class(self) -> usize {
        let (Self::Away(class) | Self::Toward(class)) = self;
        class
    }

    /// Whether a model that says this was led there.
    pub fn is_reached(self, prediction: Prediction) -> bool {
        match self {
            Self::Away(class) => prediction.class != class,
            Self::Toward(class) => prediction.class == class,
        }
    }

    /// Whether `a` is nearer to the goal than `b` by its loss.
    pub fn is_nearer(self, a: Prediction, b: Prediction) -> bool {
        if matches!(self, Self::Away(_)) { a.loss > b.loss } else { a.loss < b.loss }
    }
}

/// An attack that can be run either way.
pub trait Attack {
    /// Attacks `image` and writes `adversarial`.
    #[doc(hidden)]
    fn run<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error>;
}

/// The options of the step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Largest change of a pixel in all.
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    pub steps: usize,
    /// Momentum's decay, or `None` to follow each gradient by itself.
    pub decay: Option<f32>,
    pub loss: Loss,
}

impl Step {
    /// Elements of the buffer.
    pub(super) fn buffer_len<T: Element>(&self, model: &Model<'_, T>) -> usize {
        let network = model.network();
        if self.decay.is_some() { network.attack_len() } else { network.gradient_len() }
    }

    pub(super) fn check_options(&self) -> Result<(), Error> {
        check_option("eps", self.eps)?;
        check_option("alpha", self.alpha)?;
        check_option("decay", self.decay.unwrap_or(0.0))?;
        if self.steps == 0 { Err(Error::NoSteps) } else { Ok(()) }
    }

    /// The step along the gradient.
    pub(super) fn signed_alpha(&self, goal: Goal) -> f32 {
        if matches!(goal, Goal::Away(_)) { self.alpha } else { -self.alpha }
    }

    /// Checks everything and lets the adversarial image start at `image`.
    pub(super) fn start<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &[f32],
    ) -> Result<(), Error> {
        self.check_options()?;
        check_buffer(self.buffer_len(model), buffer.len())?;
        check_len("image", model.network().input().len(), image.len())?;
        check_len("adversarial image", image.len(), adversarial.len())?;
        check_pixels(image)?;
        check_class(goal.class(), model.network().classes())?;
        adversarial.iter_mut().zip(image).for_each(|(x, clean)| *x = *clean);
        Ok(())
    }

    /// Walks from `image` and writes the adversarial image. The clean image's prediction is a by-product; that of
    /// the adversarial one costs another forward pass and is left to [`Self::outcome`].
    pub(super) fn walk<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(Prediction, usize), Error> {
        self.start(model, image, goal, adversarial, buffer)?;
        self.go_on(model, image, goal, adversarial, buffer)
    }

    /// All steps from where `adversarial` stands in the ball around `image`, after [`Self::start`]. Returns the
    /// prediction there and the number of steps with a zero gradient.
    #[inline(always)]
    pub(super) fn go_on<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(Prediction, usize), Error> {
        let class = goal.class();
        let mut rest = buffer;
        let momentum = take(&mut rest, if self.decay.is_some() { image.len() } else { 0 });
        momentum.fill(0.0);
        let alpha = self.signed_alpha(goal);
        let mut before = None;
        let mut zero_gradient_steps = 0;
        for _ in 0..self.steps {
            let InputGradient { loss, logits, gradient } = model.loss_gradient(self.loss, adversarial, class, rest)?;
            before = before.or_else(|| Some(Prediction::of(logits, loss)));
            zero_gradient_steps += usize::from(gradient.iter().all(|g| *g == 0.0));
            let direction = match self.decay {
                Some(decay) => {
                    accumulate(momentum, decay, gradient);
                    &*momentum
                }
                None => &*gradient,
            };
            self.advance(image, direction, alpha, adversarial);
        }
        // `steps` is not zero, so there was a first prediction.
        Ok((before.unwrap_or(Prediction { class, confidence: 0.0, loss: 0.0 }), zero_gradient_steps))
    }

    /// `x` in the ball of `eps` around `clean` and in [0, 1]. (`f32::max` would be a call on a device.)
    #[inline(always)]
    pub(super) fn clip(&self, x: f32, clean: f32) -> f32 {
        let (low, high) = (clean - self.eps, clean + self.eps);
        let low = if low > 0.0 { low } else { 0.0 };
        let high = if high < 1.0 { high } else { 1.0 };
        let x = if x < low { low } else { x };
        if x > high { high } else { x }
    }

    /// `x <- clip(x + alpha * sign(direction))`, see [`Self::clip`].
    pub(super) fn advance(&self, image: &[f32], direction: &[f32], alpha: f32, adversarial: &mut [f32]) {
        for ((x, clean), g) in adversarial.iter_mut().zip(image).zip(direction) {
            // Without branches, which signs of gradients would mislead; a step of 0 leaves a pixel of the ball where it is.
            let signed = f32::from_bits(alpha.to_bits() ^ g.to_bits() & (-0.0f32).to_bits());
            let step = if *g != 0.0 { signed } else { 0.0 };
            *x = self.clip(*x + step, *clean);
        }
    }

    /// [`Self::walk`], and the model's view of the result.
    pub(super) fn outcome<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        let (before, zero_gradient_steps) = self.walk(model, image, goal, adversarial, buffer)?;
        let after = self.look(model, adversarial, goal, buffer)?;
        Ok(Outcome::new(image, adversarial, goal, before, after, zero_gradient_steps))
    }

    /// What the model makes of an image.
    #[inline(always)]
    pub(super) fn look<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        buffer: &mut [f32],
    ) -> Result<Prediction, Error> {
        let logits = model.logits(image, buffer)?;
        let loss = self.loss.value(logits, goal.class());
        Ok(Prediction::of(logits, loss))
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
}
