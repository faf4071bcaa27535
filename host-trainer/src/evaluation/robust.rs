//! Robust accuracy: the share of images that are still right under every attack of a suite.
//!
//! Each attack runs on every image that is read correctly, whatever the others did to it, so that all figures have the
//! same denominator: all images. An image that is misread without an attack counts as fallen. Within one attack the
//! first restart, target or draw that fools the model is the last.
//!
//! The first start of an attack with restarts is the attack from one start, which the curve and the gates ask for again: a
//! suite remembers what it has measured.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::loss::Loss;

use super::attack::{Attack, Method};
use super::attacker::Attacker;
use super::batch::{in_parts, read};
use super::classifier::Classifier;
use super::probe::{Probe, Prober, Standing};
use crate::data::Dataset;

/// The options of a suite.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Largest change of a pixel.
    pub eps: f32,
    /// Steps of PGD.
    pub steps: usize,
    /// Random starts of PGD away from the label.
    pub restarts: usize,
    /// Queries of Square.
    pub queries: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// A model and images to measure it with.
pub struct Suite<'a> {
    /// The model.
    pub model: &'a dyn Classifier,
    /// The images.
    pub data: &'a Dataset,
    /// Which of them are read correctly without an attack.
    pub correct: Vec<bool>,
    /// Largest change of a pixel.
    pub eps: f32,
    /// Another model, for transfer.
    pub source: Option<&'a dyn Classifier>,
    /// Counts [`Self::passes`].
    pub progress: ProgressBar,
    options: Options,
    known: Mutex<Vec<Known>>,
    gradients: AtomicUsize,
}

/// What an attack from one start left right.
struct Known {
    attack: Attack,
    eps: f32,
    survives: Vec<bool>,
}

impl<'a> Suite<'a> {
    /// A suite for the images that the model reads correctly, without a bar.
    ///
    /// # Errors
    /// If logits overflow.
    pub fn new(
        model: &'a dyn Classifier,
        data: &'a Dataset,
        source: Option<&'a dyn Classifier>,
        options: Options,
    ) -> Result<Self> {
        Ok(Self {
            model,
            data,
            correct: read_correctly(model, data, &ProgressBar::hidden())?,
            eps: options.eps,
            source,
            progress: ProgressBar::hidden(),
            options,
            known: Mutex::default(),
            gradients: AtomicUsize::new(0),
        })
    }

    /// PGD with the suite's steps and seed.
    pub fn pgd(&self, restarts: usize, loss: Loss) -> Attack {
        let Options { steps, seed, .. } = self.options;
        Attack { steps, restarts, loss, seed, ..Attack::new(Method::Pgd) }
    }

    /// APGD with the suite's steps and seed.
    pub(super) fn apgd(&self, loss: Loss) -> Attack {
        let Options { steps, seed, .. } = self.options;
        Attack { steps, loss, seed, ..Attack::new(Method::Apgd) }
    }

