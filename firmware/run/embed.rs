//! The model that `MIDGE_MODEL` names, as Rust source for the firmware: `embed FOLDER` writes `own_model.rs` and what that
//! includes. (An example of `midge-trainer`, which reads models of all kinds; the firmware's build script starts it.)

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use midge_core::Network;
use midge_trainer::any_weights::AnyWeights;
use midge_trainer::data::Dataset;
use midge_trainer::evaluation::classifier::Classifier as _;

mod own_model;

/// Longest name on a screen.
const NAME: usize = 20;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("expected the name of a folder to write to")?);
    let (name, model) = own_model::chosen()?.context("MIDGE_MODEL names no model")?;
    let (images, images_are) = own_model::images(&model, std::env::var_os("MIDGE_DATA").as_deref())?;
    let (pixels, pixel) = pixels(&model, &images);
    let source = source(&model, &name, (&images.labels, images_are), &pixel)?;
    let file = match &model {
        AnyWeights::Float(weights) => weights.to_bytes(weights.dtype)?,
        AnyWeights::Int8(weights) => weights.to_bytes()?,
    };
    save(&folder.join("own_model.safetensors"), &file)?;
    save(&folder.join("own_images.bin"), &pixels)?;
    save(&folder.join("own_model.rs"), source.as_bytes())
}

/// The file that the firmware includes: the network, and what is to be known of the model and its images.
fn source(model: &AnyWeights, name: &str, (labels, images_are): (&[u16], &str), pixel: &str) -> Result<String> {
    let mut source = network(model.network());
    let dtype = model.dtype();
    let weights = match (&*dtype, model.network().is_chain()) {
        ("i8", _) => "i8",
        ("f16", true) => "midge_core::Chain<midge_core::f16>",
        ("f16", false) => "midge_core::f16",
        (_, true) => "midge_core::Chain<f32>",
        (_, false) => "f32",
    };
    let name: String = name.chars().take(NAME).collect();
    write!(
        source,
        "/// The type of the model's weights.
pub type Weights = {weights};
/// The type's name.
pub const DTYPE: &str = {dtype:?};
/// The model's name.
pub const NAME: &str = {name:?};
pub(super) const FILES: &[(&str, &Network, &[u8])] = &[(NAME, &NETWORK, FILE)];
static FILE: &[u8] = midge_core::include_model!(concat!(env!(\"OUT_DIR\"), \"/own_model.safetensors\"));
/// What the benchmark calls the images.
pub const SAMPLES_ARE: &str = {images_are:?};
static IMAGES: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/own_images.bin\"));
const LABELS: [usize; {}] = {labels:?};
type Pixel = {pixel}
",
        labels.len()
    )?;
    Ok(source)
}

/// The bytes of the images, and the type of a pixel with the function that reads one.
fn pixels(model: &AnyWeights, images: &Dataset) -> (Vec<u8>, String) {
    match model.input().grid {
        Some(grid) => (
            images.images.iter().map(|x| grid.round(*x) as u8).collect(),
            format!(
                "i8;\nfn pixel(bytes: &[u8]) -> f32 {{\n    midge_core::Grid {{ scale: {:?}, zero_point: {} }}\
                 .value(bytes[0] as i8)\n}}",
                grid.scale, grid.zero_point
            ),
        ),
        None => (
            images.images.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(),
            "f32;\nfn pixel(bytes: &[u8]) -> f32 {\n    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])\n}"
                .into(),
        ),
    }
}

/// The architecture as a constant, whose buffers the compiler plans.
fn network(network: &Network) -> String {
    let (input, layers) = (network.input(), network.layers());
    let int8 = if network.is_int8() { ".int8()" } else { "" };
    format!(
        "#[allow(unused_imports, reason = \"not every network has windows\")]
use midge_core::{{Layer::*, Network, Padding::*, Shape, Size}};
/// The model's architecture.
#[allow(long_running_const_eval, reason = \"a plan of many stages\")]
pub const NETWORK: Network = Network::new({input:?}, &{layers:?}){int8};
"
    )
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("{}: cannot be written", path.display()))
}
