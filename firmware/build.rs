//! Puts the board's `memory.x` where the linker finds it, has the model that `MIDGE_MODEL` names made ready, widens the
//! bundled model to f32 for the benchmark, and takes the self-test's pictures on the host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use midge_core::{MNIST_CNN, Model, f16};

#[path = "src/selftest_cameras.rs"]
mod cameras;

const DIGITS: &str = "../host-trainer/assets/digits-images.idx3-ubyte";
const MODEL: &str = "../host-trainer/assets/plain.safetensors";

/// Cargo feature and linker script of each board.
const BOARDS: [(&str, &str); 9] = [
    ("QEMU", "mps2-an386"),
    ("QEMU_AN500", "mps2-an500"),
    ("QEMU_AN505", "mps2-an505"),
    ("MPS3_AN547", "mps3-an547"),
    ("NETDUINOPLUS2", "netduinoplus2"),
    ("NRF52840_DK", "nrf52840-dk"),
    ("PICO", "pico"),
    ("PICO2", "pico2"),
    ("NUCLEO_H743ZI", "nucleo-h743zi"),
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let chosen: Vec<_> =
        BOARDS.iter().filter(|(feature, _)| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()).collect();
    let [(_, board)] = chosen[..] else {
        panic!("choose one board: --no-default-features --features BOARD, found {} of {BOARDS:?}", chosen.len());
    };
    let script = format!("memory/{board}.x");
    let memory = fs::read_to_string(&script).unwrap_or_else(|error| panic!("{script}: {error}"));
    fs::write(out.join("memory.x"), with_less_ram(&memory)).expect("OUT_DIR can be written to");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed={script}");
    for input in [MODEL, DIGITS, "src/selftest_cameras.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    momentum();
    own_model(&out);
    let is_emulated = env::var_os("CARGO_FEATURE_EMULATED").is_some();
    if is_emulated || env::var_os("CARGO_FEATURE_NRF52840_DK").is_some() {
        // Names of interrupt handlers; these boards use none, and drivers bring those of the others.
        fs::write(out.join("device.x"), "").expect("OUT_DIR can be written to");
    }
    if is_emulated {
        fs::write(out.join("plain-f32.safetensors"), widen(Path::new(MODEL))).expect("OUT_DIR can be written to");
        fs::write(out.join("pictures.rs"), format!("{:?}", pictures(Path::new(DIGITS))))
            .expect("OUT_DIR can be written to");
    }
}

/// The memory map with as much RAM as `MIDGE_RAM` says, such as 20K, to see what fits a smaller board.
fn with_less_ram(memory: &str) -> String {
    println!("cargo::rustc-check-cfg=cfg(little_ram)");
    println!("cargo::rerun-if-env-changed=MIDGE_RAM");
    let Ok(ram) = env::var("MIDGE_RAM") else { return memory.into() };
    let is_size = ram.strip_suffix('K').is_some_and(|number| number.parse::<u16>().is_ok());
    assert!(is_size, "MIDGE_RAM is {ram}: expected a number of kilobytes such as 20K");
    println!("cargo::rustc-cfg=little_ram");
    let lines = memory.lines().map(|line| match line.split_once("LENGTH = ") {
        Some((before, _)) if before.trim_start().starts_with("RAM ") => format!("{before}LENGTH = {ram}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Whether `serve` has memory for attacks that keep a second image, unless `MIDGE_MOMENTUM` is `no`.
fn momentum() {
    println!("cargo::rustc-check-cfg=cfg(no_momentum)");
    println!("cargo::rerun-if-env-changed=MIDGE_MOMENTUM");
    match env::var("MIDGE_MOMENTUM").as_deref() {
        Err(_) | Ok("yes") => {}
        Ok("no") => println!("cargo::rustc-cfg=no_momentum"),
        Ok(other) => panic!("MIDGE_MOMENTUM is {other}: expected yes or no"),
    }
}

/// Boards whose flash takes none of the bundled models of f16, or that would be slow with it.
const SMALL: [&str; 4] = ["MPS3_AN547", "NETDUINOPLUS2", "NRF52840_DK", "PICO"];

/// Has `run/embed.rs` write the model that `MIDGE_MODEL` names, and some images, as constants.
fn own_model(out: &Path) {
    println!("cargo::rustc-check-cfg=cfg(own_model)");
    println!("cargo::rerun-if-env-changed=MIDGE_MODEL");
    let Some(model) = env::var_os("MIDGE_MODEL") else {
        let is_small = SMALL.iter().any(|board| env::var_os(format!("CARGO_FEATURE_{board}")).is_some());
        assert!(!is_small, "the bundled models are too large for this board: expected MIDGE_MODEL, such as plain-int8");
        return;
    };
    println!("cargo::rustc-cfg=own_model");
    println!("cargo::rerun-if-env-changed=MIDGE_DATA");
    println!("cargo::rerun-if-changed=run/embed.rs");
    println!("cargo::rerun-if-changed=run/own_model.rs");
    let mut command = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    // The host's program, in the folder where the host's are built; nothing of what is set for the board holds there.
    command.args(["run", "--quiet", "--release", "--package", "midge-trainer", "--example", "embed"]);
    command.args(["--target-dir", "target", "--"]).arg(out).current_dir("..");
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(name);
    }
    // Files are named from where the user is.
    for (name, value) in [("MIDGE_MODEL", Some(model)), ("MIDGE_DATA", env::var_os("MIDGE_DATA"))] {
        if let Some(path) = value.map(PathBuf::from).filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
            command.env(name, std::path::absolute(path).expect("a path that exists"));
        }
    }
    assert!(command.status().expect("cargo starts").success(), "the model of MIDGE_MODEL cannot be embedded");
}

/// The checksum of each camera's pictures of the bundled digits.
fn pictures(path: &Path) -> [u32; cameras::CAMERAS.len()] {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let pixels: Vec<f32> = bytes[16..].iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let shape = midge_core::MNIST_CNN.input();
    let buffer_len = cameras::CAMERAS.iter().map(|camera| camera.buffer_len(shape)).max();
    let (mut picture, mut buffer) = (vec![0.0; shape.len()], vec![0.0; buffer_len.unwrap_or(0)]);
    cameras::CAMERAS.map(|camera| {
        pixels.chunks_exact(shape.len()).enumerate().fold(cameras::START, |sum, image| {
            cameras::add(sum, &camera, image, &mut picture, &mut buffer).expect("the cameras' options are in range")
        })
    })
}

/// The same model with f32 weights.
fn widen(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // At an address that every element type can be read from.
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    let aligned = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()];
    aligned.copy_from_slice(&bytes);
    let model = Model::<f16>::from_safetensors(&MNIST_CNN, aligned);
    let model = model.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let wide: Vec<Vec<f32>> =
        model.tensors().map(|tensor| tensor.iter().map(|weight| weight.to_f32()).collect()).collect();
    let tensors: Vec<&[f32]> = wide.iter().map(Vec::as_slice).collect();
    let mut file = Vec::new();
    let model = Model::<f32>::from_tensors(&MNIST_CNN, &tensors).expect("the same weights");
    model.write_safetensors(&[], &mut |bytes| file.extend_from_slice(bytes));
    file
}
