//! Attacks on the host with what a board says of each image, of which the host's own model says the same.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use midge_trainer::any_weights::AnyWeights;
use safetensors::SafeTensors;
use serde_json::Value;

use super::super::{json, ok};
use super::cases::{MODEL, folder};
use super::stub::{Fate, Stub};

const DATA: [&str; 6] = ["--data", "data.safetensors", "--eps", "0.1", "--limit", "8"];

fn evaluate(folder: &Path, stub: &Stub, words: &[&str]) -> Value {
    json(folder, &[&["device", &stub.port(), "evaluate"], &DATA[..], words, &["--json"]].concat())
}

/// Attacks that no board runs end in the host's images to the bit; returns the jobs that they took.
fn check(folder: &Path, stub: &Stub, attack: &[&str]) -> usize {
    let before = stub.jobs.load(Ordering::Relaxed);
    let report = evaluate(folder, stub, &[attack, &MODEL, &["--out", "r.safetensors"]].concat());
    let jobs = stub.jobs.load(Ordering::Relaxed) - before;
    let last = report["agreement"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["adversarial"]["count"], &last["logits"]), (&8.into(), &0.0.into()), "{attack:?} {report}");
    let bytes = fs::read(folder.join("r.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name| file.tensor(name).unwrap().data().to_vec();
    assert_eq!(tensor("device_adversarial"), tensor("host_adversarial"));
    assert_ne!(tensor("device_adversarial"), tensor("images"));
    jobs
}

#[test]
fn a_search_and_steps_of_their_own_choice_are_the_hosts() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let stub = Stub::start(&weights, Fate::default());
    let square = ["--attack", "square", "--queries", "30"];
    // The image, what it looks like before and after, and at most 30 questions.
    let jobs = check(folder, &stub, &square);
    assert!((8 * 3..=8 * 33).contains(&jobs), "{jobs}");
    check(folder, &stub, &["--attack", "apgd", "--steps", "12"]);
    check(folder, &stub, &["--attack", "targeted-apgd", "--target", "least-likely", "--steps", "5"]);
    let with = evaluate(folder, &stub, &[&square[..], &MODEL].concat());
    let without = evaluate(folder, &stub, &square);
    assert_eq!(
        (&without["readers"][0]["robust"][0], without["agreement"].as_array().unwrap().len()),
        (&with["readers"][1]["robust"][1], 0)
    );
    // What is finished is gone on with, though there is no host beside it.
    let part = ["--out", "alone.safetensors", "--resume"];
    evaluate(folder, &stub, &[&square[..], &part].concat());
    let before = stub.jobs.load(Ordering::Relaxed);
    assert_eq!(evaluate(folder, &stub, &[&square[..], &part].concat())["readers"], without["readers"]);
    assert_eq!(stub.jobs.load(Ordering::Relaxed), before);
    let table = ok(folder, &[&["device", &stub.port(), "evaluate"], &DATA[..], &square].concat());
    assert!(table.contains("device") && !table.contains("same class"), "{table}");
}

#[test]
fn a_board_of_integers_is_searched_on_its_grid() {
    let (folder, _) = folder();
    let folder = folder.path();
    let quantise = ["export", "--model", "m.safetensors", "--dtype", "i8", "--calibrate", "data.safetensors"];
    ok(folder, &[&quantise[..], &["--out", "q.safetensors"]].concat());
    fs::rename(folder.join("q.safetensors"), folder.join("m.safetensors")).unwrap();
    let weights = AnyWeights::load(&folder.join("m.safetensors")).unwrap();
    assert!(matches!(weights, AnyWeights::Int8(_)));
    let stub = Stub::with(&weights, Fate::default());
    check(folder, &stub, &["--attack", "square", "--queries", "30"]);
}

/// The board has forgotten the image of which it was sent a part.
#[test]
fn a_reset_in_the_middle_changes_nothing() {
    let (folder, weights) = folder();
    let folder = folder.path();
    for attack in [&["--attack", "apgd", "--steps", "6"][..], &["--attack", "square", "--queries", "9"]] {
        let expected = evaluate(folder, &Stub::start(&weights, Fate::default()), attack);
        for reset_at_job in [1, 5, 11] {
            let stub = Stub::start(&weights, Fate { reset_at_job, ..Fate::default() });
            assert_eq!(evaluate(folder, &stub, attack), expected);
        }
    }
}
