//! Where `midge` finds its images and models.

use std::path::{Path, PathBuf};

use midge_trainer::data::idx::{Images, write_images, write_labels};
use midge_trainer::training::initialise;
use midge_trainer::weights::DType;

use super::{command, error, json, ok};

const NAMES: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Ten grey test images with the given labels.
fn write(folder: &Path, labels: [u8; 10]) {
    std::fs::create_dir_all(folder).unwrap();
    let images = Images { shape: [10, 28, 28], pixels: (0..7840).map(|i| (i % 251) as u8).collect() };
    write_images(&folder.join(NAMES[0]), &images).unwrap();
    write_labels(&folder.join(NAMES[1]), &labels).unwrap();
}

fn data_of(folder: &Path, data: &str) -> String {
    let report = json(folder, &["attack", "--attack", "fgsm", "--eps", "0.1", "--json", "--data", data]);
    assert_eq!(report["results"][0]["samples"], 10);
    report["data"].as_str().unwrap().to_string()
}

#[test]
fn images_are_found_in_every_usual_folder_and_called_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let labels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    write(&path("fashion"), labels);
    assert_eq!(data_of(folder.path(), "fashion"), "fashion test (fashion)");
    write(&path("root/FashionMNIST/raw"), labels);
    assert_eq!(data_of(folder.path(), "root"), "FashionMNIST test (root)");
    // A folder's name does not make its images MNIST.
    write(&path("root/MNIST/raw"), labels);
    assert_eq!(data_of(folder.path(), "root"), "unknown images test (root)");
    for name in NAMES {
        std::fs::rename(path("fashion").join(name), path("fashion").join(name.replace("-idx", ".idx"))).unwrap();
    }
    assert_eq!(data_of(folder.path(), "fashion"), "fashion test (fashion)");
    for (data, expected) in [
        ("nowhere", "nowhere: no such file or folder"),
        ("sinthetic", "did you mean \"synthetic\"?"),
        ("fashion/t10k-images.idx3-ubyte", "an IDX file of images; --data takes its folder"),
        ("root/MNIST", "train-images-idx3-ubyte"),
    ] {
        let message = match data {
            "root/MNIST" => error(folder.path(), &["train", "--data", data, "--out", "m"]),
            _ => error(folder.path(), &["evaluate", "--data", data]),
        };
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn labels_may_be_any_class_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("letters"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]);
    let network = "input(28,28,1) flatten dense(units=12)".parse().unwrap();
    initialise(network, 1).save(&folder.path().join("m"), DType::F32).unwrap();
    let report = json(folder.path(), &["evaluate", "--json", "--data", "letters", "--model", "m"]);
    assert_eq!(report["samples"], 10);
    let message = error(folder.path(), &["evaluate", "--data", "letters"]);
    assert!(message.contains("label 11, but the model has 10 classes"), "{message}");
}

#[cfg(unix)]
#[test]
fn paths_need_not_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let folder = tempfile::tempdir().unwrap();
    let name = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let (model, data) = (name(b"m\xff"), name(b"d\xfe"));
    write(&folder.path().join(&data), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let run = |arguments: &[&str], more: &[&Path]| {
        let mut command = command(folder.path(), arguments);
        let output = command.args(more.iter().flat_map(|path| path.to_str().is_none().then_some(path))).output();
        assert!(output.unwrap().status.success(), "{arguments:?} {more:?}");
    };
    run(&["export", "--dtype", "f32", "--out"], &[&model]);
    run(&["summary", "--json", "--model"], &[&model]);
    run(&["evaluate", "--json", "--data"], &[&data]);
    run(&["summary", "--model"], &[&model]);
}

#[test]
fn a_model_may_come_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    ok(folder.path(), &["export", "--dtype", "f32", "--out", "m"]);
    let summary = |file: &str| {
        let input = std::fs::File::open(folder.path().join(file)).unwrap();
        command(folder.path(), &["summary", "--model", "-"]).stdin(input).output().unwrap()
    };
    let output = summary("m");
    assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("824,362"));
    std::fs::write(folder.path().join("other"), "no model").unwrap();
    let message = String::from_utf8(summary("other").stderr).unwrap();
    assert!(message.starts_with("midge: standard input: not a safetensors file: it looks like text"), "{message}");
}

#[test]
fn the_fault_comes_first_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let message = error(folder.path(), &["summary", "--model", "plian"]);
    assert_eq!(
        message,
        "midge: plian: no such file, nor one of the bundled models plain, robust, plain-int8, robust-int8; did you mean \"plain\"?\n"
    );
    let message = error(folder.path(), &["attack", "--attack", "fgms", "--eps", "0.1"]);
    assert!(message.contains("fgsm"), "{message}");
    // A cache that cannot be: below a file.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = command(folder.path(), &["evaluate"]).env("XDG_CACHE_HOME", folder.path().join("file")).output();
    let message = String::from_utf8(output.unwrap().stderr).unwrap();
    assert_eq!(message.matches("os error").count(), 1, "{message}");
}

#[test]
fn a_variable_that_names_no_folder_is_the_same_in_every_place() {
    let folder = tempfile::tempdir().unwrap();
    let run = |value: &str| command(folder.path(), &["evaluate", "--limit", "5"]).env("MIDGE_DATA", value).output();
    assert!(run("synthetic").unwrap().status.success());
    let message = String::from_utf8(run("").unwrap().stderr).unwrap();
    assert!(message.contains("cannot download"), "{message}");
}