    /// The attacks, cheap ones first.
    pub fn probes(&self) -> Vec<Probe<'a>> {
        let restarts = self.options.restarts;
        let mut probes = vec![
            Probe::Noise,
            Probe::WhiteBox(Attack::new(Method::Fgsm)),
            Probe::WhiteBox(Attack::new(Method::MiFgsm)),
            Probe::WhiteBox(self.pgd(restarts, Loss::CrossEntropy)),
            Probe::WhiteBox(self.pgd(restarts, Loss::Margin)),
            Probe::EveryTarget(self.pgd(1, Loss::CrossEntropy)),
            Probe::WhiteBox(self.apgd(Loss::CrossEntropy)),
            Probe::EveryTarget(self.apgd(Loss::Margin)),
        ];
        probes.extend(self.source.map(|source| Probe::Transfer(source, Attack::new(Method::MiFgsm))));
        let Options { queries, seed, .. } = self.options;
        probes.push(Probe::Search(Attack { steps: queries, seed, ..Attack::new(Method::Square) }));
        probes
    }

    /// Passes of the worst case, the curve, the gates and then `more`, if no image falls: what [`Self::progress`] counts.
    pub fn passes(&self, more: &[(Attack, f32)]) -> usize {
        let probes = self.probes().into_iter().map(|probe| (probe, self.eps)).chain(self.gate_probes());
        let probes = probes.chain(more.iter().map(|(attack, eps)| (Probe::WhiteBox(*attack), *eps)));
        let mut known: Vec<(Attack, f32)> = Vec::new();
        let passes = |(probe, eps): (Probe<'_>, f32)| {
            if let Probe::WhiteBox(attack) = probe {
                if attack.starts() == 1 && known.contains(&(attack, eps)) {
                    return 0;
                }
                known.push((from_one_start(attack), eps));
            }
            probe.passes(self.model.network().classes())
        };
        count(&self.correct) * probes.map(passes).sum::<usize>()
    }

    /// Input gradients so far.
    pub fn gradients(&self) -> usize {
        self.gradients.load(Ordering::Relaxed)
    }

    /// For each image, whether it is right without the attack and also under it.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn survivors(&self, probe: Probe<'_>, eps: f32) -> Result<Vec<bool>> {
        let Probe::WhiteBox(attack) = probe else {
            return Ok(self.measure(probe, eps)?.iter().map(|standing| standing.all).collect());
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if attack.starts() == 1
            && let Some(known) = known.iter().find(|known| known.attack == attack && known.eps == eps)
        {
            return Ok(known.survives.clone());
        }
        let standing = self.measure(probe, eps)?;
        let survives = standing.iter().map(|standing| standing.first).collect();
        known.push(Known { attack: from_one_start(attack), eps, survives });
        Ok(standing.iter().map(|standing| standing.all).collect())
    }

    /// What is left of each image; one that is misread without an attack does not stand.
    fn measure(&self, probe: Probe<'_>, eps: f32) -> Result<Vec<Standing>> {
        self.progress.set_message(format!("eps {eps}: {}", probe.name()));
        let source = if let Probe::Transfer(source, _) = probe { source } else { self.model };
        let (mut own, mut other) = (vec![0.0; self.model.memory_len()], vec![0.0; source.memory_len()]);
        let (model, source) = (self.model.any_model(&mut own)?, source.any_model(&mut other)?);
        let passes = probe.passes(model.network().classes());
        let correct: Vec<usize> = (0..self.data.len()).filter(|index| self.correct[*index]).collect();
        let init = || [&model, &source].map(Attacker::new);
        let found = in_parts(&correct, init, |attackers, part| {
            let standing = Prober { attackers, data: self.data, eps, seed: self.options.seed }.standing(probe, part)?;
            let gradients = attackers.iter_mut().map(|attacker| attacker.take_passes().gradients).sum();
            self.gradients.fetch_add(gradients, Ordering::Relaxed);
            self.progress.inc((part.len() * passes) as u64);
            Ok(standing)
        })?;
        let mut standing = vec![Standing::of(false); self.data.len()];
        correct.into_iter().zip(found).for_each(|(index, found)| standing[index] = found);
        Ok(standing)
    }
}

/// What an attack does until it restarts.
fn from_one_start(attack: Attack) -> Attack {
    Attack { restarts: 1, ..attack }
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
pub fn read_correctly(model: &dyn Classifier, data: &Dataset, progress: &ProgressBar) -> Result<Vec<bool>> {
    let read = read(model, data, progress)?;
    Ok(read.iter().enumerate().map(|(i, class)| *class == data.label(i)).collect())
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

#[cfg(test)]
mod tests {
    use super::super::gates::CURVE;
    use super::*;
    use crate::bundled;

    /// Gradients are counted, because an attack from one start takes as many on an image that falls as on one that stands.
    #[test]
    fn no_attack_is_run_twice() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let options = Options { eps: 0.2, steps: 1, restarts: 8, queries: 30, seed: 1 };
        let mut suite = Suite::new(&weights, &data, None, options).unwrap();
        let once = suite.pgd(1, Loss::CrossEntropy);
        let more = [(once, 0.1), (once, 0.2), (once, 0.25), (Attack::new(Method::Fgsm), 0.2)];
        let planned = suite.passes(&more);
        suite.progress = ProgressBar::with_draw_target(Some(planned as u64), indicatif::ProgressDrawTarget::hidden());
        let images = count(&suite.correct);
        let worst = suite.worst_case().unwrap();
        let mut before = suite.gradients();
        let mut spent = || {
            let spent = suite.gradients() - before;
            before += spent;
            spent
        };
        let curve = suite.curve().unwrap();
        assert_eq!(spent(), (CURVE.len() - 1) * images * options.steps, "the worst case had the point at its own eps");
        suite.gates(&worst, &curve).unwrap();
        assert_eq!(spent(), 2 * options.steps * images, "only twice the steps are new");
        for (attack, eps) in more {
            suite.survivors(Probe::WhiteBox(attack), eps).unwrap();
        }
        assert_eq!(spent(), options.steps * images, "only one eps is new");
        assert_eq!(suite.progress.position(), planned as u64);
        // What was remembered of the first start is what one start alone finds, and not what all starts find.
        let alone = Suite::new(&weights, &data, None, options).unwrap().curve().unwrap();
        assert_eq!(curve[1].right, alone[1].right);
        assert!(curve[1].right.count > worst.probes[3].count(), "{} {}", curve[1].right.count, worst.probes[3].count());
    }
}
