//! One attack with its options, on one image or on a data set.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::{Bim, Fgsm, MiFgsm, Otcm, Outcome, Pgd, Target, Targeted, to_8_bits};
use midge_core::loss::{self, Loss};
use midge_core::{Error, Model};

use super::for_each;
use crate::data::Dataset;
use crate::weights::Weights;

/// How the steps go; each is described with the type of that name in `midge_core::attack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One step; towards a target, OTCM.
    Fgsm,
    /// Steps without momentum.
    Bim,
    /// Steps with momentum.
    MiFgsm,
    /// Steps from random starts.
    Pgd,
}

/// An attack with its options but `eps`. A method ignores the options that it does not have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attack {
    /// The way the steps go.
    pub method: Method,
    /// The class to reach; without it, away from the label. The seed of a random target is mixed with the image's index.
    pub target: Option<Target>,
    /// Number of steps.
    pub steps: usize,
    /// Step size; the method's default for `eps` and `steps` if absent.
    pub alpha: Option<f32>,
    /// Decay of the momentum.
    pub decay: f32,
    /// Number of random starts.
    pub restarts: usize,
    /// Seed of the random starts, mixed with the image's index.
    pub seed: u64,
    /// What to raise (towards a target: to lower).
    pub loss: Loss,
}

/// An image with its place in the data set, which seeds what is random about its attack.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Place in the data set.
    pub index: usize,
    /// Pixels.
    pub image: &'a [f32],
    /// The class to walk away from.
    pub label: usize,
}

impl Attack {
    /// An attack with the defaults of its paper: 10 steps, PGD 40; decay 1, one start, cross-entropy, seed 0.
    pub fn new(method: Method) -> Self {
        let steps = match method {
            Method::Fgsm => 1,
            Method::Bim | Method::MiFgsm => 10,
            Method::Pgd => 40,
        };
        let (decay, restarts, loss) = (1.0, 1, Loss::CrossEntropy);
        Self { method, target: None, steps, alpha: None, decay, restarts, seed: 0, loss }
    }

    /// The same towards a target.
    pub fn towards(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Attacks one image. The buffer has [`midge_core::Network::attack_len`] elements.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn run(
        &self,
        model: &Model<'_, f32>,
        eps: f32,
        sample: Sample<'_>,
        out: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        let Sample { index, image, label } = sample;
        let target = self.target.map(|target| match target {
            Target::Random(seed) => Target::Random(sample_seed(seed, index)),
            other => other,
        });
        match (self.method, target) {
            (Method::Fgsm, None) => Fgsm { eps }.attack(model, image, label, out, buffer),
            (Method::Fgsm, Some(target)) => Otcm { eps, target }.attack(model, image, label, out, buffer),
            (Method::Bim, None) => self.bim(eps).attack(model, image, label, out, buffer),
            (Method::Bim, Some(target)) => {
                Targeted { attack: self.bim(eps), target }.attack(model, image, label, out, buffer)
            }
            (Method::MiFgsm, None) => self.mi_fgsm(eps).attack(model, image, label, out, buffer),
            (Method::MiFgsm, Some(target)) => {
                Targeted { attack: self.mi_fgsm(eps), target }.attack(model, image, label, out, buffer)
            }
            (Method::Pgd, None) => self.pgd(eps, index).attack(model, image, label, out, buffer),
            (Method::Pgd, Some(target)) => {
                Targeted { attack: self.pgd(eps, index), target }.attack(model, image, label, out, buffer)
            }
        }
    }

    fn bim(&self, eps: f32) -> Bim {
        let default = Bim::with_steps(eps, self.steps);
        Bim { alpha: self.alpha.unwrap_or(default.alpha), loss: self.loss, ..default }
    }

    fn mi_fgsm(&self, eps: f32) -> MiFgsm {
        let default = MiFgsm::with_steps(eps, self.steps);
        MiFgsm { alpha: self.alpha.unwrap_or(default.alpha), loss: self.loss, decay: self.decay, ..default }
    }

    fn pgd(&self, eps: f32, index: usize) -> Pgd {
        let default = Pgd::with_steps(eps, self.steps, sample_seed(self.seed, index));
        let alpha = self.alpha.unwrap_or(default.alpha);
        Pgd { alpha, loss: self.loss, restarts: self.restarts, ..default }
    }

    /// The attack's name as papers write it.
    pub fn name(&self) -> &'static str {
        match (self.method, self.target) {
            (Method::Fgsm, None) => "FGSM",
            (Method::Fgsm, Some(_)) => "OTCM",
            (Method::Bim, None) => "BIM",
            (Method::Bim, Some(_)) => "targeted BIM",
            (Method::MiFgsm, None) => "MI-FGSM",
            (Method::MiFgsm, Some(_)) => "targeted MI-FGSM",
            (Method::Pgd, None) => "PGD",
            (Method::Pgd, Some(_)) => "targeted PGD",
        }
    }

    /// Whether the attack aims at a class.
    pub fn is_targeted(&self) -> bool {
        self.target.is_some()
    }
}

/// The option's word for a loss.
pub fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::CrossEntropy => "cross-entropy",
        Loss::Margin => "margin",
    }
}

/// A seed of its own for every image, whatever is drawn for the others.
pub(crate) fn sample_seed(seed: u64, index: usize) -> u64 {
    seed ^ (index as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether a model that reads `class` was fooled: it is at the target or, without one, off the label.
pub fn is_fooled(class: usize, label: usize, target: Option<usize>) -> bool {
    target.map_or(class != label, |target| class == target)
}

/// What an attack did to one image.
#[derive(Debug, Clone)]
pub struct Attacked {
    /// The attack's own report.
    pub outcome: Outcome,
    /// The class predicted for the adversarial image rounded to 8 bits.
    pub class_8_bits: usize,
    /// The adversarial image.
    pub adversarial: Vec<f32>,
}

/// Attacks the images of a data set, in order. `labels` are the classes that the attacks walk away from.
///
/// # Errors
/// Those of the attack.
pub fn attack_all(
    weights: &Weights,
    data: &Dataset,
    labels: &[usize],
    attack: Attack,
    eps: f32,
    progress: &ProgressBar,
) -> Result<Vec<Attacked>> {
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    for_each(labels.len(), weights.network.fast_attack_len(), progress, |i, buffer| {
        let (image, label) = (data.image(i), labels.get(i).copied().unwrap_or(0));
        let mut adversarial = vec![0.0; image.len()];
        let outcome = attack.run(&model, eps, Sample { index: i, image, label }, &mut adversarial, buffer)?;
        let pixels = adversarial.iter().zip(image);
        let rounded: Vec<f32> = pixels.map(|(x, clean)| f32::from(to_8_bits(*x, *clean, eps)) / 255.0).collect();
        let class_8_bits = loss::argmax(model.logits(&rounded, buffer)?);
        Ok(Attacked { outcome, class_8_bits, adversarial })
    })
}
