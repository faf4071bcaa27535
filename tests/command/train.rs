//! `midge train` as a user runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;

use midge_core::{MNIST_CNN, MNIST_CNN_SHIFTED};
use midge_trainer::data::idx::{Images, write_images, write_labels};
use midge_trainer::weights::{DType, Weights};

use super::{DATA, SMALL, error, json, ok, write_digits};

#[test]
fn training_is_repeatable_on_any_number_of_threads_and_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [150, 20]);
    let options = [&DATA[..], &["--network", SMALL, "--seed", "5", "--lr", "0.05"]].concat();
    let train = |out: &str, more: &[&str]| ok(folder.path(), &[&["train", "--out", out], &options[..], more].concat());
    train("a", &["--epochs", "2", "--threads", "1"]);
    train("b", &["--epochs", "2", "--threads", "2"]);
    train("c", &["--epochs", "1"]);
    train("c", &["--epochs", "2", "--resume"]);
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(file("a") == file("b"), "two threads trained another model than one");
    assert!(file("a") == file("c"), "a resumed run trained another model");
    let message =
        error(folder.path(), &[&["train", "--out", "c", "--resume", "--batch-size", "16"], &options[..]].concat());
    assert!(message.contains("batch-size=32"), "{message}");
}

#[test]
fn adversarial_training_is_repeatable_and_resumes_after_every_epoch() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [120, 20]);
    let options = [&DATA[..], &["--network", SMALL, "--seed", "5", "--batch-size", "30"]].concat();
    let train = |out: &str, more: &[&str]| {
        let replace: &[&str] = if more.contains(&"--resume") { &[] } else { &["--force"] };
        ok(folder.path(), &[&["train", "--out", out], &options[..], more, replace].concat())
    };
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let recipes: [&[&str]; 3] = [
        &["--adversarial", "pgd", "--steps", "2", "--shift", "2", "--schedule", "constant", "--eps-warmup", "1.5"],
        &[
            "--adversarial",
            "trades",
            "--steps",
            "2",
            "--beta",
            "2",
            "--optimiser",
            "sgd",
            "--momentum",
            "0.9",
            "--lr",
            "0.1",
        ],
        &["--momentum", "0.9", "--weight-decay", "0.001", "--schedule", "constant"],
    ];
    for (i, recipe) in recipes.iter().enumerate() {
        let constant = i != 1;
        train("one", &[recipe, &["--epochs", "3", "--threads", "1"][..]].concat());
        train("two", &[recipe, &["--epochs", "3", "--threads", "2"][..]].concat());
        assert!(file("one") == file("two"), "{recipe:?}: two threads trained another model than one");
        if constant {
            train("resumed", &[recipe, &["--epochs", "1"][..]].concat());
            train("resumed", &[recipe, &["--epochs", "2", "--resume"][..]].concat());
            if i == 2 {
                // The power failed between the checkpoint and the model.
                std::fs::remove_file(folder.path().join("resumed")).unwrap();
            }
            train("resumed", &[recipe, &["--epochs", "3", "--resume"][..]].concat());
            assert!(file("one") == file("resumed"), "{recipe:?}: a resumed run trained another model");
        }
    }
    let other = [&["train", "--out", "one", "--resume", "--lr", "0.7"], &options[..], recipes[2]].concat();
    assert!(error(folder.path(), &other).contains("lr=0.7"));
    std::fs::write(folder.path().join("one.checkpoint"), "rubbish").unwrap();
    let message = error(folder.path(), &[&["train", "--out", "one", "--resume"], &options[..], recipes[2]].concat());
    assert!(message.contains("one.checkpoint"), "{message}");
    // What replaces the model takes away the checkpoint, from which the first run would else come back.
    train("two", &["--epochs", "1"]);
    assert!(!folder.path().join("two.checkpoint").exists());
    let message = error(folder.path(), &[&["train", "--out", "two", "--resume"], &options[..], recipes[2]].concat());
    assert!(message.contains("two.checkpoint: not there"), "{message}");
}

#[test]
fn a_collapse_is_reported_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [500, 20]);
    let network = "input(28,28,1) conv2d(filters=8,kernel=3,stride=2) relu flatten dense(units=10)";
    let train = ["train", "--out", "m", "--network", network, "--adversarial", "fgsm", "--held-out", "100"];
    let fgsm = ["--eps", "0.2", "--eps-warmup", "0", "--schedule", "constant", "--batch-size", "10", "--lr", "0.005"];
    let run = |more: &[&'static str]| [&train[..], &DATA, &fgsm, more].concat();
    let report = json(folder.path(), &run(&["--epochs", "5", "--json"]));
    assert_eq!(report["epochs"][0]["collapsed"], false, "{report}");
    assert_eq!(report["epochs"][4]["collapsed"], true, "{report}");
    let text = ok(folder.path(), &run(&["--epochs", "6", "--resume"]));
    assert!(text.contains("epoch 6 has collapsed") && text.contains("try --adversarial fast"), "{text}");
}

