//! The figures of one model.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::Target;

use super::figures::{AttackRow, Bin, Curve, Figures, Matrix, Minimal, Robust};
use super::settings::{Settings, Subject};
use super::stages::Stages;
use super::{card, costs, examples};
use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::evaluation::budget::Budget;
use crate::evaluation::classifier::Classifier;
use crate::evaluation::gates::Point;
use crate::evaluation::minimal::{minimal_eps, quantile};
use crate::evaluation::probe::Probe;
use crate::evaluation::robust::{Options, ProbeResult, Suite, count};
use crate::evaluation::{Attack, Method, Share, attack_all, evaluate};
use crate::progress;
use crate::training::history;

/// Measures every model. Transfer is from the other one, or from a bundled one if there is only one.
///
/// # Errors
/// If images do not fit, or an attack fails.
pub fn all(subjects: &[Subject], settings: &Settings) -> Result<Vec<Figures>> {
    let chosen = examples::choose(subjects)?;
    let classes = subjects.iter().map(|subject| subject.weights.network().classes()).max().unwrap_or(0);
    let mut stages = Stages::new(subjects.len(), classes, settings);
    let bundled = if let [only] = subjects { bundled::other_than(&only.weights)? } else { None };
    let measure = |(i, subject): (usize, &Subject)| {
        // The other one of two.
        let other = subjects.get(1 - i).map(|other| (other.name.as_str(), &other.weights));
        let other = other.or(bundled.as_ref().map(|(name, weights)| (*name, weights)));
        let own = &subject.weights;
        let source = other.filter(|(_, other)| other.input().has_shape_of(&own.input()) && !other.has_tensors_of(own));
        let measuring = Measuring { subject, source, settings };
        measuring.run(&chosen, &mut stages)
    };
    subjects.iter().enumerate().map(measure).collect()
}

/// One model under measurement.
struct Measuring<'a> {
    subject: &'a Subject,
    /// Another model, with its name, for transfer.
    source: Option<(&'a str, &'a AnyWeights)>,
    settings: &'a Settings,
}

