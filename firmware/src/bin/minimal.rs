//! Classification and the lecture's three attacks and nothing else, not even a log: what of midge lands in flash. It
//! links only if no panic can be reached.
#![no_std]
#![no_main]

use midge_core::attack::{Attack, Fgsm, MiFgsm, Otcm, Target};

#[path = "../board/panic_free.rs"]
mod panic_free;

#[cortex_m_rt::entry]
fn main() -> ! {
    panic_free::run(|model, image, label, adversarial, buffer| {
        Ok([
            Fgsm { eps: 0.2 }.attack(model, image, label, adversarial, buffer)?,
            MiFgsm::new(0.2).attack(model, image, label, adversarial, buffer)?,
            Otcm { eps: 0.2, target: Target::LeastLikely }.attack(model, image, label, adversarial, buffer)?,
        ])
    })
}
