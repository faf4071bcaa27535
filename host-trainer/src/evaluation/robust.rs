//! Robust accuracy: the share of images that are still right under every attack of a suite.
//!
//! Each attack runs on every image that is read correctly, whatever the others did to it, so that all figures have the
//! same denominator: all images. An image that is misread without an attack counts as fallen. Within one attack the
//! first restart, target or draw that fools the model is the last.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::Target;
use midge_core::loss::{self, Loss};
use midge_core::{Error, Model};
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::attack::{Attack, Method, Sample, sample_seed};
use super::for_each;
use crate::data::Dataset;
use crate::progress;
use crate::weights::Weights;

/// Images of noise tried on each image.
pub const NOISE_DRAWS: usize = 10;

/// One way to look for an adversarial image.
#[derive(Debug, Clone, Copy)]
pub enum Probe<'a> {
    /// An attack with the model's own gradient.
    WhiteBox(Attack),
    /// The same towards every other class in turn.
    EveryTarget(Attack),
    /// [`NOISE_DRAWS`] times plus or minus eps by chance at every pixel.
    Noise,
    /// Images made with the gradient of another model.
    Transfer(&'a Weights, Attack),
}

impl Probe<'_> {
    /// Whether it knows the model's gradient.
    pub fn is_white_box(&self) -> bool {
        matches!(self, Self::WhiteBox(_) | Self::EveryTarget(_))
    }

    /// What it does, in a few words.
    pub fn name(&self) -> String {
        let steps = |attack: &Attack| match attack.method {
            Method::Pgd => format!("PGD-{}", attack.steps),
            _ => attack.name().to_string(),
        };
        match self {
            Self::WhiteBox(attack) if attack.method == Method::Pgd => {
                format!("{} x {}, {}", steps(attack), attack.restarts, super::attack::loss_name(attack.loss))
            }
            Self::WhiteBox(attack) => steps(attack),
            Self::EveryTarget(attack) => format!("{} at every target", steps(attack)),
            Self::Noise => format!("noise x {NOISE_DRAWS}"),
            Self::Transfer(_, attack) => format!("transfer, {}", steps(attack)),
        }
    }
}

/// A model and images to measure it with.
pub struct Suite<'a> {
    /// The model.
    pub weights: &'a Weights,
    /// The images.
    pub data: &'a Dataset,
    /// Which of them are read correctly without an attack.
    pub correct: Vec<bool>,
    /// Largest change of a pixel.
    pub eps: f32,
    /// Steps of PGD.
    pub steps: usize,
    /// Random starts of PGD away from the label.
    pub restarts: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Another model, for transfer.
    pub source: Option<&'a Weights>,
}

impl<'a> Suite<'a> {
    /// PGD with the suite's steps and seed.
    pub fn pgd(&self, restarts: usize, loss: Loss) -> Attack {
        Attack { steps: self.steps, restarts, loss, seed: self.seed, ..Attack::new(Method::Pgd) }
    }

    /// The attacks, cheap ones first.
    pub fn probes(&self) -> Vec<Probe<'a>> {
        let mut probes = vec![
            Probe::Noise,
            Probe::WhiteBox(Attack::new(Method::Fgsm)),
            Probe::WhiteBox(Attack::new(Method::MiFgsm)),
            Probe::WhiteBox(self.pgd(self.restarts, Loss::CrossEntropy)),
            Probe::WhiteBox(self.pgd(self.restarts, Loss::Margin)),
            Probe::EveryTarget(self.pgd(1, Loss::CrossEntropy)),
        ];
        probes.extend(self.source.map(|source| Probe::Transfer(source, Attack::new(Method::MiFgsm))));
        probes
    }

    /// For each image, whether it is right without the attack and also under it.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn survivors(&self, probe: Probe<'_>, eps: f32) -> Result<Vec<bool>> {
        let source = if let Probe::Transfer(source, _) = probe { source } else { self.weights };
        let (mut own, mut other) = (vec![0.0; self.weights.transposed_len()], vec![0.0; source.transposed_len()]);
        let (model, source) = (self.weights.model(&mut own)?, source.model(&mut other)?);
        let pixels = self.weights.network.input().len();
        let work = model.network().fast_attack_len().max(source.network().fast_attack_len());
        let bar = progress::bar(self.data.len() as u64, &format!("eps {eps}: {}", probe.name()));
        let survivors = for_each(self.data.len(), pixels + work, &bar, |index, buffer| {
            let sample = Sample { index, image: self.data.image(index), label: self.data.label(index) };
            let (out, buffer) = buffer.split_at_mut(pixels);
            let run = Run { model: &model, source: &source, eps, seed: self.seed };
            Ok(self.correct[index] && !run.fools(probe, sample, out, buffer)?)
        });
        bar.finish_and_clear();
        survivors
    }
}