impl Measuring<'_> {
    fn run(&self, chosen: &[usize], stages: &mut Stages) -> Result<Figures> {
        let Self { subject, settings, .. } = *self;
        let Subject { weights, data, .. } = subject;
        let clean = evaluate(weights, data, &ProgressBar::hidden())?;
        let suite = self.suite()?;
        let mut next = |what: &str| stages.next(&format!("{}: {what}", subject.name));
        // The first start of its PGD is what the curves need there.
        next("robust evaluation");
        let robust = self.robust(&suite)?;
        next("accuracy against eps");
        let curves = self.curves(&suite)?;
        suite.progress.finish_and_clear();
        next("targeted attacks");
        let matrix = self.matrix(&suite)?;
        next("minimal eps");
        let minimal = self.minimal()?;
        next("examples and costs");
        Ok(Figures {
            name: subject.name.clone(),
            loss: clean.loss,
            clean: Share::new(clean.correct, clean.samples),
            curves,
            robust,
            minimal,
            matrix,
            examples: examples::attack(subject, chosen, settings)?,
            training: subject.training.clone(),
            best_epoch: history::best_epoch(weights.metadata()),
            costs: costs::measure(subject, settings)?,
            card: card::of(subject)?,
        })
    }

    fn suite(&self) -> Result<Suite<'_>> {
        let &Settings { robust_eps: eps, steps, restarts, queries, seed, .. } = self.settings;
        let budget = Budget { steps, restarts, queries, ..Budget::FULL };
        let source = self.source.map(|(_, weights)| weights as &dyn Classifier);
        let Subject { weights, data, .. } = self.subject;
        let mut suite = Suite::new(weights, data, source, Options { eps, budget, seed })?;
        let eps = || self.settings.eps.iter();
        let curves: Vec<_> =
            self.curve_attacks().into_iter().flat_map(|attack| eps().map(move |eps| (attack, *eps))).collect();
        suite.progress = progress::bar(suite.passes(&curves) as u64, "robust accuracy");
        Ok(suite)
    }

    fn curve_attacks(&self) -> [Attack; 3] {
        [Attack::new(Method::Fgsm), Attack::new(Method::MiFgsm), self.settings.pgd()]
    }

    fn curves(&self, suite: &Suite<'_>) -> Result<Vec<Curve>> {
        let clean = Point { eps: 0.0, right: Share::new(count(&suite.correct), self.subject.data.len()) };
        let curve = |attack: Attack| {
            let mut points = vec![clean];
            for &eps in &self.settings.eps {
                let right = count(&suite.survivors(Probe::WhiteBox(attack), eps)?);
                points.push(Point { eps, right: Share::new(right, self.subject.data.len()) });
            }
            Ok(Curve { attack: attack.long_name(), points })
        };
        self.curve_attacks().into_iter().map(curve).collect()
    }

    /// Only images that are read correctly walk: the others may be at a target already.
    fn matrix(&self, suite: &Suite<'_>) -> Result<Matrix> {
        let classes = self.subject.weights.network().classes();
        let right: Vec<usize> = (0..self.subject.data.len()).filter(|i| suite.correct[*i]).collect();
        let bar = progress::bar((right.len() * (classes - 1)) as u64, "targeted attacks");
        let columns: Vec<Vec<(usize, usize)>> =
            (0..classes).map(|target| self.column(&right, target, &bar)).collect::<Result<_>>()?;
        bar.finish_and_clear();
        let all = columns.iter().flatten().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        let cell = |source: usize, target: usize| {
            let (hits, of) = columns[target][source];
            (source != target).then(|| Share::new(hits, of))
        };
        let row = |source| (0..classes).map(|target| cell(source, target)).collect();
        Ok(Matrix {
            classes: (0..classes).map(|class| self.subject.data.classes.name(class).into_owned()).collect(),
            cells: (0..classes).map(row).collect(),
            all: Share::new(all.0, all.1),
        })
    }

    /// For each true class, how many of the images `right` reach the target, and of how many.
    fn column(&self, right: &[usize], target: usize, bar: &ProgressBar) -> Result<Vec<(usize, usize)>> {
        let (weights, settings) = (&self.subject.weights, self.settings);
        let walking: Vec<usize> = right.iter().copied().filter(|i| self.subject.data.label(*i) != target).collect();
        let data = self.subject.data.subset(walking.iter().copied());
        let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
        let attack = settings.pgd().towards(Target::Class(target));
        let attacked = attack_all(weights, &data, &labels, attack, settings.robust_eps, bar)?;
        let mut counts = vec![(0, 0); weights.network().classes()];
        for (label, attacked) in labels.iter().zip(attacked) {
            let (hits, of) = &mut counts[*label];
            (*hits, *of) = (*hits + usize::from(attacked.outcome.after.class == target), *of + 1);
        }
        Ok(counts)
    }

    fn robust(&self, suite: &Suite<'_>) -> Result<Robust> {
        let worst = suite.worst_case()?;
        let gates = suite.gates(&worst, &suite.curve()?)?;
        let row = |result: &ProbeResult<'_>| AttackRow {
            attack: result.probe.name(),
            right: Share::new(result.count(), result.survives.len()),
            first: result.first.len(),
        };
        let attacks = worst.probes.iter().map(row).collect();
        let transfer_from = self.source.map(|(name, _)| name.to_string());
        Ok(Robust { worst: Share::new(count(&worst.survives), worst.survives.len()), attacks, transfer_from, gates })
    }

    fn minimal(&self) -> Result<Minimal> {
        let Self { subject: Subject { weights, data, .. }, settings: Settings { grid, .. }, .. } = self;
        let bar = progress::bar(self.subject.data.len() as u64, "minimal eps");
        let images = minimal_eps(weights, data, self.settings.pgd(), grid, &bar)?;
        bar.finish_and_clear();
        let searched = || images.iter().filter(|image| image.is_correct());
        let at = |eps| searched().filter(|image| image.eps == eps).count();
        Ok(Minimal {
            bins: grid.iter().map(|eps| Bin { eps: *eps, images: at(Some(*eps)) }).collect(),
            not_found: Share::new(at(None), searched().count()),
            quartiles: [0.25, 0.5, 0.75].map(|q| quantile(&images, q)),
        })
    }
}
