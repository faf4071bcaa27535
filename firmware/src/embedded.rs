//! What is stored in flash: the bundled models and digits.

#[cfg(feature = "emulated")]
use midge_core::Aligned;
use midge_core::{Chain, Element, MNIST_CNN, Model, Network, f16, include_model};

#[cfg(not(all(feature = "one-model", feature = "robust")))]
static PLAIN: &[u8] = include_model!("../../host-trainer/assets/plain.safetensors");
#[cfg(any(not(feature = "one-model"), feature = "robust"))]
static ROBUST: &[u8] = include_model!("../../host-trainer/assets/robust.safetensors");

/// Name, network and file of each model. Both networks need the same memory.
const FILES: &[(&str, &Network, &[u8])] = &[
    #[cfg(not(all(feature = "one-model", feature = "robust")))]
    ("plain", &MNIST_CNN, PLAIN),
    #[cfg(any(not(feature = "one-model"), feature = "robust"))]
    ("robust", &midge_core::MNIST_CNN_SHIFTED, ROBUST),
];
/// Number of models.
pub const MODELS: usize = FILES.len();

#[cfg(feature = "emulated")]
#[unsafe(link_section = ".psram")]
static F32: Aligned<[u8; include_bytes!(concat!(env!("OUT_DIR"), "/plain-f32.safetensors")).len()]> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/plain-f32.safetensors")));

/// Model `index` of [`MODELS`] with its name; the plain one comes first.
pub fn model(index: usize) -> (&'static str, Model<'static, Chain<f16>>) {
    let (name, network, file) = FILES[index];
    (name, open(network, file))
}

/// The plain model with f32 weights: too large for the flash of most boards.
#[cfg(feature = "emulated")]
pub fn model_f32() -> Model<'static, Chain<f32>> {
    open(&MNIST_CNN, &F32.0)
}

fn open<T: Element>(network: &'static Network, bytes: &'static [u8]) -> Model<'static, T> {
    match Model::from_safetensors(network, bytes) {
        Ok(model) => model,
        Err(error) => panic!("the embedded model: {}", defmt::Display2Format(&error)),
    }
}

const IMAGES: &[u8] = include_bytes!("../../host-trainer/assets/digits-images.idx3-ubyte");
const LABELS: &[u8] = include_bytes!("../../host-trainer/assets/digits-labels.idx1-ubyte");
const PIXELS: usize = MNIST_CNN.input().len();
/// Number of bundled digits.
pub const DIGITS: usize = LABELS.len() - 8;

/// Bundled digit `index`: writes its pixels and returns its label.
pub fn digit(index: usize, image: &mut [f32; PIXELS]) -> usize {
    for (target, byte) in image.iter_mut().zip(&IMAGES[16 + index * PIXELS..]) {
        *target = f32::from(*byte) / 255.0;
    }
    usize::from(LABELS[8 + index])
}
