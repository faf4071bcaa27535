//! The `midge` command as a user runs it. (A test of the package that builds the command, so that cargo builds it first.)

mod attack;
mod data;
mod device;
mod files;
mod import;
mod int8;
#[cfg(unix)]
mod interrupt;
mod output;
mod pictures;
mod quantise;
mod report;
mod shapes;
mod train;

use std::path::Path;
use std::process::{Command, Output};

use midge_core::MNIST_CNN;
use midge_trainer::data::{idx, known, synthetic};
use midge_trainer::weights::{DType, Weights};
use safetensors::SafeTensors;
use serde_json::Value;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_midge"));
    command.current_dir(folder).args(arguments).env_remove("MIDGE_DATA").env("MIDGE_MIRRORS", "http://127.0.0.1:9/");
    command.env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
    command
}

fn midge(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = midge(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(folder, arguments)).unwrap()
}

/// The message of a command that must fail, without a panic.
fn error(folder: &Path, arguments: &[&str]) -> String {
    let output = midge(folder, arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} did not fail");
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    message
}

/// Width, height and values of a PNG file.
fn picture(path: &Path) -> ([u32; 2], Vec<u8>) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    ([reader.info().width, reader.info().height], pixels)
}

/// Writes the first digits that midge draws, so many for training and for testing, as the data set `digits`.
///
/// `--data synthetic` has 10,000 images for testing, which [`DATA`] need not draw and read after every epoch.
fn write_digits(folder: &Path, counts: [usize; 2]) {
    let folder = folder.join(DATA[1]);
    std::fs::create_dir(&folder).unwrap();
    let firsts = [0, synthetic::TEST_FIRST_INDEX];
    for ([images, labels], (count, first)) in known::FILES.iter().zip(counts.into_iter().zip(firsts)) {
        let drawn = (first..).take(count).map(|index| synthetic::draw(1, index));
        let (pixels, classes): (Vec<_>, Vec<_>) = drawn.unzip();
        let drawn = idx::Images { shape: [count, 28, 28], pixels: pixels.concat() };
        idx::write_images(&folder.join(images.name), &drawn).unwrap();
        idx::write_labels(&folder.join(labels.name), &classes).unwrap();
    }
}

const DATA: [&str; 2] = ["--data", "digits"];

const SMALL: &str = "input(28,28,1) conv2d(filters=4,kernel=3,stride=2) relu maxpool2d(pool=2) flatten dense(units=10)";

#[test]
fn the_demo_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = json(folder.path(), &["demo", "--json"]);
    assert_eq!(report["clean"]["correct"], 20);
    assert_eq!(report["attacks"].as_array().unwrap().len(), 3);
    let strongest = &report["attacks"][1]["results"][2];
    assert!(strongest["robust_correct"].as_u64().unwrap() < 5, "{strongest}");
    let ([width, height], pixels) = picture(&folder.path().join("midge-demo.png"));
    assert!(width > 500 && height > 500 && pixels.iter().any(|value| *value != pixels[0]));
    let text = ok(folder.path(), &[]);
    assert!(text.ends_with("picture: midge-demo.png\n"), "the same picture needs no other name: {text}");
    assert!(text.contains("clean: 20 of 20 right") && text.contains("MI-FGSM") && text.contains('@'), "{text}");
    assert!(!text.contains('\x1b'), "colours in a pipe");
}

#[test]
fn the_summary_is_the_lectures_table() {
    let folder = tempfile::tempdir().unwrap();
    let text = ok(folder.path(), &["summary"]);
    for figure in ["288", "18,432", "803,072", "2,570", "824,362", "4,643,840"] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    let report = json(folder.path(), &["summary", "--json"]);
    assert_eq!(report["parameters"], 824_362);
    assert!(report["memory"]["ram_bytes_mi_fgsm"].as_u64().unwrap() <= 40 * 1024);
}

#[test]
fn a_trained_model_reads_synthetic_digits_and_survives_export() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [1000, 200]);
    let run = |arguments: &[&str]| json(folder.path(), &[arguments, &DATA].concat());
    let report = run(&[
        "train",
        "--out",
        "m",
        "--network",
        SMALL,
        "--batch-size",
        "8",
        "--epochs",
        "3",
        "--lr",
        "0.1",
        "--json",
    ]);
    assert!(report["test"]["accuracy"].as_f64().unwrap() > 0.8, "{report}");
    let evaluation = run(&["evaluate", "--model", "m", "--json"]);
    assert_eq!(evaluation["correct"], report["test"]["correct"]);
    ok(folder.path(), &["export", "--model", "m", "--dtype", "f16", "--out", "half"]);
    let half = run(&["evaluate", "--model", "half", "--json"]);
    assert!((half["accuracy"].as_f64().unwrap() - evaluation["accuracy"].as_f64().unwrap()).abs() < 0.01);
    assert!(error(folder.path(), &["train", "--out", "half", "--resume", "--data", "synthetic"]).contains("f16"));
}

