//! Models of 8-bit integers in every command, as a user runs them.

use std::path::Path;

use midge_core::loss::argmax;
use midge_core::{Grid, Model, Network};
use midge_trainer::quantised::{Int8Stage, Int8Weights};
use midge_trainer::training::initialise;
use midge_trainer::weights::{DType, Weights};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

use super::{error, json, midge, ok};

const SMALL: &str = "input(6,5,1) conv2d(filters=4,kernel=3) relu flatten dense(units=3)";
const PIXELS: usize = 30;
const IMAGES: usize = 24;

/// Random weights of a small network whose images lie on `grid`; its outputs use most of a byte.
fn int8(text: &str, grid: Grid) -> Int8Weights {
    let float = initialise(text.parse().unwrap(), 5);
    let (hidden, logits) = (0.02 * grid.scale * 255.0, 0.03 * grid.scale * 255.0);
    let ends = [(grid.scale, grid.zero_point), (hidden, -128), (logits, 7)];
    let mut stages = Vec::new();
    for weights in float.tensors.iter().filter(|tensor| tensor.len() > 4) {
        let outputs = [4, 3][stages.len()];
        let [(input, input_zero), (output, output_zero)] = [0, 1].map(|end| ends[stages.len() + end]);
        let largest = weights.iter().fold(0.0f32, |most, w| most.max(w.abs()));
        let scale = largest / 127.0;
        let inputs = weights.len() / outputs;
        let byte = |i: usize| (weights[i % inputs * outputs + i / inputs] / scale).round() as i8;
        let real = f64::from(input) * f64::from(scale) / f64::from(output);
        let shift = real.log2().floor() as i32 + 1;
        let multiplier = (real / 2f64.powi(shift) * 2f64.powi(31)) as i32;
        stages.push(Int8Stage {
            weights: (0..weights.len()).map(byte).collect(),
            bias: (0..outputs as i32).map(|o| 100 * o - 150).collect(),
            multipliers: vec![[multiplier, shift]; outputs],
            range: [input_zero, output_zero, 0, -128, 127],
            scales: [input, output],
        });
    }
    Int8Weights::new(text.parse::<Network>().unwrap().int8(), stages)
}

/// A folder with the model `m`, and its images and its own answers to most of them in `data`.
fn folder(grid: Grid) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let weights = int8(SMALL, grid);
    weights.save(&folder.path().join("m")).unwrap();
    let bytes: Vec<u8> = (0..IMAGES * PIXELS).map(|i| (i * i * 37 + i * 11 % 256) as u8).collect();
    let model = weights.model().unwrap();
    let mut labels: Vec<u8> = bytes.chunks(PIXELS).map(|image| classify(&model, image) as u8).collect();
    labels[5] = (labels[5] + 1) % 3;
    write(&folder.path().join("data"), &bytes, &labels);
    folder
}

fn write(path: &Path, bytes: &[u8], labels: &[u8]) {
    let images = TensorView::new(Dtype::I8, vec![labels.len(), bytes.len() / labels.len()], bytes).unwrap();
    let labels = TensorView::new(Dtype::U8, vec![labels.len()], labels).unwrap();
    std::fs::write(path, safetensors::serialize([("input_int8", images), ("labels", labels)], None).unwrap()).unwrap();
}

/// The class of an image of integers.
fn classify(model: &Model<'_, i8>, image: &[u8]) -> usize {
    let grid = model.grid().unwrap();
    let pixels: Vec<f32> = image.iter().map(|byte| grid.value(byte.cast_signed())).collect();
    model.classify(&pixels, &mut vec![0.0; model.network().inference_len()]).unwrap().class
}

const UNIT: Grid = Grid { scale: 1.0 / 255.0, zero_point: -128 };
/// As of a network that hears words.
const SOUND: Grid = Grid { scale: 0.5, zero_point: 83 };
const DATA: [&str; 4] = ["--model", "m", "--data", "data"];

fn run(folder: &TempDir, arguments: &[&str]) -> String {
    ok(folder.path(), &[&arguments[..1], &DATA, &arguments[1..]].concat())
}

