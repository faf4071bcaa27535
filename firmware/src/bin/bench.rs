//! What the network and the attacks cost on this board; every line is machine-readable.
#![no_std]
#![no_main]

use midge_core::attack::{Attack, Fgsm, MiFgsm, Otcm, Target};
use midge_core::{Element, MNIST_CNN, Model};
use midge_firmware::measure::{Cost, measure};
use midge_firmware::{board, embedded};
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use static_cell::StaticCell;

const PIXELS: usize = MNIST_CNN.input().len();
const EPS: f32 = 0.2;

/// Everything an attack needs, besides the stack.
struct Buffers {
    image: [f32; PIXELS],
    adversarial: [f32; PIXELS],
    work: [f32; MNIST_CNN.attack_len()],
}

static BUFFERS: StaticCell<Buffers> = StaticCell::new();

/// The work to measure and the bytes of the buffers it needs.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    buffers: usize,
}

const IMAGE_BYTES: usize = 4 * PIXELS;
const WORK: [Work; 5] = [
    Work { name: "forward", buffers: IMAGE_BYTES + 4 * MNIST_CNN.inference_len() },
    Work { name: "input-gradient", buffers: IMAGE_BYTES + 4 * MNIST_CNN.gradient_len() },
    Work { name: "fgsm", buffers: 2 * IMAGE_BYTES + 4 * MNIST_CNN.gradient_len() },
    Work { name: "mi-fgsm", buffers: 2 * IMAGE_BYTES + 4 * MNIST_CNN.attack_len() },
    Work { name: "otcm", buffers: 2 * IMAGE_BYTES + 4 * MNIST_CNN.gradient_len() },
];

fn once<T: Element>(model: &Model<'_, T>, work: Work, label: usize, buffers: &mut Buffers) -> Cost {
    let Buffers { image, adversarial, work: buffer } = buffers;
    let (done, cost) = measure(|| match work.name {
        "forward" => model.logits(image, buffer).is_ok(),
        "input-gradient" => model.input_gradient(image, label, buffer).is_ok(),
        "fgsm" => Fgsm { eps: EPS }.perturb(model, image, label, adversarial, buffer).is_ok(),
        "mi-fgsm" => MiFgsm::new(EPS).attack(model, image, label, adversarial, buffer).is_ok(),
        _ => Otcm { eps: EPS, target: Target::Next }.attack(model, image, label, adversarial, buffer).is_ok(),
    });
    assert!(done, "{}", work.name);
    cost
}

fn report<T: Element>(model: &Model<'_, T>, dtype: &str, buffers: &mut Buffers) {
    for work in WORK {
        let (mut ticks, mut stack) = (0, 0);
        for index in 0..embedded::DIGITS {
            let label = embedded::digit(index, &mut buffers.image);
            let cost = once(model, work, label, buffers);
            (ticks, stack) = (ticks + cost.ticks, stack.max(cost.stack));
        }
        line(dtype, work, "digits", Cost { ticks: ticks / embedded::DIGITS as u64, stack });
        let mut generator = Xoshiro128PlusPlus::seed_from_u64(1);
        for pixel in &mut buffers.image {
            *pixel = (generator.next_u32() >> 8) as f32 / (1 << 24) as f32;
        }
        line(dtype, work, "dense", once(model, work, 3, buffers));
    }
}

fn line(dtype: &str, Work { name, buffers }: Work, image: &str, cost: Cost) {
    defmt::println!(
        "bench model=mnist-cnn dtype={} work={} image={} {}={} buffer_bytes={} stack_bytes={}",
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
        work: [0.0; MNIST_CNN.attack_len()],
    });
    #[cfg(feature = "emulated")]
    report(&embedded::model_f32(), "f32", buffers);
    report(&embedded::model(0).1, "f16", buffers);
    board::exit(0)
}
