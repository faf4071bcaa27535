//! One thread's work: a model, its memory, and the attack on a few images at a time.

use std::sync::atomic::AtomicBool;

use midge_core::Error;
use midge_core::attack::{Attack as CoreAttack, Goal, Outcome, Target, Walk, perturb_len};
use midge_core::batch::Batch;
use midge_core::loss;

use super::attack::{Attack, AttackAt, Sample};
use super::classifier::{AnyModel, with_model};
use super::levels::Levels;
use super::seeds::{Purpose, stream};

/// Images that one thread takes together.
pub(super) const PART: usize = 32;

/// For work that nobody stops.
pub(super) static NEVER: AtomicBool = AtomicBool::new(false);

/// Work done, in passes of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passes {
    /// Forward passes without a gradient.
    pub forward: usize,
    /// Input gradients, each a forward and a backward pass.
    pub gradients: usize,
}

impl std::ops::Add for Passes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { forward: self.forward + other.forward, gradients: self.gradients + other.gradients }
    }
}

/// A model, and memory to attack up to [`PART`] images at a time.
pub(crate) struct Attacker<'w, 'm> {
    model: &'m AnyModel<'w>,
    /// Once it is set, attacks end with [`Error::Stopped`].
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

impl<'w, 'm> Attacker<'w, 'm> {
    pub(crate) fn new(model: &'m AnyModel<'w>) -> Self {
        Self::until(&NEVER, model)
    }

    /// One that gives up when `stop` is set.
    pub(super) fn until(stop: &'m AtomicBool, model: &'m AnyModel<'w>) -> Self {
        let len = perturb_len(model.network(), PART)
            .max(Batch::inference(model.network(), PART).buffer_len())
            .max(model.network().inference_len())
            .max(model.gradient_len());
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

    /// The pixels that there are.
    pub(super) fn levels(&self) -> Levels {
        self.model.levels()
    }

    /// The passes since the last call.
    pub(super) fn take_passes(&mut self) -> Passes {
        std::mem::take(&mut self.passes)
    }

    /// The logits of `count` images, `[image][class]`.
    pub(super) fn logits<'i>(&mut self, count: usize, image: impl Fn(usize) -> &'i [f32]) -> Result<&[f32], Error> {
        self.passes.forward += count;
        let batch = Batch::inference(self.model.network(), count);
        with_model!(self.model, model => Ok(batch.forward(model, count, image, &mut self.buffer)?.into_logits()))
    }

    /// The classes that the model reads in `count` images.
    pub(super) fn read<'i>(&mut self, count: usize, image: impl Fn(usize) -> &'i [f32]) -> Result<Vec<usize>, Error> {
        let classes = self.classes();
        Ok(self.logits(count, image)?.chunks(classes).map(loss::argmax).collect())
    }

    /// The gradient of the cross-entropy at a class with respect to an image.
    pub(super) fn input_gradient(&mut self, image: &[f32], label: usize) -> Result<Vec<f32>, Error> {
        self.passes.gradients += 1;
        Ok(self.model.input_gradient(image, label, &mut self.buffer)?.gradient.to_vec())
    }

    /// What starts out from a sample's image.
    fn walk<'i>(&mut self, attack: &Attack, sample: &Sample<'i>, out: &'i mut [f32]) -> Result<Walk<'i>, Error> {
        let &Sample { place, image, label } = sample;
        let classes = self.classes();
        if label >= classes {
            return Err(Error::Class { class: label, classes });
        }
        let seed = stream(attack.seed, Purpose::Start, place, 0);
        let target = match attack.target {
            None => return Ok(Walk::new(image, out, Goal::Away(label), seed)),
            Some(Target::LeastLikely) => return Ok(Walk::toward_least_likely(image, out, label, seed)),
            Some(Target::Random(seed)) => Target::Random(stream(seed, Purpose::Target, place, 0)),
            Some(target @ (Target::Class(_) | Target::Next)) => target,
        };
        let class = with_model!(self.model, model => target.class(model, image, label, &mut self.buffer))?;
        let goal = Goal::Toward(class);
        Ok(Walk::new(image, out, goal, seed))
    }

    fn run(&mut self, attack: impl CoreAttack, walks: &mut [Walk<'_>]) -> Result<(), Error> {
        let len = attack.batch_len(self.model.network(), walks.len());
        if self.buffer.len() < len {
            self.buffer.resize(len, 0.0);
        }
        with_model!(self.model, model => attack.attack_batch(model, walks, self.stop, &mut self.buffer))?;
        for walk in walks {
            self.passes.gradients += walk.gradients();
            self.passes.forward += walk.looks();
        }
        Ok(())
    }

    /// Attacks at most [`PART`] images and writes the adversarial ones to `out`, `[image][pixel]`.
    ///
    /// # Errors
    /// Those of the attack, and [`Error::Stopped`].
    pub(crate) fn attack(
        &mut self,
        attack: &Attack,
        eps: f32,
        samples: &[Sample<'_>],
        out: &mut [f32],
    ) -> Result<Vec<Found>, Error> {
        let pixels = self.pixels();
        let pairs = samples.iter().zip(out.chunks_exact_mut(pixels));
        let walks: Result<Vec<_>, Error> = pairs.map(|(sample, out)| self.walk(attack, sample, out)).collect();
        let mut walks = walks?;
        let attack_at = attack.at(eps);
        match attack_at {
            AttackAt::Steps(attack) => self.run(attack, &mut walks),
            AttackAt::Apgd(attack) => self.run(attack, &mut walks),
            AttackAt::TargetedApgd(attack) => self.run(attack, &mut walks),
            AttackAt::Square(attack) => self.run(attack, &mut walks),
            AttackAt::TargetedSquare(attack) => self.run(attack, &mut walks),
        }?;
        Ok(walks.iter().filter_map(|walk| Some(Found { outcome: walk.outcome()?, starts: walk.starts() })).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::super::classifier::Classifier as _;
    use super::*;
    use crate::bundled;

    /// Beside its gradients an attack looks at its result, and PGD, which never stands at the clean image, at that.
    #[test]
    fn no_pass_is_superfluous() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let mut memory = vec![0.0; weights.memory_len()];
        let model = weights.any_model(&mut memory).unwrap();
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
        let mut memory = vec![0.0; weights.memory_len()];
        let model = weights.any_model(&mut memory).unwrap();
        let sample = Sample { label: 10, ..Sample::of(&data, 0) };
        for attack in [Attack::new(Method::Fgsm), Attack::new(Method::Pgd).towards(Target::LeastLikely)] {
            let error = Attacker::new(&model).attack(&attack, 0.1, &[sample], &mut [0.0; 784]).unwrap_err();
            assert_eq!(error, Error::Class { class: 10, classes: 10 });
        }
    }
}
