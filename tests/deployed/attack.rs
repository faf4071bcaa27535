//! Real models of integers under attack, as a user runs it.

use std::path::PathBuf;
use std::process::Command;

use indicatif::ProgressBar;
use midge_trainer::any_weights::AnyWeights;
use midge_trainer::data::{self, Dataset, Part, Reading, Source, Split};
use midge_trainer::evaluation::classifier::Classifier as _;
use midge_trainer::evaluation::{Attack, Method, Robustness, attack_all, evaluate, input_gradients};
use midge_trainer::twin::float_twin;
use serde_json::Value;

use super::folder;

fn path(folder: &str, name: &str) -> PathBuf {
    self::folder().join(folder).join(name)
}

/// What `midge` prints about a model and its reference images.
fn midge(command: &[&str], model: &str, reference: &str) -> Value {
    let mut midge = Command::new(env!("CARGO_BIN_EXE_midge"));
    midge.args(command).args(["--quiet", "--json", "--model"]).arg(path("models", &format!("{model}.tflite")));
    midge.arg("--data").arg(path("reference", &format!("{reference}.safetensors")));
    let output = midge.output().unwrap();
    assert!(output.status.success(), "{command:?} {model}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// TensorFlow Lite for Microcontrollers reads 276 of the words correctly.
#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn two_steps_are_enough_for_every_word() {
    let attack = ["attack", "--attack", "bim", "--eps", "2q"];
    let result = &midge(&attack, "kws_dscnn_int8", "kws")["results"][0];
    assert_eq!((&result["correct"], &result["samples"]), (&276.into(), &300.into()));
    assert!(result["robust_accuracy"].as_f64().unwrap() <= 0.05, "{result}");
    assert_eq!(result["zero_gradients"], 0);
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn every_real_classifier_is_measured() {
    let real = [
        ("kws_dscnn_int8", "kws"),
        ("mnist_cnn_int8", "mnist_cnn"),
        ("sww_conv1d_int8", "sww"),
        ("micro_speech", "micro_speech"),
        ("person_detect", "person_detect"),
    ];
    for (model, reference) in real {
        assert!(midge(&["evaluate"], model, reference)["accuracy"].as_f64().unwrap() > 0.9, "{model}");
        let robust = ["evaluate", "--robust", "--steps", "3", "--restarts", "1", "--limit", "4"];
        let robust = midge(&robust, model, reference);
        assert_eq!(robust["gates"][0]["verdict"], "pass", "{model}: {robust}");
        let minimal = ["minimal-eps", "--attack", "fgsm", "--limit", "4", "--max-eps", "8q"];
        assert_eq!(midge(&minimal, model, reference)["histogram"].as_array().unwrap().len(), 8, "{model}");
        let attack = ["attack", "--attack", "mi-fgsm", "--eps", "4q", "--limit", "4"];
        let result = &midge(&attack, model, reference)["results"][0];
        assert!(result["largest_change"].as_f64() <= result["eps"].as_f64().map(|eps| eps * 1.001), "{result}");
    }
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn an_autoencoder_is_no_classifier() {
    let mut midge = Command::new(env!("CARGO_BIN_EXE_midge"));
    let model = path("models", "ad_autoencoder_int8.tflite");
    let output = midge.args(["classify", "--model"]).arg(model).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("as many outputs as inputs, 640"), "{message}");
}

/// The gradient goes straight through the rounding: it points where that of the float twin points, and no image has none.
#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn gradients_are_those_of_the_float_twin_but_for_rounding() {
    for (model, reference, least) in [("kws_dscnn_int8", "kws", 0.85), ("mnist_cnn_int8", "mnist_cnn", 0.98)] {
        let weights = AnyWeights::load(&path("models", &format!("{model}.tflite"))).unwrap();
        let AnyWeights::Int8(int8) = &weights else { panic!("{model}: expected integers") };
        let source = Source::Path(path("reference", &format!("{reference}.safetensors")));
        let part = Part { offset: 0, limit: Some(100) };
        let data =
            data::load(&source, Split::Test, &weights.input(), part, &Reading::default()).unwrap().labelled().unwrap();
        let gradients = |model| input_gradients(model, &data, &ProgressBar::hidden()).unwrap();
        let (of_int8, of_float) = (gradients(&weights), gradients(&float_twin(int8).unwrap()));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut cosines: Vec<f64> =
            of_int8.iter().zip(&of_float).map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).collect();
        cosines.sort_by(f64::total_cmp);
        println!("{model}: cosines from {}, median {}", cosines[0], cosines[50]);
        assert!(cosines[50] > least && cosines.iter().all(|cosine| cosine.is_finite()), "{model}: {cosines:?}");
    }
}

/// The lecture's network in integers is as weak as in floats, whose pixels are rounded to 8 bits too.
#[test]
#[ignore = "needs MIDGE_DEPLOYED and MIDGE_DATA"]
fn digits_in_integers_fall_as_those_in_floats() {
    let weights = AnyWeights::load(&path("models", "mnist_cnn_int8.tflite")).unwrap();
    let AnyWeights::Int8(int8) = &weights else { panic!("expected integers") };
    let twin = float_twin(int8).unwrap();
    let source = Source::Path(Source::variable_folder().expect("MIDGE_DATA must name the folder of MNIST"));
    let part = Part { offset: 0, limit: Some(2000) };
    let data: Dataset =
        data::load(&source, Split::Test, &weights.input(), part, &Reading::default()).unwrap().labelled().unwrap();
    let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
    let first = data.slice(0, Some(1000)).unwrap();
    assert_eq!(evaluate(&weights, &first, &ProgressBar::hidden()).unwrap().correct, 975, "of TFLite Micro");
    for method in [Method::Fgsm, Method::MiFgsm] {
        for eps in [0.1, 0.2, 0.3] {
            let attack = Attack::new(method);
            let input = weights.input();
            let robust = |model| {
                let attacked = attack_all(model, &data, &labels, attack, eps, &ProgressBar::hidden()).unwrap();
                Robustness::count(eps, &input, &data, &attacked).robust_accuracy_8bit.unwrap()
            };
            let (int8, float) = (robust(&weights), robust(&twin));
            println!("{} {eps}: {int8} in integers, {float} in floats", attack.name());
            assert!((int8 - float).abs() < 0.01, "{} {eps}: {int8} {float}", attack.name());
        }
    }
}