fn report(folder: &TempDir, arguments: &[&str]) -> Value {
    json(folder.path(), &[&arguments[..1], &DATA, &arguments[1..], &["--json"]].concat())
}

fn refused(folder: &TempDir, arguments: &[&str]) -> String {
    error(folder.path(), &[&arguments[..1], &DATA, &arguments[1..]].concat())
}

struct File(Vec<u8>);

impl File {
    fn bytes(&self, name: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data().to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(&self.bytes(name))
    }
}

/// The integers that `attack --out` writes are the images that it reports on: inside the ball, with the classes and the bytes of
/// logits that the core computes for them.
#[test]
fn an_attack_is_reported_by_the_integer_image() {
    for grid in [UNIT, SOUND] {
        let folder = folder(grid);
        let path = folder.path();
        let attacks =
            [&["fgsm"][..], &["bim"], &["mi-fgsm", "--loss", "margin"], &["pgd", "--restarts", "2"], &["otcm"]];
        for attack in attacks {
            let report = report(&folder, &[&["attack", "--attack"], attack, &["--eps", "9q", "--out", "r"]].concat());
            let [result] = &report["results"].as_array().unwrap()[..] else { panic!("{report}") };
            assert_eq!((&result["eps_steps"], &result["samples"]), (&9.0.into(), &IMAGES.into()));
            let file = File(std::fs::read(path.join("r")).unwrap());
            let (clean, adversarial) = (file.bytes("input_int8"), file.bytes("adversarial_int8"));
            let steps = clean.iter().zip(&adversarial).map(|(a, b)| a.cast_signed().abs_diff(b.cast_signed()));
            assert_eq!(steps.max(), Some(9), "{attack:?}");
            let values: Vec<f32> = adversarial.iter().map(|byte| grid.value(byte.cast_signed())).collect();
            assert_eq!(file.floats("adversarial"), values);
            let weights = int8(SMALL, grid);
            let model = weights.model().unwrap();
            let labels: Vec<i32> = bytemuck::pod_collect_to_vec(&file.bytes("labels"));
            let right = |images: &[u8], i: usize| classify(&model, &images[i * PIXELS..][..PIXELS]) as i32 == labels[i];
            let robust = (0..IMAGES).filter(|i| right(&clean, *i) && right(&adversarial, *i)).count();
            assert_eq!((&result["correct"], &result["robust_correct"]), (&(IMAGES - 1).into(), &robust.into()));
            assert_eq!(result["robust_accuracy"], result["robust_accuracy_8bit"]);
            let logits = file.bytes("adversarial_logits_int8");
            for (i, (bytes, floats)) in logits.chunks(3).zip(file.floats("adversarial_logits").chunks(3)).enumerate() {
                let image = &adversarial[i * PIXELS..][..PIXELS];
                let best = bytes.iter().map(|byte| f32::from(byte.cast_signed())).collect::<Vec<_>>();
                assert_eq!([argmax(&best), argmax(floats)], [classify(&model, image); 2]);
                let expected: Vec<u8> = floats.iter().map(|x| model.logit_grid().round(*x).cast_unsigned()).collect();
                assert_eq!(bytes, expected);
            }
        }
        // The file is one of images itself: those of the clean ones.
        assert!(ok(path, &["evaluate", "--model", "m", "--data", "r"]).contains("(23 of 24)"));
    }
}

#[test]
fn eps_is_said_in_steps_and_in_units() {
    let folder = folder(SOUND);
    let text = run(&folder, &["attack", "--attack", "fgsm", "--eps", "2q,0.25"]);
    assert!(text.contains("\n1 (2q) ") && text.contains("\n0.25 (0.5q) "), "{text}");
    assert!(text.ends_with("both images are integers on the model's grid, q is one step of it\n"), "{text}");
    assert!(!text.contains("8-bit"), "{text}");
    // Half a step leads to no other integer.
    let result = &report(&folder, &["attack", "--attack", "fgsm", "--eps", "0.5q"])["results"][0];
    assert_eq!((&result["successes"], &result["largest_change"]), (&0.into(), &0.0.into()));
    let range = refused(&folder, &["attack", "--attack", "fgsm", "--eps", "128"]);
    assert!(range.contains("--eps is 128: expected at most 127.5, because the model takes -105.5 to 22"), "{range}");
    assert!(refused(&folder, &["attack", "--attack", "fgsm", "--eps", "256q"]).contains("expected at most 255q"));
    let none = error(folder.path(), &["attack", "--attack", "fgsm", "--eps", "2q"]);
    assert!(none.contains("--eps is 2q: q is a step of the grid") && none.contains("this model has none"), "{none}");
    let alpha = ["attack", "--attack", "bim", "--eps", "4q", "--alpha", "1q"];
    assert!(run(&folder, &alpha).contains("alpha 0.5"), "{}", run(&folder, &alpha));
}

