//! `midge` on images of other shapes than MNIST's, in safetensors files.

use std::path::Path;

use midge_core::loss::argmax;
use midge_trainer::training::initialise;
use midge_trainer::weights::DType;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

use super::{error, json, midge, ok};

/// Two channels, five classes.
const NETWORK: &str = "input(12,10,2) conv2d(filters=4,kernel=3) relu maxpool2d(pool=2) flatten dense(units=5)";
const PIXELS: usize = 12 * 10 * 2;
const IMAGES: usize = 30;

type Tensor<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn write(path: &Path, tensors: &[Tensor<'_>]) {
    let view = |dtype: &Dtype, shape: &Vec<usize>, data| TensorView::new(*dtype, shape.clone(), data).unwrap();
    let views = tensors.iter().map(|(name, dtype, shape, data)| (*name, view(dtype, shape, data)));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Pixels of image `i`: a bright column for each class, in both channels, and some noise.
fn image(i: usize) -> Vec<u8> {
    let bright = |k: usize| k / 2 % 10 / 2 == i % 5;
    (0..PIXELS).map(|k| if bright(k) { 200 } else { ((k * 7 + i * 13) % 60) as u8 }).collect()
}

/// Images and labels of the first classes.
fn tensors(first: usize, count: usize) -> [Tensor<'static>; 2] {
    let images = (first..first + count).flat_map(image).collect();
    let labels = (first..first + count).flat_map(|i| (i as i64 % 5).to_le_bytes()).collect();
    [("images", Dtype::U8, vec![count, 12, 10, 2], images), ("labels", Dtype::I64, vec![count], labels)]
}

/// A folder with a model `m` that has learnt nothing, and the images `data.safetensors`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    initialise(NETWORK.parse().unwrap(), 1).save(&folder.path().join("m"), DType::F32).unwrap();
    write(&folder.path().join("data.safetensors"), &tensors(0, IMAGES));
    folder
}

const DATA: [&str; 4] = ["--model", "m", "--data", "data.safetensors"];

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count")) as usize
}

#[test]
fn every_measurement_takes_images_of_the_models_shape() {
    let folder = folder();
    let run = |arguments: &[&str]| {
        let text = ok(folder.path(), &[arguments, &DATA].concat());
        assert!(!text.contains("digit") && !text.contains("28"), "{text}");
        text
    };
    assert!(run(&["evaluate"]).contains("of 30)"));
    assert!(run(&["attack", "--attack", "fgsm", "--eps", "0.1"]).contains("/30"));
    let robust = ["evaluate", "--robust", "--limit", "6", "--steps", "2", "--restarts", "1", "--eps", "0.1"];
    let text = run(&robust);
    assert!(text.contains("chance is 1 in 5") && text.contains("no other model"), "{text}");
    assert!(run(&["minimal-eps", "--attack", "fgsm", "--limit", "5"]).contains("of 5 images"));
    run(&["camera", "--attack", "fgsm", "--eps", "0.1", "--limit", "5"]);
    let name = json(folder.path(), &[&["attack", "--attack", "fgsm", "--eps", "0.1", "--json"], &DATA[..]].concat());
    assert_eq!(name["data"], "data (data.safetensors)");
}

/// What an attack writes can be looked at again.
#[test]
fn the_results_of_an_attack_are_data() {
    let folder = folder();
    let path = folder.path();
    let attack = ["attack", "--attack", "fgsm", "--eps", "0.1", "--offset", "4", "--limit", "7", "--out", "r"];
    let attacked = json(path, &[&attack[..], &DATA, &["--json"]].concat());
    let again = json(path, &["evaluate", "--model", "m", "--data", "r", "--json"]);
    assert_eq!((number(&again["samples"]), &again["correct"]), (7, &attacked["results"][0]["correct"]));
    let part = json(path, &[&["evaluate", "--offset", "4", "--limit", "7", "--json"], &DATA[..]].concat());
    assert_eq!(again, part);
}

