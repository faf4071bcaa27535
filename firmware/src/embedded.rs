//! What is stored in flash: the bundled model and digits.

use midge_core::{Element, MNIST_CNN, Model, f16};

/// Bytes at an address that every element type can be read from.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static F16: &Aligned<[u8]> = &Aligned(*include_bytes!("../../host-trainer/assets/plain.safetensors"));

#[cfg(feature = "emulated")]
#[unsafe(link_section = ".psram")]
static F32: Aligned<[u8; include_bytes!(concat!(env!("OUT_DIR"), "/plain-f32.safetensors")).len()]> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/plain-f32.safetensors")));

/// The bundled model.
pub fn model() -> Model<'static, f16> {
    open(&F16.0)
}

/// The same with f32 weights: too large for the flash of most boards.
#[cfg(feature = "emulated")]
pub fn model_f32() -> Model<'static, f32> {
    open(&F32.0)
}

fn open<T: Element>(bytes: &'static [u8]) -> Model<'static, T> {
    match Model::from_safetensors(&MNIST_CNN, bytes) {
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
