//! What attacks raise: softmax cross-entropy on logits or the margin between them, and the gradients.
//!
//! ```
//! use midge_core::loss::{Loss, argmax, softmax};
//!
//! let logits = [2.0, 0.0, 1.0];
//! assert_eq!(argmax(&logits), 0);
//! let mut probabilities = logits;
//! softmax(&mut probabilities);
//! assert!((Loss::CrossEntropy.value(&logits, 0) + probabilities[0].ln()).abs() < 1e-6);
//! assert_eq!(Loss::Margin.value(&logits, 0), -1.0);
//!
//! let mut gradient = [0.0; 3];
//! Loss::CrossEntropy.gradient(&logits, 0, &mut gradient);
//! assert_eq!(gradient[1..], probabilities[1..]);
//! ```
//! A new loss is a variant of [`Loss`], with a value and a gradient here; its name on the command line is the host's.
//!
//! The exponential is libm's. That of crate `micromath`, which the camera uses, is off by up to 0.3 %: every probability
//! would move, and the gradient with it. Ten exponentials cost nothing beside a convolution.

/// A function of the logits and a class. It is large where the model is sure that the image is of another class. At a class
/// that does not exist the loss and its gradient are NaN, which the passes refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loss {
    /// [`cross_entropy`], in nats.
    #[default]
    CrossEntropy,
    /// [`margin`], in units of the logits. Its gradient does not fade however confident the model is.
    Margin,
}

impl Loss {
    /// The loss at `class`.
    pub fn value(self, logits: &[f32], class: usize) -> f32 {
        match self {
            Self::CrossEntropy => cross_entropy(logits, class),
            Self::Margin => margin(logits, class),
        }
    }

    /// Writes the gradient of the loss with respect to the logits to `gradient`, which has the length of `logits`.
    pub fn gradient(self, logits: &[f32], class: usize, gradient: &mut [f32]) {
        match self {
            Self::CrossEntropy => cross_entropy_gradient(logits, class, gradient),
            Self::Margin => margin_gradient(logits, class, gradient),
        }
    }
}

/// Index of the largest value, the lowest of equal ones.
pub fn argmax(logits: &[f32]) -> usize {
    let first = (0, logits.first().copied().unwrap_or(0.0));
    logits.iter().enumerate().fold(first, |best, (i, x)| if *x > best.1 { (i, *x) } else { best }).0
}

/// The largest logit.
fn largest(logits: &[f32]) -> f32 {
    logits.iter().fold(f32::NEG_INFINITY, |a, x| a.max(*x))
}

/// Logits to probabilities, in place.
pub fn softmax(logits: &mut [f32]) {
    let largest = largest(logits);
    let mut sum = 0.0;
    for x in logits.iter_mut() {
        *x = libm::expf(*x - largest);
        sum += *x;
    }
    logits.iter_mut().for_each(|x| *x /= sum);
}

/// `-log softmax(logits)[label]`, in nats.
///
/// Written as `log(1 + sum of exp(other - largest)) + (largest - label's)`, so that the loss of a confident sample does
/// not round to zero.
///
/// ```
/// use midge_core::loss::cross_entropy;
///
/// assert_eq!(cross_entropy(&[0.0, 0.0], 0), 2f32.ln());
/// // `-ln(p)` would be 0 here: the probability rounds to 1.
/// assert!((cross_entropy(&[30.0, 0.0], 0) - 9.357623e-14).abs() < 1e-18);
/// assert!(cross_entropy(&[0.0, 0.0], 2).is_nan());
/// ```
pub fn cross_entropy(logits: &[f32], label: usize) -> f32 {
    let class = argmax(logits);
    let logit = |class: usize| logits.get(class).copied().unwrap_or(f32::NAN);
    let largest = logit(class);
    let others = logits.iter().enumerate().filter(|(i, _)| *i != class);
    let sum: f32 = others.map(|(_, x)| libm::expf(*x - largest)).sum();
    libm::log1pf(sum) + (largest - logit(label))
}

/// Gradient of [`cross_entropy`] with respect to the logits, into `gradient`.
///
/// The label's term is minus the sum of the other probabilities. `p - 1` would be the same number in exact
/// arithmetic, but cancels to zero for a confident sample and hides the gradient.
///
/// ```
/// use midge_core::loss::cross_entropy_gradient;
///
/// let mut gradient = [0.0; 2];
/// cross_entropy_gradient(&[30.0, 0.0], 0, &mut gradient);
/// assert!(gradient[0] < 0.0 && gradient[0] == -gradient[1]);
/// ```
pub fn cross_entropy_gradient(logits: &[f32], label: usize, gradient: &mut [f32]) {
    // Not copied as they are: that would be the only call of memcpy on a device. Softmax does not change.
    let largest = largest(logits);
    for (g, x) in gradient.iter_mut().zip(logits) {
        *g = *x - largest;
    }
    softmax(gradient);
    let others: f32 = gradient.iter().enumerate().filter(|(i, _)| *i != label).map(|(_, p)| *p).sum();
    match gradient.get_mut(label) {
        Some(g) => *g = -others,
        None => gradient.fill(f32::NAN),
    }
}

/// Index and value of the largest logit but the label's, the lowest index of equal ones; `None` if there is no other.
fn largest_other(logits: &[f32], label: usize) -> Option<(usize, f32)> {
    let others = logits.iter().copied().enumerate().filter(|(i, _)| *i != label);
    others.reduce(|best, other| if other.1 > best.1 { other } else { best })
}

