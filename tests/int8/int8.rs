//! Random networks of integers against a slow and obvious one: the same bytes, and the real-valued gradient straight through
//! their rounding in f64.

mod networks;
mod slow;

use midge_core::attack::{AnyAttack, Attack, Bim, Fgsm, MiFgsm, Otcm, Pgd, Target, Targeted};
use midge_core::batch::Batch;
use midge_core::loss::cross_entropy_gradient;
use midge_core::{Grid, Level, Model, ModelError};
use midge_trainer::quantised::Int8Stage;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use networks::{NETWORKS, weights};
use slow::{Map, gradient, run};

/// How far a gradient may be from that of the slow network, in parts of its largest value. Rows of 16 bits have one unit, and in these
/// networks the slope of some channels is 512 times that of others.
const IN_INTEGERS: f64 = 3e-3;
const IN_REAL_NUMBERS: f64 = 1e-5;

fn image(len: usize, seed: u64) -> Vec<i8> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..len)
        .map(|_| {
            if random.next_u32() % 8 == 0 {
                [i8::MIN, i8::MAX][random.next_u32() as usize % 2]
            } else {
                random.next_u32() as i8
            }
        })
        .collect()
}

/// Compares bytes and gradient of a model with those of the slow network; whether enough of the gradient is not zero, and 1.
fn compare(model: &Model<'_, i8>, bytes: &[i8], maps: &[Map], tolerance: f64, what: &str) -> (usize, usize) {
    let expected = &maps.last().unwrap().values;
    let (grid, logit) = (model.grid().unwrap(), model.logit_grid());
    let pixels: Vec<f32> = bytes.iter().map(|byte| grid.value(*byte)).collect();
    let mut buffer = vec![f32::NAN; model.gradient_len()];
    let logits = model.logits(&pixels, &mut buffer).unwrap();
    assert_eq!(&logits.iter().map(|x| logit.round(*x)).collect::<Vec<_>>(), expected, "{what}, logits only");
    let found = model.input_gradient(&pixels, 1, &mut buffer).unwrap();
    let found_bytes: Vec<i8> = found.logits.iter().map(|x| logit.round(*x)).collect();
    assert_eq!(&found_bytes, expected, "{what}");
    let mut logit_gradient = vec![0.0; found.logits.len()];
    cross_entropy_gradient(found.logits, 1, &mut logit_gradient);
    let expected = gradient(maps, &logit_gradient);
    let largest = expected.iter().fold(0.0f64, |largest, g| largest.max(g.abs()));
    for (place, (g, expected)) in found.gradient.iter().zip(&expected).enumerate() {
        let difference = (f64::from(*g) - expected).abs();
        assert!(difference <= tolerance * largest, "{what}, pixel {place}: {g} {expected}");
    }
    (usize::from(expected.iter().filter(|g| **g != 0.0).count() > expected.len() / 4), 1)
}

/// Logits and gradients of a batch are those of its images alone, to the bit.
fn compare_batch(model: &Model<'_, i8>, what: &str) {
    let (network, grid) = (model.network(), model.grid().unwrap());
    let images: Vec<Vec<f32>> =
        (0..5).map(|seed| image(network.input().len(), seed).iter().map(|byte| grid.value(*byte)).collect()).collect();
    let batch = Batch::gradient(network, 7);
    let mut memory = vec![f32::NAN; batch.buffer_len()];
    let mut pass = batch.forward(model, 5, |sample| &images[sample], &mut memory).unwrap();
    let (logits, gradient) = pass.logit_gradient();
    for (logits, gradient) in logits.chunks(network.classes()).zip(gradient.chunks_mut(network.classes())) {
        cross_entropy_gradient(logits, 1, gradient);
    }
    let mut gradients = vec![f32::NAN; 5 * network.input().len()];
    let logits = pass.input_gradient(&mut gradients).unwrap();
    let mut buffer = vec![f32::NAN; model.gradient_len()];
    let together = logits.chunks(network.classes()).zip(gradients.chunks(network.input().len()));
    for (image, (logits, gradient)) in images.iter().zip(together) {
        let alone = model.input_gradient(image, 1, &mut buffer).unwrap();
        assert_eq!((&*alone.logits, &*alone.gradient), (logits, gradient), "{what}");
    }
}

