//! Forward, input gradient and each attack: one image on one thread, and 1000 images on all cores; with f32 weights and
//! with f16 weights in place; on the bundled digits and on dense random images. And training.
//!
//! ```text
//! cargo bench -p midge-benches --bench core                   everything, some minutes
//! cargo bench -p midge-benches --bench core -- f32/digits/1/  one image, digits, f32
//! ```

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use indicatif::ProgressBar;
use midge_core::attack::{Attack, Fgsm, MiFgsm, Otcm, Target};
use midge_core::{Element, Error, MNIST_CNN, Model, f16};
use midge_trainer::bundled;
use midge_trainer::data::synthetic;
use midge_trainer::training::{Recipe, Training, initialise, train_epoch};
use midge_trainer::weights::DType;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

const EPS: f32 = 0.2;

/// Images of a large batch.
const BATCH: usize = 1000;

/// Images of a training step.
const STEP: usize = 32;

/// Steps between two looks at the clock.
const STEPS: usize = 10;

/// Images with their labels.
struct Images {
    name: &'static str,
    images: Vec<(Vec<f32>, usize)>,
}

fn inputs() -> [Images; 2] {
    let digits = bundled::digits().expect("the bundled digits are sound");
    let images = (0..digits.len()).map(|i| (digits.image(i).to_vec(), digits.label(i))).collect();
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut pixel = || (generator.next_u64() >> 40) as f32 / (1 << 24) as f32;
    let dense = (0..10).map(|label| ((0..MNIST_CNN.input().len()).map(|_| pixel()).collect(), label)).collect();
    [Images { name: "digits", images }, Images { name: "dense", images: dense }]
}

#[derive(Clone, Copy)]
enum Work {
    Forward,
    InputGradient,
    Fgsm,
    MiFgsm,
    Otcm,
}

const WORK: [(&str, Work); 5] = [
    ("forward", Work::Forward),
    ("input-gradient", Work::InputGradient),
    ("fgsm", Work::Fgsm),
    ("mi-fgsm", Work::MiFgsm),
    ("otcm", Work::Otcm),
];

/// What one thread needs.
struct Buffers {
    buffer: Vec<f32>,
    adversarial: Vec<f32>,
}

impl Buffers {
    fn new() -> Self {
        Self { buffer: vec![0.0; MNIST_CNN.attack_len()], adversarial: vec![0.0; MNIST_CNN.input().len()] }
    }
}

impl Work {
    fn run<T: Element>(
        self,
        model: &Model<'_, T>,
        (image, label): &(Vec<f32>, usize),
        Buffers { buffer, adversarial }: &mut Buffers,
    ) -> Result<(), Error> {
        let label = *label;
        match self {
            Self::Forward => black_box(model.logits(image, buffer)).map(drop),
            Self::InputGradient => black_box(model.input_gradient(image, label, buffer)).map(drop),
            Self::Fgsm => black_box(Fgsm { eps: EPS }.perturb(model, image, label, adversarial, buffer)).map(drop),
            Self::MiFgsm => black_box(MiFgsm::new(EPS).attack(model, image, label, adversarial, buffer)).map(drop),
            Self::Otcm => {
                let attack = Otcm { eps: EPS, target: Target::Next };
                black_box(attack.attack(model, image, label, adversarial, buffer)).map(drop)
            }
        }
    }
}

fn work<T: Element>(criterion: &mut Criterion, dtype: &str, model: &Model<'_, T>) {
    for Images { name, images } in inputs() {
        let mut single = criterion.benchmark_group(format!("{dtype}/{name}/1"));
        for (title, work) in WORK {
            let (mut buffers, mut turn) = (Buffers::new(), images.iter().cycle());
            single.bench_function(title, |b| b.iter(|| turn.next().map(|image| work.run(model, image, &mut buffers))));
        }
        single.finish();
        let mut batch = criterion.benchmark_group(format!("{dtype}/{name}/{BATCH}"));
        batch.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
        let images: Vec<_> = images.into_iter().cycle().take(BATCH).collect();
        for (title, work) in WORK {
            batch.bench_function(title, |b| {
                b.iter(|| images.par_iter().try_for_each_init(Buffers::new, |buffers, i| work.run(model, i, buffers)));
            });
        }
    }
}

fn training(criterion: &mut Criterion) {
    let data = synthetic::dataset(1, STEP * STEPS, 0);
    let recipe = Recipe::plain(STEP, 0.01, 1);
    let mut training = Training::new(initialise(MNIST_CNN, 1), &recipe.optimiser);
    let (hidden, stop) = (ProgressBar::hidden(), AtomicBool::new(false));
    let mut group = criterion.benchmark_group("training");
    group.throughput(Throughput::Elements((STEP * STEPS) as u64)).sample_size(10);
    group.bench_function(format!("{STEPS} steps of {STEP}"), |b| {
        b.iter(|| train_epoch(&mut training, &data, &recipe, 1, &hidden, &stop).expect("digits fit"));
    });
}

fn all(criterion: &mut Criterion) {
    let weights = bundled::model("plain").expect("bundled").expect("the bundled model is sound");
    let mut transposed = vec![0.0; weights.transposed_len()];
    work(criterion, "f32", &weights.model(&mut transposed).expect("the bundled model is sound"));
    let file = weights.to_bytes(DType::F16).expect("the bundled model is f16");
    work(criterion, "f16-in-place", &Model::<f16>::from_safetensors(&MNIST_CNN, &aligned(&file)).expect("sound"));
    training(criterion);
}

/// The bytes at an even address.
fn aligned(bytes: &[u8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(bytes.len() + 1);
    padded.extend_from_slice(bytes);
    assert!(padded.as_ptr().addr().is_multiple_of(8), "the allocator aligns to 8 bytes or more");
    padded
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = all
}
criterion_main!(benches);
