//! Classification and the lecture's three attacks and nothing else, not even a log: what of midge lands in flash. It
//! links only if no panic can be reached.
#![no_std]
#![no_main]

use midge_core::attack::{Fgsm, MiFgsm, Otcm, Target};

#[path = "../board/panic_free.rs"]
mod panic_free;

use panic_free::OnDevice;

#[cortex_m_rt::entry]
fn main() -> ! {
    panic_free::run(|model, path, adversarial, buffer| {
        Ok([
            OnDevice::attack(&Fgsm { eps: 0.2 }, model, path, adversarial, buffer)?,
            OnDevice::attack(&MiFgsm::new(0.2), model, path, adversarial, buffer)?,
            OnDevice::attack(&Otcm { eps: 0.2, target: Target::LeastLikely }, model, path, adversarial, buffer)?,
        ])
    })
}
