//! Adversarial training: the weights descend the loss at the worst images that an attack on the same weights finds.
//!
//! ```text
//! min over w of the mean of   max over |d| <= eps of J(x + d, y)
//! ```
//! FGSM: Goodfellow, Shlens, Szegedy, ICLR 2015, section 6 (all images adversarial). PGD: Madry et al., ICLR 2018,
//! equation 2.1. Fast: Wong, Rice, Kolter: Fast is better than free, ICLR 2020, algorithm 3: one step of `alpha` from a
//! random start, 1.25 eps there. TRADES: Zhang et al., ICML 2019, see `trades.rs`; its attack raises the
//! Kullback-Leibler divergence from the clean prediction. That has no gradient at the clean image, so the authors start at
//! a small normal distance from it; here the start is uniform in the ball, as for the other attacks.

use std::fmt::{self, Display, Formatter};

use midge_core::attack::{Attack, Fgsm, Pgd, Walk};
use midge_core::batch::Batch;
use midge_core::loss::Loss;
use midge_core::{Error, Model};

use super::trades;

/// Where the images to train on come from, and the loss on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// One step of eps from the image; tends to collapse
    Fgsm,
    /// One step from a random start (Fast-AT)
    Fast,
    /// Several steps from a random start
    Pgd,
    /// Clean images, and the divergence of the adversarial ones from them
    Trades,
}

/// The options of adversarial training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adversarial {
    /// The attack.
    pub method: Method,
    /// Largest change of a pixel, in units of [0, 1].
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    /// Steps of the attack.
    pub steps: usize,
    /// Weight of the divergence in TRADES.
    pub beta: f32,
    /// Epochs over which eps (and alpha) grow from 0.
    pub warm_up: f64,
}

impl Adversarial {
    /// Good defaults: seven steps that reach 2.5 times as far as eps; 1.25 eps for a single one.
    pub fn new(method: Method, eps: f32) -> Self {
        let (alpha, steps) = match method {
            Method::Fgsm => (eps, 1),
            Method::Fast => (1.25 * eps, 1),
            Method::Pgd | Method::Trades => (2.5 * eps / 7.0, 7),
        };
        Self { method, eps, alpha, steps, beta: 1.0, warm_up: 0.0 }
    }

    /// Writes the adversarial images of `images` (`[sample][pixel]`) to `adversarial`. `share` of eps is used; image `i`
    /// starts from `seed + i`. The buffer has [`midge_core::attack::perturb_len`] elements.
    pub(super) fn perturb(
        &self,
        model: &Model<'_, f32>,
        (images, labels): (&[f32], &[usize]),
        (share, seed): (f32, u64),
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        let (eps, alpha) = (share * self.eps, share * self.alpha);
        let pgd = Pgd { eps, alpha, steps: self.steps, restarts: 1, seed, loss: Loss::CrossEntropy };
        let (network, count) = (model.network(), labels.len());
        let (pixels, classes) = (network.input().len(), network.classes());
        let mut walks: Vec<_> = Walk::all_away(pixels, images, labels, adversarial).collect();
        match self.method {
            Method::Fgsm => Fgsm { eps }.perturb_batch(model, &mut walks, buffer),
            Method::Fast | Method::Pgd => pgd.perturb_batch(model, &mut walks, buffer),
            Method::Trades => {
                let batch = Batch::inference(network, count);
                let pass = batch.forward(model, count, |i| &images[i * pixels..][..pixels], buffer)?;
                let clean: Vec<_> = pass.logits().chunks(classes).map(trades::log_softmax).collect();
                let objective = |i: usize, _: &Walk<'_>, logits: &[f32], gradient: &mut [f32]| {
                    trades::kl_gradient(&clean[i], logits, gradient);
                };
                pgd.perturb_batch_along(model, &mut walks, objective, buffer)
            }
        }
    }
}

impl Display for Adversarial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { eps, alpha, steps, beta, warm_up, .. } = self;
        match self.method {
            Method::Fgsm => write!(f, "adversarial=fgsm eps={eps}")?,
            Method::Fast => write!(f, "adversarial=fast eps={eps} alpha={alpha}")?,
            Method::Pgd => write!(f, "adversarial=pgd eps={eps} alpha={alpha} steps={steps}")?,
            Method::Trades => write!(f, "adversarial=trades eps={eps} alpha={alpha} steps={steps} beta={beta}")?,
        }
        if *warm_up > 0.0 { write!(f, " eps-warmup={warm_up}") } else { Ok(()) }
    }
}