#[test]
fn attack_reports_counts_and_writes_results() {
    let folder = tempfile::tempdir().unwrap();
    let attack = ["attack", "--data", "synthetic", "--limit", "50", "--json"];
    let run = |more: &[&str]| json(folder.path(), &[&attack[..], more].concat());
    let report = run(&["--attack", "fgsm", "--eps", "0,0.1,0.3"]);
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["accuracy"], results[0]["robust_accuracy"]);
    assert!(results[2]["robust_correct"].as_u64() < results[0]["robust_correct"].as_u64());
    let report = run(&["--attack", "otcm", "--eps", "0.2", "--target", "3", "--out", "results"]);
    assert_eq!(report["left_out"], 5);
    assert_eq!(report["results"][0]["samples"], 45);
    let bytes = std::fs::read(folder.path().join("results")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("adversarial").unwrap().shape(), [45, 28, 28, 1]);
    let targets: Vec<i32> = bytemuck::pod_collect_to_vec(file.tensor("targets").unwrap().data());
    assert_eq!(targets, [3; 45]);
    let names = ["images", "labels", "logits", "adversarial_logits", "loss", "input_gradient"];
    assert!(names.iter().all(|name| file.tensor(name).is_ok()));
    let one = run(&["--attack", "otcm", "--eps", "0.2", "--target", "random", "--threads", "1"]);
    let two = run(&["--attack", "otcm", "--eps", "0.2", "--target", "random", "--threads", "2"]);
    assert_eq!(one, two);
}

#[test]
fn every_attack_has_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let report =
            json(folder.path(), &[&["attack", "--data", "synthetic", "--limit", "20", "--json"], more].concat());
        (report["results"][0]["robust_correct"].as_u64().unwrap(), report)
    };
    let (bim, report) = run(&["--attack", "i-fgsm", "--eps", "0.2", "--steps", "5", "--loss", "margin"]);
    assert_eq!((report["attack"].as_str(), report["loss"].as_str()), (Some("BIM"), Some("margin")));
    assert_eq!((report["steps"].as_u64(), report.get("decay")), (Some(5), None));
    assert!(bim < 10, "{report}");
    let pgd = ["--attack", "pgd", "--eps", "0.1", "--steps", "3", "--alpha", "0.05"];
    let (one, report) = run(&pgd);
    assert_eq!(report["restarts"], 1);
    let (three, report) = run(&[&pgd[..], &["--restarts", "3"]].concat());
    assert!(three <= one, "{report}");
    let threads = |n: &str| run(&[&pgd[..], &["--restarts", "2", "--threads", n]].concat());
    assert_eq!(threads("1"), threads("2"));
    let (_, report) = run(&["--attack", "targeted-mi-fgsm", "--eps", "0.3", "--target", "3"]);
    assert_eq!(report["left_out"], 2);
    assert!(report["results"][0]["target_hits"].as_u64().unwrap() > 5, "{report}");
    let (_, once) = run(&["--attack", "otcm", "--eps", "0.3", "--target", "3"]);
    assert!(report["results"][0]["target_hits"].as_u64() >= once["results"][0]["target_hits"].as_u64());
    let (_, report) = run(&["--attack", "targeted-pgd", "--eps", "0.3", "--target", "random", "--steps", "5"]);
    assert_eq!(report["results"][0]["samples"], 20);
}

