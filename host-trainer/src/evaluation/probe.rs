//! The ways to look for an adversarial image, and what they leave right of a part of the images.

use midge_core::Error;
use midge_core::attack::Target;
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::attack::{Attack, Method, Sample};
use super::attacker::{Attacker, Passes};
use super::classifier::Classifier;
use super::levels::Levels;
use super::seeds::{Purpose, stream};
use crate::data::Dataset;

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
    /// An attack that only asks for logits.
    Search(Attack),
    /// Images made with the gradient of another model.
    Transfer(&'a dyn Classifier, Attack),
}

impl Probe<'_> {
    /// Whether it knows the model's gradient.
    pub fn is_white_box(&self) -> bool {
        matches!(self, Self::WhiteBox(_) | Self::EveryTarget(_))
    }

    /// Passes for an image that stands to the end, but for looks at results.
    pub(super) fn passes(&self, classes: usize) -> Passes {
        let (forward, gradients) = match self {
            Self::WhiteBox(attack) | Self::Transfer(_, attack) => (0, attack.starts() * attack.steps()),
            Self::EveryTarget(attack) => (0, (classes - 1) * attack.starts() * attack.steps()),
            Self::Search(attack) => (attack.steps(), 0),
            Self::Noise => (NOISE_DRAWS, 0),
        };
        Passes { forward, gradients }
    }

    /// What it does, in a few words.
    pub fn name(&self) -> String {
        let steps = |attack: &Attack| match attack.method {
            Method::Pgd | Method::Apgd => format!("{}-{}", attack.name(), attack.steps),
            Method::Square => format!("Square x {}", attack.steps),
            Method::Fgsm | Method::Bim | Method::MiFgsm => attack.name().to_string(),
        };
        match self {
            Self::WhiteBox(attack) if attack.method == Method::Pgd => {
                format!("{} x {}, {}", steps(attack), attack.restarts, super::attack::loss_name(attack.loss))
            }
            Self::WhiteBox(attack) if attack.method == Method::Apgd => {
                format!("{}, {}", steps(attack), super::attack::loss_name(attack.loss))
            }
            Self::WhiteBox(attack) | Self::Search(attack) => steps(attack),
            Self::EveryTarget(attack) => format!("{} at every target", steps(attack)),
            Self::Noise => format!("noise x {NOISE_DRAWS}"),
            Self::Transfer(_, attack) => format!("transfer, {}", steps(attack)),
        }
    }
}

/// What an attack left right of one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// After the first start.
    pub(super) first: bool,
    /// After all starts, targets and draws.
    pub(super) all: bool,
}

impl Standing {
    pub(super) fn of(stands: bool) -> Self {
        Self { first: stands, all: stands }
    }
}

/// Tries a probe on a part of the images.
pub(super) struct Prober<'a, 'w, 'm> {
    /// With the model's gradient, and with that of the model that is followed.
    pub(super) attackers: &'a mut [Attacker<'w, 'm>; 2],
    pub(super) data: &'a Dataset,
    pub(super) eps: f32,
    pub(super) seed: u64,
}

impl<'a> Prober<'a, '_, '_> {
    /// What is left of each image of the part.
    pub(super) fn standing(&mut self, probe: Probe<'_>, part: &[usize]) -> Result<Vec<Standing>, Error> {
        match probe {
            Probe::WhiteBox(attack) | Probe::Search(attack) => self.attack(attack, part),
            Probe::EveryTarget(attack) => self.every_target(attack, part),
            Probe::Noise => self.noise(part),
            Probe::Transfer(_, attack) => self.transfer(attack, part),
        }
    }

