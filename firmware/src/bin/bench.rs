//! What the network and the attacks cost on this board; every line is machine-readable.
#![no_std]
#![no_main]

#[cfg(not(own_model))]
use midge_core::Element;
use midge_core::Model;
use midge_core::attack::{Apgd, Bim, Fgsm, MiFgsm, Otcm, Target};
#[cfg(not(own_model))]
use midge_core::attack::{Attack, Square};
use midge_firmware::board;
use midge_firmware::embedded::{self, NETWORK, PIXELS, SAMPLES, SAMPLES_ARE, Weights};
use midge_firmware::measure::{Cost, measure};
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use static_cell::StaticCell;

#[path = "../on_device.rs"]
mod on_device;

use on_device::OnDevice;

type Pixel = <Weights as OnDevice>::Pixel;

/// Everything an attack needs, besides the stack.
struct Buffers {
    real: [f32; PIXELS],
    /// The same as the model's attacks take it.
    image: [Pixel; PIXELS],
    adversarial: [Pixel; PIXELS],
    /// As long as that of any attack.
    work: [f32; WORK_LEN],
}

/// APGD keeps two images, and an attack of integers with momentum two.
const WORK_LEN: usize = if Apgd::len(&NETWORK) > NETWORK.attack_len() + PIXELS {
    Apgd::len(&NETWORK)
} else {
    NETWORK.attack_len() + PIXELS
};

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

const WORK: [&str; 6] = ["forward", "input-gradient", "fgsm", "bim", "mi-fgsm", "otcm"];

/// Whether the clean image is counted among the buffers: one of bytes is read from flash.
const IS_CLEAN_IN_RAM: bool = size_of::<Pixel>() > 1;

/// Does one piece of work; returns what it costs and the bytes of its buffers.
fn once<T: OnDevice<Pixel = Pixel>>(
    model: &Model<'_, T>,
    work: &str,
    label: usize,
    Buffers { real, image, adversarial, work: buffer }: &mut Buffers,
) -> (Cost, usize) {
    // Two steps of a model's grid.
    let eps = model.grid().map_or(0.2, |grid| 2.0 * grid.scale);
    let (fgsm, bim, momentum) = (Fgsm { eps }, Bim::new(eps), MiFgsm::new(eps));
    let otcm = Otcm { eps, target: Target::Next };
    let len = match work {
        "forward" => NETWORK.inference_len(),
        "input-gradient" => NETWORK.gradient_len(),
        "mi-fgsm" => T::buffer_len(&momentum, model),
        _ => T::buffer_len(&fgsm, model),
    };
    let buffer = &mut buffer[..len];
    let path = (&image[..], label);
    let (done, cost) = measure(|| match work {
        "forward" => T::logits(model, image, buffer).is_ok(),
        "input-gradient" => model.input_gradient(real, label, buffer).is_ok(),
        "fgsm" => T::perturb(&fgsm, model, path, adversarial, buffer).is_ok(),
        "bim" => T::attack(&bim, model, path, adversarial, buffer).is_ok(),
        "mi-fgsm" => T::attack(&momentum, model, path, adversarial, buffer).is_ok(),
        _ => T::attack(&otcm, model, path, adversarial, buffer).is_ok(),
    });
    assert!(done, "{}", work);
    let image_bytes = size_of::<Pixel>() * PIXELS;
    let images = match work {
        "forward" => image_bytes,
        "input-gradient" => size_of::<f32>() * PIXELS,
        _ => image_bytes * (1 + usize::from(IS_CLEAN_IN_RAM)),
    };
    (cost, images + size_of::<f32>() * len)
}

fn report<T: OnDevice<Pixel = Pixel>>(model: &Model<'_, T>, dtype: &str, buffers: &mut Buffers) {
    let [low, high] = model.range();
    for work in WORK {
        let (mut ticks, mut stack, mut bytes) = (0, 0, 0);
        for index in 0..SAMPLES {
            let label = embedded::sample(index, &mut buffers.real);
            let (cost, buffer_bytes) = once(model, work, label, read(model, buffers));
            (ticks, stack, bytes) = (ticks + cost.ticks, stack.max(cost.stack), buffer_bytes);
        }
        line(dtype, (work, SAMPLES_ARE), (Cost { ticks: ticks / SAMPLES as u64, stack }, bytes));
        let mut generator = Xoshiro128PlusPlus::seed_from_u64(1);
        for pixel in &mut buffers.real {
            *pixel = low + (high - low) * ((generator.next_u32() >> 8) as f32 / (1 << 24) as f32);
        }
        line(dtype, (work, "dense"), once(model, work, 3 % embedded::CLASSES, read(model, buffers)));
    }
}

/// With the real image as the model's attacks take it.
fn read<'b, T: OnDevice<Pixel = Pixel>>(model: &Model<'_, T>, buffers: &'b mut Buffers) -> &'b mut Buffers {
    buffers.image.iter_mut().zip(&buffers.real).for_each(|(pixel, x)| *pixel = T::pixel(model, *x));
    buffers
}

fn line(dtype: &str, (work, image): (&str, &str), (cost, buffer_bytes): (Cost, usize)) {
    defmt::println!(
        "bench model={} dtype={} work={} image={} {}={} buffer_bytes={} stack_bytes={}",
        embedded::NAME,
        dtype,
        work,
        image,
        board::TICK,
        cost.ticks,
        buffer_bytes,
        cost.stack
    );
}

/// APGD and Square, which take images of floating-point numbers: 10 steps and 20 queries on one digit, so near it that all are
/// needed.
#[cfg(not(own_model))]
fn report_searches<T: Element>(model: &Model<'_, T>, dtype: &str, buffers: &mut Buffers) {
    let label = embedded::sample(0, &mut buffers.real);
    let eps = 0.001;
    let apgd = Apgd { steps: 10, ..Apgd::new(eps, 1) };
    let square = Square { queries: 20, ..Square::new(eps, 1) };
    for (work, len) in [("apgd", apgd.buffer_len(model)), ("square", square.buffer_len(model))] {
        let Buffers { real, adversarial, work: buffer, .. } = &mut *buffers;
        let buffer = &mut buffer[..len];
        let (done, cost) = measure(|| match work {
            "apgd" => apgd.attack(model, real, label, adversarial, buffer),
            _ => square.attack(model, real, label, adversarial, buffer),
        });
        assert!(done.is_ok_and(|outcome| outcome.after.class == label), "{}", work);
        line(dtype, (work, "digit"), (cost, size_of::<f32>() * (2 * PIXELS + len)));
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    // The timer; nothing is shown.
    let _ = board::init();
    let buffers = BUFFERS.init_with(|| Buffers {
        real: [0.0; PIXELS],
        image: [Pixel::default(); PIXELS],
        adversarial: [Pixel::default(); PIXELS],
        work: [0.0; WORK_LEN],
    });
    #[cfg(all(feature = "emulated", not(own_model)))]
    if let Some(model) = embedded::model_f32() {
        report(&model, "f32", buffers);
        report_searches(&model, "f32", buffers);
    }
    report(&embedded::model(0).1, embedded::DTYPE, buffers);
    #[cfg(not(own_model))]
    report_searches(&embedded::model(0).1, embedded::DTYPE, buffers);
    board::exit(0)
}