#[test]
fn robust_accuracy_is_the_worst_case_and_says_whether_to_believe_it() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), [600, 24]);
    ok(folder.path(), &[&["train", "--out", "m", "--network", SMALL, "--lr", "0.1"], &DATA[..]].concat());
    let evaluate = ["evaluate", "--robust", "--model", "m", "--steps", "5", "--restarts", "2", "--queries", "50"];
    let run = |more: &[&str]| json(folder.path(), &[&evaluate, &DATA[..], &["--json"], more].concat());
    // Transfer is from the bundled model.
    let report = run(&["--eps", "0.1", "--threads", "1"]);
    assert_eq!(report, run(&["--eps", "0.1", "--threads", "2"]));
    let attacks = report["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 10);
    let right = |attack: &Value| attack["robust_correct"].as_u64().unwrap();
    let worst = report["robust_correct"].as_u64().unwrap();
    assert!(attacks.iter().all(|attack| right(attack) >= worst), "{report}");
    assert!(attacks.iter().any(|attack| attack["attacked"].as_u64() < report["correct"].as_u64()), "{report}");
    // Where every attack runs on every image, the same ones fall.
    let every = run(&["--eps", "0.1", "--every"]);
    let fallen = |report: &Value| {
        let attacks = report["attacks"].as_array().unwrap().iter();
        let fallen =
            attacks.flat_map(|attack| attack["fallen"].as_array().unwrap()).map(|place| place.as_u64().unwrap());
        std::collections::BTreeSet::from_iter(fallen)
    };
    assert_eq!(fallen(&report), fallen(&every));
    let shares = every["attacks"].as_array().unwrap().iter().map(|attack| &attack["right"]["of"]);
    assert!(shares.clone().count() == 10 && shares.clone().all(|of| of == 24), "{every}");
    assert_eq!(every["gates"].as_array().unwrap().len(), 10);
    let first: u64 = attacks.iter().map(|attack| attack["first"].as_u64().unwrap()).sum();
    assert_eq!(report["correct"].as_u64().unwrap() - first, worst);
    assert!(worst < report["correct"].as_u64().unwrap(), "{report}");
    let interval = |i: usize| report["robust_interval"][i].as_f64().unwrap();
    let accuracy = report["robust_accuracy"].as_f64().unwrap();
    assert!(interval(0) <= accuracy && accuracy <= interval(1) && accuracy == worst as f64 / 24.0);
    let gates = report["gates"].as_array().unwrap();
    assert_eq!(gates.len(), 10);
    assert!(gates.iter().all(|gate| gate["verdict"] != "not-run"), "{report}");
    assert_eq!(gates[0]["verdict"], "pass");
    let report = run(&["--eps", "0"]);
    assert_eq!(report["robust_correct"], report["correct"]);
    let text = ok(folder.path(), &[&evaluate, &DATA[..], &["--eps", "0.3"]].concat());
    assert!(text.contains("worst case") && text.contains("pass") && text.contains("95 % interval"), "{text}");
}

/// Logits a thousand times as large make the same decisions, but cross-entropy has no gradient left: exp underflows.
#[test]
fn a_model_that_hides_its_gradient_falls_to_the_margin_and_fails_the_checks() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = Weights::load(&export(folder.path())).unwrap();
    let last = weights.tensors.len() - 2;
    weights.tensors[last..].iter_mut().flat_map(|tensor| tensor.iter_mut()).for_each(|w| *w *= 1000.0);
    weights.save(&folder.path().join("masked"), DType::F32).unwrap();
    let evaluate = ["evaluate", "--robust", "--model", "masked", "--data", "synthetic", "--limit", "12", "--json"];
    let report =
        json(folder.path(), &[&evaluate[..], &["--steps", "3", "--restarts", "2", "--queries", "50"]].concat());
    let right = |i: usize| report["attacks"][i]["robust_correct"].as_u64().unwrap();
    assert_eq!(report["attacks"][0]["attack"], "FGSM");
    assert_eq!(right(0), report["correct"].as_u64().unwrap(), "{report}");
    assert_eq!(report["attacks"][4]["attack"], "PGD-3 x 2, margin");
    assert!(right(4) < 4, "{report}");
    // No gradient at the image, and at half of the range it is not at chance.
    for gate in [1, 4] {
        assert_eq!(report["gates"][gate]["verdict"], "fail", "{report}");
    }
}

fn export(folder: &Path) -> std::path::PathBuf {
    ok(folder, &["export", "--dtype", "f32", "--out", "m"]);
    folder.join("m")
}

