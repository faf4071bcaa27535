//! Attacks on the images of a data set, several at a time. What becomes of an image does not depend on the others.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::{Goal, Outcome, Prediction, Target, Walk, perturb_len, to_8_bits};
use midge_core::batch::Batch;
use midge_core::loss::{self, Loss};
use midge_core::{Error, Model};
use rayon::prelude::*;

use super::attack::{Attack, Sample, sample_seed};
use crate::data::Dataset;
use crate::weights::Weights;

/// Images that one thread takes together.
pub(super) const PART: usize = 32;

/// A model, and memory to attack up to [`PART`] images at a time.
pub(crate) struct Attacker<'m> {
    model: &'m Model<'m, f32>,
    buffer: Vec<f32>,
}

impl<'m> Attacker<'m> {
    pub(crate) fn new(model: &'m Model<'m, f32>) -> Self {
        let len = perturb_len(model.network(), PART)
            .max(Batch::inference(model.network(), PART).buffer_len())
            .max(model.network().inference_len());
        Self { model, buffer: vec![0.0; len] }
    }

    /// Elements of an image.
    pub(super) fn pixels(&self) -> usize {
        self.model.network().input().len()
    }

    /// The logits of `count` images, `[image][class]`.
    pub(super) fn logits<'i>(&mut self, count: usize, image: impl Fn(usize) -> &'i [f32]) -> Result<&[f32], Error> {
        let batch = Batch::inference(self.model.network(), count);
        batch.forward(self.model, count, image, &mut self.buffer)?;
        Ok(batch.logits(&self.buffer))
    }

    /// Number of classes.
    pub(super) fn classes(&self) -> usize {
        self.model.network().classes()
    }

    /// The classes that the model reads in `count` images.
    pub(super) fn read<'i>(&mut self, count: usize, image: impl Fn(usize) -> &'i [f32]) -> Result<Vec<usize>, Error> {
        let classes = self.classes();
        Ok(self.logits(count, image)?.chunks(classes).map(loss::argmax).collect())
    }

    fn predictions<'i>(
        &mut self,
        loss: Loss,
        goals: &[Goal],
        image: impl Fn(usize) -> &'i [f32],
    ) -> Result<Vec<Prediction>, Error> {
        let classes = self.classes();
        let logits = self.logits(goals.len(), image)?.chunks(classes);
        let prediction = |(logits, goal): (&[f32], &Goal)| {
            let class = loss::argmax(logits);
            let mut probabilities = logits.to_vec();
            loss::softmax(&mut probabilities);
            Prediction { class, confidence: probabilities[class], loss: loss.value(logits, goal.class()) }
        };
        Ok(logits.zip(goals).map(prediction).collect())
    }

    fn goal(&mut self, target: Option<Target>, sample: &Sample<'_>) -> Result<Goal, Error> {
        let Some(target) = target else { return Ok(Goal::Away(sample.label)) };
        let target = match target {
            Target::Random(seed) => Target::Random(sample_seed(seed, sample.index)),
            other => other,
        };
        target.class(self.model, sample.image, sample.label, &mut self.buffer).map(Goal::Toward)
    }

    /// Attacks at most [`PART`] images and writes the adversarial ones to `out`, `[image][pixel]`. Each is attacked from
    /// one start after the other until one reaches its goal; else the image nearest to it stays.
    ///
    /// # Errors
    /// Those of the attack.
    pub(crate) fn attack(
        &mut self,
        attack: &Attack,
        eps: f32,
        samples: &[Sample<'_>],
        out: &mut [f32],
    ) -> Result<Vec<Outcome>, Error> {
        if attack.starts() == 0 {
            return Err(Error::NoRestarts);
        }
        let mut tried = vec![0.0; out.len()];
        let mut attempts = self.begin(attack, samples, out)?;
        for start in 0..attack.starts() {
            let mut standing: Vec<_> =
                attempts.iter_mut().filter(|attempt| start == 0 || attempt.is_standing()).collect();
            self.try_start(attack, (eps, start), &mut standing, &mut tried)?;
        }
        Ok(attempts.into_iter().map(Attempt::finish).collect())
    }

    fn begin<'a>(
        &mut self,
        attack: &Attack,
        samples: &'a [Sample<'a>],
        out: &'a mut [f32],
    ) -> Result<Vec<Attempt<'a>>, Error> {
        let goals: Result<Vec<Goal>, Error> = samples.iter().map(|s| self.goal(attack.target, s)).collect();
        let goals = goals?;
        let before = self.predictions(attack.followed_loss(), &goals, |i| samples[i].image)?;
        let attempt = |(((sample, goal), before), out): (((&'a Sample<'a>, &Goal), Prediction), &'a mut [f32])| {
            let target = attack.target.map(|_| goal.class());
            let outcome = Outcome { before, after: before, zero_gradient_steps: 0, largest_change: 0.0, target };
            Attempt { sample, goal: *goal, out, outcome }
        };
        Ok(samples.iter().zip(&goals).zip(before).zip(out.chunks_exact_mut(self.pixels())).map(attempt).collect())
    }

    /// From the start of this number.
    fn try_start(
        &mut self,
        attack: &Attack,
        (eps, start): (f32, usize),
        standing: &mut [&mut Attempt<'_>],
        tried: &mut [f32],
    ) -> Result<(), Error> {
        let goals: Vec<Goal> = standing.iter().map(|attempt| attempt.goal).collect();
        let tried = standing.iter().zip(tried.chunks_exact_mut(self.pixels()));
        let mut walks: Vec<_> = tried.map(|(attempt, tried)| attempt.walk(attack.seed, start, tried)).collect();
        attack.perturb(self.model, eps, &mut walks, &goals, &mut self.buffer)?;
        let found = self.predictions(attack.followed_loss(), &goals, |i| &*walks[i].adversarial)?;
        for ((attempt, walk), found) in standing.iter_mut().zip(&walks).zip(found) {
            let best = &mut attempt.outcome;
            best.zero_gradient_steps += walk.zero_gradient_steps;
            if start == 0 || attempt.goal.is_reached(found) || attempt.goal.is_nearer(found, best.after) {
                best.after = found;
                attempt.out.copy_from_slice(walk.adversarial);
            }
        }
        Ok(())
    }
}

