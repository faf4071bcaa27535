//! What `midge` prints, and how it ends.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{SMALL, command, error, json, midge, ok, write_digits};

/// One call of every subcommand, in a folder that [`prepare`] has filled.
const CALLS: [&[&str]; 15] = [
    &["demo", "--eps", "0.1"],
    &["train", "--out", "t", "--data", "digits", "--epochs", "1", "--network", SMALL],
    &["evaluate", "--model", "m", "--data", "digits"],
    &["evaluate", "--robust", "--model", "m", "--data", "digits", "--limit", "4", "--steps", "2", "--restarts", "1"],
    &["classify", "--model", "m", "--data", "digits"],
    &["attack", "--model", "m", "--attack", "fgsm", "--eps", "0.1", "--data", "digits"],
    &["minimal-eps", "--model", "m", "--attack", "fgsm", "--data", "digits", "--limit", "4"],
    &["camera", "--model", "m", "--attack", "fgsm", "--eps", "0.1", "--data", "digits", "--limit", "4"],
    &["report", "--model", "m", "--out", "r", "--data", "digits", "--limit", "4", "--steps", "2", "--restarts", "1"],
    &["summary", "--json"],
    &["export", "--dtype", "f16", "--out", "e"],
    &["import", "state", "--out", "i", "--network", "input(2,2,1) flatten dense(units=3)"],
    &["completions", "bash"],
    &["man", "man"],
    &["train", "--help"],
];

