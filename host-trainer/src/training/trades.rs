//! The loss of TRADES, of a clean image `x` and its adversarial image `x'`:
//!
//! ```text
//! J = CE(f(x), y) + beta * KL(p || q)        p = softmax f(x),  q = softmax f(x'),  KL = sum of p * (log p - log q)
//! dKL / df(x) = p * (log p - log q - KL)     dKL / df(x') = q - p
//! ```
//! Zhang et al.: Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, equation 5 with
//! beta = 1 / lambda, and algorithm 1. As in the authors' program the gradient flows through both images.

use midge_core::loss::{cross_entropy, cross_entropy_gradient};

/// `log softmax`, in f64 so that `q - p` of confident samples does not cancel.
pub(super) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
    logits.iter().map(|x| f64::from(*x) - largest - sum.ln()).collect()
}

/// Fills the gradient of `KL(p || softmax(logits))` with respect to the logits.
pub(super) fn kl_gradient(log_p: &[f64], logits: &[f32], gradient: &mut [f32]) {
    let log_q = log_softmax(logits);
    gradient.iter_mut().zip(log_p.iter().zip(&log_q)).for_each(|(g, (p, q))| *g = (q.exp() - p.exp()) as f32);
}

/// The loss of a pair, and its gradient with respect to the logits of both. `logits` and `gradient` hold those of the
/// clean image and then those of the adversarial one.
pub(super) fn loss_and_gradient(logits: &[f32], label: usize, beta: f32, gradient: &mut [f32]) -> f32 {
    let (clean, adversarial) = logits.split_at(logits.len() / 2);
    let (clean_gradient, adversarial_gradient) = gradient.split_at_mut(logits.len() / 2);
    let (log_p, log_q) = (log_softmax(clean), log_softmax(adversarial));
    let ratios = || log_p.iter().zip(&log_q).map(|(p, q)| (p.exp(), p - q));
    let kl: f64 = ratios().map(|(p, ratio)| p * ratio).sum();
    cross_entropy_gradient(clean, label, clean_gradient);
    for (g, (p, ratio)) in clean_gradient.iter_mut().zip(ratios()) {
        *g += beta * (p * (ratio - kl)) as f32;
    }
    kl_gradient(&log_p, adversarial, adversarial_gradient);
    adversarial_gradient.iter_mut().for_each(|g| *g *= beta);
    cross_entropy(clean, label) + beta * kl as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss by its definition, in f64.
    fn loss(logits: &[f64], label: usize, beta: f64) -> f64 {
        let softmax = |z: &[f64]| {
            let sum: f64 = z.iter().map(|x| x.exp()).sum();
            z.iter().map(|x| x.exp() / sum).collect::<Vec<f64>>()
        };
        let (p, q) = (softmax(&logits[..logits.len() / 2]), softmax(&logits[logits.len() / 2..]));
        -p[label].ln() + beta * p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let logits = [1.0f32, -2.0, 0.5, 3.0, 0.2, 1.5, -0.7, 0.1];
        let exact = logits.map(f64::from);
        for (label, beta) in [(0, 1.0f32), (3, 6.0), (1, 0.0)] {
            let mut gradient = [f32::NAN; 8];
            let found = loss_and_gradient(&logits, label, beta, &mut gradient);
            let beta = f64::from(beta);
            assert!((f64::from(found) - loss(&exact, label, beta)).abs() < 1e-5);
            for (i, g) in gradient.iter().enumerate() {
                let at = |h: f64| {
                    let mut moved = exact;
                    moved[i] += h;
                    loss(&moved, label, beta)
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((f64::from(*g) - expected).abs() < 1e-5, "logit {i}: {g}, by differences {expected}");
            }
        }
    }

    #[test]
    fn a_confident_pair_keeps_its_gradient() {
        let mut gradient = [0.0; 2];
        kl_gradient(&log_softmax(&[25.0, 0.0]), &[24.0, 0.0], &mut gradient);
        let expected = (-24.0f64).exp() - (-25.0f64).exp();
        assert!((f64::from(gradient[1]) / expected - 1.0).abs() < 1e-4, "{gradient:?}");
        assert!((f64::from(gradient[0]) / -expected - 1.0).abs() < 1e-4, "{gradient:?}");
    }
}
