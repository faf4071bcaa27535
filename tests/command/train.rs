//! `midge train` as a user runs it.

use midge_core::{MNIST_CNN, MNIST_CNN_SHIFTED};
use midge_trainer::weights::Weights;

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
    let train = |out: &str, more: &[&str]| ok(folder.path(), &[&["train", "--out", out], &data[..], more].concat());
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
    let report = json(folder.path(), &[&fgsm[..], &["--json"]].concat());
    assert_eq!(report["epochs"][6]["collapsed"], true, "{report}");
    assert_eq!(report["epochs"][0]["collapsed"], false, "{report}");
}

#[test]
fn adversarial_training_gives_the_first_relu_a_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--data", "synthetic", "--limit", "24", "--epochs", "1"];
    let network = |more: &[&str]| {
        ok(folder.path(), &[&train[..], &["--out", "m"], more].concat());
        Weights::load(&folder.path().join("m")).unwrap().network
    };
    assert_eq!(network(&[]), MNIST_CNN);
    assert_eq!(network(&["--adversarial", "fgsm"]), MNIST_CNN_SHIFTED);
}