/// `max over k != label of logits[k] - logits[label]`: above 0 where the label is misread; 0 if there is only one class.
///
/// Carlini, Wagner: Towards Evaluating the Robustness of Neural Networks, IEEE S&P 2017, section V-A, f6 on the logits,
/// without the lower bound.
///
/// ```
/// use midge_core::loss::{margin, margin_gradient};
///
/// let (logits, mut gradient) = ([2.0, 0.0, 1.5], [0.0; 3]);
/// assert_eq!(margin(&logits, 0), -0.5);
/// margin_gradient(&logits, 0, &mut gradient);
/// assert_eq!(gradient, [-1.0, 0.0, 1.0]);
/// ```
pub fn margin(logits: &[f32], label: usize) -> f32 {
    let Some(at_label) = logits.get(label) else { return f32::NAN };
    largest_other(logits, label).map_or(0.0, |(_, other)| other - at_label)
}

/// Gradient of [`margin`] with respect to the logits, into `gradient`: 1 at the largest other, -1 at the label.
pub fn margin_gradient(logits: &[f32], label: usize, gradient: &mut [f32]) {
    if label >= logits.len() {
        return gradient.fill(f32::NAN);
    }
    gradient.fill(0.0);
    let Some((other, _)) = largest_other(logits, label) else { return };
    for (class, slope) in [(other, 1.0), (label, -1.0)] {
        if let Some(g) = gradient.get_mut(class) {
            *g = slope;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_gradient_agree_with_f64() {
        let logits = [1.0f32, -2.0, 0.5, 3.0];
        let exp: std::vec::Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
        let sum: f64 = exp.iter().sum();
        for label in 0..4 {
            let expected = -(exp[label] / sum).ln();
            assert!((f64::from(cross_entropy(&logits, label)) - expected).abs() < 1e-6);
            let mut gradient = [0.0; 4];
            cross_entropy_gradient(&logits, label, &mut gradient);
            for i in 0..4 {
                let expected = exp[i] / sum - f64::from(u8::from(i == label));
                assert!((f64::from(gradient[i]) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_confident_sample_keeps_loss_and_gradient() {
        // Probability of the label: 1 - 2e-13.
        let logits = [30.0f32, 0.0, 0.0];
        let expected = 2.0 * (-30.0f64).exp();
        assert!((f64::from(cross_entropy(&logits, 0)) / expected - 1.0).abs() < 1e-5);
        let mut gradient = [0.0; 3];
        cross_entropy_gradient(&logits, 0, &mut gradient);
        assert!((f64::from(gradient[0]) / -expected - 1.0).abs() < 1e-5);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let logits = [1e30f32, -1e30, 0.0];
        assert_eq!(cross_entropy(&logits, 0), 0.0);
        assert_eq!(cross_entropy(&logits, 1), 2e30);
        let mut p = logits;
        softmax(&mut p);
        assert_eq!(p, [1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_margin_is_that_to_the_largest_other() {
        let logits = [1.0f32, -2.0, 0.5, 3.0];
        assert_eq!([0, 1, 2, 3].map(|label| margin(&logits, label)), [2.0, 5.0, 2.5, -2.0]);
        let mut gradient = [f32::NAN; 4];
        margin_gradient(&logits, 3, &mut gradient);
        assert_eq!(gradient, [1.0, 0.0, 0.0, -1.0]);
        margin_gradient(&[3.0, 3.0, 1.0, 3.0], 0, &mut gradient);
        assert_eq!(gradient, [-1.0, 1.0, 0.0, 0.0]);
        let mut alone = [f32::NAN];
        margin_gradient(&[7.0], 0, &mut alone);
        assert_eq!((margin(&[7.0], 0), alone), (0.0, [0.0]));
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        assert_eq!(argmax(&[1.0, 2.0, 2.0]), 1);
    }

    #[test]
    fn each_loss_is_its_function() {
        let logits = [1.0f32, -2.0, 0.5, 3.0];
        for label in 0..4 {
            let (mut gradient, mut expected) = ([f32::NAN; 4], [f32::NAN; 4]);
            assert_eq!(Loss::CrossEntropy.value(&logits, label), cross_entropy(&logits, label));
            cross_entropy_gradient(&logits, label, &mut expected);
            Loss::CrossEntropy.gradient(&logits, label, &mut gradient);
            assert_eq!(gradient, expected);
            assert_eq!(Loss::Margin.value(&logits, label), margin(&logits, label));
            margin_gradient(&logits, label, &mut expected);
            Loss::Margin.gradient(&logits, label, &mut gradient);
            assert_eq!(gradient, expected);
        }
    }

    #[test]
    fn a_class_behind_the_last_has_no_number() {
        for loss in [Loss::CrossEntropy, Loss::Margin] {
            let mut gradient = [0.0; 2];
            loss.gradient(&[1.0, 2.0], 2, &mut gradient);
            assert!(loss.value(&[1.0, 2.0], 2).is_nan() && gradient.iter().all(|g| g.is_nan()), "{loss:?}");
        }
    }

    #[test]
    fn probabilities_are_shares() {
        let mut p = [0.0, libm::logf(3.0), 0.0];
        softmax(&mut p);
        assert!(p.iter().zip([0.2, 0.6, 0.2]).all(|(p, share)| (p - share).abs() < 1e-6), "{p:?}");
    }
}