#[test]
fn the_minimal_eps_is_the_first_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", "synthetic", "--limit", "12", "--json"];
    let run = |more: &[&str]| json(folder.path(), &[more, &data[..]].concat());
    let report = run(&["minimal-eps", "--attack", "fgsm", "--grid", "0.1", "--max-eps", "0.3"]);
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 12);
    let searched = report["searched"]["count"].as_u64().unwrap();
    let binned: u64 = report["histogram"].as_array().unwrap().iter().map(|bin| bin["images"].as_u64().unwrap()).sum();
    assert_eq!(binned + report["not_found"]["count"].as_u64().unwrap(), searched);
    // FGSM at the first point fools exactly the images of the first bin.
    let attack = run(&["attack", "--attack", "fgsm", "--eps", "0.1"]);
    assert_eq!(report["histogram"][0]["images"], attack["results"][0]["successes"]);
    let all = run(&["minimal-eps", "--attack", "mi-fgsm", "--grid", "0.25", "--max-eps", "1", "--offset", "3"]);
    assert_eq!(all["images"][0]["index"], 3);
    assert_eq!(all["not_found"]["count"], 0);
    let text = ok(
        folder.path(),
        &[
            "minimal-eps",
            "--attack",
            "fgsm",
            "--grid",
            "0.001",
            "--max-eps",
            "0.001",
            "--data",
            "synthetic",
            "--limit",
            "5",
        ],
    );
    assert!(text.contains("not found") && text.contains("above 0.001"), "{text}");
}

#[test]
fn the_camera_destroys_some_adversarial_images() {
    let folder = tempfile::tempdir().unwrap();
    let camera = ["camera", "--attack", "mi-fgsm", "--eps", "0.2", "--data", "synthetic", "--limit", "20"];
    let run = |more: &[&str]| json(folder.path(), &[&camera[..], &["--json"], more].concat());
    let report = run(&[]);
    // The bundled model's file has f16 weights only.
    assert_eq!(report["tables"].as_array().unwrap().len(), 1);
    let rows = report["tables"][0]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0]["destruction_rate"].as_f64()), (8, Some(0.0)));
    assert_eq!(rows[0]["still_fool"]["count"], rows[0]["still_fool"]["of"]);
    assert!(rows[0]["still_fool"]["count"].as_u64().unwrap() > 10, "{report}");
    // Nothing changes without a change.
    let idle = run(&["--blur", "0", "--noise", "0", "--brightness", "0", "--shift", "0"]);
    for row in idle["tables"][0]["rows"].as_array().unwrap() {
        assert!(row["destruction_rate"].as_f64().unwrap() < 0.1, "{row}");
    }
    // A picture moved out of its frame is read as blank paper, whatever it was.
    let gone = run(&["--shift", "28"]);
    assert!(gone["tables"][0]["rows"][6]["clean_accuracy"]["count"].as_u64().unwrap() < 10, "{gone}");
    // A tone curve and a turn have rows of their own. On their heads only 0, 1, 2, 5 and 8 are still themselves.
    let turned = run(&["--rotation", "180", "--gamma", "1.5", "--blur", "1e-30"]);
    let rows = turned["tables"][0]["rows"].as_array().unwrap();
    let named =
        |name: &str| rows.iter().find(|row| row["transformation"] == name).unwrap_or_else(|| panic!("{turned}"));
    let clean = |name: &str| named(name)["clean_accuracy"]["count"].as_u64().unwrap();
    assert_eq!((rows.len(), clean("none"), clean("gamma 1.5")), (10, 20, 20), "{turned}");
    assert!(clean("rotation 180") <= 10 && clean("screen and camera") < 15, "{turned}");
    assert_eq!(rows[2]["still_fool"], rows[0]["still_fool"], "a blur of nothing changed something");
    export(folder.path());
    let report = run(&["--model", "m"]);
    let types: Vec<&str> = report["tables"].as_array().unwrap().iter().filter_map(|t| t["dtype"].as_str()).collect();
    assert_eq!(types, ["f32", "f16"]);
    assert!(ok(folder.path(), &camera).contains("screen and camera"));
}

