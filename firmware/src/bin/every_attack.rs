//! All that [`midge_core::attack`] has, in a program that links only if no panic can be reached.
#![no_std]
#![no_main]

use midge_core::attack::{Bim, Fgsm, MiFgsm, Otcm, Pgd, Target, Targeted};
use midge_core::loss::Loss;

#[path = "../board/panic_free.rs"]
mod panic_free;

use panic_free::OnDevice;

#[cortex_m_rt::entry]
fn main() -> ! {
    panic_free::run(|model, path, adversarial, buffer| {
        let (bim, mi_fgsm) = (Bim::new(0.2), MiFgsm { loss: Loss::Margin, ..MiFgsm::new(0.2) });
        let pgd = Pgd { restarts: 3, loss: Loss::Margin, ..Pgd::new(0.2, 1) };
        Ok([
            OnDevice::attack(&Fgsm { eps: 0.2 }, model, path, adversarial, buffer)?,
            OnDevice::attack(&Otcm { eps: 0.2, target: Target::Class(1) }, model, path, adversarial, buffer)?,
            OnDevice::attack(&bim, model, path, adversarial, buffer)?,
            OnDevice::attack(&mi_fgsm, model, path, adversarial, buffer)?,
            OnDevice::attack(&pgd, model, path, adversarial, buffer)?,
            OnDevice::attack(&Targeted { attack: bim, target: Target::Next }, model, path, adversarial, buffer)?,
            OnDevice::attack(
                &Targeted { attack: mi_fgsm, target: Target::Random(1) },
                model,
                path,
                adversarial,
                buffer,
            )?,
            OnDevice::attack(&Targeted { attack: pgd, target: Target::LeastLikely }, model, path, adversarial, buffer)?,
        ])
    })
}
