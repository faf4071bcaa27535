//! Robust accuracy: the share of images that are still right under every attack of a suite.
//!
//! All figures have the same denominator: all images. An image that is misread without an attack counts as fallen. Attacks of
//! few passes, and those that a curve or a check compares, run on every image that is read correctly; one that takes long runs
//! only on what stands before it, unless the [`Budget`] asks for every attack on every image. Those without the model's gradient
//! run on all that the gradient leaves, whatever the others of their kind did. Within one attack the first restart, target or draw
//! that fools the model is the last.
//!
//! The first start of an attack with restarts is the attack from one start, which the curve and the gates ask for again: a
//! suite remembers what it has measured.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::loss::Loss;

use super::attack::{Attack, Method};
use super::attacker::{Attacker, Passes};
use super::batch::{in_parts, read};
use super::budget::Budget;
use super::classifier::Classifier;
use super::probe::{Probe, Prober, Standing};
use crate::data::Dataset;

/// The options of a suite.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Largest change of a pixel.
    pub eps: f32,
    /// The attacks, and what they may take.
    pub budget: Budget,
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
        let Options { budget, seed, .. } = self.options;
        Attack { steps: budget.steps, restarts, loss, seed, ..Attack::new(Method::Pgd) }
    }

    /// APGD with the suite's steps and seed.
    pub(super) fn apgd(&self, loss: Loss) -> Attack {
        let Options { budget, seed, .. } = self.options;
        Attack { steps: budget.steps, loss, seed, ..Attack::new(Method::Apgd) }
    }

    /// The attacks: those with the model's gradient first, and cheap ones first.
    pub fn probes(&self) -> Vec<Probe<'a>> {
        let Options { budget: Budget { restarts, targets, queries, .. }, seed, .. } = self.options;
        let mut probes = vec![
            Probe::WhiteBox(Attack::new(Method::Fgsm)),
            Probe::WhiteBox(Attack::new(Method::MiFgsm)),
            Probe::WhiteBox(self.apgd(Loss::CrossEntropy)),
        ];
        if restarts > 0 {
            probes.push(Probe::WhiteBox(self.pgd(restarts, Loss::CrossEntropy)));
        }
        if restarts > 1 {
            probes.push(Probe::WhiteBox(self.pgd(restarts, Loss::Margin)));
            probes.push(Probe::EveryTarget(self.pgd(1, Loss::CrossEntropy)));
        }
        if targets {
            probes.push(Probe::EveryTarget(self.apgd(Loss::Margin)));
        }
        probes.push(Probe::Noise);
        probes.extend(self.source.map(|source| Probe::Transfer(source, Attack::new(Method::MiFgsm))));
        probes.push(Probe::Search(Attack { steps: queries, seed, ..Attack::new(Method::Square) }));
        probes
    }

    /// Whether an attack runs on all that is read correctly: the checks compare what some leave, and the curve has APGD.
    fn runs_on_all(&self, probe: &Probe<'_>) -> bool {
        self.options.budget.every || matches!(probe, Probe::WhiteBox(_))
    }

    /// Passes of the worst case, the curve, the gates and then `more`, if no image falls: what [`Self::progress`] counts.
    pub fn passes(&self, more: &[(Attack, f32)]) -> usize {
        let Passes { forward, gradients } = self.passes_of_each(more);
        count(&self.correct) * (forward + gradients)
    }

    /// The same for each image that is read correctly.
    pub fn passes_of_each(&self, more: &[(Attack, f32)]) -> Passes {
        let probes = self.probes().into_iter().map(|probe| (probe, self.eps)).chain(self.gate_probes());
        let probes = probes.chain(more.iter().map(|(attack, eps)| (Probe::WhiteBox(*attack), *eps)));
        let mut known: Vec<(Attack, f32)> = Vec::new();
        let classes = self.model.network().classes();
        probes.fold(Passes::default(), |sum, (probe, eps)| {
            if let Probe::WhiteBox(attack) = probe {
                if attack.starts() == 1 && known.contains(&(attack, eps)) {
                    return sum;
                }
                known.push((from_one_start(attack), eps));
            }
            sum + probe.passes(classes)
        })
    }

    /// Seconds that the gradient of one image takes, measured on a few steps on up to 64 images.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn time_of_a_gradient(&self) -> Result<f64> {
        const STEPS: usize = 4;
        let mut left = 64;
        let few = self
            .correct
            .iter()
            .map(|correct| {
                *correct && left > 0 && {
                    left -= 1;
                    true
                }
            })
            .collect::<Vec<_>>();
        let attack = Attack { steps: STEPS, ..self.pgd(1, Loss::CrossEntropy) };
        let start = Instant::now();
        self.left_of(&few, Probe::WhiteBox(attack), self.eps)?;
        Ok(start.elapsed().as_secs_f64() / (STEPS * count(&few).max(1)) as f64)
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
        let Probe::WhiteBox(attack) = probe else { return self.left_of(&self.correct, probe, eps) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if attack.starts() == 1
            && let Some(known) = known.iter().find(|known| known.attack == attack && known.eps == eps)
        {
            return Ok(known.survives.clone());
        }
        let standing = self.measure(&self.correct, probe, eps)?;
        let survives = standing.iter().map(|standing| standing.first).collect();
        known.push(Known { attack: from_one_start(attack), eps, survives });
        Ok(standing.iter().map(|standing| standing.all).collect())
    }

    /// For each image, whether it is one of the attacked and right under the attack.
    pub(super) fn left_of(&self, attacked: &[bool], probe: Probe<'_>, eps: f32) -> Result<Vec<bool>> {
        let Passes { forward, gradients } = probe.passes(self.model.network().classes());
        self.progress.inc(((count(&self.correct) - count(attacked)) * (forward + gradients)) as u64);
        Ok(self.measure(attacked, probe, eps)?.iter().map(|standing| standing.all).collect())
    }

    /// What is left of each image; one that is not attacked does not stand.
    fn measure(&self, attacked: &[bool], probe: Probe<'_>, eps: f32) -> Result<Vec<Standing>> {
        self.progress.set_message(format!("eps {eps}: {}", probe.name()));
        let source = if let Probe::Transfer(source, _) = probe { source } else { self.model };
        let (mut own, mut other) = (vec![0.0; self.model.memory_len()], vec![0.0; source.memory_len()]);
        let (model, source) = (self.model.any_model(&mut own)?, source.any_model(&mut other)?);
        let Passes { forward, gradients } = probe.passes(model.network().classes());
        let passes = forward + gradients;
        let attacked: Vec<usize> = (0..self.data.len()).filter(|index| attacked[*index]).collect();
        let init = || [&model, &source].map(Attacker::new);
        let found = in_parts(&attacked, init, |attackers, part| {
            let standing = Prober { attackers, data: self.data, eps, seed: self.options.seed }.standing(probe, part)?;
            let gradients = attackers.iter_mut().map(|attacker| attacker.take_passes().gradients).sum();
            self.gradients.fetch_add(gradients, Ordering::Relaxed);
            self.progress.inc((part.len() * passes) as u64);
            Ok(standing)
        })?;
        let mut standing = vec![Standing::of(false); self.data.len()];
        attacked.into_iter().zip(found).for_each(|(index, found)| standing[index] = found);
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
    /// Whether it ran on every image that is read correctly, and not only on those that stood before it.
    pub on_all: bool,
    /// Images that it ran on.
    pub attacked: usize,
    /// For each image, whether the attack ran on it and left it right.
    pub survives: Vec<bool>,
    /// Images that fell to this attack and to none before it.
    pub first: Vec<usize>,
}

