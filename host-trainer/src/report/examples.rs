//! The same images under the same attacks for every model.

use std::collections::BTreeMap;

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::{Prediction, Target};

use super::settings::{Settings, Subject};
use crate::data::Dataset;
use crate::evaluation::robust::read_correctly;
use crate::evaluation::{Attack, Attacked, Method, attack_all};
use crate::picture::{Example, View};
use crate::weights::Weights;

/// Images of each attack.
const EACH: usize = 2;

/// The attacks of the examples.
fn attacks(settings: &Settings, classes: usize) -> Vec<Attack> {
    let pgd = settings.pgd();
    let mut attacks = vec![Attack::new(Method::Fgsm), Attack::new(Method::MiFgsm), pgd];
    if classes > 1 {
        attacks.push(pgd.towards(Target::Next));
    }
    attacks
}

/// The first images that all models read correctly, as many as there are examples, of as many classes as possible. What
/// the attacks do to them has no say.
///
/// # Errors
/// If logits overflow.
pub fn choose(subjects: &[Subject], data: &Dataset) -> Result<Vec<usize>> {
    let mut right = vec![true; data.len()];
    for subject in subjects {
        let read = read_correctly(&subject.weights, data, &ProgressBar::hidden())?;
        right.iter_mut().zip(read).for_each(|(all, this)| *all &= this);
    }
    // The n-th image of its class comes after the first n - 1 of all classes, and misread ones come last.
    let mut seen = BTreeMap::new();
    let rank = |i: usize| {
        let count: &mut usize = seen.entry(data.label(i)).or_default();
        *count += usize::from(right[i]);
        (!right[i], *count, i)
    };
    let mut ranks: Vec<_> = (0..data.len()).map(rank).collect();
    ranks.sort_unstable();
    Ok(ranks.into_iter().map(|(.., i)| i).take(4 * EACH).collect())
}

/// Attacks the chosen images, the first ones by the first attack.
///
/// # Errors
/// Those of the attacks.
pub fn attack(weights: &Weights, data: &Dataset, chosen: &[usize], settings: &Settings) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for (attack, chosen) in attacks(settings, weights.network.classes()).into_iter().zip(chosen.chunks(EACH)) {
        let data = data.subset(chosen.iter().copied());
        let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
        let eps = settings.robust_eps;
        let attacked = attack_all(weights, &data, &labels, attack, eps, &ProgressBar::hidden())?;
        examples.extend(attacked.iter().enumerate().map(|(i, attacked)| example(&attack, eps, &data, i, attacked)));
    }
    Ok(examples)
}

/// What an attack did to image `i` of `data`, to be shown.
pub(crate) fn example(attack: &Attack, eps: f32, data: &Dataset, i: usize, attacked: &Attacked) -> Example {
    let view =
        |pixels: &[f32], Prediction { class, confidence, .. }| View { pixels: pixels.to_vec(), class, confidence };
    Example {
        attack: attack.name().to_string(),
        eps,
        shape: data.shape,
        label: data.label(i),
        target: attacked.outcome.target,
        clean: view(data.image(i), attacked.outcome.before),
        adversarial: view(&attacked.adversarial, attacked.outcome.after),
    }
}
