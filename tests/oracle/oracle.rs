//! Real MNIST, real training figures, and a Keras model with its reference values.
//!
//! These tests are ignored, so that a run without the data says so. With the MNIST files in the folder named by
//! `MIDGE_DATA`, and for most of them a folder `oracle` beside it:
//!
//! ```console
//! $ cargo test --release -p midge-trainer --test oracle -- --include-ignored
//! ```
//!
//! The tables over 10,000 images take minutes with optimised code, and many times that in a debug build.

use std::path::{Path, PathBuf};

use half::f16;
use indicatif::ProgressBar;
use midge_core::Model;
use midge_core::attack::{Attack as _, Fgsm, MiFgsm, Otcm, Target};
use midge_trainer::bundled;
use midge_trainer::data::{self, Dataset, Input, Part, Reading, Source, Split, download, known};
use midge_trainer::drawing::Picture;
use midge_trainer::evaluation::{Attack, Method, Robustness, attack_all, evaluate};
use midge_trainer::import::import;
use midge_trainer::weights::{DType, Weights};
use safetensors::SafeTensors;

fn mnist() -> PathBuf {
    Source::variable_folder().expect("MIDGE_DATA must name the folder of the MNIST files")
}

fn images(split: Split) -> Dataset {
    let input = Input::pixels([28, 28, 1], 10);
    data::load(&Source::Path(mnist()), split, &input, Part::ALL, &Reading::default()).unwrap().labelled().unwrap()
}

fn test_set() -> Dataset {
    images(Split::Test)
}

/// The folder of the reference files.
fn oracle() -> PathBuf {
    mnist().join("../oracle")
}

fn keras_model() -> Weights {
    import(&oracle().join("keras-seed.pytorch.safetensors"), &Default::default()).unwrap()
}

fn labels(data: &Dataset) -> Vec<usize> {
    (0..data.len()).map(|i| data.label(i)).collect()
}

#[test]
#[ignore = "needs MIDGE_DATA"]
fn the_data_are_those_that_were_published() {
    for known in known::FILES.as_flattened() {
        let files = [known.name.to_string(), format!("{}.gz", known.name)].map(|name| mnist().join(name));
        let file = files.iter().find(|file| file.exists()).unwrap();
        download::compare(file, known).unwrap().unwrap();
    }
    for (split, count) in [(Split::Train, 60_000), (Split::Test, 10_000)] {
        let set = images(split);
        assert_eq!((set.len(), set.images.len(), set.shape), (count, count * 784, [28, 28, 1]));
        assert!(set.images.iter().all(|p| (0.0..=1.0).contains(p)) && set.images.contains(&1.0));
        assert!(set.name.starts_with(&format!("MNIST {} (", split.name())), "{}", set.name);
    }
}

/// Twice as wide and high, by linear interpolation between the centres of pixels.
fn enlarged(bytes: &[u8]) -> Picture {
    let near =
        |i: usize| [(i / 2, 3), (if i.is_multiple_of(2) { (i / 2).saturating_sub(1) } else { (i / 2 + 1).min(27) }, 1)];
    Picture::from_fn(56, 56, |x, y| {
        let all = near(y).into_iter().flat_map(|row| near(x).map(|column| (row, column)));
        let sum: u32 = all.map(|((i, a), (j, b))| u32::from(bytes[i * 28 + j]) * a * b).sum();
        [255 - ((sum + 8) / 16) as u8; 3]
    })
}

