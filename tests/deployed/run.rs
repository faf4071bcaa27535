//! What midge computes with real files of integers against what TFLite Micro computed: bit for bit.

use midge_core::attack::{AnyAttack, Attack, Bim, Fgsm};
use midge_core::batch::Batch;
use midge_core::{Level, Model};
use midge_trainer::export::int8_tflite;
use midge_trainer::import::tflite::{Imported, from_bytes, int8_network};
use midge_trainer::tflite::read;
use safetensors::SafeTensors;

use super::{folder, model};

/// Reference values, and the file they belong to.
const CASES: [(&str, &str); 9] = [
    ("ad_reference", "ad_autoencoder_int8"),
    ("ic_synthetic", "ic_resnet8_int8"),
    ("kws", "kws_dscnn_int8"),
    ("kws_synthetic", "kws_dscnn_int8"),
    ("micro_speech", "micro_speech"),
    ("mnist_cnn", "mnist_cnn_int8"),
    ("person_detect", "person_detect"),
    ("sww", "sww_conv1d_int8"),
    ("vww_synthetic", "vww_mobilenet_int8"),
];

fn reference(name: &str) -> Vec<u8> {
    let path = folder().join("reference").join(format!("{name}.safetensors"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes(file: &SafeTensors<'_>, name: &str) -> Option<Vec<i8>> {
    Some(bytemuck::cast_slice(file.tensor(name).ok()?.data()).to_vec())
}

/// The integers of `graph` up to `end`, for each image, at `level`.
fn run(file: &[u8], end: Option<usize>, images: &[i8], level: Level) -> Vec<i8> {
    let weights = int8_network(&read(file).unwrap(), end).unwrap();
    let mut memory = vec![0.0; Model::<i8>::transposed_len(&weights.network)];
    let stored = weights.model().unwrap().with_level(level);
    let prepared = weights.model().unwrap().with_transposed(level, &mut memory).unwrap();
    let (grid, logit) = (stored.grid().unwrap(), stored.logit_grid());
    let images: Vec<f32> = images.iter().map(|byte| grid.value(*byte)).collect();
    let images: Vec<&[f32]> = images.chunks(weights.network.input().len()).collect();
    let mut buffer = vec![f32::NAN; weights.network.inference_len()];
    let batch = Batch::inference(&weights.network, 7);
    let mut memory = vec![f32::NAN; batch.buffer_len()];
    let mut found = Vec::new();
    for images in images.chunks(7) {
        let pass = batch.forward(&prepared, images.len(), |i| images[i], &mut memory).unwrap();
        for (image, together) in images.iter().zip(pass.logits().chunks(weights.network.classes())) {
            // With prepared weights and without, alone and with others.
            assert_eq!(together, stored.logits(image, &mut buffer).unwrap(), "{level:?}");
            assert_eq!(together, prepared.logits(image, &mut buffer).unwrap(), "{level:?}, prepared");
        }
        found.extend(pass.logits().iter().map(|x| logit.round(*x)));
    }
    found
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn logits_are_those_of_tflite_micro() {
    for (name, file) in CASES {
        let reference = reference(name);
        let reference = SafeTensors::deserialize(&reference).unwrap();
        let images = bytes(&reference, "input_int8").unwrap();
        let logits = bytes(&reference, "logits_int8_tflm").or_else(|| bytes(&reference, "output_int8_tflm")).unwrap();
        for level in Level::all() {
            let found = run(&model(file), None, &images, level);
            let wrong = found.iter().zip(&logits).filter(|(a, b)| a != b).count();
            println!("{name}, {level:?}: {wrong} of {} bytes differ", logits.len());
            assert_eq!(found, logits, "{name}, {level:?}");
        }
    }
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn every_layer_is_that_of_tflite_micro() {
    for (name, file) in CASES.into_iter().filter(|(name, _)| *name != "kws") {
        let reference = reference(&format!("{name}.layers"));
        let reference = SafeTensors::deserialize(&reference).unwrap();
        let file = model(file);
        let graph = read(&file).unwrap();
        let images = bytes(&reference, &format!("t{}", graph.inputs[0])).unwrap();
        let mut compared = 0;
        for operator in &graph.operators {
            let tensor = operator.outputs[0];
            let Some(expected) = bytes(&reference, &format!("t{tensor}")) else { continue };
            // Softmax is no layer, and what is read a second time can only be seen through what reads it.
            if ["SOFTMAX", "RESHAPE"].contains(&operator.kind.name()) {
                continue;
            }
            match int8_network(&graph, Some(tensor)) {
                Err(error) => println!("{name}, t{tensor}: not by itself: {error:#}"),
                Ok(_) => {
                    assert_eq!(run(&file, Some(tensor), &images, Level::detect()), expected, "{name}, t{tensor}");
                    compared += 1;
                }
            }
        }
        println!("{name}: {compared} of {} operators", graph.operators.len());
        assert!(compared >= graph.operators.len() / 2, "{name}: only {compared}");
    }
}

/// What is written for a board computes the same as what was read: the same numbers, multipliers and all.
#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn exported_files_are_the_same_models() {
    for (_, name) in CASES {
        let Imported::Int8(weights) = from_bytes(&model(name)).unwrap() else { panic!("{name}: expected i8") };
        let file = int8_tflite(&weights).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let Imported::Int8(back) = from_bytes(&file).unwrap() else { panic!("{name}: expected i8 again") };
        assert!(back == weights, "{name}");
        println!("{name}: {} bytes, {} before", file.len(), model(name).len());
    }
}

/// The float file of a network is read too: it agrees with the one of integers on nearly all images. (ResNet-8's takes numbers up
/// to 255, which is out of the range of midge's models of f32.)
#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn float_files_say_what_their_integer_twins_say() {
    let twins = [
        ("mnist_cnn", "mnist_cnn_int8", "mnist_cnn_float"),
        ("vww_synthetic", "vww_mobilenet_int8", "vww_mobilenet_float"),
    ];
    for (name, int8, float) in twins {
        let reference = reference(name);
        let reference = SafeTensors::deserialize(&reference).unwrap();
        let images = bytes(&reference, "input_int8").unwrap();
        let Imported::Float(weights) = from_bytes(&model(float)).unwrap() else { panic!("{float}: expected f32") };
        let Imported::Int8(twin) = from_bytes(&model(int8)).unwrap() else { panic!("{int8}: expected i8") };
        assert_eq!(weights.network.to_string(), twin.network.to_string(), "{name}");
        let twin = twin.model().unwrap();
        let grid = twin.grid().unwrap();
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let mut buffer = vec![0.0; weights.network.inference_len()];
        let (mut same, mut all) = (0, 0);
        for image in images.chunks(weights.network.input().len()) {
            let image: Vec<f32> = image.iter().map(|byte| grid.value(*byte)).collect();
            let expected = twin.classify(&image, &mut buffer).unwrap().class;
            let pixels: Vec<f32> = image.iter().map(|x| x.clamp(0.0, 1.0)).collect();
            same += usize::from(model.classify(&pixels, &mut buffer).unwrap().class == expected);
            all += 1;
        }
        println!("{name}: {same} of {all} the same");
        assert!(20 * same >= 19 * all, "{name}: {same} of {all}");
    }
}

/// The gradient in integers, which devices compute, against that in real numbers, on real images; and how many images an attack on each
/// leaves right.
#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn gradients_in_integers_are_those_in_real_numbers() {
    for (name, file) in [("kws", "kws_dscnn_int8"), ("sww", "sww_conv1d_int8"), ("mnist_cnn", "mnist_cnn_int8")] {
        let reference = reference(name);
        let reference = SafeTensors::deserialize(&reference).unwrap();
        let images = bytes(&reference, "input_int8").unwrap();
        let weights = int8_network(&read(&model(file)).unwrap(), None).unwrap();
        let mut memory = vec![0.0; Model::<i8>::transposed_len(&weights.network)];
        let stored = weights.model().unwrap();
        let prepared = weights.model().unwrap().with_transposed(Level::detect(), &mut memory).unwrap();
        let grid = stored.grid().unwrap();
        let mut buffer = vec![f32::NAN; prepared.attack_len().max(stored.attack_len())];
        let (mut worst, mut signs, mut pixels) = (0f32, 0, 0);
        let mut right = [[0; 2]; 3];
        for image in images.chunks(weights.network.input().len()).take(100) {
            let real: Vec<f32> = image.iter().map(|byte| grid.value(*byte)).collect();
            let class = stored.classify_integers(image, &mut buffer).unwrap().class;
            let expected = prepared.input_gradient(&real, class, &mut buffer).unwrap().gradient.to_vec();
            let found = stored.input_gradient(&real, class, &mut buffer).unwrap().gradient;
            let largest = expected.iter().fold(0.0, |largest: f32, g| largest.max(g.abs()));
            for (g, expected) in found.iter().zip(&expected) {
                worst = worst.max((g - expected).abs() / largest);
                signs += usize::from((*g > 0.0) != (*expected > 0.0));
                pixels += 1;
            }
            let eps = |steps: f32| steps * grid.scale;
            let attacks: [AnyAttack; 3] =
                [Fgsm { eps: eps(1.0) }.into(), Fgsm { eps: eps(2.0) }.into(), Bim::new(eps(2.0)).into()];
            for (attack, right) in attacks.iter().zip(&mut right) {
                let mut out = vec![0; image.len()];
                let after = attack.attack_integers(&stored, image, class, &mut out, &mut buffer).unwrap().after;
                right[0] += usize::from(after.class == class);
                let mut out = vec![0.0; image.len()];
                let after = attack.attack(&prepared, &real, class, &mut out, &mut buffer).unwrap().after;
                right[1] += usize::from(after.class == class);
            }
        }
        println!(
            "{file}: {worst:.1e} of the largest, {signs} of {pixels} signs differ; FGSM 1 and 2 steps, BIM 2: {right:?}"
        );
        assert!(worst < 2e-3 && 500 * signs < pixels, "{file}");
        assert!(right.iter().all(|[integers, real]| integers.abs_diff(*real) <= 2), "{file}: {right:?}");
    }
}