/// The classes of `classify` are those of the other commands, and so are those of the same model's float twin, but for rounding.
#[test]
fn every_command_takes_a_model_of_integers() {
    let folder = folder(SOUND);
    let path = folder.path();
    assert!(run(&folder, &["classify"]).contains("accuracy 95.83 %  (23 of 24)"));
    let evaluated = report(&folder, &["evaluate"]);
    assert_eq!(evaluated["correct"], 23);
    let robust = report(&folder, &["evaluate", "--robust", "--steps", "5", "--restarts", "1"]);
    assert_eq!((&robust["eps_steps"], &robust["transfer_from"]), (&2.0.into(), &"its float twin".into()));
    assert_eq!(robust["gates"][0]["verdict"], "pass", "{robust}");
    assert_eq!((&robust["curve"][0]["eps"], &robust["curve"][4]["eps"]), (&0.5.into(), &63.75.into()));
    let minimal = report(&folder, &["minimal-eps", "--attack", "bim", "--max-eps", "40q"]);
    assert_eq!(minimal["histogram"].as_array().unwrap().len(), 40);
    assert_eq!(minimal["histogram"][2]["eps_steps"], 3.0);
    let found: Vec<f64> = minimal["images"].as_array().unwrap().iter().filter_map(|i| i["eps"].as_f64()).collect();
    assert!(found.len() > 5 && found.iter().all(|eps| (2.0 * eps).fract() == 0.0), "{found:?}");
    assert!(run(&folder, &["minimal-eps", "--attack", "bim", "--max-eps", "3q"]).contains("1.5 (3q)"));
    let camera = report(&folder, &["camera", "--attack", "fgsm", "--eps", "20q"]);
    let [table] = &camera["tables"].as_array().unwrap()[..] else { panic!("{camera}") };
    assert_eq!((&table["dtype"], &table["rows"][0]["destruction_rate"]), (&"i8".into(), &0.0.into()));
    assert_eq!(table["rows"][0]["clean_accuracy"]["count"], 23);
    // Transfer from any model of the same images.
    ok(path, &["export", "--model", "m", "--dtype", "f32", "--out", "twin"]);
    let from = report(&folder, &["evaluate", "--robust", "--transfer-from", "twin", "--steps", "5", "--restarts", "1"]);
    let [from, robust] = [from, robust].map(|report| report["attacks"][6].clone());
    assert!(from["attack"].as_str().unwrap().starts_with("transfer"), "{from}");
    assert_eq!(from, robust);
    let itself = refused(&folder, &["evaluate", "--robust", "--transfer-from", "m"]);
    assert!(itself.contains("is the model itself"), "{itself}");
}