#[test]
fn adversarial_training_gives_the_first_relu_a_threshold() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [24, 10]);
    let network = |more: &[&str]| {
        let train = ["train", "--epochs", "1", "--out", "m", "--force"];
        ok(folder.path(), &[&train[..], &DATA, more].concat());
        Weights::load(&folder.path().join("m")).unwrap().network
    };
    assert_eq!(network(&[]), MNIST_CNN);
    assert_eq!(network(&["--adversarial", "fgsm"]), MNIST_CNN_SHIFTED);
}

/// A folder of MNIST's files, with twenty images of 28x28 for each split.
fn write_data(folder: &Path, brightness: u8) {
    std::fs::create_dir(folder).unwrap();
    let pixels = (0..20 * 28 * 28).map(|i| if i % 28 < i / 784 { brightness } else { 0 }).collect();
    let images = Images { shape: [20, 28, 28], pixels };
    let labels: Vec<u8> = (0..20).map(|i| i / 2).collect();
    for split in ["train", "t10k"] {
        write_images(&folder.join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
        write_labels(&folder.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
    }
}

#[test]
fn a_run_goes_on_only_with_the_images_that_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    write_data(&folder.path().join("bright"), 255);
    write_data(&folder.path().join("dark"), 254);
    write_data(&folder.path().join("moved"), 255);
    write_digits(folder.path(), [16, 10]);
    let plain: &[&str] = &["--network", SMALL];
    let momentum: &[&str] = &["--network", SMALL, "--momentum", "0.5"];
    let attack = ["--adversarial", "fgsm", "--schedule", "constant", "--eps-warmup", "0", "--held-out", "4"];
    let adversarial = [plain, &attack].concat();
    for recipe in [plain, momentum, &adversarial] {
        let train = |data: &'static str, limit: &'static str, more: &[&'static str]| {
            [&["train", "--out", "m", "--data", data, "--limit", limit], recipe, more].concat()
        };
        ok(folder.path(), &train("bright", "16", &["--epochs", "1", "--force"]));
        let before = std::fs::read(folder.path().join("m")).unwrap();
        for (data, limit) in [("dark", "16"), ("digits", "16"), ("bright", "15"), ("bright", "20")] {
            let message = error(folder.path(), &train(data, limit, &["--epochs", "2", "--resume"]));
            assert!(message.contains("was trained with") && message.contains("bright train"), "{recipe:?}: {message}");
            assert!(message.contains("this run has") && message.contains(&format!("{data} train")), "{message}");
            assert!(std::fs::read(folder.path().join("m")).unwrap() == before, "{recipe:?}, {data} {limit}");
        }
        // The same images from another folder.
        let text = ok(folder.path(), &train("moved", "16", &["--epochs", "2", "--resume"]));
        assert!(text.contains("goes on after epoch 1"), "{text}");
    }
}

#[test]
fn a_model_is_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_digits(folder.path(), [20, 10]);
    let train = ["train", DATA[0], DATA[1], "--network", SMALL, "--out", "m", "--epochs", "1"];
    // What has nothing in it can be lost.
    std::fs::write(path("m"), "").unwrap();
    ok(folder.path(), &train);
    let before = std::fs::read(path("m")).unwrap();
    let again = [&train[..], &["--lr", "0.5"]].concat();
    let message = error(folder.path(), &again);
    assert!(
        message.contains("m: is there already") && message.contains("--resume") && message.contains("--force"),
        "{message}"
    );
    assert!(std::fs::read(path("m")).unwrap() == before);
    ok(folder.path(), &[&again[..], &["--force"]].concat());
    assert!(std::fs::read(path("m")).unwrap() != before);
    // The checkpoint of a run that lost its model is work too.
    std::fs::rename(path("m"), path("m.checkpoint")).unwrap();
    let message = error(folder.path(), &train);
    assert!(message.contains("m.checkpoint: is there already"), "{message}");
    error(folder.path(), &[&train[..], &["--force", "--resume"]].concat());
    // A history that is not one is found before the work, not after it.
    let mut weights = Weights::load(&path("m.checkpoint")).unwrap();
    weights.metadata.insert("training.history".into(), "1 0.5;".into());
    weights.save(&path("m"), DType::F32).unwrap();
    let message = error(folder.path(), &[&train[..7], &["--epochs", "2", "--resume"]].concat());
    assert!(message.contains("m: was not written by midge train"), "{message}");
}

