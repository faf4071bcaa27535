//! Boards with somebody else's firmware: in Python, written from the page on the protocol, and in C, on the header beside it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use midge_trainer::training::initialise;
use midge_trainer::weights::{DType, Weights};
use serde_json::Value;
use tempfile::TempDir;

use super::super::{error, json};
use super::cases::write_images;
use super::proxy::{self, Faults};

/// A process that ends with the test, and the line in which it said where it is.
struct Other(Child, String);

impl Other {
    /// Starts a board; nothing if the program is not there.
    fn start(command: &mut Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().ok()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self(child, port.trim().to_string()))
    }

    /// As it is, and over a bad line.
    fn ports(&self) -> [String; 2] {
        let port: u16 = self.1.parse().expect("the board says its port");
        let address = format!("127.0.0.1:{port}");
        [format!("tcp:{address}"), proxy::start(&address, Faults { per_mille: 2, ..Faults::default() })]
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn folder() -> (TempDir, Weights) {
    let folder = tempfile::tempdir().unwrap();
    let weights = initialise("input(30,1,1) flatten dense(units=3,bias=true)".parse().unwrap(), 5);
    weights.save(&folder.path().join("m.safetensors"), DType::F32).unwrap();
    write_images(folder.path(), [30, 1, 1]);
    (folder, weights)
}

/// The host's attack is tried on the board, which has none of its own.
fn check(folder: &Path, ports: &[String]) {
    for port in ports {
        let words = ["evaluate", "--data", "data.safetensors", "--attack", "bim", "--eps", "0.1", "--json"];
        let report = json(folder, &[&["device", port, "--model", "m.safetensors"][..], &words].concat());
        let host = ["attack", "--model", "m.safetensors", "--data", "data.safetensors", "--json"];
        let host = json(folder, &[&host[..], &["--attack", "bim", "--eps", "0.1"]].concat());
        let (host, device) = (&host["results"][0], &report["readers"][1]);
        assert_eq!((&device["right"]["count"], &device["robust"][1]), (&host["correct"], &Value::Null), "{report}");
        assert_eq!(device["robust"][0]["count"], host["robust_correct"]);
        assert!(report["agreement"][0]["logits"].as_f64().unwrap() < 1e-5 && host["successes"].as_u64().unwrap() > 0);
        check_search(folder, port);
    }
}

/// What needs no gradient is made with the board's logits, with its model here or without.
fn check_search(folder: &Path, port: &str) {
    let square = [
        "--data",
        "data.safetensors",
        "--attack",
        "square",
        "--eps",
        "0.1",
        "--queries",
        "20",
        "--limit",
        "8",
        "--json",
    ];
    let host = json(folder, &[&["attack", "--model", "m.safetensors"][..], &square].concat());
    let robust = &host["results"][0]["robust_correct"];
    let evaluate = ["device", port, "evaluate"];
    let beside = json(folder, &[&evaluate[..], &["--model", "m.safetensors"], &square].concat());
    assert_eq!(
        (&beside["readers"][1]["robust"][1]["count"], &beside["readers"][0]["robust"][1]["count"]),
        (robust, robust)
    );
    let alone = json(folder, &[&evaluate[..], &square].concat());
    assert_eq!((&alone["readers"][0]["name"], &alone["readers"][0]["robust"][0]["count"]), (&"device".into(), robust));
    for (words, hint) in [("attack", "--attack square"), ("evaluate", "expected --model")] {
        let apgd = ["device", port, words, "--data", "data.safetensors", "--attack", "apgd", "--eps", "0.1"];
        let message = error(folder, &apgd);
        assert!(message.contains("gives no gradients, which APGD needs") && message.contains(hint), "{message}");
    }
}

#[test]
fn a_board_in_python_speaks_the_protocol() {
    let (folder, _) = folder();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/command/device/stub.py");
    let model = folder.path().join("m.safetensors");
    match Other::start(Command::new("python3").arg(script).arg(model)) {
        Some(other) => check(folder.path(), &other.ports()),
        None => println!("NOT RUN: the board in Python, because there is no python3"),
    }
}

/// The other end is a terminal that edits lines, until the host says otherwise.
#[cfg(unix)]
#[test]
fn a_serial_line_takes_every_byte_as_it_is() {
    let (folder, _) = folder();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/command/device/stub.py");
    let model = folder.path().join("m.safetensors");
    match Other::start(Command::new("python3").arg(script).arg(model).arg("--terminal")) {
        Some(other) => {
            check(folder.path(), std::slice::from_ref(&other.1));
            let held = fs::File::open(&other.1).unwrap();
            held.lock().unwrap();
            let message = error(folder.path(), &["device", &other.1, "info"]);
            assert!(message.contains("another program has it open"), "{message}");
        }
        None => println!("NOT RUN: the serial line, because there is no python3"),
    }
}

#[test]
fn a_board_in_c_speaks_the_protocol() {
    let (folder, weights) = folder();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let list = |values: &[f32]| values.iter().map(|x| format!("{x:?}f")).collect::<Vec<_>>().join(", ");
    let [weight, bias] = &weights.tensors[..] else { panic!("one dense layer") };
    let header = format!(
        "#define INPUTS 30\n#define CLASSES 3\nstatic const float weight[] = {{{}}}, bias[] = {{{}}};\n",
        list(weight),
        list(bias)
    );
    fs::write(folder.path().join("weights.h"), header).unwrap();
    let program = folder.path().join("board");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-I"])
        .arg(folder.path());
    compiler.arg("-I").arg(root.join("docs")).arg(root.join("tests/command/device/stub.c")).arg("-o").arg(&program);
    match compiler.status() {
        Ok(status) => assert!(status.success(), "docs/midge_link.h does not compile"),
        Err(_) => return println!("NOT RUN: the board in C, because there is no cc"),
    }
    let other = Other::start(&mut Command::new(program)).unwrap();
    check(folder.path(), &other.ports());
    // The letter behind it begins with byte 40, and would be cut.
    let info = json(folder.path(), &["device", &other.ports()[0], "info", "--json"]);
    assert_eq!(info["model"], "a dense layer whose name has many bytes");
}