/// The first 1000 test images as pictures in a folder for each class: as they are, and enlarged and inverted.
#[test]
#[ignore = "needs MIDGE_DATA"]
fn pictures_of_digits_are_read_as_the_digits() {
    let folder = tempfile::tempdir().unwrap();
    let digits = test_set().slice(0, Some(1000)).unwrap();
    for i in 0..digits.len() {
        let bytes: Vec<u8> = digits.image(i).iter().map(|value| (255.0 * value).round() as u8).collect();
        let same = Picture::from_fn(28, 28, |x, y| [bytes[y * 28 + x]; 3]);
        for (name, picture) in [("same", same), ("large", enlarged(&bytes))] {
            let class = folder.path().join(name).join(digits.label(i).to_string());
            std::fs::create_dir_all(&class).unwrap();
            std::fs::write(class.join(format!("{i:04}.png")), picture.png().unwrap()).unwrap();
        }
    }
    let weights = bundled::model("plain").unwrap().unwrap();
    let correct = |data: &Dataset| evaluate(&weights, data, &ProgressBar::hidden()).unwrap().correct;
    let load = |name: &str, invert| {
        let (source, reading) = (Source::Path(folder.path().join(name)), Reading { invert, ..Reading::default() });
        data::load(&source, Split::Test, &weights.input(), Part::ALL, &reading).unwrap().labelled().unwrap()
    };
    let (same, large) = (load("same", false), load("large", true));
    // The classes take turns in a folder.
    let sorted = |data: &Dataset| {
        let mut images: Vec<(usize, Vec<u32>)> =
            (0..data.len()).map(|i| (data.label(i), data.image(i).iter().map(|x| x.to_bits()).collect())).collect();
        images.sort_unstable();
        images
    };
    assert!(sorted(&same) == sorted(&digits), "a pixel is another one");
    let expected = correct(&digits);
    assert_eq!(correct(&same), expected);
    assert!(correct(&large).abs_diff(expected) <= 5, "{} and {expected} of 1000", correct(&large));
}

#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn the_imported_model_is_right_on_exactly_9774_images() {
    let (weights, data) = (keras_model(), test_set());
    assert_eq!(weights.network, midge_core::MNIST_CNN);
    let result = evaluate(&weights, &data, &ProgressBar::hidden()).unwrap();
    println!("{result:?}");
    assert_eq!((result.correct, result.samples), (9774, 10_000));
    assert!((result.loss - 0.0701).abs() < 1e-4);
}

/// The same model by way of ONNX.
#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn the_onnx_file_is_the_same_model() {
    let weights = import(&oracle().join("keras-seed.onnx"), &Default::default()).unwrap();
    let result = evaluate(&weights, &test_set(), &ProgressBar::hidden()).unwrap();
    assert_eq!((result.correct, result.samples), (9774, 10_000));
    let reference = First64::read(&oracle());
    let (images, expected) = (reference.floats("images"), reference.floats("logits"));
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed).unwrap();
    let mut buffer = vec![0.0; model.attack_len()];
    let logits = images.chunks(784).flat_map(|image| model.logits(image, &mut buffer).unwrap().to_vec());
    let difference = logits.zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference of a logit: {difference:.1e}");
    assert!(difference < 1e-4);
}

/// Reference values of the first 64 images.
struct First64 {
    bytes: Vec<u8>,
}

impl First64 {
    fn read(folder: &Path) -> Self {
        Self { bytes: std::fs::read(folder.join("first64.safetensors")).unwrap() }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).unwrap().data())
    }

    /// Fraction of pixels in which `found` differs from the tensor `name` by more than rounding.
    fn differing_pixels(&self, name: &str, found: &[f32]) -> f64 {
        let expected = self.floats(name);
        assert_eq!(found.len(), expected.len());
        let different = found.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
        let fraction = different as f64 / found.len() as f64;
        println!("{name}: {different} of {} pixels differ, {:.4} %", found.len(), 100.0 * fraction);
        fraction
    }
}

