//! The same images under the same attacks for every model.

use std::collections::BTreeMap;

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::{Prediction, Target};

use super::settings::{Settings, Subject};
use crate::data::Dataset;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::robust::read_correctly;
use crate::evaluation::{Attack, Attacked, Method, attack_all};
use crate::picture::{Example, View};

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
pub fn choose(subjects: &[Subject]) -> Result<Vec<usize>> {
    let Some(Subject { data, .. }) = subjects.first() else { return Ok(Vec::new()) };
    let mut right = vec![true; data.len()];
    for subject in subjects {
        let read = read_correctly(&subject.weights, &subject.data, &ProgressBar::hidden())?;
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

/// Attacks the chosen images, the first ones by the first attack. What is no picture is not shown.
///
/// # Errors
/// Those of the attacks.
pub fn attack(subject: &Subject, chosen: &[usize], settings: &Settings) -> Result<Vec<Example>> {
    let Subject { weights, data, .. } = subject;
    let mut examples = Vec::new();
    if !is_picture(picture_shape(data.shape)) {
        return Ok(examples);
    }
    for (attack, chosen) in attacks(settings, weights.network().classes()).into_iter().zip(chosen.chunks(EACH)) {
        let data = data.subset(chosen.iter().copied());
        let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
        let eps = settings.robust_eps;
        let attacked = attack_all(weights, &data, &labels, attack, eps, &ProgressBar::hidden())?;
        examples.extend(attacked.iter().enumerate().map(|(i, attacked)| example(&attack, eps, &data, i, attacked)));
    }
    Ok(examples)
}

/// How images of a shape are drawn: a sequence of vectors, such as a sound, as a map of time and element.
fn picture_shape(shape: [usize; 3]) -> [usize; 3] {
    match shape {
        [time, 1, elements] | [1, time, elements] if elements > 3 => [time, elements, 1],
        _ => shape,
    }
}

/// Whether there is something to see in both directions.
fn is_picture([height, width, _]: [usize; 3]) -> bool {
    height > 1 && width > 1
}

/// What an attack did to image `i` of `data`, to be shown.
pub(crate) fn example(attack: &Attack, eps: f32, data: &Dataset, i: usize, attacked: &Attacked) -> Example {
    let view =
        |pixels: &[f32], Prediction { class, confidence, .. }| View { pixels: pixels.to_vec(), class, confidence };
    Example {
        attack: attack.name().to_string(),
        eps,
        shape: picture_shape(data.shape),
        label: data.label(i),
        target: attacked.outcome.target,
        clean: view(data.image(i), attacked.outcome.before),
        adversarial: view(&attacked.adversarial, attacked.outcome.after),
        classes: data.classes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_are_drawn_as_maps_and_vectors_are_not() {
        for (shape, drawn) in [
            ([28, 28, 1], Some([28, 28, 1])),
            ([49, 10, 1], Some([49, 10, 1])),
            ([30, 1, 40], Some([30, 40, 1])),
            ([1, 30, 40], Some([30, 40, 1])),
            ([1, 1, 640], None),
            ([640, 1, 1], None),
        ] {
            let found = picture_shape(shape);
            assert_eq!(is_picture(found).then_some(found), drawn, "{shape:?}");
        }
    }
}
