//! The attack of a board that keeps images as integers, on the host: the same to the bit.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::{Attack as _, Outcome};
use midge_core::{Error, Grid, Model};
use rayon::prelude::*;

use super::plan::Plan;
use crate::evaluation::Attacked;
use crate::quantised::Int8Weights;

/// What becomes of each image, in order; `None` if `stop` was set before the end.
pub(super) fn attack(
    weights: &Int8Weights,
    plan: &Plan<'_>,
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Option<Vec<Attacked>>> {
    let model = weights.model()?;
    let grid = model.image_grid();
    let pixels = model.network().input().len();
    let memory = || (vec![0; pixels], vec![0; pixels], Vec::new());
    let one = |(image, adversarial, buffer): &mut (Vec<i8>, Vec<i8>, Vec<f32>), index: usize| {
        image.iter_mut().zip(plan.data.image(index)).for_each(|(to, x)| *to = grid.round(*x));
        let outcome = attack_one(&model, plan, index, (image, adversarial), (buffer, stop))?;
        progress.inc(1);
        Ok(attacked(outcome, adversarial, grid))
    };
    let all: Result<Vec<Attacked>, Error> = (0..plan.data.len()).into_par_iter().map_init(memory, one).collect();
    match all {
        Err(Error::Stopped) => Ok(None),
        all => Ok(Some(all?)),
    }
}

fn attack_one(
    model: &Model<'_, i8>,
    plan: &Plan<'_>,
    index: usize,
    (image, adversarial): (&[i8], &mut [i8]),
    (buffer, stop): (&mut Vec<f32>, &AtomicBool),
) -> Result<Outcome, Error> {
    // Boards run attacks that are made of steps, and no others are planned.
    let attack = plan.attack.at_place(plan.eps, plan.data.places[index]).steps().ok_or(Error::NoSteps)?;
    buffer.resize(attack.integers_buffer_len(model), 0.0);
    let go_on = &mut || !stop.load(Ordering::Relaxed);
    attack.attack_integers_while(model, (image, plan.labels[index]), adversarial, buffer, go_on)
}

fn attacked(outcome: Outcome, adversarial: &[i8], grid: Grid) -> Attacked {
    let adversarial = adversarial.iter().map(|x| grid.value(*x)).collect();
    Attacked { outcome, class_8_bits: outcome.after.class, adversarial }
}
