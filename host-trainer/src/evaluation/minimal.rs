//! The smallest eps that fools a model, for each image, by an ascending grid.
//!
//! Every grid point is a whole attack. Bisection would save most of them, but success is not monotonic in eps: it would
//! find some eps that works, not the smallest.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::Error;
use serde::Serialize;

use super::attack::{Attack, Sample, is_fooled};
use super::attacker::{Attacker, Found};
use super::batch::for_each_part;
use super::classifier::Classifier;
use crate::data::Dataset;

/// What the search found for one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MinimalEps {
    /// Place in the whole data set.
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The class read without an attack; if that is wrong, nothing was searched.
    pub clean_class: usize,
    /// The smallest eps of the grid that fools the model; `None` if none does.
    pub eps: Option<f32>,
    /// The class read there.
    pub class: Option<usize>,
}

impl MinimalEps {
    /// Whether the image is read correctly without an attack.
    pub fn is_correct(&self) -> bool {
        self.clean_class == self.label
    }
}

/// Searches the ascending `grid` for every image that is read correctly.
///
/// # Errors
/// Those of the attack.
pub fn minimal_eps(
    model: &dyn Classifier,
    data: &Dataset,
    attack: Attack,
    grid: &[f32],
    progress: &ProgressBar,
) -> Result<Vec<MinimalEps>> {
    for_each_part(model, data.len(), progress, |attacker, part| search(attacker, data, attack, grid, part))
}

fn search(
    attacker: &mut Attacker<'_, '_>,
    data: &Dataset,
    attack: Attack,
    grid: &[f32],
    part: &[usize],
) -> Result<Vec<MinimalEps>, Error> {
    let clean = attacker.read(part.len(), |i| data.image(part[i]))?;
    let start = |(index, clean_class): (&usize, usize)| MinimalEps {
        index: data.places[*index],
        label: data.label(*index),
        clean_class,
        eps: None,
        class: None,
    };
    let mut all: Vec<MinimalEps> = part.iter().zip(clean).map(start).collect();
    let mut out = vec![0.0; part.len() * attacker.pixels()];
    for &eps in grid {
        let images = all.iter_mut().zip(part);
        let (mut standing, samples): (Vec<_>, Vec<_>) = images
            .filter(|(image, _)| image.is_correct() && image.eps.is_none())
            .map(|(image, index)| (image, Sample::of(data, *index)))
            .unzip();
        let out = &mut out[..samples.len() * attacker.pixels()];
        for (image, Found { outcome, .. }) in standing.iter_mut().zip(attacker.attack(&attack, eps, &samples, out)?) {
            if is_fooled(outcome.after.class, image.label, outcome.target) {
                (image.eps, image.class) = (Some(eps), Some(outcome.after.class));
            }
        }
    }
    Ok(all)
}

/// The value below which the part `q` of the correctly read images is fooled; `None` if it lies beyond the grid or no
/// image is read correctly.
pub fn quantile(found: &[MinimalEps], q: f64) -> Option<f32> {
    let searched = found.iter().filter(|image| image.is_correct());
    let mut eps: Vec<f32> = searched.map(|image| image.eps.unwrap_or(f32::INFINITY)).collect();
    eps.sort_by(f32::total_cmp);
    let rank = (q * eps.len() as f64).ceil() as usize;
    eps.get(rank.max(1) - 1).copied().filter(|eps| eps.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_never_fooled_count_as_infinitely_far() {
        let image = |eps| MinimalEps { index: 0, label: 1, clean_class: 1, eps, class: None };
        let mut found = vec![image(None), image(Some(0.3)), image(Some(0.1)), image(Some(0.2))];
        // Read wrongly without an attack: not searched, not counted.
        found.push(MinimalEps { clean_class: 0, ..image(None) });
        assert_eq!([0.25, 0.5, 0.75, 1.0].map(|q| quantile(&found, q)), [Some(0.1), Some(0.2), Some(0.3), None]);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
