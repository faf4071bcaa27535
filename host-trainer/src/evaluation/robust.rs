//! Robust accuracy: the share of images that are still right under every attack of a suite.
//!
//! Each attack runs on every image that is read correctly, whatever the others did to it, so that all figures have the
//! same denominator: all images. An image that is misread without an attack counts as fallen. Within one attack the
//! first restart, target or draw that fools the model is the last.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::Error;
use midge_core::attack::Target;
use midge_core::loss::Loss;
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::attack::{Attack, Method, Sample, sample_seed};
use super::batch::{Attacker, for_each_part, in_parts};
use crate::data::Dataset;
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

    /// Forward passes, with a gradient or without, for an image that stands to the end, but for looks at results.
    pub(crate) fn passes(&self, classes: usize) -> usize {
        match self {
            Self::WhiteBox(attack) | Self::Transfer(_, attack) => attack.starts() * attack.steps,
            Self::EveryTarget(attack) => (classes - 1) * attack.starts() * attack.steps,
            Self::Noise => NOISE_DRAWS,
        }
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
    /// Counts [`Self::passes`].
    pub progress: ProgressBar,
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

    /// Passes of all that is measured, if no image falls: what [`Self::progress`] counts.
    pub fn passes(&self) -> usize {
        let classes = self.weights.network.classes();
        let probes: usize = self.probes().iter().map(|probe| probe.passes(classes)).sum();
        count(&self.correct) * (probes + self.gate_passes())
    }

    /// For each image, whether it is right without the attack and also under it.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn survivors(&self, probe: Probe<'_>, eps: f32) -> Result<Vec<bool>> {
        self.progress.set_message(format!("eps {eps}: {}", probe.name()));
        let source = if let Probe::Transfer(source, _) = probe { source } else { self.weights };
        let (mut own, mut other) = (vec![0.0; self.weights.transposed_len()], vec![0.0; source.transposed_len()]);
        let (model, source) = (self.weights.model(&mut own)?, source.model(&mut other)?);
        let passes = probe.passes(model.network().classes());
        let correct: Vec<usize> = (0..self.data.len()).filter(|index| self.correct[*index]).collect();
        let init = || [&model, &source].map(Attacker::new);
        let standing = in_parts(&correct, init, |attackers, part| {
            let standing = Run { attackers, data: self.data, eps, seed: self.seed }.standing(probe, part);
            self.progress.inc((part.len() * passes) as u64);
            standing
        })?;
        let mut survivors = vec![false; self.data.len()];
        standing.into_iter().for_each(|index| survivors[index] = true);
        Ok(survivors)
    }
}

/// What attacks a part of the images.
struct Run<'a, 'm> {
    /// With the model's gradient, and with that of the model that is followed.
    attackers: &'a mut [Attacker<'m>; 2],
    data: &'a Dataset,
    eps: f32,
    seed: u64,
}

impl<'a> Run<'a, '_> {
    /// The images of the part that are right under the probe.
    fn standing(&mut self, probe: Probe<'_>, part: &[usize]) -> Result<Vec<usize>, Error> {
        match probe {
            Probe::WhiteBox(attack) => self.attack(attack, part.to_vec()),
            Probe::EveryTarget(attack) => {
                let targets = (0..self.attackers[0].classes()).map(Target::Class);
                targets.into_iter().try_fold(part.to_vec(), |left, target| self.attack(attack.towards(target), left))
            }
            Probe::Noise => self.noise(part),
            Probe::Transfer(_, attack) => self.transfer(attack, part),
        }
    }

    fn samples(&self, indices: &[usize]) -> Vec<Sample<'a>> {
        indices.iter().map(|index| Sample::of(self.data, *index)).collect()
    }

    fn transfer(&mut self, attack: Attack, part: &[usize]) -> Result<Vec<usize>, Error> {
        let samples = self.samples(part);
        let [own, source] = &mut *self.attackers;
        let pixels = own.pixels();
        let mut out = vec![0.0; part.len() * pixels];
        source.attack(&attack, self.eps, &samples, &mut out)?;
        let read = own.read(part.len(), |i| &out[i * pixels..][..pixels])?;
        let right = samples.iter().zip(read).filter(|(sample, class)| *class == sample.label);
        Ok(right.map(|(sample, _)| sample.index).collect())
    }

    /// Those of the images that the attack leaves right. One whose class is the target is not attacked.
    fn attack(&mut self, attack: Attack, images: Vec<usize>) -> Result<Vec<usize>, Error> {
        let is_target = |index: &usize| attack.target == Some(Target::Class(self.data.label(*index)));
        let (mut standing, attacked): (Vec<usize>, Vec<usize>) = images.into_iter().partition(is_target);
        let samples = self.samples(&attacked);
        let mut out = vec![0.0; attacked.len() * self.attackers[0].pixels()];
        let outcomes = self.attackers[0].attack(&attack, self.eps, &samples, &mut out)?;
        let right = samples.iter().zip(outcomes).filter(|(sample, outcome)| outcome.after.class == sample.label);
        standing.extend(right.map(|(sample, _)| sample.index));
        Ok(standing)
    }

    fn noise(&mut self, part: &[usize]) -> Result<Vec<usize>, Error> {
        let own = &mut self.attackers[0];
        let pixels = own.pixels();
        let random = |index: usize| Xoshiro128PlusPlus::seed_from_u64(!sample_seed(self.seed, index));
        let mut standing: Vec<_> = part.iter().map(|index| (*index, random(*index))).collect();
        let mut out = vec![0.0; part.len() * pixels];
        for _ in 0..NOISE_DRAWS {
            for ((index, random), out) in standing.iter_mut().zip(out.chunks_exact_mut(pixels)) {
                add_signs(random, self.eps, self.data.image(*index), out);
            }
            let mut read = own.read(standing.len(), |i| &out[i * pixels..][..pixels])?.into_iter();
            standing.retain(|(index, _)| read.next() == Some(self.data.label(*index)));
        }
        Ok(standing.into_iter().map(|(index, _)| index).collect())
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
    for_each_part(weights, data.len(), progress, |attacker, part| {
        let read = attacker.read(part.len(), |i| data.image(part[i]))?;
        Ok(part.iter().zip(read).map(|(index, class)| class == data.label(*index)).collect())
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