#[test]
fn a_report_shows_images_of_any_shape() {
    let folder = folder();
    let path = folder.path();
    let report = ["report", "--limit", "5", "--steps", "1", "--restarts", "1", "--eps", "0.2", "--out", "r", "--json"];
    let figures = json(path, &[&report[..], &DATA].concat());
    assert_eq!(figures["models"][0]["matrix"]["cells"].as_array().unwrap().len(), 5);
    let html = std::fs::read_to_string(path.join("r/index.html")).unwrap();
    assert!(
        html.contains("5 images of data (data.safetensors)") && html.contains("Of their 2 channels the first is shown")
    );
    let (_, pixels) = super::picture(&path.join("r/examples-a.png"));
    // Heat maps: yellow for the brightest value, which is in every image.
    assert!(pixels.chunks(3).any(|pixel| pixel == [253, 231, 37]));
}

#[test]
fn a_network_is_trained_on_a_file_and_measured_on_another() {
    let folder = folder();
    let path = folder.path();
    write(&path.join("test.safetensors"), &tensors(100, 10));
    let train = ["train", "--data", "data.safetensors", "--network", NETWORK, "--lr", "0.2", "--batch-size", "5"];
    let run =
        |more: &[&str]| ok(path, &[&train[..], &["--test-data", "test.safetensors", "--out", "t"], more].concat());
    let text = run(&["--epochs", "2"]);
    assert!(text.contains("30 training images of data (data.safetensors)") && text.contains("(10 of 10)"), "{text}");
    assert!(run(&["--epochs", "3", "--resume"]).contains("goes on after epoch 2"));
    // The hash of the images tells another file of the same name from a copy under another one.
    std::fs::rename(path.join("data.safetensors"), path.join("moved")).unwrap();
    let moved = ["train", "--data", "moved", "--network", NETWORK, "--lr", "0.2", "--batch-size", "5"];
    ok(path, &[&moved[..], &["--test-data", "test.safetensors", "--out", "t", "--epochs", "4", "--resume"]].concat());
    write(&path.join("data.safetensors"), &tensors(1, IMAGES));
    let other = [&train[..], &["--test-data", "test.safetensors", "--out", "t", "--epochs", "5", "--resume"]].concat();
    assert!(error(path, &other).contains("was trained with"));
    let message = error(path, &[&train[..], &["--out", "u"]].concat());
    assert!(message.contains("data.safetensors: has no test images of its own: --test-data"), "{message}");
    // Without a network, the lecture's for such images and so many classes.
    let text =
        ok(path, &["train", "--data", "moved", "--test-data", "test.safetensors", "--out", "u", "--epochs", "1"]);
    assert!(text.contains("30 training images of moved (moved)"), "{text}");
    assert_eq!(json(path, &["summary", "--model", "u", "--json"])["layers"][9]["output"], serde_json::json!([5]));
    let network = "input(28,28,1) flatten dense(units=5)";
    let data = ["--data", "moved", "--test-data", "test.safetensors", "--out", "v"];
    let message = error(path, &[&["train", "--network", network][..], &data].concat());
    assert!(message.contains("moved: tensor images: expected [N, 28, 28, 1]"), "{message}");
}

/// The logits and classes of `--out`.
fn results(path: &Path) -> (Vec<f32>, Vec<i32>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let [logits, classes] = ["logits", "classes"].map(|name| file.tensor(name).unwrap());
    assert_eq!((logits.dtype(), classes.dtype()), (Dtype::F32, Dtype::I32));
    assert_eq!(logits.shape(), [classes.shape()[0], 5]);
    (bytemuck::pod_collect_to_vec(logits.data()), bytemuck::pod_collect_to_vec(classes.data()))
}

#[test]
fn images_are_classified_as_they_are_measured() {
    let folder = folder();
    let path = folder.path();
    let report = json(path, &[&["classify", "--json", "--out", "r"], &DATA[..]].concat());
    let measured = json(path, &[&["evaluate", "--json"], &DATA[..]].concat());
    assert_eq!([&report["correct"], &report["samples"]], [&measured["correct"], &measured["samples"]]);
    let (logits, classes) = results(&path.join("r"));
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), IMAGES);
    for (i, (image, logits)) in images.iter().zip(logits.chunks(5)).enumerate() {
        let class = argmax(logits);
        assert_eq!([&image["index"], &image["class"], &image["label"]].map(number), [i, class, i % 5]);
        assert_eq!(classes[i] as usize, class);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - logits[class]).exp()).sum();
        assert!((image["confidence"].as_f64().unwrap() - 1.0 / sum).abs() < 1e-6, "{image}");
    }
    // A part of the images, as a table.
    let text = ok(path, &[&["classify", "--offset", "28"], &DATA[..]].concat());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    let right = (28..30).filter(|i| classes[*i] as usize == i % 5).count();
    assert!(lines[2].starts_with("28 ") && lines[4].ends_with(&format!("({right} of 2)")), "{text}");
    assert_eq!(text.matches("wrong").count(), 2 - right, "{text}");
    // Any number of threads.
    let one = ok(path, &[&["classify", "--threads", "1", "--out", "one"], &DATA[..]].concat());
    assert!(one.lines().count() == IMAGES + 3 && results(&path.join("one")) == (logits, classes));
}

