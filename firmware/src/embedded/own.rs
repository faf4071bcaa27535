//! The model that `MIDGE_MODEL` names, and images that it takes.

#[cfg(feature = "emulated")]
use midge_core::{Chain, Model};

use super::PIXELS;

// NETWORK, Weights, DTYPE, NAME, FILES, Pixel, IMAGES, LABELS and SAMPLES_ARE.
include!(concat!(env!("OUT_DIR"), "/own_model.rs"));

/// Number of images.
pub const SAMPLES: usize = LABELS.len();

/// Image `index`: writes its pixels and returns its label.
pub fn sample(index: usize, image: &mut [f32; PIXELS]) -> usize {
    let bytes = IMAGES[index * PIXELS * size_of::<Pixel>()..].chunks_exact(size_of::<Pixel>());
    image.iter_mut().zip(bytes).for_each(|(target, bytes)| *target = pixel(bytes));
    LABELS[index]
}

/// There is no second model with f32 weights.
#[cfg(feature = "emulated")]
pub fn model_f32() -> Option<Model<'static, Chain<f32>>> {
    None
}