#[test]
fn the_float_twin_is_the_network_that_the_integers_stand_for() {
    for grid in [UNIT, SOUND] {
        let folder = folder(grid);
        let path = folder.path();
        ok(path, &["export", "--model", "m", "--dtype", "f32", "--out", "twin"]);
        let twin = Weights::load(&path.join("twin")).unwrap();
        assert_eq!(twin.range, grid.range());
        let int8 = int8(SMALL, grid);
        let weight = int8.stages[0].weights[1] as f32 * int8.stages[0].weight_scale(0) as f32;
        // The second tap of the first filter; the first layer has four.
        assert_eq!(twin.tensors[0][4], weight);
        let file =
            ok(path, &["attack", "--model", "m", "--data", "data", "--attack", "fgsm", "--eps", "0", "--out", "r"]);
        assert!(file.contains("95.83 %"));
        let images = File(std::fs::read(path.join("r")).unwrap());
        let mut buffer = vec![0.0; twin.network.inference_len()];
        let mut transposed = vec![0.0; twin.transposed_len()];
        let model = twin.model(&mut transposed).unwrap();
        let rounding = int8.stages.iter().map(|stage| stage.scales[1]).sum::<f32>() * 3.0;
        for (image, logits) in images.floats("images").chunks(PIXELS).zip(images.floats("logits").chunks(3)) {
            let found = model.logits(image, &mut buffer).unwrap();
            let apart = found.iter().zip(logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < rounding, "{found:?} {logits:?}");
        }
        // The range is in the file, and needs no option.
        let result = json(path, &["evaluate", "--model", "twin", "--data", "r", "--json"]);
        assert!(result["correct"].as_u64().unwrap() >= 20, "{result}");
    }
}

#[test]
fn a_report_shows_the_float_twin_beside_the_integers() {
    let folder = folder(SOUND);
    let path = folder.path();
    let quick = ["--steps", "3", "--restarts", "1", "--eps", "1q,3q", "--out", "r"];
    let figures = report(&folder, &[&["report"][..], &quick].concat());
    let models = figures["models"].as_array().unwrap();
    assert_eq!([&models[0]["name"], &models[1]["name"]], ["m", "m in f32"]);
    assert_eq!([&models[0]["card"]["dtype"], &models[1]["card"]["dtype"]], ["i8", "f32"]);
    for (one, other) in [(0, "m in f32"), (1, "m")] {
        assert_eq!(models[one]["robust"]["transfer_from"], other);
        assert_eq!(models[one]["curves"][0]["points"][2]["eps"], 1.5);
    }
    let gradients = &figures["gradients"];
    assert!(gradients["quartiles"][1].as_f64().unwrap() > 0.8, "{gradients}");
    assert_eq!((gradients["images"].as_array().unwrap().len(), &gradients["zero"][0]["of"]), (IMAGES, &IMAGES.into()));
    let card = &models[0]["card"]["quantisation"];
    assert_eq!(
        (&card["input"]["scale"], &card["input"]["zero_point"], &card["per_tensor"]),
        (&0.5.into(), &83.into(), &2.into())
    );
    let page = std::fs::read_to_string(path.join("r/index.html")).unwrap();
    for text in
        ["Gradients of integers and floats", "1 (2q)", "0.5, 83", "m in f32", "median cosine", "id=\"examples\""]
    {
        assert!(page.contains(text), "{text}");
    }
    // The original takes the place of the twin.
    initialise(SMALL.parse().unwrap(), 5).save(&path.join("original"), DType::F32).unwrap();
    let figures = report(&folder, &[&["report", "--twin", "original"][..], &quick].concat());
    assert_eq!(figures["models"][1]["card"]["source"], "original");
    assert!(figures["gradients"]["quartiles"][1].as_f64().unwrap() > 0.5, "{}", figures["gradients"]);
    let message = error(path, &["report", "--twin", "m", "--out", "s"]);
    assert!(message.contains("expected one --model of 8-bit integers"), "{message}");
    let message = refused(&folder, &["report", "--twin", "plain", "--out", "s"]);
    assert!(message.contains("--twin plain: other images or classes"), "{message}");
}

#[test]
fn what_is_no_picture_is_not_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let weights = int8("input(1,1,30) conv2d(filters=4,kernel=1) relu flatten dense(units=3)", SOUND);
    weights.save(&folder.path().join("m")).unwrap();
    write(
        &folder.path().join("data"),
        &(0..8 * 30).map(|i| (i * 7) as u8).collect::<Vec<_>>(),
        &[0, 1, 2, 0, 1, 2, 0, 1],
    );
    run(&folder, &["report", "--steps", "2", "--restarts", "1", "--eps", "2q", "--out", "r"]);
    let page = std::fs::read_to_string(folder.path().join("r/index.html")).unwrap();
    assert!(
        !page.contains("id=\"examples\"") && !page.contains("examples-a.png") && page.contains("value of the input")
    );
    assert!(!folder.path().join("r/examples-a.png").exists());
}