/// The attack on one image.
struct Attempt<'a> {
    sample: &'a Sample<'a>,
    goal: Goal,
    out: &'a mut [f32],
    outcome: Outcome,
}

impl<'a> Attempt<'a> {
    fn walk<'w>(&self, seed: u64, start: usize, tried: &'w mut [f32]) -> Walk<'w>
    where
        'a: 'w,
    {
        Walk::new(self.sample.image, tried, sample_seed(seed, self.sample.index).wrapping_add(start as u64))
    }

    fn is_standing(&self) -> bool {
        !self.goal.is_reached(self.outcome.after)
    }

    fn finish(self) -> Outcome {
        let changes = self.out.iter().zip(self.sample.image).map(|(x, clean)| (x - clean).abs());
        Outcome { largest_change: changes.fold(0.0, f32::max), ..self.outcome }
    }
}

/// Runs `work` on parts of the images `0..images` on all cores, each with an [`Attacker`] of the model; one result for
/// each image, in order. `progress` counts images.
pub(super) fn for_each_part<R: Send + Clone>(
    weights: &Weights,
    images: usize,
    progress: &ProgressBar,
    work: impl Fn(&mut Attacker<'_>, &[usize]) -> Result<Vec<R>, Error> + Sync + Send,
) -> Result<Vec<R>> {
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    let all: Vec<usize> = (0..images).collect();
    in_parts(
        &all,
        || Attacker::new(&model),
        |attacker, part| {
            let results = work(attacker, part);
            progress.inc(part.len() as u64);
            results
        },
    )
}

/// [`for_each_part`] of the images `indices`, with anything that `init` makes.
pub(super) fn in_parts<S, R: Send + Clone>(
    indices: &[usize],
    init: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, &[usize]) -> Result<Vec<R>, Error> + Sync + Send,
) -> Result<Vec<R>> {
    // Few images are shared out evenly.
    let part = indices.len().div_ceil(4 * rayon::current_num_threads()).clamp(1, PART);
    let results: Result<Vec<Vec<R>>, Error> = indices.par_chunks(part).map_init(init, work).collect();
    Ok(results?.into_iter().flatten().collect())
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
    for_each_part(weights, labels.len(), progress, |attacker, part| {
        let sample = |index: &usize| Sample { label: labels[*index], ..Sample::of(data, *index) };
        let samples: Vec<_> = part.iter().map(sample).collect();
        let pixels = attacker.pixels();
        let mut out = vec![0.0; part.len() * pixels];
        let outcomes = attacker.attack(&attack, eps, &samples, &mut out)?;
        let pairs = out.iter().zip(samples.iter().flat_map(|sample| sample.image));
        let rounded: Vec<f32> = pairs.map(|(x, clean)| f32::from(to_8_bits(*x, *clean, eps)) / 255.0).collect();
        let classes = attacker.read(part.len(), |i| &rounded[i * pixels..][..pixels])?;
        let attacked =
            |((outcome, class_8_bits), out): (_, &[f32])| Attacked { outcome, class_8_bits, adversarial: out.to_vec() };
        Ok(outcomes.into_iter().zip(classes).zip(out.chunks(pixels)).map(attacked).collect())
    })
}

