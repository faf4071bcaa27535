//! How a gradient changes the weights.
//!
//! ```text
//! SGD     g <- mean gradient + weight_decay * w;   v <- momentum * v + g;   w <- w - lr * v
//! Adam    m <- b1 * m + (1 - b1) * g;   v <- b2 * v + (1 - b2) * g^2
//!         w <- w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8) - lr * weight_decay * w
//! ```
//! Sutskever et al.: On the importance of initialization and momentum in deep learning, ICML 2013 (classical momentum,
//! in PyTorch's form); Kingma, Ba: Adam, ICLR 2015, algorithm 1, with b1 = 0.9 and b2 = 0.999; Loshchilov, Hutter:
//! Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2.

use crate::weights::Weights;

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// A rule and its options. The learning rate is the schedule's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimiser {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last step that goes into the next; 0 for plain SGD.
        momentum: f32,
        /// Factor of the weights that is added to the gradient.
        weight_decay: f32,
    },
    /// Adam, with decoupled weight decay (AdamW).
    Adam {
        /// Factor of the weights that is taken off them, times the learning rate.
        weight_decay: f32,
    },
}

/// What one update needs beside the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Size of the step.
    pub learning_rate: f32,
    /// Samples whose gradients were added up.
    pub samples: usize,
    /// Number of the update, from 1.
    pub count: u64,
}

/// What an optimiser remembers from update to update.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Updates so far.
    pub updates: u64,
    /// For each tensor, the two moments of each weight; SGD with momentum uses the first only. Empty for plain SGD.
    pub moments: Vec<Vec<[f32; 2]>>,
}

impl State {
    /// Nothing remembered yet.
    pub fn new(optimiser: &Optimiser, weights: &Weights) -> Self {
        let len = |tensor: &[f32]| if optimiser.remembers() { tensor.len() } else { 0 };
        Self { updates: 0, moments: weights.tensors.iter().map(|tensor| vec![[0.0; 2]; len(tensor)]).collect() }
    }
}

/// Weights under training, and what the optimiser remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The weights after the last update.
    pub weights: Weights,
    /// The optimiser's state after it.
    pub state: State,
}

impl Training {
    /// Before the first update.
    pub fn new(weights: Weights, optimiser: &Optimiser) -> Self {
        Self { state: State::new(optimiser, &weights), weights }
    }
}

impl Optimiser {
    /// SGD without momentum or decay.
    pub const PLAIN: Self = Self::Sgd { momentum: 0.0, weight_decay: 0.0 };

    /// Whether there is a [`State`] that a resumed run must have.
    pub fn remembers(&self) -> bool {
        !matches!(self, Self::Sgd { momentum: 0.0, .. })
    }

    /// Changes `weights` by `gradient`, the sum over the samples. `moments` are as long, or empty without
    /// [`Self::remembers`].
    pub fn update(&self, weights: &mut [f32], gradient: &[f32], moments: &mut [[f32; 2]], update: &Update) {
        let Update { learning_rate, samples, count } = *update;
        let step = learning_rate / samples as f32;
        let each = weights.iter_mut().zip(gradient);
        match *self {
            Self::Sgd { momentum: 0.0, weight_decay: 0.0 } => each.for_each(|(w, g)| *w -= step * g),
            Self::Sgd { momentum: 0.0, weight_decay } => {
                each.for_each(|(w, g)| *w -= learning_rate * (g / samples as f32 + weight_decay * *w));
            }
            Self::Sgd { momentum, weight_decay } => each.zip(moments).for_each(|((w, g), [v, _])| {
                *v = momentum * *v + (g / samples as f32 + weight_decay * *w);
                *w -= learning_rate * *v;
            }),
            Self::Adam { weight_decay } => {
                let [b1, b2] = BETA.map(|beta| beta as f32);
                // 1 - b^t would cancel in f32 for the first updates.
                let [c1, c2] = BETA.map(|beta| (1.0 - beta.powf(count as f64)) as f32);
                each.zip(moments).for_each(|((w, g), [m, v])| {
                    let g = g / samples as f32;
                    *m = b1 * *m + (1.0 - b1) * g;
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    *w -= learning_rate * ((*m / c1) / ((*v / c2).sqrt() + EPSILON) + weight_decay * *w);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two updates of one weight, from 1, with gradients 0.5 and -0.25, each the mean of two samples.
    fn two_updates(optimiser: Optimiser) -> [f32; 2] {
        let (mut weight, mut moments) = ([1.0], [[0.0; 2]]);
        [(1, 1.0), (2, -0.5)].map(|(count, sum)| {
            let update = Update { learning_rate: 0.1, samples: 2, count };
            optimiser.update(&mut weight, &[sum], &mut moments, &update);
            weight[0]
        })
    }

    fn assert_close(found: [f32; 2], expected: [f32; 2]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, by hand {expected:?}");
    }

    #[test]
    fn sgd_steps_as_by_hand() {
        assert_close(two_updates(Optimiser::PLAIN), [0.95, 0.975]);
        // g = 0.5 + 0.1 = 0.6; then -0.25 + 0.094 = -0.156.
        assert_close(two_updates(Optimiser::Sgd { momentum: 0.0, weight_decay: 0.1 }), [0.94, 0.9556]);
        // v = 0.5; then 0.45 - 0.25 = 0.2.
        assert_close(two_updates(Optimiser::Sgd { momentum: 0.9, weight_decay: 0.0 }), [0.95, 0.93]);
        // v = 0.6; then 0.54 - 0.25 + 0.094 = 0.384.
        assert_close(two_updates(Optimiser::Sgd { momentum: 0.9, weight_decay: 0.1 }), [0.94, 0.9016]);
    }

    #[test]
    fn adam_steps_as_by_hand() {
        // The first step is the learning rate. Then m = 0.9 * 0.05 - 0.025 = 0.02, m / 0.19 = 0.105263;
        // v = 0.999 * 0.00025 + 0.0000625 = 0.00031225, v / 0.001999 = 0.156203, its root 0.395225: 0.266336 of a step.
        assert_close(two_updates(Optimiser::Adam { weight_decay: 0.0 }), [0.9, 0.873_366_4]);
        // 0.1 * 0.1 * 1 more, then 0.1 * 0.1 * 0.89.
        assert_close(two_updates(Optimiser::Adam { weight_decay: 0.1 }), [0.89, 0.854_466_4]);
    }
}