#[test]
fn mistakes_get_a_message_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("broken"), b"not a model at all").unwrap();
    std::fs::create_dir(path.join("empty")).unwrap();
    write_digits(path, [64, 5]);
    for (arguments, expected) in [
        (&["evaluate", "--model", "broken", "--data", "synthetic"][..], "broken"),
        (&["evaluate", "--model", "missing"], "plain"),
        (&["evaluate", "--data", "empty"], "t10k-images-idx3-ubyte"),
        (&["evaluate"], "--data DIR"),
        (&["evaluate", "--data", "synthetic", "--offset", "99999999"], "offset"),
        (&["attack", "--attack", "fgsm", "--eps", "-1"], "--eps"),
        (&["attack", "--attack", "fgsm", "--eps", "nan"], "--eps"),
        (&["attack", "--attack", "fgsm", "--eps", "0.1", "--steps", "3"], "iterated attacks"),
        (
            &["attack", "--attack", "otcm", "--eps", "0.1", "--target", "77", "--data", "synthetic", "--limit", "5"],
            "--target",
        ),
        (
            &["attack", "--attack", "mi-fgsm", "--eps", "0.1", "--steps", "0", "--data", "synthetic", "--limit", "5"],
            "step",
        ),
        (&["attack", "--attack", "fgsm", "--eps", "0.1,0.2", "--out", "x"], "--out"),
        (&["attack", "--attack", "fgsm", "--eps", "0.1", "--loss", "margin"], "--loss"),
        (&["attack", "--attack", "bim", "--eps", "0.1", "--restarts", "3"], "--restarts"),
        (&["attack", "--attack", "pgd", "--eps", "0.1", "--decay", "1"], "--decay"),
        (&["attack", "--attack", "mi-fgsm", "--eps", "0.1", "--target", "1"], "targeted-mi-fgsm"),
        (
            &["attack", "--attack", "pgd", "--eps", "0.1", "--restarts", "0", "--data", "synthetic", "--limit", "5"],
            "start",
        ),
        (&["evaluate", "--eps", "0.1"], "--robust"),
        (&["evaluate", "--robust", "--eps", "-1"], "--eps"),
        (&["evaluate", "--robust", "--restarts", "0"], "--restarts"),
        (&["evaluate", "--robust", "--steps", "18446744073709551615"], "--steps"),
        (
            &["evaluate", "--robust", "--data", "synthetic", "--limit", "5", "--transfer-from", "missing"],
            "--transfer-from",
        ),
        (
            &["evaluate", "--robust", "--data", "synthetic", "--limit", "5", "--transfer-from", "plain"],
            "the model itself",
        ),
        (&["minimal-eps", "--attack", "fgsm", "--grid", "0"], "--grid"),
        (&["minimal-eps", "--attack", "fgsm", "--max-eps", "0.001"], "--max-eps"),
        (&["camera", "--attack", "fgsm", "--eps", "0.1", "--noise", "-1"], "--noise"),
        (&["camera", "--attack", "fgsm", "--eps", "nan"], "--eps"),
        (
            &["camera", "--attack", "fgsm", "--eps", "0.1", "--blur", "101"],
            "--blur is 101: expected a number from 0 to 100",
        ),
        (&["camera", "--attack", "fgsm", "--eps", "0.1", "--brightness", "-0.1"], "--brightness"),
        (&["camera", "--attack", "fgsm", "--eps", "0.1", "--gamma", "0"], "--gamma"),
        (&["camera", "--attack", "fgsm", "--eps", "0.1", "--rotation", "nan"], "--rotation"),
        (&["camera", "--attack", "fgsm", "--eps", "0.1", "--shift", "18446744073709551615"], "--shift"),
        (&["train", "--out", "x", "--lr", "-3"], "--lr"),
        (&["train", "--out", "x", "--beta", "2", "--adversarial", "pgd"], "--beta"),
        (&["train", "--out", "x", "--eps", "-1", "--adversarial", "pgd"], "--eps"),
        (&["train", "--out", "x", "--momentum", "1"], "--momentum"),
        (&["train", "--out", "x", "--data", "synthetic", "--limit", "5", "--held-out", "5"], "--held-out"),
        (&["train", "--out", "x", "--data", "synthetic", "--limit", "0"], "--limit"),
        (&["train", "--out", "x", "--network", "nonsense"], "conv FILTERS KERNEL"),
        (&["train", "--out", "no/such/folder/x", "--data", "synthetic"], "no/such/folder/x"),
        (&["train", "--out", "x", "--data", "digits", "--lr", "1e30", "--network", SMALL], "diverged"),
        (&["import", "broken", "--out", "x"], "broken"),
        (&["export", "--dtype", "f16", "--out", "no/x"], "no/x"),
    ] {
        let message = error(path, arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(!path.join("x").exists(), "{arguments:?} left a file");
    }
}

#[test]
fn an_exported_model_is_what_a_device_embeds() {
    let folder = tempfile::tempdir().unwrap();
    ok(folder.path(), &["export", "--dtype", "f32", "--out", "m"]);
    let weights = Weights::load(&folder.path().join("m")).unwrap();
    assert_eq!((weights.network, weights.dtype), (MNIST_CNN, DType::F32));
}