impl ProbeResult<'_> {
    /// Images that are right under this attack, of those that it ran on.
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
    /// The same for the attacks with the model's gradient.
    pub white_box: Vec<bool>,
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
    /// Runs every attack, each on the images that the budget says.
    ///
    /// # Errors
    /// Those of the attacks.
    pub fn worst_case(&self) -> Result<WorstCase<'a>> {
        let (mut survives, mut white_box) = (self.correct.clone(), self.correct.clone());
        let mut probes = Vec::new();
        for probe in self.probes() {
            let on_all = self.runs_on_all(&probe);
            let attacked = if on_all { &self.correct } else { &white_box };
            let result = ProbeResult {
                on_all,
                attacked: count(attacked),
                survives: if on_all {
                    self.survivors(probe, self.eps)?
                } else {
                    self.left_of(attacked, probe, self.eps)?
                },
                first: Vec::new(),
                probe,
            };
            let falls = |index: &usize| attacked[*index] && !result.survives[*index];
            let fallen: Vec<usize> = (0..self.data.len()).filter(falls).collect();
            let first = fallen.iter().copied().filter(|index| survives[*index]).collect();
            for index in fallen {
                survives[index] = false;
                white_box[index] &= !probe.is_white_box();
            }
            probes.push(ProbeResult { first, ..result });
        }
        Ok(WorstCase { probes, survives, white_box })
    }
}

#[cfg(test)]
mod tests {
    use super::super::gates::Point;
    use super::*;
    use crate::bundled;

    /// Gradients are counted, because an attack from one start takes as many on an image that falls as on one that stands.
    #[test]
    fn no_attack_is_run_twice() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let budget = Budget { steps: 1, restarts: 8, queries: 30, ..Budget::FULL };
        let options = Options { eps: 0.2, budget, seed: 1 };
        let mut suite = Suite::new(&weights, &data, None, options).unwrap();
        let once = suite.pgd(1, Loss::CrossEntropy);
        let more = [(once, 0.1), (once, 0.2), (once, 0.25), (Attack::new(Method::Fgsm), 0.2)];
        let planned = suite.passes(&more);
        suite.progress = ProgressBar::with_draw_target(Some(planned as u64), indicatif::ProgressDrawTarget::hidden());
        let images = count(&suite.correct);
        let worst = suite.worst_case().unwrap();
        let before = suite.gradients();
        let curve = suite.curve().unwrap();
        let spent = suite.gradients() - before;
        // What the curve takes without the point at the suite's own eps, which the worst case had.
        let fresh = Suite::new(&weights, &data, None, options).unwrap();
        fresh.survivors(Probe::WhiteBox(fresh.apgd(Loss::CrossEntropy)), 0.2).unwrap();
        let own = fresh.gradients();
        let right = |curve: &[Point]| curve.iter().map(|point| point.right.count).collect::<Vec<_>>();
        assert_eq!(right(&fresh.curve().unwrap()), right(&curve));
        assert_eq!(spent, fresh.gradients() - own, "the worst case had the point at its own eps");
        suite.gates(&worst, &curve).unwrap();
        let before = suite.gradients();
        for (attack, eps) in more {
            suite.survivors(Probe::WhiteBox(attack), eps).unwrap();
        }
        assert_eq!(suite.gradients() - before, 2 * budget.steps * images, "two eps are new");
        assert_eq!(suite.progress.position(), planned as u64);
        // What was remembered of the first start is what one start alone finds, and not what all starts find.
        let alone = Suite::new(&weights, &data, None, options).unwrap();
        let alone = count(&alone.survivors(Probe::WhiteBox(once), 0.2).unwrap());
        assert_eq!(count(&suite.survivors(Probe::WhiteBox(once), 0.2).unwrap()), alone);
        assert!(alone > worst.probes[3].count(), "{alone} {}", worst.probes[3].count());
    }
}
