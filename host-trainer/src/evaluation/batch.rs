//! Attacks on the images of a data set, several at a time. What becomes of an image does not depend on the others.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::Error;
use midge_core::attack::Outcome;
use rayon::prelude::*;

use super::attack::{Attack, Sample};
use super::attacker::{Attacker, Found, NEVER, PART};
use super::classifier::Classifier;
use crate::data::Dataset;

/// Runs `work` on parts of the images `0..images` on all cores, each with an [`Attacker`] of the model; one result for
/// each image, in order. `progress` counts images.
pub(super) fn for_each_part<R: Send + Clone>(
    model: &dyn Classifier,
    images: usize,
    progress: &ProgressBar,
    work: impl Fn(&mut Attacker<'_, '_>, &[usize]) -> Result<Vec<R>, Error> + Sync + Send,
) -> Result<Vec<R>> {
    for_each_part_until(&NEVER, model, images, progress, work)
}

/// [`for_each_part`], with attackers that give up when `stop` is set: [`Error::Stopped`].
fn for_each_part_until<R: Send + Clone>(
    stop: &AtomicBool,
    model: &dyn Classifier,
    images: usize,
    progress: &ProgressBar,
    work: impl Fn(&mut Attacker<'_, '_>, &[usize]) -> Result<Vec<R>, Error> + Sync + Send,
) -> Result<Vec<R>> {
    let mut memory = vec![0.0; model.memory_len()];
    let model = model.any_model(&mut memory)?;
    let all: Vec<usize> = (0..images).collect();
    in_parts(
        &all,
        || Attacker::until(stop, &model),
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
    /// The class predicted for the adversarial image rounded to 8 bits, which is that image itself on a model's grid.
    pub class_8_bits: usize,
    /// The adversarial image.
    pub adversarial: Vec<f32>,
}

/// One attack on the images of a data set.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The model.
    pub model: &'a dyn Classifier,
    /// The images.
    pub data: &'a Dataset,
    /// The classes that the attack walks away from, one for each image.
    pub labels: &'a [usize],
    /// The attack.
    pub attack: Attack,
    /// Largest change of a pixel.
    pub eps: f32,
}

impl Job<'_> {
    /// What becomes of each image, in order; `None` if `stop` was set before the end.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn run(&self, stop: &AtomicBool, progress: &ProgressBar) -> Result<Option<Vec<Attacked>>> {
        let work = |attacker: &mut Attacker<'_, '_>, part: &[usize]| self.attack(attacker, part);
        match for_each_part_until(stop, self.model, self.labels.len(), progress, work) {
            Err(error) if error.downcast_ref() == Some(&Error::Stopped) => Ok(None),
            result => Ok(Some(result?)),
        }
    }

    fn attack(&self, attacker: &mut Attacker<'_, '_>, part: &[usize]) -> Result<Vec<Attacked>, Error> {
        let sample = |index: &usize| Sample { label: self.labels[*index], ..Sample::of(self.data, *index) };
        let samples: Vec<_> = part.iter().map(sample).collect();
        let pixels = attacker.pixels();
        let mut out = vec![0.0; part.len() * pixels];
        let found = attacker.attack(&self.attack, self.eps, &samples, &mut out)?;
        let classes = if attacker.levels().are_integers() {
            found.iter().map(|found| found.outcome.after.class).collect()
        } else {
            self.read_8_bits(attacker, &samples, &out)?
        };
        let attacked = |((found, class_8_bits), out): ((Found, usize), &[f32])| Attacked {
            outcome: found.outcome,
            class_8_bits,
            adversarial: out.to_vec(),
        };
        Ok(found.into_iter().zip(classes).zip(out.chunks(pixels)).map(attacked).collect())
    }

    /// The classes read in the images `out` rounded to 8 bits.
    fn read_8_bits(
        &self,
        attacker: &mut Attacker<'_, '_>,
        samples: &[Sample<'_>],
        out: &[f32],
    ) -> Result<Vec<usize>, Error> {
        let (levels, pixels) = (attacker.levels(), attacker.pixels());
        let pairs = out.iter().zip(samples.iter().flat_map(|sample| sample.image));
        let rounded: Vec<f32> = pairs.map(|(x, clean)| levels.to_8_bits(*x, *clean, self.eps)).collect();
        attacker.read(samples.len(), |i| &rounded[i * pixels..][..pixels])
    }
}

/// [`Job::run`] to the end.
///
/// # Errors
/// Those of the attack.
pub fn attack_all(
    model: &dyn Classifier,
    data: &Dataset,
    labels: &[usize],
    attack: Attack,
    eps: f32,
    progress: &ProgressBar,
) -> Result<Vec<Attacked>> {
    let job = Job { model, data, labels, attack, eps };
    Ok(job.run(&NEVER, progress)?.unwrap_or_default())
}

/// The class that the model reads in each image.
///
/// # Errors
/// If logits overflow.
pub fn read(model: &dyn Classifier, data: &Dataset, progress: &ProgressBar) -> Result<Vec<usize>> {
    for_each_part(model, data.len(), progress, |attacker, part| attacker.read(part.len(), |i| data.image(part[i])))
}