#[cfg(test)]
mod tests {
    use midge_core::attack::{Bim, Fgsm, MiFgsm, Otcm, Pgd, Targeted};

    use super::super::Method;
    use super::*;
    use crate::bundled;

    /// One image by itself, with the core's attack.
    fn alone(model: &Model<'_, f32>, attack: &Attack, eps: f32, sample: Sample<'_>) -> (Outcome, Vec<f32>) {
        let Sample { image, index, label } = sample;
        let seed = sample_seed(attack.seed, index);
        let Attack { steps, decay, loss, restarts, target, .. } = *attack;
        let target = target
            .map(|target| if target == Target::Random(3) { Target::Random(sample_seed(3, index)) } else { target });
        let mut out = vec![0.0; image.len()];
        let mut buffer = vec![0.0; model.network().fast_attack_len()];
        macro_rules! run {
            ($attack:expr) => {
                match target {
                    None => $attack.attack(model, image, label, &mut out, &mut buffer),
                    Some(target) => {
                        Targeted { attack: $attack, target }.attack(model, image, label, &mut out, &mut buffer)
                    }
                }
            };
        }
        let outcome = match attack.method {
            Method::Fgsm => match target {
                None => Fgsm { eps }.attack(model, image, label, &mut out, &mut buffer),
                Some(target) => Otcm { eps, target }.attack(model, image, label, &mut out, &mut buffer),
            },
            Method::Bim => run!(Bim { loss, ..Bim::with_steps(eps, steps) }),
            Method::MiFgsm => run!(MiFgsm { loss, decay, ..MiFgsm::with_steps(eps, steps) }),
            Method::Pgd => run!(Pgd { loss, restarts, ..Pgd::with_steps(eps, steps, seed) }),
        };
        (outcome.unwrap(), out)
    }

    /// What becomes of an image is what the core's attack makes of it alone, whatever else is in the batch.
    #[test]
    fn images_are_attacked_as_one_by_one() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
        let pgd = Attack { steps: 3, restarts: 4, seed: 5, loss: Loss::Margin, ..Attack::new(Method::Pgd) };
        let mi_fgsm = Attack { steps: 3, decay: 0.5, ..Attack::new(Method::MiFgsm) };
        let attacks =
            [Attack::new(Method::Fgsm), Attack { loss: Loss::Margin, ..Attack::new(Method::Bim) }, mi_fgsm, pgd];
        let targets = [None, Some(Target::Next), Some(Target::LeastLikely), Some(Target::Random(3))];
        let (mut fell, mut stood) = (0, 0);
        for (attack, target) in attacks.into_iter().flat_map(|attack| targets.map(|target| (attack, target))) {
            let attack = Attack { target, ..attack };
            let found = attack_all(&weights, &data, &labels, attack, 0.1, &ProgressBar::hidden()).unwrap();
            for (index, found) in found.iter().enumerate() {
                let sample = Sample { index, image: data.image(index), label: labels[index] };
                let (outcome, adversarial) = alone(&model, &attack, 0.1, sample);
                assert_eq!(found.outcome, outcome, "{} {target:?} {index}", attack.name());
                assert!(found.adversarial == adversarial, "{} {target:?} {index}", attack.name());
                *(if outcome.after.class == labels[index] { &mut stood } else { &mut fell }) += 1;
            }
        }
        assert!(fell > 0 && stood > 0, "{fell} {stood}");
    }

    #[test]
    fn an_attack_without_a_start_is_an_error() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let attack = Attack { restarts: 0, ..Attack::new(Method::Pgd) };
        assert!(attack_all(&weights, &data, &[data.label(0)], attack, 0.1, &ProgressBar::hidden()).is_err());
    }
}