#[test]
fn bytes_and_gradient_are_those_of_a_slow_and_obvious_network() {
    let (mut with_gradient, mut all) = (0, 0);
    for (number, text) in NETWORKS.iter().enumerate() {
        for seed in 0..6 {
            let weights = weights(text, 100 * number as u64 + seed);
            let bytes = image(weights.network.input().len(), seed);
            let maps = run(&weights, &bytes);
            let mut memory = vec![f32::NAN; Model::<i8>::transposed_len(&weights.network)];
            for level in Level::all() {
                let stored = weights.model().unwrap().with_level(level);
                let (enough, count) =
                    compare(&stored, &bytes, &maps, IN_INTEGERS, &format!("{text}, seed {seed}, {level:?}"));
                (with_gradient, all) = (with_gradient + enough, all + count);
                let prepared = weights.model().unwrap().with_transposed(level, &mut memory).unwrap();
                compare(
                    &prepared,
                    &bytes,
                    &maps,
                    IN_REAL_NUMBERS,
                    &format!("{text}, seed {seed}, {level:?}, prepared"),
                );
                compare_batch(&prepared, &format!("{text}, seed {seed}, {level:?}, batch"));
            }
        }
    }
    // Else the comparison would say little.
    assert!(4 * with_gradient > 3 * all, "{with_gradient} of {all}");
}

/// An attack on integers ends at integers in the ball, in the range, and is reported for them.
#[test]
fn the_result_of_an_attack_is_a_picture_of_integers() {
    for (number, text) in NETWORKS.iter().enumerate() {
        let weights = weights(text, number as u64);
        let model = weights.model().unwrap();
        let grid: Grid = model.grid().unwrap();
        let pixels: Vec<f32> = image(weights.network.input().len(), 5).iter().map(|byte| grid.value(*byte)).collect();
        for steps in [1.0, 2.0, 2.5, 0.4] {
            let eps = steps * grid.scale;
            let mut buffer = vec![f32::NAN; model.attack_len()];
            let mut out = vec![f32::NAN; pixels.len()];
            let mut check = |attack: &dyn Fn(&mut [f32], &mut [f32]) -> midge_core::attack::Outcome| {
                let outcome = attack(&mut out, &mut buffer);
                for (x, clean) in out.iter().zip(&pixels) {
                    assert_eq!(grid.value(grid.round(*x)), *x, "{text}: {x} is not on the grid");
                    assert!((x - clean).abs() <= eps + 1e-3 * grid.scale, "{text}: {x} is {steps} away from {clean}");
                }
                let mut buffer = vec![0.0; model.gradient_len()];
                assert_eq!(outcome.after.class, model.classify(&out, &mut buffer).unwrap().class);
                if steps < 1.0 {
                    assert_eq!(out, pixels);
                }
            };
            check(&|out, buffer| Fgsm { eps }.attack(&model, &pixels, 0, out, buffer).unwrap());
            check(&|out, buffer| Bim::new(eps).attack(&model, &pixels, 0, out, buffer).unwrap());
            check(&|out, buffer| MiFgsm::new(eps).attack(&model, &pixels, 0, out, buffer).unwrap());
        }
    }
}

/// An attack on integers ends where the same attack on real numbers does, up to what a step is rounded to, in the ball, and is reported for
/// where it ends.
#[test]
fn integers_are_attacked_like_real_numbers() {
    let mut shares = Vec::new();
    for (number, text) in NETWORKS.iter().enumerate() {
        let weights = weights(text, number as u64);
        let model = weights.model().unwrap();
        let grid: Grid = model.grid().unwrap();
        let bytes = image(weights.network.input().len(), 5);
        let pixels: Vec<f32> = bytes.iter().map(|byte| grid.value(*byte)).collect();
        let real = |attack: &AnyAttack, eps: f32| {
            let (mut found, mut buffer) = (pixels.clone(), vec![f32::NAN; attack.buffer_len(&model)]);
            attack.attack(&model, &pixels, 0, &mut found, &mut buffer).unwrap();
            assert!(found.iter().zip(&pixels).all(|(x, clean)| (x - clean).abs() <= eps + 1e-3 * grid.scale));
            found.iter().map(|x| grid.round(*x)).collect::<Vec<i8>>()
        };
        for steps in [1.0, 2.0, 2.5, 0.4] {
            let eps = steps * grid.scale;
            let pgd = |restarts| Pgd { restarts, ..Pgd::new(eps, 3) };
            let attacks = [
                AnyAttack::from(Fgsm { eps }),
                Otcm { eps, target: Target::LeastLikely }.into(),
                Bim::new(eps).into(),
                MiFgsm::new(eps).into(),
                Targeted { attack: MiFgsm::new(eps), target: Target::Next }.into(),
                pgd(1).into(),
                pgd(3).into(),
            ];
            for attack in attacks {
                let (mut found, mut buffer) =
                    (vec![0; bytes.len()], vec![f32::NAN; attack.integers_buffer_len(&model)]);
                let outcome = attack.attack_integers(&model, &bytes, 0, &mut found, &mut buffer).unwrap();
                let changes = found.iter().zip(&bytes).map(|(x, clean)| (i32::from(*x) - i32::from(*clean)).abs());
                let largest = changes.max().unwrap();
                assert!(largest as f32 <= steps, "{text}, {}: {largest} of {steps}", attack.name());
                assert_eq!(outcome.largest_change, largest as f32 * grid.scale);
                let seen = model.classify_integers(&found, &mut buffer).unwrap();
                assert_eq!(
                    (outcome.after.class, outcome.after.confidence),
                    (seen.class, seen.probabilities[seen.class])
                );
                let expected = real(&attack, eps);
                if let AnyAttack::Fgsm(fgsm) = &attack {
                    let mut unseen = vec![0; bytes.len()];
                    let is_zero = fgsm.perturb_integers(&model, &bytes, 0, &mut unseen, &mut buffer).unwrap();
                    assert_eq!((unseen, is_zero), (found.clone(), outcome.zero_gradient_steps == 1), "{text}");
                }
                if attack.name() == "FGSM" || attack.name() == "OTCM" {
                    assert_eq!(found, expected, "{text}, {}, {steps}", attack.name());
                }
                shares.push(found.iter().zip(&expected).filter(|(a, b)| a == b).count() as f32 / found.len() as f32);
            }
        }
    }
    let mean = shares.iter().sum::<f32>() / shares.len() as f32;
    assert!(mean > 0.97, "{mean} of all pixels are equal");
}