#[test]
fn labels_may_be_missing_where_none_are_needed() {
    let folder = folder();
    let path = folder.path();
    write(&path.join("data.safetensors"), &tensors(0, 3)[..1]);
    let report = json(path, &[&["classify", "--json"], &DATA[..]].concat());
    assert_eq!((&report["accuracy"], report["images"][0].get("label")), (&Value::Null, None));
    assert!(!ok(path, &[&["classify"], &DATA[..]].concat()).contains("accuracy"));
    for command in [&["evaluate"][..], &["attack", "--attack", "fgsm", "--eps", "0.1"], &["report", "--out", "r"]] {
        let message = error(path, &[command, &DATA].concat());
        assert!(message.contains("data.safetensors): has no labels, which this command needs"), "{message}");
    }
    assert!(!path.join("r").exists());
}

/// Writes a PNG file.
fn png(path: &Path, (width, height): (u32, u32), colour: png::ColorType, depth: png::BitDepth, bytes: &[u8]) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == png::ColorType::Indexed {
        encoder.set_palette(vec![0, 0, 0, 255, 0, 51]);
    }
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
}

/// The classes are the pixels themselves: each logit is one value of the image.
fn transparent_model(folder: &Path, network: &str, name: &str) {
    let mut weights = initialise(network.parse().unwrap(), 1);
    let classes = weights.network.classes();
    weights.tensors[0].iter_mut().enumerate().for_each(|(i, w)| *w = f32::from(i / classes == i % classes));
    weights.tensors[1].fill(0.0);
    weights.save(&folder.join(name), DType::F32).unwrap();
}

fn logits(folder: &Path, model: &str, image: &str) -> Vec<f32> {
    ok(folder, &["classify", "--model", model, image, "--out", "r"]);
    let bytes = std::fs::read(folder.join("r")).unwrap();
    bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&bytes).unwrap().tensor("logits").unwrap().data())
}

#[test]
fn png_files_of_every_kind_are_read_as_pixels() {
    use png::{BitDepth, ColorType};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    transparent_model(path, "input(1,2,1) flatten dense(units=2)", "grey");
    transparent_model(path, "input(1,2,3) flatten dense(units=6)", "colour");
    let write = |colour, depth, bytes: &[u8]| png(&path.join("i.png"), (2, 1), colour, depth, bytes);
    let close = |found: Vec<f32>, expected: &[f32]| {
        let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same, "{found:?}, expected {expected:?}");
    };
    for (colour, depth, bytes, expected) in [
        (ColorType::Grayscale, BitDepth::Eight, &[51, 255][..], [0.2, 0.2, 0.2, 1.0, 1.0, 1.0]),
        (ColorType::Grayscale, BitDepth::One, &[0b0100_0000], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        (
            ColorType::Grayscale,
            BitDepth::Sixteen,
            &[0x33, 0x33, 0, 1],
            [0.2, 0.2, 0.2, 1.0 / 65535.0, 1.0 / 65535.0, 1.0 / 65535.0],
        ),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, &[51, 255, 255, 255], [0.2, 0.2, 0.2, 1.0, 1.0, 1.0]),
        (ColorType::Rgb, BitDepth::Eight, &[255, 0, 51, 102, 102, 102], [1.0, 0.0, 0.2, 0.4, 0.4, 0.4]),
        (ColorType::Rgba, BitDepth::Eight, &[255, 0, 51, 255, 0, 0, 0, 255], [1.0, 0.0, 0.2, 0.0, 0.0, 0.0]),
        (ColorType::Indexed, BitDepth::One, &[0b1000_0000], [1.0, 0.0, 0.2, 0.0, 0.0, 0.0]),
    ] {
        write(colour, depth, bytes);
        close(logits(path, "colour", "i.png"), &expected);
        let grey = |c: &[f32]| 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
        close(logits(path, "grey", "i.png"), &[grey(&expected[..3]), grey(&expected[3..])]);
    }
    let report = json(path, &["classify", "--model", "grey", "i.png", "i.png", "--json"]);
    assert_eq!((&report["data"], &report["images"][1]["file"]), (&"2 pictures".into(), &"i.png".into()));
    assert_eq!(report["schema"]["name"], "midge.classify");
    let text = ok(path, &["classify", "--model", "grey", "i.png"]);
    assert!(text.lines().nth(2).unwrap().starts_with("i.png      0"), "{text}");
    // Rounding must not leave the range.
    write(ColorType::Rgb, BitDepth::Eight, &[255, 255, 254, 254, 255, 255]);
    assert!(logits(path, "grey", "i.png").iter().all(|pixel| *pixel < 1.0));
}