    fn samples(&self, indices: &[usize]) -> Vec<Sample<'a>> {
        indices.iter().map(|index| Sample::of(self.data, *index)).collect()
    }

    fn transfer(&mut self, attack: Attack, part: &[usize]) -> Result<Vec<Standing>, Error> {
        let samples = self.samples(part);
        let [own, source] = &mut *self.attackers;
        let pixels = own.pixels();
        let mut out = vec![0.0; part.len() * pixels];
        // The other model's pixels may end elsewhere, and this one's may lie on a grid.
        let (shown, there) = (own.levels(), source.levels());
        let clean: Vec<f32> = samples.iter().flat_map(|sample| sample.image).map(|x| there.inside(*x)).collect();
        let moved: Vec<Sample<'_>> =
            samples.iter().zip(clean.chunks(pixels)).map(|(sample, image)| Sample { image, ..*sample }).collect();
        source.attack(&attack, self.eps, &moved, &mut out)?;
        let originals = samples.iter().flat_map(|sample| sample.image);
        out.iter_mut().zip(originals).for_each(|(x, clean)| *x = shown.shown(*x, *clean, self.eps));
        let read = own.read(part.len(), |i| &out[i * pixels..][..pixels])?;
        Ok(samples.iter().zip(read).map(|(sample, class)| Standing::of(class == sample.label)).collect())
    }

    fn attack(&mut self, attack: Attack, part: &[usize]) -> Result<Vec<Standing>, Error> {
        let samples = self.samples(part);
        let mut out = vec![0.0; part.len() * self.attackers[0].pixels()];
        let found = self.attackers[0].attack(&attack, self.eps, &samples, &mut out)?;
        let standing = samples.iter().zip(found).map(|(sample, found)| {
            let all = found.outcome.after.class == sample.label;
            Standing { first: all || found.starts > 1, all }
        });
        Ok(standing.collect())
    }

    /// An image is not led to its own class.
    fn every_target(&mut self, attack: Attack, part: &[usize]) -> Result<Vec<Standing>, Error> {
        let mut left = part.to_vec();
        for target in 0..self.attackers[0].classes() {
            let attacked: Vec<usize> = left.iter().copied().filter(|i| self.data.label(*i) != target).collect();
            let standing = self.attack(attack.towards(Target::Class(target)), &attacked)?;
            let fallen = attacked.iter().zip(standing).filter(|(_, standing)| !standing.all);
            let fallen: Vec<usize> = fallen.map(|(index, _)| *index).collect();
            left.retain(|index| !fallen.contains(index));
        }
        Ok(part.iter().map(|index| Standing::of(left.contains(index))).collect())
    }

    fn noise(&mut self, part: &[usize]) -> Result<Vec<Standing>, Error> {
        let own = &mut self.attackers[0];
        let (pixels, levels) = (own.pixels(), own.levels());
        let random = |index: usize| {
            let seed = stream(self.seed, Purpose::Signs, self.data.places[index], 0);
            Xoshiro128PlusPlus::seed_from_u64(seed)
        };
        let mut left: Vec<_> = part.iter().map(|index| (*index, random(*index))).collect();
        let mut out = vec![0.0; part.len() * pixels];
        for _ in 0..NOISE_DRAWS {
            for ((index, random), out) in left.iter_mut().zip(out.chunks_exact_mut(pixels)) {
                add_signs(random, (self.eps, levels), self.data.image(*index), out);
            }
            let mut read = own.read(left.len(), |i| &out[i * pixels..][..pixels])?.into_iter();
            left.retain(|(index, _)| read.next() == Some(self.data.label(*index)));
        }
        Ok(part.iter().map(|index| Standing::of(left.iter().any(|(left, _)| left == index))).collect())
    }
}

/// `clip(image + eps * sign)` with random signs.
fn add_signs(random: &mut impl Rng, (eps, levels): (f32, Levels), image: &[f32], out: &mut [f32]) {
    for (x, clean) in out.iter_mut().zip(image) {
        let sign = if random.next_u32() >> 31 == 0 { 1.0 } else { -1.0 };
        *x = levels.shown(clean + eps * sign, *clean, eps);
    }
}
