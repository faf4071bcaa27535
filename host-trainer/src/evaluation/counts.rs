//! Counts with their denominators, and how far to trust them.

use serde::Serialize;

use super::batch::Attacked;
use crate::data::{Dataset, Input};

/// `part / whole`, of a whole that is not 0.
pub fn fraction(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// A count out of a number of images, with the 95 % interval of the fraction behind it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// `count / of`; nothing can be said of 0 of 0.
    pub fraction: Option<f64>,
    /// How many.
    pub count: usize,
    /// Out of how many.
    pub of: usize,
    /// Wilson's score interval, 95 %; all of [0, 1] for 0 of 0.
    pub interval: [f64; 2],
}

impl Share {
    /// `count` of `of`.
    pub fn new(count: usize, of: usize) -> Self {
        Self { fraction: (of > 0).then(|| fraction(count, of)), count, of, interval: wilson(count, of) }
    }
}

/// Wilson: Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.
fn wilson(count: usize, of: usize) -> [f64; 2] {
    /// Two-sided 95 % of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return [0.0, 1.0];
    }
    let (p, n) = (count as f64 / of as f64, of as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exactly 0 and 1 at the ends, where rounding would miss them.
    let low = if count == 0 { 0.0 } else { (centre - spread) / scale };
    let high = if count == of { 1.0 } else { (centre + spread) / scale };
    [low, high]
}

/// Success of an attack at one eps. Each fraction stands beside its count and its denominator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Robustness {
    /// Largest change of a pixel, in the units of the model's input.
    pub eps: f32,
    /// The same in steps of the grid of a model of integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps_steps: Option<f32>,
    /// Images.
    pub samples: usize,
    /// Fraction of clean images classified correctly.
    pub accuracy: Option<f64>,
    /// Their number.
    pub correct: usize,
    /// Fraction of all images classified correctly before the attack and after it.
    pub robust_accuracy: Option<f64>,
    /// Their number.
    pub robust_correct: usize,
    /// Fraction of the clean-correct images that are wrong after the attack; nothing can be said if there are none.
    pub success_rate: Option<f64>,
    /// Their number, out of `correct`.
    pub successes: usize,
    /// Of the images not at their target before a targeted attack, the fraction that is there after it.
    pub target_rate: Option<f64>,
    /// Their number.
    pub target_hits: Option<usize>,
    /// Number of images not at their target before.
    pub target_candidates: Option<usize>,
    /// `robust_accuracy` with adversarial images rounded to 8 bits per pixel inside the eps ball; those of a model of integers
    /// are.
    pub robust_accuracy_8bit: Option<f64>,
    /// `success_rate` with those images.
    pub success_rate_8bit: Option<f64>,
    /// Images where at least one step had an exactly zero gradient: the attack could do nothing there.
    pub zero_gradients: usize,
    /// Largest change of any pixel.
    pub largest_change: f32,
}

impl Robustness {
    /// Counts the results of [`attack_all`](super::attack_all) on a model that takes `input`.
    pub fn count(eps: f32, input: &Input, data: &Dataset, attacked: &[Attacked]) -> Self {
        let samples = attacked.len();
        let was_right = || attacked.iter().enumerate().filter(|(i, a)| a.outcome.before.class == data.label(*i));
        let correct = was_right().count();
        let still_right =
            |class: fn(&Attacked) -> usize| was_right().filter(|(i, a)| class(a) == data.label(*i)).count();
        let (robust_correct, robust_8bit) = (still_right(|a| a.outcome.after.class), still_right(|a| a.class_8_bits));
        let targeted = || attacked.iter().filter_map(|a| a.outcome.target.map(|target| (a.outcome, target)));
        let candidates = || targeted().filter(|(outcome, target)| outcome.before.class != *target);
        let hits = candidates().filter(|(outcome, target)| outcome.after.class == *target).count();
        let is_targeted = targeted().next().is_some();
        Self {
            eps,
            eps_steps: input.steps(eps),
            samples,
            accuracy: Share::new(correct, samples).fraction,
            correct,
            robust_accuracy: Share::new(robust_correct, samples).fraction,
            robust_correct,
            success_rate: Share::new(correct - robust_correct, correct).fraction,
            successes: correct - robust_correct,
            target_rate: is_targeted.then(|| Share::new(hits, candidates().count()).fraction).flatten(),
            target_hits: is_targeted.then_some(hits),
            target_candidates: is_targeted.then(|| candidates().count()),
            robust_accuracy_8bit: Share::new(robust_8bit, samples).fraction,
            success_rate_8bit: Share::new(correct - robust_8bit, correct).fraction,
            zero_gradients: attacked.iter().filter(|a| a.outcome.zero_gradient_steps > 0).count(),
            largest_change: attacked.iter().map(|a| a.outcome.largest_change).fold(0.0, f32::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use midge_core::attack::{Outcome, Prediction};

    use super::*;

    /// 81 of 263 is the example of Newcombe: Two-sided Confidence Intervals for the Single Proportion, 1998; with none of n
    /// the upper end is z^2 / (n + z^2), and the half is symmetric.
    #[test]
    fn intervals_are_wilsons() {
        for (count, of, expected) in
            [(10, 20, [0.2993, 0.7007]), (0, 50, [0.0, 0.0713]), (50, 50, [0.9287, 1.0]), (81, 263, [0.2553, 0.3662])]
        {
            let Share { interval, .. } = Share::new(count, of);
            let close = interval.iter().zip(expected).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-4);
            assert!(close, "{count}/{of}: {interval:?}");
        }
        assert_eq!((Share::new(0, 0).interval, Share::new(0, 0).fraction), ([0.0, 1.0], None));
    }

    /// An attack on the predicted class or towards a target can lead a misread image to its true class.
    #[test]
    fn an_image_that_becomes_right_is_not_robust() {
        let attacked = |before, after| {
            let prediction = |class| Prediction { class, confidence: 1.0, loss: 0.0 };
            let (before, after) = (prediction(before), prediction(after));
            let outcome = Outcome { before, after, zero_gradient_steps: 0, largest_change: 0.0, target: None };
            Attacked { outcome, class_8_bits: outcome.after.class, adversarial: vec![0.0] }
        };
        let data = Dataset::new(vec![0.0; 4], vec![0; 4], [1, 1, 1], String::new());
        let counts = |all: &[Attacked]| {
            let r = Robustness::count(0.1, &Input::pixels([1, 1, 1], 2), &data, all);
            assert_eq!(r.robust_accuracy_8bit, r.robust_accuracy);
            (r.correct, r.robust_correct, r.successes, r.success_rate)
        };
        let all = [attacked(0, 0), attacked(0, 1), attacked(1, 0), attacked(1, 1)];
        assert_eq!(counts(&all), (2, 1, 1, Some(0.5)));
        assert_eq!(counts(&all[2..]), (0, 0, 0, None));
    }
}
