//! The attacks of the self-test: the device runs them, and so does the host, which includes this file.

use midge_core::attack::{Apgd, Attack, Bim, Fgsm, MiFgsm, Otcm, Outcome, Pgd, Square, Target, Targeted};
use midge_core::loss::Loss;
use midge_core::{Element, Error, Model};

/// Largest change of a pixel of the model's range, or of two steps of its grid.
fn eps<T: Element>(model: &Model<'_, T>) -> f32 {
    model.grid().map_or(0.2, |grid| 2.0 * grid.scale)
}

/// Number of attacks.
pub(crate) const COUNT: usize = 8;

/// Runs one of them. Except for MI-FGSM they are short: an emulator has to keep up.
pub(crate) fn run<T: Element>(
    attack: usize,
    model: &Model<'_, T>,
    (image, label): (&[f32], usize),
    out: &mut [f32],
    buffer: &mut [f32],
) -> Result<Outcome, Error> {
    let eps = eps(model);
    match attack {
        0 => Fgsm { eps }.attack(model, image, label, out, buffer),
        1 => MiFgsm::new(eps).attack(model, image, label, out, buffer),
        2 => Otcm { eps, target: Target::Next }.attack(model, image, label, out, buffer),
        3 => Bim { loss: Loss::Margin, ..Bim::with_steps(eps, 2) }.attack(model, image, label, out, buffer),
        4 => Pgd { restarts: 2, ..Pgd::with_steps(eps, 1, 1) }.attack(model, image, label, out, buffer),
        5 => {
            let attack = MiFgsm::with_steps(eps, 2);
            Targeted { attack, target: Target::LeastLikely }.attack(model, image, label, out, buffer)
        }
        // Far enough for a checkpoint after which the step is halved.
        6 => Apgd { steps: 6, ..Apgd::new(eps, 1) }.attack(model, image, label, out, buffer),
        _ => Square { queries: 12, ..Square::new(eps, 1) }.attack(model, image, label, out, buffer),
    }
}
