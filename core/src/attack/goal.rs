//! Where an attack is to lead, and what the model makes of an image on the way.

use crate::loss;

/// Which way to walk.
///
/// ```
/// use midge_core::attack::{Goal, Prediction};
///
/// let seven = Prediction { class: 7, confidence: 0.9, loss: 3.2 };
/// assert!(Goal::Away(1).is_reached(seven) && !Goal::Toward(1).is_reached(seven));
/// ```
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

    /// Whether an image with this prediction is at the goal.
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
    /// From logits, which become probabilities, and the loss.
    pub(super) fn of(logits: &mut [f32], loss: f32) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_to_leave_a_class_or_to_reach_it() {
        let found = |class, loss| Prediction { class, confidence: 0.5, loss };
        let (away, toward) = (Goal::Away(1), Goal::Toward(1));
        assert_eq!([away.class(), toward.class()], [1, 1]);
        assert_eq!([1, 2].map(|class| away.is_reached(found(class, 0.0))), [false, true]);
        assert_eq!([1, 2].map(|class| toward.is_reached(found(class, 0.0))), [true, false]);
        let losses = [0.5, 1.0, 1.5].map(|loss| (found(0, loss), found(0, 1.0)));
        assert_eq!(losses.map(|(a, b)| away.is_nearer(a, b)), [false, false, true]);
        assert_eq!(losses.map(|(a, b)| toward.is_nearer(a, b)), [true, false, false]);
    }

    #[test]
    fn a_prediction_is_the_likeliest_class() {
        let prediction = Prediction::of(&mut [0.0, libm::logf(3.0), 0.0], 7.0);
        assert_eq!((prediction.class, prediction.loss), (1, 7.0));
        assert!((prediction.confidence - 0.6).abs() < 1e-6);
    }
}