#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn logits_gradients_and_adversarial_images_are_those_of_the_reference() {
    let weights = keras_model();
    let reference = First64::read(&oracle());
    let (images, logits, gradients) =
        (reference.floats("images"), reference.floats("logits"), reference.floats("grad"));
    let data = Dataset::new(images, vec![0; 64], [28, 28, 1], "first 64".into());
    let test = test_set().slice(0, Some(64)).unwrap();
    assert_eq!(test.images, data.images);
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed).unwrap();
    let mut buffer = vec![0.0; model.attack_len()];
    let (mut fgsm, mut otcm, mut mi_fgsm) = (vec![], vec![], vec![]);
    let (mut logit_difference, mut gradient_difference) = (0.0f32, 0.0f32);
    let largest = gradients.iter().fold(0.0f32, |a, g| a.max(g.abs()));
    for i in 0..64 {
        let (image, label) = (data.image(i), test.label(i));
        let result = model.input_gradient(image, label, &mut buffer).unwrap();
        for (a, b) in result.logits.iter().zip(&logits[10 * i..]) {
            logit_difference = logit_difference.max((a - b).abs());
        }
        for (a, b) in result.gradient.iter().zip(&gradients[784 * i..]) {
            gradient_difference = gradient_difference.max((a - b).abs() / largest);
        }
        let mut out = vec![0.0; 784];
        Fgsm { eps: 0.1 }.attack(&model, image, label, &mut out, &mut buffer).unwrap();
        fgsm.extend_from_slice(&out);
        Otcm { eps: 0.1, target: Target::Next }.attack(&model, image, label, &mut out, &mut buffer).unwrap();
        otcm.extend_from_slice(&out);
        MiFgsm::new(0.3).attack(&model, image, label, &mut out, &mut buffer).unwrap();
        mi_fgsm.extend_from_slice(&out);
    }
    println!("largest difference: logits {logit_difference:.1e}, gradient {gradient_difference:.1e} of its largest");
    assert!(logit_difference < 1e-4);
    assert!(gradient_difference < 1e-5);
    assert!(reference.differing_pixels("fgsm_eps0.1", &fgsm) <= 0.0005);
    assert!(reference.differing_pixels("otcm_eps0.1", &otcm) <= 0.0005);
    assert!(reference.differing_pixels("mi_fgsm_eps0.3_T10_mu1", &mi_fgsm) <= 0.005);
}

/// Accuracy in percent over all 10,000 images, from Keras.
const EPS: [f32; 6] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3];
const FGSM: [f64; 6] = [93.88, 85.13, 68.57, 46.72, 25.49, 10.42];
const MI_FGSM: [f64; 6] = [91.42, 71.55, 35.86, 10.39, 2.30, 0.26];
const OTCM: [f64; 6] = [96.84, 93.31, 85.72, 71.80, 50.90, 28.43];
const OTCM_REACHED: [f64; 6] = [0.68, 2.26, 5.53, 12.23, 23.77, 36.40];

fn assert_table(weights: &Weights, data: &Dataset, attack: Attack, accuracy: [f64; 6], reached: Option<[f64; 6]>) {
    for (k, eps) in EPS.into_iter().enumerate() {
        let attacked = attack_all(weights, data, &labels(data), attack, eps, &ProgressBar::hidden()).unwrap();
        let result = Robustness::count(eps, &weights.input(), data, &attacked);
        // The table counts all that are right after the attack, also those that were not before it.
        let right = attacked.iter().zip(labels(data)).filter(|(a, label)| a.outcome.after.class == *label).count();
        let right = 100.0 * right as f64 / data.len() as f64;
        println!("{} eps {eps}: accuracy {right:.2} %", attack.name());
        assert!((right - accuracy[k]).abs() <= 0.1, "{}", accuracy[k]);
        assert!(result.largest_change <= eps + 1e-6);
        if let Some(reached) = reached {
            // The table counts all images, also those that were at their target before.
            let at_target = attacked.iter().filter(|a| Some(a.outcome.after.class) == a.outcome.target).count();
            println!("    target reached {:.2} %", 100.0 * at_target as f64 / data.len() as f64);
            assert!((100.0 * at_target as f64 / data.len() as f64 - reached[k]).abs() <= 0.1, "{}", reached[k]);
        }
    }
}

#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn accuracy_under_fgsm() {
    let (weights, data) = (keras_model(), test_set());
    assert_table(&weights, &data, Attack::new(Method::Fgsm), FGSM, None);
}

#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn accuracy_under_mi_fgsm() {
    let (weights, data) = (keras_model(), test_set());
    assert_table(&weights, &data, Attack::new(Method::MiFgsm), MI_FGSM, None);
}