#[test]
fn a_constant_answer_is_reported_and_never_the_best_epoch() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [500, 50]);
    // The first epoch learns something while eps grows. The others see images that may be grey all over.
    let attack = ["--adversarial", "pgd", "--eps", "0.5", "--eps-warmup", "1", "--held-out", "100"];
    let steps = ["--batch-size", "32", "--lr", "0.01", "--schedule", "constant"];
    let train = ["train", "--network", SMALL, "--out", "m"];
    let run = |more: &[&'static str]| [&train[..], &DATA, &attack, &steps, more].concat();
    let report = json(folder.path(), &run(&["--epochs", "2", "--json"]));
    let epochs = report["epochs"].as_array().unwrap();
    assert_eq!((report["best_epoch"].as_u64(), epochs.len()), (Some(1), 2), "{report}");
    assert_eq!([0, 1].map(|i| epochs[i]["constant"].as_bool()), [Some(false), Some(true)], "{report}");
    // What a constant has over the best: it is there to be taken for it.
    let pgd = |i: usize| epochs[i]["pgd_accuracy"].as_f64().unwrap();
    assert!(pgd(1) > pgd(0), "{report}");
    assert!(report["test"]["accuracy"].as_f64().unwrap() > 0.12, "{report}");
    let text = ok(folder.path(), &run(&["--epochs", "3", "--resume"]));
    let notice = "epoch 3: all images, or nearly all, get the same answer";
    assert!(text.contains(notice) && text.contains("epoch 1 is the best"), "{text}");
    assert!(["--eps-warmup", "--lr", "--eps"].iter().all(|option| text.contains(&format!("{option} (now"))), "{text}");
}

#[test]
fn a_run_without_any_better_epoch_keeps_the_last_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [200, 20]);
    let train = ["train", "--held-out", "100", "--network", SMALL, "--out", "m", "--lr", "1000"];
    let run = |more: &[&'static str]| [&train[..], &DATA, more].concat();
    let text = ok(folder.path(), &run(&["--epochs", "1"]));
    assert!(text.contains("no epoch is the best") && text.contains("a smaller --lr (now 1000)"), "{text}");
    let report = json(folder.path(), &run(&["--epochs", "2", "--resume", "--json"]));
    assert_eq!(report.get("best_epoch"), None, "{report}");
    let weights = Weights::load(&folder.path().join("m")).unwrap();
    assert_eq!(weights.metadata["training.epochs"], "2");
}

#[test]
fn a_loss_above_that_of_guessing_is_reported_and_short() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [300, 50]);
    let run = |more: &[&str]| {
        let train = ["train", "--epochs", "1", "--force", "--out", "m"];
        ok(folder.path(), &[&train[..], &DATA, more].concat())
    };
    let text = run(&["--lr", "1e15", "--network", "input(28,28,1) flatten dense(units=10)"]);
    let notice = "epoch 1: the loss is above 2.3026, that of guessing among 10 classes; try a smaller --lr";
    assert!(text.contains(notice), "{text}");
    let line = text.lines().find(|line| line.contains("test loss")).unwrap();
    assert!(line.contains("e15  accuracy") && line.len() < 100, "{line}");
    let text = run(&["--lr", "0.1", "--batch-size", "8", "--network", SMALL]);
    assert!(!text.contains("guessing"), "{text}");
}

/// What a run says that never ends, if Ctrl-C is pressed after two epochs.
#[cfg(unix)]
fn interrupted(folder: &Path, train: &[&str]) -> String {
    use super::interrupt;

    let mut child = interrupt::start(folder, &[train, &["--epochs", "100000", "--force"]].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("epoch 2 ")));
    interrupt::interrupt(&child);
    // Its standard output is read to the end: it is not a broken pipe that ends the run.
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(unix)]
#[test]
fn ctrl_c_without_a_file_promises_none() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [1000, 20]);
    for recipe in [&["--seed", "5"][..], &["--held-out", "50"]] {
        let train = [&["train", "--network", SMALL, "--out", "/dev/null"], &DATA[..], recipe].concat();
        let message = interrupted(folder.path(), &train);
        let is_honest = message.contains("written to /dev/null, from where no run can go on");
        assert!(is_honest && !message.contains("--resume"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_last_whole_epoch() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [1000, 20]);
    for recipe in [&["--seed", "5"][..], &["--momentum", "0.9"], &["--held-out", "50"]] {
        let options = [&["train", "--network", SMALL, "--threads", "1"], &DATA[..], recipe].concat();
        let message = interrupted(folder.path(), &[&options[..], &["--out", "m"]].concat());
        assert!(message.contains("--resume goes on"), "{message}");
        let last: usize = message.split("holds epoch ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        let epochs = (last + 1).to_string();
        let whole = [&options[..], &["--out", "whole", "--force", "--epochs", &epochs]].concat();
        ok(folder.path(), &whole);
        ok(folder.path(), &[&options[..], &["--out", "m", "--resume", "--epochs", &epochs]].concat());
        let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert!(file("m") == file("whole"), "{recipe:?}, stopped after epoch {last}");
    }
}