#[test]
fn pictures_that_do_not_fit_are_named() {
    use png::{BitDepth, ColorType};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    transparent_model(path, "input(1,2,1) flatten dense(units=2)", "grey");
    transparent_model(path, "input(1,1,2) flatten dense(units=2)", "two");
    png(&path.join("i.png"), (2, 1), ColorType::Grayscale, BitDepth::Eight, &[1, 2]);
    let sound = std::fs::read(path.join("i.png")).unwrap();
    std::fs::write(path.join("cut.png"), &sound[..sound.len() - 20]).unwrap();
    // A header that promises more than any memory holds.
    let mut huge = sound.clone();
    huge[16..24].fill(0x7f);
    std::fs::write(path.join("huge.png"), huge).unwrap();
    std::fs::write(path.join("photo.jpg"), b"\xff\xd8\xff\xe0").unwrap();
    std::fs::write(path.join("moving.gif"), b"GIF89a").unwrap();
    std::fs::write(path.join("empty"), b"").unwrap();
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let output = midge(path, &[&["classify"], arguments].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(expected) && !message.contains("panicked"), "{message}");
    };
    refused(&["--model", "grey", "cut.png"], 1, "cut.png: expected a sound PNG file, found: ");
    refused(&["--model", "grey", "huge.png"], 1, "huge.png: expected");
    refused(&["--model", "grey", "photo.jpg"], 1, "photo.jpg: expected a sound JPEG file, found: ");
    refused(&["--model", "grey", "moving.gif"], 1, "moving.gif: expected a picture (PNG, JPEG, BMP), found ");
    refused(&["--model", "grey", "empty"], 1, "empty: expected a picture (PNG, JPEG, BMP), found an empty file");
    refused(&["--model", "grey", "none.png"], 1, "none.png: cannot be read");
    refused(&["--model", "grey", "."], 1, ".: cannot be read");
    refused(
        &["--model", "two", "i.png"],
        1,
        "i.png: holds pictures, but the model takes 1x1x2: expected 1 or 3 channels",
    );
    for options in [["--data", "synthetic"], ["--limit", "1"], ["--offset", "0"]] {
        refused(&[&["i.png"], &options[..]].concat(), 2, "cannot be used with");
    }
    refused(&["--model", "grey", "i.png", "--out", "no/file"], 1, "no/file: cannot be written");
}

