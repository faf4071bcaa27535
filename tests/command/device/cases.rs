use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use midge_trainer::any_weights::AnyWeights;
use midge_trainer::training::initialise;
use midge_trainer::weights::{DType, Weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tempfile::TempDir;

use super::super::{command, error, json, midge, ok};
use super::proxy::{self, Faults};
use super::stub::{Fate, Stub};

const NETWORK: &str = "input(6,5,1) conv2d(filters=4,kernel=3) relu flatten dense(units=3)";
const PIXELS: usize = 30;
const IMAGES: usize = 24;

/// A folder with a model of random weights, and images of which it reads some right.
pub(super) fn folder() -> (TempDir, Weights) {
    let folder = tempfile::tempdir().unwrap();
    let weights = initialise(NETWORK.parse().unwrap(), 5);
    weights.save(&folder.path().join("m.safetensors"), DType::F32).unwrap();
    write_images(folder.path(), [6, 5, 1]);
    (folder, weights)
}

/// Images of [`PIXELS`] elements in steps of a 255th, of three classes.
pub(super) fn write_images(folder: &Path, shape: [usize; 3]) {
    write_images_from(folder, shape, 0);
}

/// The same, of which the first is of that class.
fn write_images_from(folder: &Path, [height, width, channels]: [usize; 3], class: i32) {
    // Numbers without a pattern.
    let byte = |i: usize| (i * i * 7919 + i * 104_729) % 256;
    let pixels: Vec<u8> = (0..IMAGES * PIXELS).flat_map(|i| (byte(i) as f32 / 255.0).to_le_bytes()).collect();
    let labels: Vec<u8> = (0..IMAGES).flat_map(|i| ((i as i32 + class) % 3).to_le_bytes()).collect();
    let views = [
        ("images", TensorView::new(Dtype::F32, vec![IMAGES, height, width, channels], &pixels).unwrap()),
        ("labels", TensorView::new(Dtype::I32, vec![IMAGES], &labels).unwrap()),
    ];
    fs::write(folder.join("data.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

pub(super) const MODEL: [&str; 4] = ["--model", "m.safetensors", "--timeout", "8"];
const WORK: [&str; 9] =
    ["evaluate", "--data", "data.safetensors", "--attack", "mi-fgsm", "--eps", "0.1", "--steps", "4"];

fn evaluate<'a>(ports: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [&["device"], ports, &MODEL, &WORK, more].concat()
}

/// The figures of an evaluation, without what befell the boards.
fn figures(folder: &Path, ports: &[&str], more: &[&str]) -> Value {
    let mut report = json(folder, &evaluate(ports, &[&["--json"], more].concat()));
    report.as_object_mut().unwrap().remove("lost");
    report
}

#[test]
fn a_board_is_measured_as_the_host_is() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let stub = Stub::start(&weights, Fate::default());
    let report = figures(folder, &[&stub.port()], &["--out", "r.safetensors"]);
    let host = ["attack", "--model", "m.safetensors", "--json", "--data", "data.safetensors"];
    let host = json(folder, &[&host[..], &["--attack", "mi-fgsm", "--eps", "0.1", "--steps", "4"]].concat());
    let (host, readers) = (&host["results"][0], &report["readers"]);
    assert!(host["correct"].as_u64().unwrap() > 3 && host["successes"].as_u64().unwrap() > 0, "{host}");
    for (reader, name) in ["host f32", "device"].into_iter().enumerate() {
        assert_eq!(readers[reader]["name"], name);
        assert_eq!(readers[reader]["right"]["count"], host["correct"], "{report}");
        for maker in 0..2 {
            assert_eq!(readers[reader]["robust"][maker]["count"], host["robust_correct"], "{report}");
        }
    }
    assert_eq!((&report["agreement"][0]["all"]["count"], &report["samples"]), (&IMAGES.into(), &IMAGES.into()));
    assert_eq!(report["costs"][1]["ticks"], 1000);
    let bytes = fs::read(folder.join("r.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("device_adversarial").unwrap().data(), file.tensor("host_adversarial").unwrap().data());
    assert_eq!(file.tensor("device_ticks").unwrap().shape(), [IMAGES, 2]);
    // Logits, attack, and no look at a host's image that the board has made too.
    assert_eq!(stub.jobs.load(Ordering::Relaxed), 2 * IMAGES);
    let table = ok(folder, &evaluate(&[&stub.port()], &["--limit", "6"]));
    assert!(table.contains("right before and after the attack of") && table.contains("6/6"), "{table}");
    for (words, part) in [("info", "fingerprint"), ("info", "stub")] {
        assert!(ok(folder, &["device", &stub.port(), words, "--json"]).contains(part));
    }
    let classes = json(folder, &["device", &stub.port(), "classify", "--data", "data.safetensors", "--json"]);
    assert_eq!(classes["accuracy"]["count"], host["correct"]);
    let names: Vec<String> = (0..weights.network.classes()).map(|class| format!("kind {class}")).collect();
    std::fs::write(folder.join("names"), names.join("\n")).unwrap();
    let port = stub.port();
    let named = |words: &[&str]| {
        ok(folder, &[&["device", &port][..], words, &["--data", "data.safetensors", "--labels", "names"]].concat())
    };
    assert!(named(&["classify"]).contains("  kind 1  "), "{}", named(&["classify"]));
    let text = named(&["attack", "--attack", "otcm", "--eps", "0.1", "--target", "kind 1"]);
    assert!(text.contains("target kind 1") && text.contains("  kind 0  kind "), "{text}");
    let words = ["attack", "--attack", "pgd", "--eps", "0.1", "--restarts", "2", "--data", "data.safetensors"];
    let attacked = json(folder, &[&["device", &stub.port()], &words[..], &["--json"]].concat());
    let host = json(folder, &[&words[..], &["--model", "m.safetensors", "--json"]].concat());
    let is_right = |image: &&Value| image["label"] == image["before"] && image["label"] == image["after"];
    let robust = attacked["images"].as_array().unwrap().iter().filter(is_right).count();
    assert_eq!(host["results"][0]["robust_correct"], robust);
}

#[test]
fn faults_of_the_line_change_no_figure() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let expected = figures(folder, &[&Stub::start(&weights, Fate::default()).port()], &[]);
    let noise = Faults { per_mille: 10, ..Faults::default() };
    let silence = Faults { silence: Some((5000, Duration::from_secs(5))), ..Faults::default() };
    let pulled = Faults { per_mille: 2, pulled_at: Some(7000), ..Faults::default() };
    for faults in [noise, silence, pulled] {
        let stub = Stub::start(&weights, Fate::default());
        assert_eq!(figures(folder, &[&proxy::start(&stub.address, faults)], &[]), expected, "{faults:?}");
    }
    // In the middle of the attack on the eighth image.
    let stub = Stub::start(&weights, Fate { reset_at: 31, ..Fate::default() });
    assert_eq!(figures(folder, &[&stub.port()], &[]), expected);
}

#[test]
fn a_line_that_is_gone_is_said_and_the_work_goes_on_later() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let stub = Stub::start(&weights, Fate::default());
    let out = ["--out", "r.safetensors"];
    let expected = figures(folder, &[&stub.port()], &["--out", "whole.safetensors"]);
    let gone = Faults { gone_at: Some(4000), ..Faults::default() };
    let message =
        error(folder, &evaluate(&[&proxy::start(&stub.address, gone)], &[&["--timeout", "1"], &out[..]].concat()));
    assert!(message.contains("the line is down") && message.contains("--resume goes on"), "{message}");
    let before = stub.jobs.load(Ordering::Relaxed);
    let resumed = figures(folder, &[&stub.port()], &[&out[..], &["--resume"]].concat());
    assert_eq!(resumed, expected);
    let again = stub.jobs.load(Ordering::Relaxed) - before;
    assert!((2..2 * IMAGES).contains(&again), "{again} jobs after the break");
    let [whole, parts] = ["whole.safetensors", "r.safetensors"].map(|name| fs::read(folder.join(name)).unwrap());
    assert!(whole == parts, "the results of both are the same");
    // Nothing is left to do.
    assert_eq!(figures(folder, &[&stub.port()], &[&out[..], &["--resume"]].concat()), expected);
    assert_eq!(stub.jobs.load(Ordering::Relaxed) - before, again);
    let words = evaluate(&[&stub.port()], &["--out", "r.safetensors", "--resume", "--decay", "0.5"]).join(" ");
    let other: Vec<&str> = words.split(' ').collect();
    let message = error(folder, &other);
    assert!(message.contains("r.safetensors: not what --resume can go on with: attack is"), "{message}");
    fs::write(folder.join("r.safetensors"), &whole[..whole.len() / 2]).unwrap();
    error(folder, &evaluate(&[&stub.port()], &[&out[..], &["--resume"]].concat()));
}

#[test]
fn results_of_other_images_are_not_mixed_with_these() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let stub = Stub::start(&weights, Fate::default());
    let out = ["--out", "r.safetensors"];
    figures(folder, &[&stub.port()], &[&out[..], &["--limit", "4"]].concat());
    let resume = evaluate(&[&stub.port()], &[&out[..], &["--resume"]].concat()).join(" ");
    let resume: Vec<&str> = resume.split(' ').collect();
    write_images_from(folder, [6, 5, 1], 1);
    let message = error(folder, &resume);
    assert!(message.contains("image 0 of data") && message.contains("had another label"), "{message}");
    // A header with lengths that have no sum.
    let half = 1_u64 << 63;
    let entry = |name: &str, start: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
    };
    let header = format!("{{{},{}}}", entry("a", 0, half), entry("b", half, u64::MAX));
    fs::write(folder.join("r.safetensors"), [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat())
        .unwrap();
    let message = error(folder, &resume);
    assert!(message.contains("not what --resume can go on with"), "{message}");
}

#[test]
fn the_images_of_a_board_that_dies_go_to_the_other() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let expected = figures(folder, &[&Stub::start(&weights, Fate::default()).port()], &[]);
    let (lives, dies) =
        (Stub::start(&weights, Fate::default()), Stub::start(&weights, Fate { die_at: 10, ..Fate::default() }));
    let output = midge(folder, &evaluate(&[&lives.port(), &dies.port()], &["--json", "--timeout", "1"]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && message.contains("the other boards took its images"), "{message}");
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lost = report.as_object_mut().unwrap().remove("lost").unwrap();
    assert!(lost[0].as_str().unwrap().starts_with(&dies.port()) && report == expected, "{lost} {report}");
    // A board with another model takes no part.
    let other = Stub::start(&initialise(NETWORK.parse().unwrap(), 6), Fate::default());
    let message = error(folder, &evaluate(&[&lives.port(), &other.port()], &[]));
    assert!(message.contains("expected the same model on all boards"), "{message}");
    let message = error(folder, &evaluate(&[&other.port()], &[]));
    assert!(message.contains("m.safetensors: its checksum is"), "{message}");
}

#[test]
fn the_attacks_of_another_model_are_tried_on_the_board() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let other = initialise(NETWORK.parse().unwrap(), 6);
    other.save(&folder.join("other.safetensors"), DType::F32).unwrap();
    let stub = Stub::start(&weights, Fate::default());
    let report = figures(folder, &[&stub.port()], &["--source", "other.safetensors", "--out", "r.safetensors"]);
    let readers = &report["readers"];
    assert_eq!((&report["source"], &readers[0]["name"]), (&"other.safetensors".into(), &"source".into()));
    // What the source makes is read by the board as by the host, and worth less than its own attack.
    assert_eq!((&readers[1]["robust"][0], &readers[1]["right"]), (&readers[2]["robust"][0], &readers[2]["right"]));
    let count = |maker: usize| readers[2]["robust"][maker]["count"].as_u64().unwrap();
    assert!(count(0) > count(2), "{report}");
    let attack = ["attack", "--model", "other.safetensors", "--json", "--data", "data.safetensors"];
    let host = json(folder, &[&attack[..], &["--attack", "mi-fgsm", "--eps", "0.1", "--steps", "4"]].concat());
    assert_eq!(readers[0]["robust"][0]["count"], host["results"][0]["robust_correct"]);
    // Neither the results of another source nor those of none.
    for more in [&["--source", "m.safetensors"][..], &[]] {
        let more = [more, &["--out", "r.safetensors", "--resume"]].concat();
        let message = error(folder, &evaluate(&[&stub.port()], &more));
        assert!(message.contains("not what --resume can go on with"), "{message}");
    }
    write_small(folder);
    let message = error(folder, &evaluate(&[&stub.port()], &["--source", "small.safetensors"]));
    assert!(message.contains("--source small.safetensors: it takes other images"), "{message}");
}