#[test]
fn the_summary_says_how_a_model_is_quantised() {
    let folder = folder(SOUND);
    let path = folder.path();
    let text = ok(path, &["summary", "--model", "m"]);
    for words in ["m (i8)", "0.5, 83", "-105.5 to 22, a step (1q) is 0.5", "one in 2", "flash: model file"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let summary = json(path, &["summary", "--model", "m", "--json"]);
    assert_eq!(summary["memory"]["flash_bytes_i8"], std::fs::metadata(path.join("m")).unwrap().len());
    assert!(summary["memory"]["flash_bytes_f32"].is_null());
    let network = SMALL.parse::<Network>().unwrap().int8();
    assert_eq!(summary["memory"]["ram_bytes_mi_fgsm"], 4 * (2 * PIXELS + network.attack_len()));
    assert_eq!(summary["layers"][0]["quantisation"]["output"]["zero_point"], -128);
    assert!(summary["layers"][1]["quantisation"].is_null());
}

#[test]
fn pictures_go_to_models_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let digits = "input(28,28,1) conv2d(filters=4,kernel=3) relu flatten dense(units=3)";
    for (name, grid) in [("unit", UNIT), ("bytes", Grid { scale: 1.0, zero_point: -128 }), ("sound", SOUND)] {
        int8(digits, grid).save(&path.join(name)).unwrap();
    }
    super::write_digits(path, [1, 3]);
    let bytes = std::fs::read(path.join("digits/t10k-images-idx3-ubyte")).unwrap()[16..].to_vec();
    let view = TensorView::new(Dtype::U8, vec![3, 784], &bytes).unwrap();
    std::fs::write(path.join("u8"), safetensors::serialize([("images", view)], None).unwrap()).unwrap();
    let logits = |model: &str, data: &str| {
        ok(path, &["classify", "--model", model, "--data", data, "--out", "r"]);
        File(std::fs::read(path.join("r")).unwrap()).bytes("logits_int8")
    };
    for model in ["unit", "bytes"] {
        let expected: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x80).collect();
        write(&path.join("i8"), &expected, &[0; 3]);
        let found = logits(model, "i8");
        assert_eq!([logits(model, "u8"), logits(model, "digits")], [&found; 2].map(Clone::clone), "{model}");
    }
    let message = error(path, &["classify", "--model", "sound", "--data", "digits"]);
    assert!(message.contains("holds pictures, but the model takes -105.5 to 22"), "{message}");
    let message = error(path, &["classify", "--model", "sound", "--data", "u8"]);
    assert!(message.contains("tensor images: U8 elements are pixels of pictures"), "{message}");
    // The demo's digits fit a network of ten classes.
    int8(digits, UNIT).save(&path.join("three")).unwrap();
    assert!(error(path, &["demo", "--model", "three"]).contains("but the model has 3 classes"));
}

#[test]
fn an_autoencoder_tells_no_classes_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let network = "input(1,1,40) flatten dense(units=40)".parse().unwrap();
    initialise(network, 1).save(&path.join("m"), DType::F32).unwrap();
    for command in ["classify", "evaluate"] {
        let message = error(path, &[command, "--model", "m", "--data", "synthetic"]);
        assert!(message.contains("m: the model has as many outputs as inputs, 40"), "{message}");
    }
    assert!(ok(path, &["summary", "--model", "m"]).contains("Dense"));
}

#[test]
fn a_damaged_model_of_integers_is_refused_by_name() {
    let folder = folder(UNIT);
    let path = folder.path();
    let bytes = std::fs::read(path.join("m")).unwrap();
    std::fs::write(path.join("m"), &bytes[..bytes.len() - 1]).unwrap();
    for command in ["classify", "evaluate", "summary"] {
        let message = error(path, &[command, "--model", "m"]);
        assert!(message.starts_with("midge: m: not a midge model"), "{message}");
    }
    let output = midge(path, &["attack", "--attack", "fgsm", "--eps", "q", "--model", "m"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("steps of a grid such as 2q"));
}
