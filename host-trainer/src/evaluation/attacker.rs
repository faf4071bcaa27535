//! One thread's work: a model, its memory, and the attack on a few images at a time.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};

use midge_core::attack::{Goal, Outcome, Prediction, Target, Walk, least_likely, perturb_len};
use midge_core::batch::Batch;
use midge_core::loss::{self, Loss};
use midge_core::{Error, Model};

use super::attack::{Attack, Sample};
use super::seeds::{Purpose, stream};

/// Images that one thread takes together.
pub(super) const PART: usize = 32;

/// For work that nobody stops.
pub(super) static NEVER: AtomicBool = AtomicBool::new(false);

/// Work done, in passes of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passes {
    /// Forward passes without a gradient.
    pub(crate) forward: usize,
    /// Input gradients, each a forward and a backward pass.
    pub(crate) gradients: usize,
}

/// A model, and memory to attack up to [`PART`] images at a time.
pub(crate) struct Attacker<'m> {
    model: &'m Model<'m, f32>,
    /// Once it is set, no further start is tried, and results are of no use.
    stop: &'m AtomicBool,
    buffer: Vec<f32>,
    passes: Passes,
}

/// What became of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) outcome: Outcome,
    /// Starts that were tried: more than one only if the first did not reach the goal.
    pub(crate) starts: usize,
}

impl<'m> Attacker<'m> {
    pub(crate) fn new(model: &'m Model<'m, f32>) -> Self {
        Self::until(&NEVER, model)
    }

    /// One that gives up when `stop` is set.
    pub(super) fn until(stop: &'m AtomicBool, model: &'m Model<'m, f32>) -> Self {
        let len = perturb_len(model.network(), PART)
            .max(Batch::inference(model.network(), PART).buffer_len())
            .max(model.network().inference_len());
        Self { model, stop, buffer: vec![0.0; len], passes: Passes::default() }
    }

    /// Elements of an image.
    pub(super) fn pixels(&self) -> usize {
        self.model.network().input().len()
    }

    /// Number of classes.
    pub(super) fn classes(&self) -> usize {
        self.model.network().classes()
    }

    /// The passes since the last call.
    pub(super) fn take_passes(&mut self) -> Passes {
        std::mem::take(&mut self.passes)
    }

    /// The logits of `count` images, `[image][class]`.
    pub(super) fn logits<'i>(&mut self, count: usize, image: impl Fn(usize) -> &'i [f32]) -> Result<&[f32], Error> {
        self.passes.forward += count;
        let batch = Batch::inference(self.model.network(), count);
        batch.forward(self.model, count, image, &mut self.buffer)?;
        Ok(batch.logits(&self.buffer))
    }

    /// The classes that the model reads in `count` images.
    pub(super) fn read<'i>(&mut self, count: usize, image: impl Fn(usize) -> &'i [f32]) -> Result<Vec<usize>, Error> {
        let classes = self.classes();
        Ok(self.logits(count, image)?.chunks(classes).map(loss::argmax).collect())
    }

    /// The goal, if it is known before the model has seen the image.
    fn goal(&mut self, target: Option<Target>, sample: &Sample<'_>) -> Result<Option<Goal>, Error> {
        let (label, classes) = (sample.label, self.classes());
        if label >= classes {
            return Err(Error::Class { class: label, classes });
        }
        let target = match target {
            None => return Ok(Some(Goal::Away(label))),
            Some(Target::LeastLikely) => return Ok(None),
            Some(Target::Random(seed)) => Target::Random(stream(seed, Purpose::Target, sample.place, 0)),
            Some(target @ (Target::Class(_) | Target::Next)) => target,
        };
        target.class(self.model, sample.image, label, &mut self.buffer).map(|class| Some(Goal::Toward(class)))
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
    ) -> Result<Vec<Found>, Error> {
        if attack.starts() == 0 {
            return Err(Error::NoRestarts);
        }
        let mut tried = vec![0.0; out.len()];
        let mut attempts = self.begin(attack, samples, out)?;
        for start in 0..attack.starts() {
            let mut standing: Vec<_> = attempts.iter_mut().filter(|attempt| attempt.is_standing()).collect();
            if standing.is_empty() || self.stop.load(Ordering::Relaxed) {
                break;
            }
            self.try_start(&Start { attack, eps, number: start }, &mut standing, &mut tried)?;
        }
        Ok(attempts.into_iter().filter_map(|attempt| attempt.finish(attack)).collect())
    }

    /// An attack that starts at the image meets the clean logits in its first step; another has to look first.
    fn begin<'a>(
        &mut self,
        attack: &Attack,
        samples: &'a [Sample<'a>],
        out: &'a mut [f32],
    ) -> Result<Vec<Attempt<'a>>, Error> {
        let pixels = self.pixels();
        let mut attempts = Vec::with_capacity(samples.len());
        for (sample, out) in samples.iter().zip(out.chunks_exact_mut(pixels)) {
            let goal = self.goal(attack.target, sample)?;
            let (clean, after) = (OnceCell::new(), None);
            attempts.push(Attempt { sample, goal, clean, out, after, zero_gradient_steps: 0, starts: 0 });
        }
        if !attack.starts_at_the_image() {
            let classes = self.classes();
            let logits = self.logits(samples.len(), |i| samples[i].image)?.chunks(classes);
            for (attempt, logits) in attempts.iter().zip(logits) {
                attempt.clean(attack.followed_loss(), logits);
            }
        }
        Ok(attempts)
    }

    fn try_start(
        &mut self,
        start: &Start<'_>,
        standing: &mut [&mut Attempt<'_>],
        tried: &mut [f32],
    ) -> Result<(), Error> {
        let (attack, loss, pixels, classes) =
            (start.attack, start.attack.followed_loss(), self.pixels(), self.classes());
        let tried = standing.iter().zip(tried.chunks_exact_mut(pixels));
        let mut walks: Vec<_> = tried.map(|(attempt, tried)| attempt.walk(start, tried)).collect();
        let objective = |i: usize, logits: &[f32], gradient: &mut [f32]| {
            standing[i].clean(loss, logits).goal.gradient(loss, logits, gradient);
        };
        attack.perturb(self.model, start.eps, &mut walks, objective, &mut self.buffer)?;
        self.passes.gradients += walks.len() * attack.steps();
        let logits = self.logits(walks.len(), |i| &*walks[i].adversarial)?.chunks(classes);
        for ((attempt, walk), logits) in standing.iter_mut().zip(&walks).zip(logits) {
            attempt.note(loss, walk, logits);
        }
        Ok(())
    }
}