/// A model of other images.
fn write_small(folder: &Path) {
    let small = initialise("input(2,2,1) flatten dense(units=3)".parse().unwrap(), 5);
    small.save(&folder.join("small.safetensors"), DType::F32).unwrap();
}

/// The board keeps bytes, and the host makes the same attack on them.
#[test]
fn a_board_of_integers_attacks_as_the_host_does() {
    let (folder, _) = folder();
    let folder = folder.path();
    let quantise = ["export", "--model", "m.safetensors", "--dtype", "i8", "--calibrate", "data.safetensors"];
    ok(folder, &[&quantise[..], &["--out", "q.safetensors"]].concat());
    let model = AnyWeights::load(&folder.join("q.safetensors")).unwrap();
    let stub = Stub::with(&model, Fate::default());
    let words = ["--model", "q.safetensors", "--timeout", "8", "evaluate", "--data", "data.safetensors", "--json"];
    for attack in [&["--attack", "mi-fgsm"][..], &["--attack", "pgd", "--restarts", "2", "--steps", "3"]] {
        let report = json(folder, &[&["device", &stub.port()], &words[..], attack, &["--eps", "9q"]].concat());
        let closest = &report["agreement"][1];
        assert_eq!((&closest["name"], &closest["logits"]), (&"host i8".into(), &0.0.into()));
        for what in ["clean", "all", "adversarial"] {
            assert_eq!(closest[what]["count"], IMAGES, "{what}: {report}");
        }
    }
    assert!(ok(folder, &["device", &stub.port(), "info"]).contains("integers"));
}