/// What an attack on one image works with.
struct Run<'a> {
    model: &'a Model<'a, f32>,
    /// The model whose gradient is followed.
    source: &'a Model<'a, f32>,
    eps: f32,
    seed: u64,
}

impl Run<'_> {
    /// Whether the probe finds an image that the model misreads.
    fn fools(&self, probe: Probe<'_>, sample: Sample<'_>, out: &mut [f32], buffer: &mut [f32]) -> Result<bool, Error> {
        match probe {
            Probe::WhiteBox(attack) => {
                Ok(attack.run(self.model, self.eps, sample, out, buffer)?.after.class != sample.label)
            }
            Probe::EveryTarget(attack) => {
                for target in (0..self.model.network().classes()).filter(|class| *class != sample.label) {
                    let attack = attack.towards(Target::Class(target));
                    if attack.run(self.model, self.eps, sample, out, buffer)?.after.class != sample.label {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Probe::Noise => {
                let mut random = Xoshiro128PlusPlus::seed_from_u64(!sample_seed(self.seed, sample.index));
                for _ in 0..NOISE_DRAWS {
                    add_signs(&mut random, self.eps, sample.image, out);
                    if loss::argmax(self.model.logits(out, buffer)?) != sample.label {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Probe::Transfer(_, attack) => {
                attack.run(self.source, self.eps, sample, out, buffer)?;
                Ok(loss::argmax(self.model.logits(out, buffer)?) != sample.label)
            }
        }
    }
}

/// `clip(image + eps * sign)` with random signs.
fn add_signs(random: &mut impl Rng, eps: f32, image: &[f32], out: &mut [f32]) {
    for (x, clean) in out.iter_mut().zip(image) {
        let sign = if random.next_u32() >> 31 == 0 { 1.0 } else { -1.0 };
        *x = (clean + eps * sign).clamp(0.0, 1.0);
    }
}

/// What one attack of the suite did.
#[derive(Debug, Clone)]
pub struct ProbeResult<'a> {
    /// The attack.
    pub probe: Probe<'a>,
    /// For each image, whether it is right under this attack.
    pub survives: Vec<bool>,
    /// Images that fell to this attack and to none before it.
    pub first: usize,
}

impl ProbeResult<'_> {
    /// Images that are right under this attack.
    pub fn count(&self) -> usize {
        count(&self.survives)
    }
}

/// The suite's results.
#[derive(Debug, Clone)]
pub struct WorstCase<'a> {
    /// In the order of [`Suite::probes`].
    pub probes: Vec<ProbeResult<'a>>,
    /// For each image, whether it is right under every attack.
    pub survives: Vec<bool>,
}

/// For each image, whether the model reads it correctly.
///
/// # Errors
/// If logits overflow.
pub fn read_correctly(weights: &Weights, data: &Dataset, progress: &ProgressBar) -> Result<Vec<bool>> {
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    for_each(data.len(), weights.network.inference_len(), progress, |i, buffer| {
        Ok(loss::argmax(model.logits(data.image(i), buffer)?) == data.label(i))
    })
}

/// Number of `true`.
pub fn count(flags: &[bool]) -> usize {
    flags.iter().filter(|flag| **flag).count()
}

/// For each image, whether both are true.
pub(super) fn both(a: &[bool], b: &[bool]) -> Vec<bool> {
    a.iter().zip(b).map(|(a, b)| *a && *b).collect()
}

impl<'a> Suite<'a> {
    /// Runs every attack on every image.
    ///
    /// # Errors
    /// Those of the attacks.
    pub fn worst_case(&self) -> Result<WorstCase<'a>> {
        let mut worst = WorstCase { probes: Vec::new(), survives: self.correct.clone() };
        for probe in self.probes() {
            let survives = self.survivors(probe, self.eps)?;
            let standing = both(&worst.survives, &survives);
            let first = count(&worst.survives) - count(&standing);
            worst.survives = standing;
            worst.probes.push(ProbeResult { probe, survives, first });
        }
        Ok(worst)
    }
}