/// The logits of `images` images, `[image][class]`.
///
/// # Errors
/// If logits overflow.
pub fn logits<'i>(
    model: &dyn Classifier,
    images: usize,
    image: impl Fn(usize) -> &'i [f32] + Sync + Send,
    progress: &ProgressBar,
) -> Result<Vec<f32>> {
    let logits = for_each_part(model, images, progress, |attacker, part| {
        let classes = attacker.classes();
        let logits = attacker.logits(part.len(), |i| image(part[i]))?;
        Ok(logits.chunks(classes).map(<[f32]>::to_vec).collect())
    })?;
    Ok(logits.concat())
}

/// The gradient of the cross-entropy at each image's label with respect to the image.
///
/// # Errors
/// If logits or a gradient overflow.
pub fn input_gradients(model: &dyn Classifier, data: &Dataset, progress: &ProgressBar) -> Result<Vec<Vec<f32>>> {
    for_each_part(model, data.len(), progress, |attacker, part| {
        part.iter().map(|index| attacker.input_gradient(data.image(*index), data.label(*index))).collect()
    })
}

#[cfg(test)]
mod tests {
    use midge_core::Model;
    use midge_core::attack::{Attack as _, Target};
    use midge_core::loss::Loss;

    use super::super::Method;
    use super::super::attack::AttackAt;
    use super::super::attacker::Passes;
    use super::super::classifier::AnyModel;
    use super::*;
    use crate::bundled;

    /// One image by itself, with the core's attack.
    fn alone(model: &Model<'_, f32>, attack: &Attack, eps: f32, sample: Sample<'_>) -> (Outcome, Vec<f32>) {
        let Sample { image, place, label } = sample;
        let mut out = vec![0.0; image.len()];
        let mut buffer = vec![0.0; model.attack_len() + 3 * image.len()];
        let outcome = match attack.at_place(eps, place) {
            AttackAt::Steps(attack) => attack.attack(model, image, label, &mut out, &mut buffer),
            AttackAt::Apgd(attack) => attack.attack(model, image, label, &mut out, &mut buffer),
            AttackAt::TargetedApgd(attack) => attack.attack(model, image, label, &mut out, &mut buffer),
            AttackAt::Square(attack) => attack.attack(model, image, label, &mut out, &mut buffer),
            AttackAt::TargetedSquare(attack) => attack.attack(model, image, label, &mut out, &mut buffer),
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
        let apgd = Attack { steps: 9, seed: 5, ..Attack::new(Method::Apgd) };
        let square = Attack { steps: 20, seed: 5, ..Attack::new(Method::Square) };
        let attacks = [
            Attack::new(Method::Fgsm),
            Attack { loss: Loss::Margin, ..Attack::new(Method::Bim) },
            mi_fgsm,
            pgd,
            apgd,
            square,
        ];
        let targets = [None, Some(Target::Next), Some(Target::LeastLikely), Some(Target::Random(3))];
        let (mut fell, mut stood) = (0, 0);
        for (attack, target) in attacks.into_iter().flat_map(|attack| targets.map(|target| (attack, target))) {
            let attack = Attack { target, ..attack };
            let found = attack_all(&weights, &data, &labels, attack, 0.1, &ProgressBar::hidden()).unwrap();
            for (index, found) in found.iter().enumerate() {
                let sample = Sample { place: index, image: data.image(index), label: labels[index] };
                let (outcome, adversarial) = alone(&model, &attack, 0.1, sample);
                assert_eq!(found.outcome, outcome, "{} {target:?} {index}", attack.name());
                assert!(found.adversarial == adversarial, "{} {target:?} {index}", attack.name());
                *(if outcome.after.class == labels[index] { &mut stood } else { &mut fell }) += 1;
            }
        }
        assert!(fell > 0 && stood > 0, "{fell} {stood}");
    }

    /// The gradient's forward pass is at the clean image; the others look at the result, in floats and in 8 bits.
    #[test]
    fn fgsm_takes_three_forward_passes() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let model = AnyModel::Float(Box::new(model));
        let mut attacker = Attacker::new(&model);
        let labels = [data.label(0), data.label(1)];
        let job = Job { model: &weights, data: &data, labels: &labels, attack: Attack::new(Method::Fgsm), eps: 0.1 };
        job.attack(&mut attacker, &[0, 1]).unwrap();
        assert_eq!(attacker.take_passes(), Passes { forward: 2 * 2, gradients: 2 });
    }

    #[test]
    fn an_attack_that_is_stopped_has_no_result() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let labels = [data.label(0)];
        let job = Job { model: &weights, data: &data, labels: &labels, attack: Attack::new(Method::Fgsm), eps: 0.1 };
        assert!(job.run(&AtomicBool::new(true), &ProgressBar::hidden()).unwrap().is_none());
        assert_eq!(job.run(&NEVER, &ProgressBar::hidden()).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn an_attack_without_a_start_is_an_error() {
        let (weights, data) = (bundled::model("plain").unwrap().unwrap(), bundled::digits().unwrap());
        let attack = Attack { restarts: 0, ..Attack::new(Method::Pgd) };
        assert!(attack_all(&weights, &data, &[data.label(0)], attack, 0.1, &ProgressBar::hidden()).is_err());
    }
}
