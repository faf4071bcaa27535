//! `midge attack` and `midge evaluate --robust` as a user runs them.

use std::path::Path;
use std::process::Output;

use midge_core::loss::{argmax, cross_entropy};
use midge_trainer::training::initialise;
use midge_trainer::weights::{DType, Weights};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use super::{DATA, SMALL, error, export, json, midge, ok, write_digits};

/// A folder with a few digits; the label of each is its index modulo 10.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [1, 100]);
    folder
}

/// A file of `--out`.
struct File(Vec<u8>);

impl File {
    fn read(folder: &Path, name: &str) -> Self {
        Self(std::fs::read(folder.join(name)).unwrap())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data())
    }

    fn classes(&self, name: &str) -> Vec<i32> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data())
    }

    fn metadata(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.0).unwrap();
        header.metadata().as_ref().unwrap()[key].clone()
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A network that reads nothing: its weights are as they were drawn.
fn untrained(folder: &Path) {
    initialise(SMALL.parse().unwrap(), 3).save(&folder.join("m"), DType::F32).unwrap();
}

/// The bundled model with logits a thousand times as large: the same decisions, but cross-entropy has no gradient left.
fn masked(folder: &Path) {
    let mut weights = Weights::load(&export(folder)).unwrap();
    let last = weights.tensors.len() - 2;
    weights.tensors[last..].iter_mut().flat_map(|tensor| tensor.iter_mut()).for_each(|w| *w *= 1000.0);
    weights.save(&folder.join("masked"), DType::F32).unwrap();
}

/// Away from the predicted class, some images that were misread end at their true class. They are not robust.
#[test]
fn robust_is_right_before_the_attack_and_after_it() {
    let folder = folder();
    let path = folder.path();
    untrained(path);
    let attack = ["attack", "--attack", "fgsm", "--eps", "0.1", "--model", "m", "--limit", "100", "--json"];
    for (label, rule) in [("predicted", "predicts"), ("true", "true class")] {
        let report = json(path, &[&attack[..], &DATA, &["--label", label, "--out", "r"]].concat());
        let [result] = &report["results"].as_array().unwrap()[..] else { panic!("{report}") };
        let file = File::read(path, "r");
        let read = |name: &str| file.floats(name).chunks(10).map(|logits| argmax(logits) as i32).collect::<Vec<_>>();
        let (labels, attacked) = (file.classes("labels"), file.classes("attacked_labels"));
        let (before, after) = (read("logits"), read("adversarial_logits"));
        let count = |is: &dyn Fn(usize) -> bool| (0..100).filter(|i| is(*i)).count() as u64;
        let robust = count(&|i| before[i] == labels[i] && after[i] == labels[i]);
        assert_eq!(number(&result["robust_correct"]), robust, "{report}");
        assert_eq!(number(&result["correct"]), count(&|i| before[i] == labels[i]));
        assert_eq!(number(&result["successes"]), number(&result["correct"]) - robust);
        if label == "predicted" {
            assert!(count(&|i| before[i] != labels[i] && after[i] == labels[i]) > 0, "nothing to tell apart");
            assert_eq!(attacked, before);
        } else {
            assert_eq!(attacked, labels);
        }
        // The loss is that of the label beside it.
        for (i, (logits, loss)) in file.floats("logits").chunks(10).zip(file.floats("loss")).enumerate() {
            assert_eq!(loss, cross_entropy(logits, labels[i] as usize), "image {i}");
        }
        assert_eq!(report["label"], label);
        assert!(file.metadata("attacked_labels").contains(rule));
    }
}

