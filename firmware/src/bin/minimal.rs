//! Classification and the three attacks and nothing else, not even a log: what of midge lands in flash. It links only
//! if no panic can be reached.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use midge_core::attack::{Fgsm, MiFgsm, Otcm, Outcome, Target};
use midge_core::{Error, MNIST_CNN, Model, f16};

#[path = "../board/interrupts.rs"]
mod interrupts;

const PIXELS: usize = MNIST_CNN.input().len();

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

/// Not counted as code.
static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../host-trainer/assets/plain.safetensors"));

fn all(image: &[f32], adversarial: &mut [f32], buffer: &mut [f32]) -> Result<[Outcome; 3], Error> {
    // A model that cannot be read has no gradient; there is nobody to tell.
    let model = Model::<f16>::from_safetensors(&MNIST_CNN, &MODEL.0);
    let Ok(model) = &model else { return Err(Error::NoSteps) };
    let label = model.classify(image, buffer)?.class;
    Ok([
        Fgsm { eps: 0.2 }.attack(model, image, label, adversarial, buffer)?,
        MiFgsm::new(0.2).attack(model, image, label, adversarial, buffer)?,
        Otcm { eps: 0.2, target: Target::LeastLikely }.attack(model, image, label, adversarial, buffer)?,
    ])
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let image = [0.0; PIXELS];
    let mut adversarial = [0.0; PIXELS];
    let mut buffer = [0.0; MNIST_CNN.attack_len()];
    let outcome = all(black_box(&image), black_box(&mut adversarial), black_box(&mut buffer));
    black_box(outcome.is_ok());
    loop {
        cortex_m::asm::wfi();
    }
}

unsafe extern "C" {
    /// Defined nowhere: whoever can reach a panic does not link.
    safe fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    a_panic_can_be_reached()
}
