//! One image, one thread: forward, input gradient and each attack, on the bundled digits and on a dense random image.
//!
//! ```text
//! cargo bench --bench core
//! ```

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use midge_core::attack::{Fgsm, MiFgsm, Otcm, Target};
use midge_core::{MNIST_CNN, Model, f16};
use midge_trainer::bundled;
use midge_trainer::weights::DType;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const EPS: f32 = 0.2;

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
    let dense = (0..MNIST_CNN.input().len()).map(|_| pixel()).collect();
    [Images { name: "digits", images }, Images { name: "dense", images: vec![(dense, 3)] }]
}

fn work<T: midge_core::Element>(criterion: &mut Criterion, dtype: &str, model: &Model<'_, T>) {
    for Images { name, images } in inputs() {
        let mut group = criterion.benchmark_group(format!("{dtype}/{name}"));
        let mut buffer = vec![0.0; MNIST_CNN.attack_len()];
        let mut adversarial = vec![0.0; MNIST_CNN.input().len()];
        let mut turn = images.iter().cycle();
        let mut next = || turn.next().map(|(image, label)| (image.as_slice(), *label)).unwrap_or((&[], 0));
        group.bench_function("forward", |b| {
            b.iter(|| black_box(model.logits(next().0, &mut buffer).map(|logits| logits[0])));
        });
        group.bench_function("input-gradient", |b| {
            b.iter(|| {
                let (image, label) = next();
                black_box(model.input_gradient(image, label, &mut buffer).map(|result| result.loss))
            });
        });
        group.bench_function("fgsm", |b| {
            b.iter(|| {
                let (image, label) = next();
                black_box(Fgsm { eps: EPS }.perturb(model, image, label, &mut adversarial, &mut buffer))
            });
        });
        group.bench_function("mi-fgsm", |b| {
            b.iter(|| {
                let (image, label) = next();
                black_box(MiFgsm::new(EPS).attack(model, image, label, &mut adversarial, &mut buffer))
            });
        });
        group.bench_function("otcm", |b| {
            b.iter(|| {
                let (image, label) = next();
                let attack = Otcm { eps: EPS, target: Target::Next };
                black_box(attack.attack(model, image, label, &mut adversarial, &mut buffer))
            });
        });
    }
}

fn all(criterion: &mut Criterion) {
    let weights = bundled::model("plain").expect("bundled").expect("the bundled model is sound");
    let mut transposed = vec![0.0; weights.transposed_len()];
    work(criterion, "f32", &weights.model(&mut transposed).expect("the bundled model is sound"));
    let file = weights.to_bytes(DType::F16).expect("the bundled model is f16");
    work(criterion, "f16-in-place", &Model::<f16>::from_safetensors(&MNIST_CNN, &aligned(&file)).expect("sound"));
}

/// The bytes at an even address.
fn aligned(bytes: &[u8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(bytes.len() + 1);
    padded.extend_from_slice(bytes);
    assert!(padded.as_ptr().addr().is_multiple_of(8), "the allocator aligns to 8 bytes or more");
    padded
}

criterion_group!(benches, all);
criterion_main!(benches);
