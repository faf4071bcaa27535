//! What the network and the attacks cost on this board; every line is machine-readable.
#![no_std]
#![no_main]

use midge_core::attack::{Attack, Bim, Fgsm, MiFgsm, Otcm, Target};
use midge_core::{Chain, Element, Model, f16};
use midge_firmware::board;
use midge_firmware::embedded::{self, NETWORK, PIXELS, SAMPLES, SAMPLES_ARE};
use midge_firmware::measure::{Cost, measure};
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use static_cell::StaticCell;

/// Everything an attack needs, besides the stack.
struct Buffers {
    image: [f32; PIXELS],
    adversarial: [f32; PIXELS],
    /// The image of a model of integers, as it classifies it.
    integers: [i8; PIXELS],
    work: [f32; NETWORK.attack_len()],
}

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

/// The work to measure and the bytes of the buffers it needs, but for the image of a forward pass.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    buffers: usize,
}

/// A forward pass from an image that takes as little memory as the type of weights allows.
trait Forward: Element {
    /// Bytes of a pixel.
    const PIXEL: usize = size_of::<f32>();

    /// What it costs, if it is done.
    fn forward(model: &Model<'_, Self>, Buffers { image, work, .. }: &mut Buffers) -> (bool, Cost) {
        measure(|| model.logits(image, work).is_ok())
    }
}

impl Forward for f32 {}
impl Forward for f16 {}
impl Forward for Chain<f32> {}
impl Forward for Chain<f16> {}

impl Forward for i8 {
    const PIXEL: usize = size_of::<i8>();

    fn forward(model: &Model<'_, Self>, Buffers { image, integers, work, .. }: &mut Buffers) -> (bool, Cost) {
        if let Some(grid) = model.grid() {
            integers.iter_mut().zip(image).for_each(|(integer, x)| *integer = grid.round(*x));
        }
        measure(|| model.logits_of_integers(integers, work).is_ok())
    }
}

const IMAGE_BYTES: usize = 4 * PIXELS;
const WORK: [Work; 6] = [
    Work { name: "forward", buffers: 4 * NETWORK.inference_len() },
    Work { name: "input-gradient", buffers: IMAGE_BYTES + 4 * NETWORK.gradient_len() },
    Work { name: "fgsm", buffers: 2 * IMAGE_BYTES + 4 * NETWORK.gradient_len() },
    Work { name: "bim", buffers: 2 * IMAGE_BYTES + 4 * NETWORK.gradient_len() },
    Work { name: "mi-fgsm", buffers: 2 * IMAGE_BYTES + 4 * NETWORK.attack_len() },
    Work { name: "otcm", buffers: 2 * IMAGE_BYTES + 4 * NETWORK.gradient_len() },
];

fn once<T: Forward>(model: &Model<'_, T>, work: Work, label: usize, buffers: &mut Buffers) -> Cost {
    if work.name == "forward" {
        let (done, cost) = <T as Forward>::forward(model, buffers);
        assert!(done, "forward");
        return cost;
    }
    let Buffers { image, adversarial, work: buffer, .. } = buffers;
    // Two steps of a model's grid.
    let eps = model.grid().map_or(0.2, |grid| 2.0 * grid.scale);
    let (done, cost) = measure(|| match work.name {
        "input-gradient" => model.input_gradient(image, label, buffer).is_ok(),
        "fgsm" => Fgsm { eps }.perturb(model, image, label, adversarial, buffer).is_ok(),
        "bim" => Bim::new(eps).attack(model, image, label, adversarial, buffer).is_ok(),
        "mi-fgsm" => MiFgsm::new(eps).attack(model, image, label, adversarial, buffer).is_ok(),
        _ => Otcm { eps, target: Target::Next }.attack(model, image, label, adversarial, buffer).is_ok(),
    });
    assert!(done, "{}", work.name);
    cost
}

fn report<T: Forward>(model: &Model<'_, T>, dtype: &str, buffers: &mut Buffers) {
    let [low, high] = model.range();
    for mut work in WORK {
        if work.name == "forward" {
            work.buffers += T::PIXEL * PIXELS;
        }
        let (mut ticks, mut stack) = (0, 0);
        for index in 0..SAMPLES {
            let label = embedded::sample(index, &mut buffers.image);
            let cost = once(model, work, label, buffers);
            (ticks, stack) = (ticks + cost.ticks, stack.max(cost.stack));
        }
        line(dtype, work, SAMPLES_ARE, Cost { ticks: ticks / SAMPLES as u64, stack });
        let mut generator = Xoshiro128PlusPlus::seed_from_u64(1);
        for pixel in &mut buffers.image {
            *pixel = low + (high - low) * ((generator.next_u32() >> 8) as f32 / (1 << 24) as f32);
        }
        line(dtype, work, "dense", once(model, work, 3 % embedded::CLASSES, buffers));
    }
}

fn line(dtype: &str, Work { name, buffers }: Work, image: &str, cost: Cost) {
    defmt::println!(
        "bench model={} dtype={} work={} image={} {}={} buffer_bytes={} stack_bytes={}",
        embedded::NAME,
        dtype,
        name,
        image,
        board::TICK,
        cost.ticks,
        buffers,
        cost.stack
    );
}

#[cortex_m_rt::entry]
fn main() -> ! {
    // The timer; nothing is shown.
    let _ = board::init();
    let buffers = BUFFERS.init_with(|| Buffers {
        image: [0.0; PIXELS],
        adversarial: [0.0; PIXELS],
        integers: [0; PIXELS],
        work: [0.0; NETWORK.attack_len()],
    });
    #[cfg(feature = "emulated")]
    if let Some(model) = embedded::model_f32() {
        report(&model, "f32", buffers);
    }
    report(&embedded::model(0).1, embedded::DTYPE, buffers);
    board::exit(0)
}
