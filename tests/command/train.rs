//! `midge train` as a user runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use midge_core::{MNIST_CNN, MNIST_CNN_SHIFTED};
use midge_trainer::data::idx::{Images, write_images, write_labels};
use midge_trainer::weights::{DType, Weights};

use super::{SMALL, error, json, ok};

#[test]
fn training_is_repeatable_on_any_number_of_threads_and_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", "synthetic", "--limit", "600", "--network", SMALL, "--seed", "5", "--lr", "0.05"];
    let train = |out: &str, more: &[&str]| ok(folder.path(), &[&["train", "--out", out], &data[..], more].concat());
    train("a", &["--epochs", "2", "--threads", "1"]);
    train("b", &["--epochs", "2", "--threads", "2"]);
    train("c", &["--epochs", "1"]);
    train("c", &["--epochs", "2", "--resume"]);
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(file("a") == file("b"), "two threads trained another model than one");
    assert!(file("a") == file("c"), "a resumed run trained another model");
    let message =
        error(folder.path(), &[&["train", "--out", "c", "--resume", "--batch-size", "16"], &data[..]].concat());
    assert!(message.contains("batch-size=32"), "{message}");
}

#[test]
fn adversarial_training_is_repeatable_and_resumes_after_every_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", "synthetic", "--limit", "300", "--network", SMALL, "--seed", "5", "--batch-size", "30"];
    let train = |out: &str, more: &[&str]| {
        let replace: &[&str] = if more.contains(&"--resume") { &[] } else { &["--force"] };
        ok(folder.path(), &[&["train", "--out", out], &data[..], more, replace].concat())
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
    let other = [&["train", "--out", "one", "--resume", "--lr", "0.7"], &data[..], recipes[2]].concat();
    assert!(error(folder.path(), &other).contains("lr=0.7"));
    std::fs::write(folder.path().join("one.checkpoint"), "rubbish").unwrap();
    let message = error(folder.path(), &[&["train", "--out", "one", "--resume"], &data[..], recipes[2]].concat());
    assert!(message.contains("one.checkpoint"), "{message}");
    // What replaces the model takes away the checkpoint, from which the first run would else come back.
    train("two", &["--epochs", "1"]);
    assert!(!folder.path().join("two.checkpoint").exists());
    let message = error(folder.path(), &[&["train", "--out", "two", "--resume"], &data[..], recipes[2]].concat());
    assert!(message.contains("two.checkpoint: not there"), "{message}");
}

#[test]
fn a_collapse_is_reported_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let network =
        "input(28,28,1) conv2d(filters=8,kernel=3,stride=2) relu flatten dense(units=32) relu dense(units=10)";
    let data = ["--data", "synthetic", "--limit", "1500", "--held-out", "100", "--network", network, "--out", "m"];
    let options = ["--batch-size", "20", "--lr", "0.003", "--schedule", "constant", "--eps", "0.2", "--epochs", "7"];
    let fgsm = [&["train", "--adversarial", "fgsm", "--eps-warmup", "0"], &data[..], &options].concat();
    let text = ok(folder.path(), &fgsm);
    assert!(text.contains("epoch 7 has collapsed") && text.contains("try --adversarial fast"), "{text}");
    let report = json(folder.path(), &[&fgsm[..], &["--json", "--force"]].concat());
    assert_eq!(report["epochs"][6]["collapsed"], true, "{report}");
    assert_eq!(report["epochs"][0]["collapsed"], false, "{report}");
}

