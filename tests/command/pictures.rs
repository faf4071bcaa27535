//! `midge` on pictures, and on data sets of every format.

use std::path::Path;

use midge_trainer::data::idx::{Images, write_images, write_labels};
use midge_trainer::data::synthetic;
use midge_trainer::drawing::Picture;
use serde_json::Value;

use super::{command, error, json, midge, ok};

/// Drawn digits that `plain` reads, and their classes.
fn digits(count: u64) -> Vec<([u8; 784], u8)> {
    (0..count).map(|i| synthetic::draw(3, i)).collect()
}

/// Writes a digit as PNG, each pixel `factor` wide and high.
fn write(path: &Path, pixels: &[u8; 784], factor: usize, invert: bool) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let picture = Picture::from_fn(28 * factor, 28 * factor, |x, y| {
        let byte = pixels[y / factor * 28 + x / factor];
        [if invert { 255 - byte } else { byte }; 3]
    });
    std::fs::write(path, picture.png().unwrap()).unwrap();
}

/// The digits as a folder for each class and as IDX files.
fn folder(digits: &[([u8; 784], u8)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (i, (pixels, class)) in digits.iter().enumerate() {
        write(&path(&format!("same/{class}/{i:03}.png")), pixels, 1, false);
        write(&path(&format!("double/{class}/{i:03}.png")), pixels, 2, true);
    }
    let images = Images { shape: [digits.len(), 28, 28], pixels: digits.iter().flat_map(|digit| digit.0).collect() };
    std::fs::create_dir(path("idx")).unwrap();
    for half in ["t10k", "train"] {
        write_images(&path(&format!("idx/{half}-images-idx3-ubyte")), &images).unwrap();
        let labels: Vec<u8> = digits.iter().map(|digit| digit.1).collect();
        write_labels(&path(&format!("idx/{half}-labels-idx1-ubyte")), &labels).unwrap();
    }
    folder
}

fn measured(folder: &Path, options: &[&str]) -> (Value, Value, String) {
    let output = midge(folder, &[&["evaluate", "--json", "--data"], options].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (report["correct"].clone(), report["loss"].clone(), String::from_utf8(output.stderr).unwrap())
}

/// Larger and inverted pictures of the same digits have the same logits, and so do those of the right size.
#[test]
fn a_folder_of_pictures_is_measured_as_its_images() {
    let digits = digits(60);
    let folder = folder(&digits);
    let (correct, loss, notes) = measured(folder.path(), &["idx"]);
    assert!(correct.as_u64().unwrap() >= 50 && notes.is_empty(), "{correct} {notes}");
    let close = |other: &Value| (other.as_f64().unwrap() - loss.as_f64().unwrap()).abs() < 1e-9;
    let (same, same_loss, notes) = measured(folder.path(), &["same"]);
    assert!(same == correct && close(&same_loss) && notes.is_empty(), "{notes}");
    let (double, double_loss, notes) = measured(folder.path(), &["double", "--invert"]);
    assert!(double == correct && close(&double_loss), "{double} of {correct}");
    assert_eq!(notes, "pictures of 56 x 56 are averaged to the model's 28 x 28 (height x width)\n");
    let (wrong, _, notes) = measured(folder.path(), &["double"]);
    assert!(wrong.as_u64() < correct.as_u64() && notes.contains("--invert turns them around"), "{notes}");
    let (_, _, quiet) = measured(folder.path(), &["double", "--quiet"]);
    assert_eq!(quiet, "");
}

#[test]
fn pictures_are_attacked_and_come_back_as_pictures() {
    let digits = digits(4);
    let folder = folder(&digits);
    let path = folder.path();
    let class = digits[0].1.to_string();
    let one = format!("double/{class}/000.png");
    let attack = ["attack", &one, "--invert", "--label", &class, "--eps", "0.3", "--json"];
    let report = json(path, &[&attack[..], &["--out", "a.png", "--picture", "sum.png"]].concat());
    let image = &report["images"][0];
    assert_eq!((image["before"]["class"].to_string(), &image["file"]), (class.clone(), &one.as_str().into()));
    assert_ne!(image["after"]["class"], image["before"]["class"]);
    // The file has the size of the picture, and no pixel changed by more than eps.
    let [(size, before), (adversarial_size, after)] =
        [path.join(&one), path.join("a.png")].map(|path| super::picture(&path));
    assert_eq!((size, adversarial_size), ([56, 56], [56, 56]));
    let largest = before.iter().zip(&after).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!((70..=76).contains(&largest), "{largest}");
    let read = json(path, &["classify", "a.png", "--invert", "--json"]);
    assert_eq!(
        [&read["images"][0]["class"], &read["images"][0]["confidence"]],
        [&image["out"][1]["class"], &image["out"][1]["confidence"]]
    );
    assert!(super::picture(&path.join("sum.png")).0[0] > 500);
    // Without --label the class is what the model reads; several pictures have a line each and go to a folder.
    std::fs::create_dir(path.join("many")).unwrap();
    let files: Vec<String> =
        digits.iter().enumerate().map(|(i, digit)| format!("same/{}/{i:03}.png", digit.1)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let text = ok(
        path,
        &[&["attack", "--out", "many", "--eps", "0.2,"][..1], &files, &["--eps", "0.2", "--out", "many"]].concat(),
    );
    assert_eq!(text.lines().count(), 3 + files.len(), "{text}");
    assert!(
        text.contains("away from the class that the model predicts")
            && text.contains("many/003-adversarial.png, read as ")
    );
    assert_eq!(super::picture(&path.join("many/001-adversarial.png")).0, [28, 28]);
}

#[test]
fn an_attack_on_pictures_names_what_cannot_be() {
    let folder = folder(&digits(2));
    let path = folder.path();
    let [a, b] = [0, 1].map(|i| format!("same/{}/00{i}.png", digits(2)[i].1));
    let refused = |options: &[&str], expected: &str| {
        let message = error(path, &[&["attack"], options].concat());
        assert!(message.contains(expected), "{message}");
    };
    refused(&[&a, &b, "--out", "x.png"], "x.png: one file for 2 pictures; a folder takes them all");
    refused(&["--data", "same", "--out", "x.png"], "PNG files are for pictures that are named on the command line");
    refused(&[&a, &a, "--out", "."], "two pictures would become ./000-adversarial.png");
    refused(&[&a, "--label", "cat"], "--label is cat: expected true, predicted, or a class from 0 to 9");
    refused(&[&a, "--label", "10"], "--label is 10");
    refused(&[&a, "--label", "true"], "has no labels");
    refused(&[&a, "--data", "same"], "cannot be used with");
    refused(&[&a, "--eps", "0.1,0.2", "--picture", "p.png"], "exactly one --eps");
    assert!(!path.join("x.png").exists());
}

#[test]
fn classes_are_called_by_their_names() {
    let folder = folder(&digits(30));
    let path = folder.path();
    let names: Vec<String> = (0..10).map(|i| format!("digit {i}")).collect();
    std::fs::write(path.join("names"), names.join("\n")).unwrap();
    for i in 0..10 {
        let _ = std::fs::rename(path.join(format!("same/{i}")), path.join(format!("same/digit {i}")));
    }
    // Trained on the folders, a model knows their names.
    std::fs::create_dir(path.join("data")).unwrap();
    std::fs::rename(path.join("same"), path.join("data/train")).unwrap();
    let train = [
        "train",
        "--data",
        "data/train",
        "--test-data",
        "data/train",
        "--network",
        "conv 4 3 stride 2, relu, dense",
        "--out",
        "m",
    ];
    let text = ok(path, &train);
    assert!(text.contains("30 training images of train (data/train)"), "{text}");
    let report = json(path, &["classify", "--model", "m", "--data", "idx", "--json"]);
    assert!(report["images"][0]["name"].as_str().unwrap().starts_with("digit "), "{report}");
    let text = ok(path, &["classify", "--labels", "names", "--data", "idx", "--limit", "2"]);
    assert_eq!(text.matches("digit ").count(), 4, "{text}");
    assert_eq!(text.matches(" %  digit ").count(), 2, "{text}");
    std::fs::write(path.join("few"), "a\nb").unwrap();
    let message = error(path, &["evaluate", "--labels", "few", "--data", "idx"]);
    assert!(message.contains("few: expected 10 names, one for each class of the model, found 2"), "{message}");
    // Where a class is a target, and in the report.
    let towards = |target: &str| {
        ["attack", "--model", "m", "--data", "idx", "--attack", "otcm", "--eps", "0.3", "--target", target]
            .map(String::from)
    };
    let run = |target: &str| ok(path, &towards(target).each_ref().map(String::as_str));
    assert!(run("digit 3").contains("target digit 3  model m"), "{}", run("digit 3"));
    assert_eq!(run("digit 3"), run("3"));
    let message = error(path, &towards("digit 33").each_ref().map(String::as_str));
    let expected = "--target is digit 33: expected least-likely, random, next, or a class from 0 to 9, or the name of one; did you mean";
    assert!(message.contains(expected), "{message}");
    let report = [
        "report",
        "--model",
        "m",
        "--data",
        "idx",
        "--limit",
        "3",
        "--steps",
        "2",
        "--restarts",
        "1",
        "--queries",
        "2",
    ];
    let report = json(path, &[&report[..], &["--eps", "0.1", "--out", "page", "--json"]].concat());
    assert_eq!(report["models"][0]["matrix"]["classes"][7], "digit 7");
    let [page, plot] =
        ["index.html", "matrix-a.svg"].map(|n| std::fs::read_to_string(path.join("page").join(n)).unwrap());
    assert!(page.contains("<th scope=\"row\">digit 7</th>") && plot.contains("digit 7"), "{plot}");
    let summary = ok(path, &["summary", "--model", "m"]);
    assert!(summary.contains("digit 3"), "{summary}");
}

/// A folder in Fashion-MNIST's format, and CIFAR-10's files.
#[test]
fn a_network_learns_from_any_data_set() {
    let folder = folder(&digits(200));
    let path = folder.path();
    let options = ["--epochs", "3", "--batch-size", "4", "--lr", "0.05", "--shift", "1", "--json"];
    let network = "conv 8 3x3 stride 2 same bias, relu, maxpool 2, dense 10";
    let report = json(path, &[&["train", "--data", "idx", "--network", network, "--out", "m"], &options[..]].concat());
    assert!(report["test"]["accuracy"].as_f64().unwrap() > 0.6, "{report}");
    let records: Vec<u8> = (0..60u8)
        .flat_map(|i| [&[i % 10][..], &[[i % 10 * 25; 1024], [255 - i % 10 * 25; 1024], [i; 1024]].concat()].concat())
        .collect();
    std::fs::create_dir(path.join("cifar")).unwrap();
    (1..=5).for_each(|i| std::fs::write(path.join(format!("cifar/data_batch_{i}.bin")), &records).unwrap());
    std::fs::write(path.join("cifar/test_batch.bin"), &records[..30 * 3073]).unwrap();
    std::fs::write(path.join("cifar/batches.meta.txt"), (0..10).map(|i| format!("c{i}\n")).collect::<String>())
        .unwrap();
    let network = "avgpool 8, conv 8 1, relu, dense";
    let train =
        ["train", "--data", "cifar", "--network", network, "--flip", "--out", "c", "--batch-size", "5", "--json"];
    let report = json(path, &train);
    assert_eq!(report["test"]["samples"], 30);
    let text = ok(path, &["classify", "--model", "c", "--data", "cifar/test_batch.bin", "--limit", "1"]);
    assert!(text.contains("     c0"), "{text}");
    // Pictures of another size for the same network.
    let small = [
        "train",
        "--data",
        "idx",
        "--size",
        "14x14",
        "--network",
        "conv 4 3, relu, dense",
        "--out",
        "s",
        "--epochs",
        "1",
    ];
    let output = command(path, &small).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && notes.matches("averaged to the model's 14 x 14").count() == 1, "{notes}");
    let message = error(path, &["train", "--data", "same", "--out", "n"]);
    assert!(message.contains("same: has no test images of its own"), "{message}");
}