#[test]
fn a_report_puts_the_board_beside_the_host() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let stub = Stub::start(&weights, Fate::default());
    let report = ["report", "--model", "m.safetensors", "--data", "data.safetensors", "--limit", "6", "--steps", "2"];
    let eps = ["--restarts", "1", "--eps", "0.1", "--robust-eps", "0.1", "--out", "r", "--json"];
    let made = json(folder, &[&report[..], &eps, &["--device", &stub.port()]].concat());
    let attacks = made["board"]["attacks"].as_array().unwrap();
    assert_eq!((attacks.len(), &attacks[1]["attack"]), (2, &"MI-FGSM-10".into()));
    for attack in attacks {
        let table = &attack["table"];
        assert_eq!((&table["samples"], &table["agreement"][0]["all"]["count"]), (&6.into(), &6.into()));
    }
    let page = fs::read_to_string(folder.join("r/index.html")).unwrap();
    assert!(page.contains("<section id=\"board\"") && page.contains("On the board stub"));
    let message = error(folder, &[&report[..], &eps, &["--device", "no-such-line"]].concat());
    assert!(message.contains("no-such-line: cannot be opened"), "{message}");
}

#[test]
fn a_gate_has_an_exit_status() {
    let (folder, weights) = folder();
    let folder = folder.path();
    let stub = Stub::start(&weights, Fate::default());
    let status = |more: &[&str]| midge(folder, &evaluate(&[&stub.port()], more)).status.code();
    assert_eq!(status(&["--check", "--min-agreement", "1", "--min-accuracy", "0.05"]), Some(0));
    assert_eq!(status(&["--check", "--min-accuracy", "0.999"]), Some(3));
    assert_eq!(status(&["--check", "--min-robust", "0.999"]), Some(3));
    assert_eq!(status(&["--check"]), Some(1));
    assert_eq!(status(&["--min-accuracy", "1"]), Some(2));
    assert_eq!(status(&["--check", "--min-accuracy", "95"]), Some(2));
}

#[test]
fn who_is_not_there_is_named() {
    let (folder, _) = folder();
    let folder = folder.path();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("tcp:{}", nobody.local_addr().unwrap());
    let message = error(folder, &["device", &port, "--timeout", "1", "info"]);
    assert!(message.contains(&port) && message.contains("no answer for 1 seconds"), "{message}");
    drop(nobody);
    for port in [port.as_str(), "no-such-line"] {
        let message = error(folder, &["device", port, "info"]);
        assert!(message.contains(&format!("{port}: cannot be opened")), "{message}");
    }
    let message = error(folder, &["device", "info"]);
    assert!(message.contains("no board: expected a port"), "{message}");
    fs::create_dir(folder.join("dev")).unwrap();
    fs::write(folder.join("dev/line"), "").unwrap();
    let message = error(folder, &evaluate(&["dev/line", "dev/../dev/line"], &[]));
    assert!(message.contains("dev/../dev/line: it is the same port as dev/line"), "{message}");
    let output = command(folder, &["device", "--emulator", "mps2-an999", "info"]).output().unwrap();
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("mps2-an505"));
    ok(folder, &["device", "list"]);
}