#[test]
fn adversarial_training_gives_the_first_relu_a_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--data", "synthetic", "--limit", "24", "--epochs", "1"];
    let network = |more: &[&str]| {
        ok(folder.path(), &[&train[..], &["--out", "m", "--force"], more].concat());
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
        for (data, limit) in [("dark", "16"), ("synthetic", "16"), ("bright", "15"), ("bright", "20")] {
            let message = error(folder.path(), &train(data, limit, &["--epochs", "2", "--resume"]));
            assert!(message.contains("was trained with") && message.contains("bright train"), "{recipe:?}: {message}");
            assert!(
                data != "synthetic" || message.contains("this run has") && message.contains("synthetic"),
                "{message}"
            );
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
    let train = ["train", "--data", "synthetic", "--limit", "20", "--network", SMALL, "--out", "m", "--epochs", "1"];
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
    let message = error(folder.path(), &[&train[..9], &["--epochs", "2", "--resume"]].concat());
    assert!(message.contains("m: was not written by midge train"), "{message}");
}

#[test]
fn a_constant_answer_is_reported_and_never_the_best_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let network = "input(28,28,1) conv2d(filters=8,kernel=3) relu maxpool2d(pool=2) conv2d(filters=16,kernel=3) relu \
                   maxpool2d(pool=2) flatten dense(units=10)";
    let train =
        ["train", "--data", "synthetic", "--limit", "1000", "--held-out", "200", "--network", network, "--out", "m"];
    let attack = ["--adversarial", "pgd", "--eps-warmup", "0", "--lr", "0.005", "--epochs", "4", "--force"];
    let train = [&train[..], &attack].concat();
    let text = ok(folder.path(), &train);
    let notice = "epoch 4: all images, or nearly all, get the same answer";
    assert!(text.contains(notice), "{text}");
    assert!(["--eps-warmup", "--lr", "--eps"].iter().all(|option| text.contains(&format!("{option} (now"))), "{text}");
    let report = json(folder.path(), &[&train[..], &["--json"]].concat());
    let epochs = report["epochs"].as_array().unwrap();
    let best = report["best_epoch"].as_u64().unwrap() as usize;
    assert_eq!(epochs[best - 1]["constant"], false, "{report}");
    assert_eq!(epochs[3]["constant"], true, "{report}");
    // What a constant has over the best: it is there to be taken for it.
    let pgd = |epoch: usize| epochs[epoch - 1]["pgd_accuracy"].as_f64().unwrap();
    assert!(pgd(4) > pgd(best), "{report}");
    assert!(report["test"]["accuracy"].as_f64().unwrap() > 0.12, "{report}");
}

#[test]
fn a_run_without_any_better_epoch_keeps_the_last_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let train =
        ["train", "--data", "synthetic", "--limit", "200", "--held-out", "100", "--network", SMALL, "--out", "m"];
    let train = [&train[..], &["--lr", "1000"]].concat();
    let text = ok(folder.path(), &[&train[..], &["--epochs", "1"]].concat());
    assert!(text.contains("no epoch is the best") && text.contains("a smaller --lr (now 1000)"), "{text}");
    let report = json(folder.path(), &[&train[..], &["--epochs", "2", "--resume", "--json"]].concat());
    assert_eq!(report.get("best_epoch"), None, "{report}");
    let weights = Weights::load(&folder.path().join("m")).unwrap();
    assert_eq!(weights.metadata["training.epochs"], "2");
}

#[test]
fn a_loss_above_that_of_guessing_is_reported_and_short() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--data", "synthetic", "--limit", "300", "--epochs", "1", "--force", "--out", "m", "--lr"];
    let dense = ["1e15", "--network", "input(28,28,1) flatten dense(units=10)"];
    let text = ok(folder.path(), &[&train[..], &dense].concat());
    let notice = "epoch 1: the loss is above 2.3026, that of guessing among 10 classes; try a smaller --lr";
    assert!(text.contains(notice), "{text}");
    let line = text.lines().find(|line| line.contains("test loss")).unwrap();
    assert!(line.contains("e15  accuracy") && line.len() < 100, "{line}");
    let text = ok(folder.path(), &[&train[..], &["0.05", "--network", SMALL]].concat());
    assert!(!text.contains("guessing"), "{text}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_last_whole_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["train", "--data", "synthetic", "--limit", "600", "--network", SMALL, "--threads", "1"];
    for recipe in [&["--seed", "5"][..], &["--momentum", "0.9"], &["--held-out", "50"]] {
        let options = [&options[..], recipe].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_midge"));
        command.current_dir(folder.path()).args(&options).args(["--out", "m", "--epochs", "1000", "--force"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("epoch 2 ")));
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        // Its standard output is read to the end: it is not a broken pipe that ends the run.
        lines.for_each(drop);
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains("--resume goes on"), "{message}");
        let last: usize = message.split("holds epoch ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        let epochs = (last + 1).to_string();
        let whole = [&options[..], &["--out", "whole", "--force", "--epochs", &epochs]].concat();
        ok(folder.path(), &whole);
        ok(folder.path(), &[&options[..], &["--out", "m", "--resume", "--epochs", &epochs]].concat());
        let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert!(file("m") == file("whole"), "{recipe:?}, stopped after epoch {last}");
    }
}
