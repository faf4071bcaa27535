//! All that [`midge_core::attack`] has, in a program that links only if no panic can be reached.
#![no_std]
#![no_main]

use midge_core::attack::{Attack, Bim, Fgsm, MiFgsm, Otcm, Pgd, Target, Targeted};
use midge_core::loss::Loss;

#[path = "../board/panic_free.rs"]
mod panic_free;

#[cortex_m_rt::entry]
fn main() -> ! {
    panic_free::run(|model, image, label, adversarial, buffer| {
        let (bim, mi_fgsm) = (Bim::new(0.2), MiFgsm { loss: Loss::Margin, ..MiFgsm::new(0.2) });
        let pgd = Pgd { restarts: 3, loss: Loss::Margin, ..Pgd::new(0.2, 1) };
        Ok([
            Fgsm { eps: 0.2 }.attack(model, image, label, adversarial, buffer)?,
            Otcm { eps: 0.2, target: Target::Class(1) }.attack(model, image, label, adversarial, buffer)?,
            bim.attack(model, image, label, adversarial, buffer)?,
            mi_fgsm.attack(model, image, label, adversarial, buffer)?,
            pgd.attack(model, image, label, adversarial, buffer)?,
            Targeted { attack: bim, target: Target::Next }.attack(model, image, label, adversarial, buffer)?,
            Targeted { attack: mi_fgsm, target: Target::Random(1) }.attack(model, image, label, adversarial, buffer)?,
            Targeted { attack: pgd, target: Target::LeastLikely }.attack(model, image, label, adversarial, buffer)?,
        ])
    })
}
