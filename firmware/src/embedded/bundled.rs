//! The bundled models, and digits that midge drew.

#[cfg(feature = "emulated")]
use midge_core::{Aligned, Model};
use midge_core::{Chain, MNIST_CNN, Network, f16, include_model};

use super::PIXELS;

#[cfg(not(all(feature = "one-model", feature = "robust")))]
static PLAIN: &[u8] = include_model!("../../../host-trainer/assets/plain.safetensors");
#[cfg(any(not(feature = "one-model"), feature = "robust"))]
static ROBUST: &[u8] = include_model!("../../../host-trainer/assets/robust.safetensors");

/// The architecture of the models, whose buffers are all of the same length.
pub const NETWORK: Network = MNIST_CNN;
/// The type of the models' weights.
pub type Weights = Chain<f16>;
/// The type's name.
pub const DTYPE: &str = "f16";
/// What the benchmark calls the models' network.
pub const NAME: &str = "mnist-cnn";

/// Name, network and file of each model; the plain one comes first.
pub(super) const FILES: &[(&str, &Network, &[u8])] = &[
    #[cfg(not(all(feature = "one-model", feature = "robust")))]
    ("plain", &MNIST_CNN, PLAIN),
    #[cfg(any(not(feature = "one-model"), feature = "robust"))]
    ("robust", &midge_core::MNIST_CNN_SHIFTED, ROBUST),
];

#[cfg(feature = "emulated")]
#[unsafe(link_section = ".psram")]
static F32: Aligned<[u8; include_bytes!(concat!(env!("OUT_DIR"), "/plain-f32.safetensors")).len()]> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/plain-f32.safetensors")));

/// The plain model with f32 weights: too large for the flash of most boards.
#[cfg(feature = "emulated")]
pub fn model_f32() -> Option<Model<'static, Chain<f32>>> {
    Some(super::open(&MNIST_CNN, &F32.0))
}

const IMAGES: &[u8] = include_bytes!("../../../host-trainer/assets/digits-images.idx3-ubyte");
const LABELS: &[u8] = include_bytes!("../../../host-trainer/assets/digits-labels.idx1-ubyte");
/// Number of images.
pub const SAMPLES: usize = LABELS.len() - 8;
/// What the benchmark calls them.
pub const SAMPLES_ARE: &str = "digits";

/// Image `index`: writes its pixels and returns its label.
pub fn sample(index: usize, image: &mut [f32; PIXELS]) -> usize {
    for (target, byte) in image.iter_mut().zip(&IMAGES[16 + index * PIXELS..]) {
        *target = f32::from(*byte) / 255.0;
    }
    usize::from(LABELS[8 + index])
}