#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn accuracy_under_otcm() {
    let (weights, data) = (keras_model(), test_set());
    assert_table(&weights, &data, Attack::new(Method::Fgsm).towards(Target::Next), OTCM, Some(OTCM_REACHED));
}

#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn f16_weights_give_the_same_classes() {
    let (weights, data) = (keras_model(), test_set());
    let rounded = weights.rounded(DType::F16).unwrap();
    let classes = |weights: &Weights| -> (Vec<usize>, f64) {
        let attacked =
            attack_all(weights, &data, &labels(&data), Attack::new(Method::Fgsm), 0.1, &ProgressBar::hidden()).unwrap();
        let accuracy = Robustness::count(0.1, &weights.input(), &data, &attacked).robust_accuracy.unwrap();
        (attacked.iter().map(|a| a.outcome.before.class).collect(), accuracy)
    };
    let ((full, full_accuracy), (half, half_accuracy)) = (classes(&weights), classes(&rounded));
    let same = full.iter().zip(&half).filter(|(a, b)| a == b).count();
    println!("same class on {same} of {}; FGSM accuracy {full_accuracy:.4} and {half_accuracy:.4}", data.len());
    assert!(same as f64 >= 0.999 * data.len() as f64);
    assert!((full_accuracy - half_accuracy).abs() <= 0.003);
}

/// The f16 model as a device reads it, in place, gives what the host computes from the same weights in f32.
#[test]
#[ignore = "needs MIDGE_DATA and the oracle beside it"]
fn f16_in_place_is_the_rounded_model() {
    let (weights, data) = (keras_model(), test_set());
    let rounded = weights.rounded(DType::F16).unwrap();
    let bytes = weights.to_bytes(DType::F16).unwrap();
    let words: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
    let in_place =
        Model::<f16>::from_safetensors(&weights.network, &bytemuck::cast_slice(&words)[..bytes.len()]).unwrap();
    let mut transposed = vec![0.0; rounded.transposed_len()];
    let model = rounded.model(&mut transposed).unwrap();
    let (mut a, mut b) = (vec![0.0; model.gradient_len()], vec![0.0; weights.network.gradient_len()]);
    for i in 0..100 {
        let expected = model.input_gradient(data.image(i), data.label(i), &mut a).unwrap();
        let found = in_place.input_gradient(data.image(i), data.label(i), &mut b).unwrap();
        let largest = expected.gradient.iter().fold(0.0f32, |a, g| a.max(g.abs()));
        for (a, b) in expected.gradient.iter().zip(found.gradient.iter()) {
            assert!((a - b).abs() <= 1e-5 * largest, "image {i}: {a} {b}");
        }
        for (a, b) in expected.logits.iter().zip(found.logits.iter()) {
            assert!((a - b).abs() < 1e-4, "image {i}: {a} {b}");
        }
    }
}

/// The bundled models are those of README: clean accuracy, and how much of it stands.
#[test]
#[ignore = "needs MIDGE_DATA"]
fn the_bundled_models_are_as_good_as_said() {
    let data = test_set();
    let first = data.slice(0, Some(500)).unwrap();
    // Right without an attack, of 10,000, and after PGD of eps 0.3, of the first 500.
    for (name, clean, standing) in [("plain", 9936, 0..=5), ("robust", 9866, 465..=480)] {
        let weights = bundled::model(name).unwrap().unwrap();
        let correct = evaluate(&weights, &data, &ProgressBar::hidden()).unwrap().correct;
        let pgd = Attack { steps: 20, ..Attack::new(Method::Pgd) };
        let attacked = attack_all(&weights, &first, &labels(&first), pgd, 0.3, &ProgressBar::hidden()).unwrap();
        let right = attacked.iter().zip(labels(&first)).filter(|(a, label)| a.outcome.after.class == *label).count();
        println!("{name}: {correct} of 10000, under PGD {right} of 500");
        // Sums in another order may turn an image or two.
        assert!(correct.abs_diff(clean) <= 2, "{name}: {correct}");
        assert!(standing.contains(&right), "{name}: {right}");
    }
}