/// One start of an attack.
struct Start<'a> {
    attack: &'a Attack,
    eps: f32,
    /// Counted from 0.
    number: usize,
}

/// The attack on one image.
struct Attempt<'a> {
    sample: &'a Sample<'a>,
    /// Unless the clean logits decide.
    goal: Option<Goal>,
    clean: OnceCell<Clean>,
    out: &'a mut [f32],
    /// The model's view of `out`, once there is one.
    after: Option<Prediction>,
    zero_gradient_steps: usize,
    starts: usize,
}

/// What the clean logits say.
#[derive(Debug, Clone, Copy)]
struct Clean {
    goal: Goal,
    prediction: Prediction,
}

impl<'a> Attempt<'a> {
    /// The first logits ever given are those of the clean image.
    fn clean(&self, loss: Loss, logits: &[f32]) -> &Clean {
        self.clean.get_or_init(|| {
            let goal = self.goal.unwrap_or_else(|| Goal::Toward(least_likely(logits, self.sample.label)));
            Clean { goal, prediction: predict(loss, goal, logits) }
        })
    }

    fn walk<'w>(&self, start: &Start<'_>, tried: &'w mut [f32]) -> Walk<'w>
    where
        'a: 'w,
    {
        let seed = stream(start.attack.seed, Purpose::Start, self.sample.place, start.number);
        Walk::new(self.sample.image, tried, seed)
    }

    /// Keeps the image of a walk that reached the goal or came nearer than those before; `logits` are the image's.
    fn note(&mut self, loss: Loss, walk: &Walk<'_>, logits: &[f32]) {
        let goal = self.clean(loss, logits).goal;
        let found = predict(loss, goal, logits);
        self.starts += 1;
        self.zero_gradient_steps += walk.zero_gradient_steps;
        if self.after.is_none_or(|after| goal.is_reached(found) || goal.is_nearer(found, after)) {
            self.after = Some(found);
            self.out.copy_from_slice(walk.adversarial);
        }
    }

    fn is_standing(&self) -> bool {
        let (Some(after), Some(clean)) = (self.after, self.clean.get()) else { return true };
        !clean.goal.is_reached(after)
    }

    /// `None` before the first start.
    fn finish(self, attack: &Attack) -> Option<Found> {
        let Clean { goal, prediction: before } = *self.clean.get()?;
        let changes = self.out.iter().zip(self.sample.image).map(|(x, clean)| (x - clean).abs());
        let outcome = Outcome {
            before,
            after: self.after?,
            zero_gradient_steps: self.zero_gradient_steps,
            largest_change: changes.fold(0.0, f32::max),
            target: attack.target.map(|_| goal.class()),
        };
        Some(Found { outcome, starts: self.starts })
    }
}

fn predict(loss: Loss, goal: Goal, logits: &[f32]) -> Prediction {
    let class = loss::argmax(logits);
    let mut probabilities = logits.to_vec();
    loss::softmax(&mut probabilities);
    Prediction { class, confidence: probabilities[class], loss: loss.value(logits, goal.class()) }
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;
    use crate::bundled;

    /// Beside its gradients an attack looks at its result, and PGD, which never stands at the clean image, at that.
    #[test]
    fn no_pass_is_superfluous() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let samples: Vec<_> = (0..5).map(|index| Sample::of(&data, index)).collect();
        let mut out = vec![0.0; 5 * 784];
        let fgsm = Attack::new(Method::Fgsm);
        let pgd = Attack { steps: 3, ..Attack::new(Method::Pgd) };
        for (attack, forward, gradients) in [
            (fgsm, 5, 5),
            (fgsm.towards(Target::LeastLikely), 5, 5),
            (Attack { steps: 7, ..Attack::new(Method::MiFgsm) }, 5, 35),
            (pgd, 10, 15),
            (pgd.towards(Target::LeastLikely), 10, 15),
        ] {
            let mut attacker = Attacker::new(&model);
            attacker.attack(&attack, 0.1, &samples, &mut out).unwrap();
            assert_eq!(attacker.take_passes(), Passes { forward, gradients }, "{}", attack.name());
        }
    }

    #[test]
    fn a_class_that_does_not_exist_is_an_error() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let sample = Sample { label: 10, ..Sample::of(&data, 0) };
        for attack in [Attack::new(Method::Fgsm), Attack::new(Method::Pgd).towards(Target::LeastLikely)] {
            let error = Attacker::new(&model).attack(&attack, 0.1, &[sample], &mut [0.0; 784]).unwrap_err();
            assert_eq!(error, Error::Class { class: 10, classes: 10 });
        }
    }
}