/// Hostile files end in a message of one line, in every command.
#[test]
fn files_that_are_no_images_get_a_message() {
    let folder = folder();
    let path = folder.path();
    let images = |dtype, shape: &[usize], bytes| vec![("images", dtype, shape.to_vec(), bytes)];
    let floats: Vec<u8> = (0..PIXELS).flat_map(|k| if k == 57 { f32::NAN } else { 0.5 }.to_le_bytes()).collect();
    let [_, labels] = tensors(0, 1);
    let label = |value: i64| ("labels", labels.1, vec![1], value.to_le_bytes().to_vec());
    let zeros = images(Dtype::U8, &[1, PIXELS], vec![0; PIXELS]);
    for (tensors, expected) in [
        (images(Dtype::F32, &[1, PIXELS], floats), "image 0, row 2, column 8, channel 1 is NaN"),
        (
            images(Dtype::U8, &[1, 28, 28, 1], vec![0; 784]),
            "expected [N, 12, 10, 2] or [N, 240] for the model's 12x10x2",
        ),
        (images(Dtype::U8, &[0, PIXELS], vec![]), "no images"),
        (vec![zeros[0].clone(), label(5)], "image 0 has label 5, but the model has 5 classes"),
        (vec![zeros[0].clone(), label(i64::MIN)], "image 0 has label -9223372036854775808"),
        (vec![("pixels", Dtype::U8, vec![1], vec![0])], "expected a tensor images or input_int8, found pixels"),
    ] {
        write(&path.join("bad"), &tensors);
        for command in [&["classify"][..], &["evaluate"], &["attack", "--attack", "fgsm", "--eps", "0.1"]] {
            let message = error(path, &[command, &["--model", "m", "--data", "bad"]].concat());
            assert!(message.starts_with("midge: bad") && message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
    let message = error(path, &["evaluate", "--data", "m"]);
    assert!(message.contains("m: expected a tensor images or input_int8, found 0.weight"), "{message}");
    let message = error(path, &["evaluate", "--model", "data.safetensors"]);
    assert!(message.contains("it is a safetensors file of images, which --data takes"), "{message}");
}

/// As the reference files of int8 models are laid out: the inputs as integers, and much that nobody asks for.
#[test]
fn integers_of_an_int8_model_are_no_floats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let network = "input(49,10,1) conv2d(filters=4,kernel=3,stride=2) relu flatten dense(units=12)";
    initialise(network.parse().unwrap(), 1).save(&path.join("m"), DType::F32).unwrap();
    let labels = [3i32, 11].iter().flat_map(|label| label.to_le_bytes()).collect();
    let mut tensors = vec![
        ("input_int8", Dtype::I8, vec![2, 490], (0..980).map(|i| i as u8).collect()),
        ("label", Dtype::I32, vec![2], labels),
        ("logits_int8_tflm", Dtype::I8, vec![2, 12], vec![0; 24]),
        ("output_float_litert_ref", Dtype::F32, vec![2, 12], vec![0; 96]),
    ];
    write(&path.join("kws.safetensors"), &tensors);
    let message = error(path, &["evaluate", "--model", "m", "--data", "kws.safetensors"]);
    assert!(message.contains("kws.safetensors: tensor input_int8: I8 elements are integers"), "{message}");
    // The same inputs as floats beside them are what a float model takes.
    tensors.push(("images", Dtype::F32, vec![2, 49, 10], vec![0; 4 * 980]));
    write(&path.join("kws.safetensors"), &tensors);
    let report = json(path, &["classify", "--model", "m", "--data", "kws.safetensors", "--json"]);
    assert_eq!((number(&report["samples"]), number(&report["images"][1]["label"])), (2, 11));
}

/// The labels of the held-out and the test images contradict those that are trained on, so that the more the network
/// learns the fewer are right: the best epoch is not the last. It cannot be read again from where it was written.
#[cfg(unix)]
#[test]
fn a_model_that_goes_nowhere_is_measured_all_the_same() {
    let folder = folder();
    let path = folder.path();
    let [[images, labels], [_, others]] = [tensors(0, 40), tensors(1, 40)];
    let mixed = [&labels.3[..8 * 30], &others.3[8 * 30..]].concat();
    write(&path.join("data.safetensors"), &[images.clone(), ("labels", Dtype::I64, vec![40], mixed)]);
    write(&path.join("test.safetensors"), &[images, others]);
    let run = |out: &str| {
        let data = ["--data", "data.safetensors", "--test-data", "test.safetensors", "--network", NETWORK];
        let train = ["train", "--held-out", "10", "--batch-size", "5", "--epochs", "8", "--json", "--out"];
        json(path, &[&train[..], &[out], &data].concat())
    };
    let [nowhere, file] = ["/dev/null", "t"].map(run);
    assert!(number(&file["best_epoch"]) < 8, "{file}");
    let last = &file["epochs"][7]["test_accuracy"];
    assert!(file["test"]["accuracy"] != *last, "nothing to tell the best epoch from the last: {file}");
    for figures in ["epochs", "test", "best_epoch"] {
        assert_eq!(nowhere[figures], file[figures], "{figures}");
    }
    assert!(path.join("t.checkpoint").exists() && !Path::new("/dev/null.checkpoint").exists());
}
