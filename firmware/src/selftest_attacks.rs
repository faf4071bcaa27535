//! The attacks of the self-test: the device runs them, and so does the host, which includes this file.

use midge_core::attack::{Attack, Bim, Fgsm, MiFgsm, Otcm, Outcome, Pgd, Target, Targeted};
use midge_core::loss::Loss;
use midge_core::{Element, Error, Model};

/// Largest change of a pixel.
const EPS: f32 = 0.2;

/// Number of attacks.
pub(crate) const COUNT: usize = 6;

/// Runs one of them. Except for MI-FGSM they are short: an emulator has to keep up.
pub(crate) fn run<T: Element>(
    attack: usize,
    model: &Model<'_, T>,
    (image, label): (&[f32], usize),
    out: &mut [f32],
    buffer: &mut [f32],
) -> Result<Outcome, Error> {
    match attack {
        0 => Fgsm { eps: EPS }.attack(model, image, label, out, buffer),
        1 => MiFgsm::new(EPS).attack(model, image, label, out, buffer),
        2 => Otcm { eps: EPS, target: Target::Next }.attack(model, image, label, out, buffer),
        3 => Bim { loss: Loss::Margin, ..Bim::with_steps(EPS, 2) }.attack(model, image, label, out, buffer),
        4 => Pgd { restarts: 2, ..Pgd::with_steps(EPS, 1, 1) }.attack(model, image, label, out, buffer),
        _ => {
            let attack = MiFgsm::with_steps(EPS, 2);
            Targeted { attack, target: Target::LeastLikely }.attack(model, image, label, out, buffer)
        }
    }
}
