//! The frame of a program that links only if it cannot panic; it has no log either.

use core::hint::black_box;
use core::panic::PanicInfo;

use midge_core::attack::Outcome;
use midge_core::loss::argmax;
use midge_core::{Error, Model};

#[path = "interrupts.rs"]
mod interrupts;
#[path = "../on_device.rs"]
#[allow(dead_code, reason = "what a benchmark needs")]
mod on_device;

pub(crate) use on_device::OnDevice;

/// The plain model, or that of `MIDGE_MODEL`. Its file is not counted as code.
#[cfg(not(own_model))]
mod embedded {
    use midge_core::{Aligned, Chain, MNIST_CNN, Network, f16};

    pub(crate) const NETWORK: Network = MNIST_CNN;
    pub(crate) type Weights = Chain<f16>;
    pub(crate) static MODEL: &Aligned<[u8]> =
        &Aligned(*include_bytes!("../../../host-trainer/assets/plain.safetensors"));
}
#[cfg(own_model)]
#[allow(dead_code, reason = "the images are not used")]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/own_model.rs"));
    pub(crate) static MODEL: &midge_core::Aligned<[u8]> =
        &midge_core::Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/own_model.safetensors")));
}
pub(crate) use embedded::{NETWORK, Weights};

const PIXELS: usize = NETWORK.input().len();

/// A pixel as the attacks of the model take it.
pub(crate) type Pixel = <Weights as OnDevice>::Pixel;

/// Reads the model, classifies an image, attacks it and sleeps. The attacks get model, image and label, the adversarial image to write
/// and a buffer.
pub(crate) fn run<const N: usize>(
    attacks: impl Fn(&Model<'_, Weights>, (&[Pixel], usize), &mut [Pixel], &mut [f32]) -> Result<[Outcome; N], Error>,
) -> ! {
    let all = |image: &[Pixel], adversarial: &mut [Pixel], buffer: &mut [f32]| {
        // A model that cannot be read has no gradient; there is nobody to tell.
        let model = Model::<Weights>::from_safetensors(&NETWORK, &embedded::MODEL.0);
        let Ok(model) = &model else { return Err(Error::NoSteps) };
        let logits = OnDevice::logits(model, image, buffer)?;
        let label = argmax(logits);
        attacks(model, (image, label), adversarial, buffer)
    };
    let image = [Pixel::default(); PIXELS];
    let mut adversarial = [Pixel::default(); PIXELS];
    let mut buffer = [0.0; NETWORK.attack_len() + PIXELS];
    let outcomes = all(black_box(&image), black_box(&mut adversarial), black_box(&mut buffer));
    black_box(outcomes.is_ok());
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