#[test]
fn one_image_is_attacked_alone_as_among_others() {
    let folder = folder();
    let path = folder.path();
    let run = |attack: &[&str], more: &[&str]| {
        let options = ["attack", "--eps", "0.2", "--steps", "2", "--out", "r"];
        ok(path, &[&options[..], attack, &DATA, more].concat());
        let file = File::read(path, "r");
        (file.floats("adversarial"), file.classes("targets"), file.classes("places"))
    };
    let pgd = ["--attack", "pgd", "--restarts", "2"];
    let random = ["--attack", "targeted-pgd", "--target", "random"];
    for attack in [&pgd[..], &random] {
        let (all, targets, places) = run(attack, &["--limit", "40"]);
        assert_eq!(places, (0..40).collect::<Vec<_>>());
        for place in [0, 17, 39] {
            let offset = place.to_string();
            let (alone, target, places) = run(attack, &["--offset", &offset, "--limit", "1", "--threads", "1"]);
            assert_eq!((places, target), (vec![place as i32], vec![targets[place]]));
            assert!(alone == all[784 * place..][..784], "{attack:?} {place}");
        }
        if attack == random {
            assert!(targets.iter().any(|target| *target != targets[0]));
        }
    }
    // Images left out do not move the others.
    let at = |class| run(&["--attack", "targeted-pgd", "--target", class], &["--limit", "12"]);
    let (with, _, places) = at("1");
    assert_eq!(places, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let (alone, ..) = run(&["--attack", "targeted-pgd", "--target", "1"], &["--offset", "10", "--limit", "1"]);
    assert!(alone == with[784 * 9..]);
    // Another seed is another start.
    let (seeds, ..) =
        run(&["--attack", "targeted-pgd", "--target", "1"], &["--offset", "10", "--limit", "1", "--seed", "2"]);
    assert!(seeds != alone);
}

#[test]
fn worst_cases_and_smallest_eps_belong_to_the_image_too() {
    let folder = folder();
    let run = |more: &[&str]| json(folder.path(), &[more, &DATA, &["--json"]].concat());
    let minimal = ["minimal-eps", "--attack", "pgd", "--steps", "2", "--grid", "0.02", "--max-eps", "0.3"];
    let all = run(&[&minimal[..], &["--limit", "8"]].concat());
    let alone = run(&[&minimal[..], &["--offset", "5", "--limit", "1"]].concat());
    assert_eq!(alone["images"][0], all["images"][5]);
    // Each image's part of the worst case adds up to that of all.
    let robust = ["evaluate", "--robust", "--eps", "0.1", "--steps", "2", "--restarts", "2"];
    let counts = |report: &Value| -> Vec<u64> {
        let attacks = report["attacks"].as_array().unwrap().iter();
        attacks.map(|attack| number(&attack["robust_correct"])).chain([number(&report["robust_correct"])]).collect()
    };
    let all = counts(&run(&[&robust[..], &["--limit", "12"]].concat()));
    let parts =
        ["0", "4", "8"].map(|offset| counts(&run(&[&robust[..], &["--offset", offset, "--limit", "4"]].concat())));
    let sum: Vec<u64> = (0..all.len()).map(|k| parts.iter().map(|part| part[k]).sum()).collect();
    assert_eq!(sum, all);
}

#[test]
fn eps_is_read_as_people_write_it() {
    let folder = folder();
    let run = |eps: &str| {
        let attack = ["attack", "--attack", "fgsm", "--limit", "10", "--json", "--eps", eps];
        json(folder.path(), &[&attack[..], &DATA].concat())["results"].clone()
    };
    assert_eq!(run("8/255"), run(&(8.0f32 / 255.0).to_string()));
    assert_eq!(run("0.1, 0.2"), run("0.1,0.2"));
    let refused = |arguments: &[&str]| {
        let output = midge(folder.path(), arguments);
        // What is too much is the model's to say, but in training.
        assert_eq!(output.status.code(), Some(if arguments[0] == "train" { 2 } else { 1 }), "{arguments:?}");
        text(&output.stderr)
    };
    let hint = "in units of [0, 1]: 8 of 255 is 0.0314";
    for arguments in [
        &["attack", "--attack", "fgsm", "--eps", "8"][..],
        &["evaluate", "--robust", "--eps", "8"],
        &["minimal-eps", "--attack", "fgsm", "--max-eps", "8"],
        &["minimal-eps", "--attack", "fgsm", "--grid", "8"],
        &["camera", "--attack", "fgsm", "--eps", "8"],
        &["report", "--out", "r", "--eps", "0.1,8"],
        &["report", "--out", "r", "--robust-eps", "8"],
        &["demo", "--eps", "8"],
        &["train", "--out", "x", "--adversarial", "pgd", "--eps", "8"],
    ] {
        let message = refused(arguments);
        assert!(message.contains(hint), "{arguments:?}: {message}");
    }
    for arguments in [
        &["attack", "--attack", "pgd", "--eps", "0.1", "--alpha", "2"][..],
        &["train", "--out", "x", "--adversarial", "pgd", "--alpha", "2"],
    ] {
        assert!(refused(arguments).contains("in units of [0, 1]: 2 of 255"), "{arguments:?}");
    }
    let output = midge(folder.path(), &["attack", "--attack", "fgsm", "--eps", "0,1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("write 0.1 with a point"));
}

#[test]
fn a_file_says_how_it_came_about() {
    let folder = folder();
    let path = folder.path();
    export(path);
    let attack = ["attack", "--attack", "mi-fgsm", "--steps", "3", "--eps", "8/255", "--limit", "5", "--model", "m"];
    ok(path, &[&attack[..], &DATA, &["--seed", "7", "--out", "a"]].concat());
    ok(path, &[&attack[..], &DATA, &["--seed", "7", "--out", "b", "--threads", "1"]].concat());
    assert!(std::fs::read(path.join("a")).unwrap() == std::fs::read(path.join("b")).unwrap(), "other bytes");
    let file = File::read(path, "a");
    assert_eq!(file.metadata("attack"), "MI-FGSM, 3 steps, cross-entropy loss, decay 1");
    assert_eq!(file.metadata("eps"), (8.0f32 / 255.0).to_string());
    assert_eq!((file.metadata("model"), file.metadata("seed")), ("m".into(), "7".into()));
    assert!(file.metadata("data").contains("digits"));
    let model = std::fs::read(path.join("m")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&model).unwrap();
    assert_eq!(file.metadata("model.checksum"), header.metadata().as_ref().unwrap()[midge_core::METADATA_CHECKSUM]);
}

#[test]
fn out_is_checked_before_the_work() {
    let folder = folder();
    // Enough work to run for hours.
    let attack = ["attack", "--attack", "pgd", "--eps", "0.001", "--restarts", "1000000"];
    let message = error(folder.path(), &[&attack[..], &DATA, &["--out", "no/such/folder/r.st"]].concat());
    assert!(message.contains("no/such/folder/r.st"), "{message}");
}

/// A disk that fills during the work takes the file, but not the table.
#[cfg(unix)]
#[test]
fn the_table_is_printed_though_the_file_cannot_be_written() {
    let folder = folder();
    let midge = env!("CARGO_BIN_EXE_midge");
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let attack = ["attack", "--attack", "fgsm", "--eps", "0.1", "--limit", "20", "--out", "r.st"];
    let output = std::process::Command::new("sh")
        .current_dir(folder.path())
        .args([&["-c", script, midge][..], &attack, &DATA].concat())
        .output()
        .unwrap();
    let (table, message) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success() && message.contains("r.st: cannot be written"), "{message}");
    assert!(table.contains("robust accuracy") && table.contains("/20"), "{table}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "half a file is left beside the digits");
}

/// The second eps never ends.
#[cfg(unix)]
#[test]
fn an_interrupted_attack_prints_what_it_has() {
    use super::interrupt;

    let folder = folder();
    let attack = ["attack", "--attack", "pgd", "--eps", "0.8,0.0001", "--steps", "3", "--restarts", "1000000"];
    let interrupted_after = |seconds: f32| {
        let child = interrupt::start(folder.path(), &[&attack[..], &DATA, &["--limit", "4"]].concat());
        std::thread::sleep(std::time::Duration::from_secs_f32(seconds));
        interrupt::interrupt(&child);
        child.wait_with_output().unwrap()
    };
    // However slow the machine is.
    let is_finished = |output: &Output| text(&output.stdout).lines().any(|line| line.starts_with("0.8 "));
    let output = (1..10).map(|n| interrupted_after(0.125 * 2f32.powi(n))).find(is_finished).unwrap();
    let (table, message) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success() && message.contains("no result for eps 0.0001: stopped"), "{message}");
    assert!(table.contains("robust accuracy") && !table.contains("0.0001"), "{table}");
}

#[test]
fn a_zero_gradient_is_reported_with_what_helps() {
    let folder = folder();
    let path = folder.path();
    masked(path);
    let run = |more: &[&str]| {
        let attack = ["attack", "--model", "masked", "--eps", "0.1", "--limit", "5"];
        ok(path, &[&attack[..], &DATA, more].concat())
    };
    let note = |more: &[&str]| run(more).lines().find(|line| line.contains("zero gradient")).map(str::to_string);
    assert!(note(&["--attack", "bim", "--steps", "2"]).unwrap().contains("; try --loss margin"));
    assert!(note(&["--attack", "fgsm"]).unwrap().contains("--loss margin"));
    assert_eq!(note(&["--attack", "bim", "--steps", "2", "--loss", "margin"]), None);
    // Nothing can be said of the success among no images.
    untrained(path);
    let none = ["attack", "--attack", "fgsm", "--eps", "0.1", "--model", "m", "--limit", "1", "--json"];
    let mut offsets = (0..20).map(|offset| {
        json(path, &[&none[..], &DATA, &["--offset", &offset.to_string()]].concat())["results"][0].clone()
    });
    let misread = offsets.find(|result| result["correct"] == 0).unwrap();
    assert_eq!((&misread["success_rate"], &misread["robust_accuracy"]), (&Value::Null, &0.0.into()));
}

#[test]
fn a_failed_check_has_an_exit_status_and_lines_are_short() {
    let folder = folder();
    let path = folder.path();
    masked(path);
    let run = |model: &str, more: &[&str]| {
        let options = ["evaluate", "--robust", "--model", model, "--limit", "8", "--steps", "3", "--restarts", "1"];
        midge(path, &[&options[..], &DATA, more].concat())
    };
    let failing = run("masked", &["--check"]);
    assert_eq!(failing.status.code(), Some(3), "{}", text(&failing.stderr));
    let report = text(&failing.stdout);
    assert!(report.contains("FAIL") && text(&failing.stderr).contains(" failed"), "{report}");
    assert!(report.lines().all(|line| line.chars().count() <= 100), "{report}");
    assert_eq!(run("masked", &[]).status.code(), Some(0), "nobody asked");
    let passing = run("plain", &["--check", "--json"]);
    let report: Value = serde_json::from_slice(&passing.stdout).unwrap();
    assert_eq!((report["gates_failed"].as_u64(), passing.status.code()), (Some(0), Some(0)), "{report}");
    assert_eq!(midge(path, &["evaluate", "--check"]).status.code(), Some(2));
}