/// A small model `m`, a few digits, and `state` to import.
fn prepare(folder: &Path) {
    write_digits(folder, [64, 8]);
    let network = SMALL.parse().unwrap();
    let weights = midge_trainer::training::initialise(network, 1);
    weights.save(&folder.join("m"), midge_trainer::weights::DType::F32).unwrap();
    let tensor = |shape: &[usize], bytes: &'static [u8]| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes).unwrap()
    };
    let views = [("1.weight", tensor(&[3, 4], &[0; 48])), ("1.bias", tensor(&[3], &[0; 12]))];
    std::fs::write(folder.join("state"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A call that may have been made before.
fn again(folder: &Path, call: &[&str]) -> Command {
    // A model that is there need not be replaced.
    if call.contains(&"t") {
        let _ = std::fs::remove_file(folder.join("t"));
    }
    command(folder, call)
}

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_ends_nothing_and_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    for call in CALLS {
        let output = again(folder.path(), call).stdout(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{call:?}: {}", stderr(&output));
        // Progress goes to standard error.
        let output = again(folder.path(), call).stderr(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{call:?} with standard error closed");
    }
    for file in ["t", "r/index.html", "e", "i", "man/midge.1"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    let output = command(folder.path(), &["summary", "--model", "nowhere"]).stderr(closed()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let output = command(folder.path(), &["summary", "--nonsense"]).stderr(closed()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_message() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for call in CALLS {
        let output = again(folder.path(), call).stdout(full()).output().unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{call:?}: {message}");
        assert!(message.contains("midge: standard output: cannot be written: No space left"), "{call:?}: {message}");
        let output = again(folder.path(), call).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{call:?} with standard error full");
    }
    assert!(folder.path().join("t").exists());
}

#[test]
fn every_json_names_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut seen = Vec::new();
    for call in CALLS.iter().filter(|call| !["export", "import", "completions", "man"].contains(&call[0])) {
        if call.contains(&"--help") {
            continue;
        }
        let mut call = call.to_vec();
        if !call.contains(&"--json") {
            call.push("--json");
        }
        let report = json(folder.path(), &call);
        let name = report["schema"]["name"].as_str().unwrap_or_else(|| panic!("{call:?}: {report}"));
        let expected = if call.contains(&"--robust") { "evaluate.robust" } else { call[0] };
        assert_eq!(name, format!("midge.{expected}"));
        assert!(report["schema"]["version"].as_u64().unwrap() > 0);
        seen.push(name.to_string());
    }
    seen.dedup();
    assert_eq!(seen.len(), 10, "{seen:?}");
}

#[test]
fn no_line_ends_in_a_space() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let is_table = |call: &&&[&str]| !["completions", "man", "report"].contains(&call[0]) && !call.contains(&"--help");
    for call in CALLS.iter().filter(is_table) {
        let output = again(folder.path(), call).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 0 && text.lines().all(|line| line == line.trim_end()), "{call:?}: {text}");
    }
}

#[test]
fn the_exit_status_says_what_went_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| midge(folder.path(), arguments).status.code();
    assert_eq!(code(&["summary"]), Some(0));
    assert_eq!(code(&["--version"]), Some(0));
    assert_eq!(code(&["summary", "--model", "nowhere"]), Some(1));
    assert_eq!(code(&["summary", "--modle", "plain"]), Some(2));
    for help in [&["--help"][..], &["attack", "--help"]] {
        let text = ok(folder.path(), help);
        assert!(text.contains("Exit status:") && text.contains("  3  "), "{text}");
    }
}

#[test]
fn the_version_names_what_makes_a_difference() {
    let folder = tempfile::tempdir().unwrap();
    let text = ok(folder.path(), &["--version"]);
    let level = format!("{:?}", midge_core::Level::detect());
    assert!(text.starts_with(concat!("midge ", env!("CARGO_PKG_VERSION"), "\n")), "{text}");
    assert!(text.contains(&format!("vectors: {level}")) && text.contains("features: "), "{text}");
    assert!(include_str!("../../CITATION.cff").contains(concat!("\nversion: ", env!("CARGO_PKG_VERSION"), "\n")));
    assert_eq!(ok(folder.path(), &["-V"]), concat!("midge ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// The vectors are those of the environment; a model of integers does the same with all.
#[test]
fn the_vectors_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let run =
        |level: &str, arguments: &[&str]| command(folder.path(), arguments).env("MIDGE_LEVEL", level).output().unwrap();
    let mut reports = Vec::new();
    for level in midge_core::Level::all() {
        let version = run(level.name(), &["--version"]);
        let said = String::from_utf8_lossy(&version.stdout);
        assert!(said.contains(&format!("vectors: {level:?}, ")), "{version:?}");
        let evaluate = ["evaluate", "--data", "synthetic", "--limit", "40", "--model", "plain-int8", "--json"];
        let report: serde_json::Value = serde_json::from_slice(&run(level.name(), &evaluate).stdout).unwrap();
        assert!(report["correct"].as_u64() > Some(20), "{report}");
        reports.push(report);
    }
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]), "{reports:?}");
    let refused = run("sse", &["summary"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("MIDGE_LEVEL is sse: expected one of"), "{refused:?}");
}

#[test]
fn quiet_says_less_and_verbose_more() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let report = CALLS.into_iter().find(|call| call[0] == "report").unwrap();
    let said = |more: &[&str]| stderr(&midge(folder.path(), &[report, more].concat()));
    assert!(said(&[]).contains("[1/"));
    assert_eq!(said(&["--quiet"]), "");
    let verbose = said(&["-v"]);
    for part in [
        "[1/",
        "vectors: ",
        "threads: ",
        "model: m, f32, input(28,28,1)",
        "data: digits test (digits), 4 images",
        "time: ",
    ] {
        assert!(verbose.contains(part), "{part}: {verbose}");
    }
    assert!(stderr(&midge(folder.path(), &["-q", "summary", "--model", "nowhere"])).contains("nowhere"));
}

#[test]
fn numbers_are_refused_as_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["evaluate", "--limit", "-1"][..], "'--limit <N>': expected a whole number from 1"),
        (&["evaluate", "--limit", "0"], "expected a whole number from 1"),
        (&["evaluate", "--offset", "-1"], "'--offset <I>': expected a whole number, not negative"),
        (&["evaluate", "--seed", "-1"], "'--seed <N>'"),
        (&["evaluate", "--offset", "99999999999999999999999"], "too large"),
        (&["train", "--out", "m", "--epochs", "-1"], "expected a whole number, not negative"),
        (&["train", "--out", "m", "--lr", "fast"], "expected a number"),
        (&["summary", "--threads", "-1"], "expected a whole number from 1 to 1024"),
    ] {
        let output = midge(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        let message = stderr(&output);
        assert!(message.contains("invalid value") && message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn a_slip_in_the_number_of_threads_starts_none() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    assert!(error(folder.path(), &["summary", "--threads", "100000"]).contains("1024"));
    assert!(error(folder.path(), &["summary", "--threads", "0"]).contains("1024"));
    let output = command(folder.path(), &["summary"]).env("RAYON_NUM_THREADS", "100000").output().unwrap();
    assert!(stderr(&output).contains("RAYON_NUM_THREADS is 100000: expected at most 1024"), "{}", stderr(&output));
    assert!(start.elapsed() < Duration::from_secs(60));
    ok(folder.path(), &["summary", "--threads", "64"]);
}

#[test]
fn shells_complete_every_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = ok(folder.path(), &["completions", shell]);
        assert!(["minimal-eps", "robust", "epochs"].iter().all(|word| script.contains(word)), "{shell}");
    }
    assert!(error(folder.path(), &["completions", "basch"]).contains("bash"));
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let listed = ok(folder.path(), &["man", "share/man1"]);
    let page = |name: &str| std::fs::read_to_string(folder.path().join("share/man1").join(name)).unwrap();
    assert!(page("midge.1").contains("minimal\\-eps"));
    assert!(page("midge-train.1").contains("\\-\\-epochs") && page("midge-train.1").contains("Exit status"));
    assert_eq!(listed.lines().count(), std::fs::read_dir(folder.path().join("share/man1")).unwrap().count());
    assert!(page("midge-device-evaluate.1").contains("min\\-agreement"));
    assert_eq!(listed.lines().count(), 21);
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(error(folder.path(), &["man", "file"]).contains("file: "));
}

/// Values keep their form beside the schema.
#[test]
fn a_schema_changes_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let text = ok(
        folder.path(),
        &["attack", "--attack", "fgsm", "--eps", "0.1", "--data", "synthetic", "--limit", "5", "--json"],
    );
    assert!(text.contains("\"eps\": 0.1,"), "{text}");
}