/// A step that is smaller than a change's unit is one unit: many of them lead as far as one of eps.
#[test]
fn the_smallest_step_is_a_step() {
    let weights = weights(NETWORKS[0], 1);
    let model = weights.model().unwrap();
    let bytes = vec![0; weights.network.input().len()];
    let eps = 3.0 * model.grid().unwrap().scale;
    let mut buffer = vec![0.0; weights.network.integers_len()];
    let mut largest = |steps| {
        let bim = Bim { alpha: eps / 1000.0, ..Bim::with_steps(eps, steps) };
        let mut found = vec![0; bytes.len()];
        bim.attack_integers(&model, &bytes, 0, &mut found, &mut buffer).unwrap();
        found.iter().map(|x| x.unsigned_abs()).max().unwrap()
    };
    assert_eq!([1, 80, 120].map(&mut largest), [0, 2, 3]);
}

/// A file with any byte changed is refused, or runs.
#[test]
fn damaged_files_are_refused_or_run() {
    for (number, text) in NETWORKS.iter().enumerate() {
        let weights = weights(text, number as u64);
        let file = weights.to_bytes().unwrap();
        let mut words = vec![0u64; file.len().div_ceil(8)];
        let mut refused = 0;
        let mut read = |bytes: &[u8]| {
            let place = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()];
            place.copy_from_slice(bytes);
            let Ok(model) = Model::<i8>::from_safetensors(&weights.network, place) else {
                refused += 1;
                return;
            };
            let image = vec![model.range()[0]; weights.network.input().len()];
            model.input_gradient(&image, 0, &mut vec![0.0; model.gradient_len()]).unwrap();
        };
        read(&file);
        let step = (file.len() / 100).max(1);
        for at in (0..file.len()).step_by(step) {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << (at % 8);
            read(&damaged);
            read(&file[..at]);
        }
        // All but the whole file: the checksum sees the rest.
        assert_eq!(refused, 2 * file.len().div_ceil(step), "{text}");
    }
    // Tensors that no file has a wrong checksum of.
    let good = weights(NETWORKS[0], 1);
    let bad = |change: &dyn Fn(&mut Int8Stage)| {
        let mut weights = good.clone();
        change(&mut weights.stages[0]);
        weights.model().err()
    };
    let layer = 0;
    assert_eq!(bad(&|_| ()), None);
    for change in [
        (&|stage: &mut Int8Stage| stage.range[0] = 128) as &dyn Fn(&mut Int8Stage),
        &|stage| stage.range[3] = stage.range[4] + 1,
        &|stage| stage.scales[0] = 0.0,
        &|stage| stage.scales[1] = f32::NAN,
        &|stage| stage.multipliers[2] = [-1, 0],
        &|stage| stage.multipliers[2] = [1, 32],
    ] {
        assert_eq!(bad(change), Some(ModelError::Quantisation { layer }));
    }
    assert_eq!(bad(&|stage| stage.bias[1] = i32::MIN), Some(ModelError::TooLarge { layer }));
    assert!(matches!(
        bad(&|stage| stage.bias.truncate(4)),
        Some(ModelError::TensorShape { expected: 5, found: 4, .. })
    ));
}
