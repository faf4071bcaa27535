//! Puts the board's `memory.x` where the linker finds it, widens the bundled model to f32 for the benchmark, and takes
//! the self-test's pictures on the host.

use std::path::{Path, PathBuf};
use std::{env, fs};

use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

#[path = "src/selftest_cameras.rs"]
mod cameras;

const DIGITS: &str = "../host-trainer/assets/digits-images.idx3-ubyte";
const MODEL: &str = "../host-trainer/assets/plain.safetensors";

/// Cargo feature and linker script of each board.
const BOARDS: [(&str, &str); 5] = [
    ("QEMU", "mps2-an386"),
    ("QEMU_AN500", "mps2-an500"),
    ("QEMU_AN505", "mps2-an505"),
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
    fs::copy(&script, out.join("memory.x")).unwrap_or_else(|error| panic!("{script}: {error}"));
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed={script}");
    for input in [MODEL, DIGITS, "src/selftest_cameras.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    if env::var_os("CARGO_FEATURE_EMULATED").is_some() {
        // Names of interrupt handlers; the emulated boards use none, and drivers bring those of the real ones.
        fs::write(out.join("device.x"), "").expect("OUT_DIR can be written to");
        fs::write(out.join("plain-f32.safetensors"), widen(Path::new(MODEL))).expect("OUT_DIR can be written to");
        fs::write(out.join("pictures.rs"), format!("{:?}", pictures(Path::new(DIGITS))))
            .expect("OUT_DIR can be written to");
    }
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
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let widen = |data: &[u8]| -> Vec<u8> {
        let halves = data.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]));
        halves.flat_map(|half| half.to_f32().to_le_bytes()).collect()
    };
    let wide: Vec<_> = file.iter().map(|(name, view)| (name, view.shape().to_vec(), widen(view.data()))).collect();
    let views = || {
        wide.iter()
            .map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).expect("sizes fit")))
    };
    let network = midge_core::MNIST_CNN.to_string();
    let metadata = |crc: u32| {
        let entries = [
            (midge_core::METADATA_FORMAT.into(), "midge-1".into()),
            (midge_core::METADATA_NETWORK.into(), network.clone()),
            (midge_core::METADATA_CHECKSUM.into(), format!("{crc:08x}")),
        ];
        entries.into_iter().collect()
    };
    // The checksum covers the tensors as they lie in the file, so they are laid out once without it.
    let length: usize = wide.iter().map(|(_, _, data)| data.len()).sum();
    let draft = serialize(views(), Some(metadata(0))).expect("sizes fit");
    let crc = midge_core::checksum(&network, &draft[draft.len() - length..]);
    serialize(views(), Some(metadata(crc))).expect("sizes fit")
}
