//! The cameras of the self-test: the device takes the pictures, and so does the host (`build.rs`), which includes this
//! file. Both must see the same bits.

use midge_core::camera::Camera;
use midge_core::{Error, MNIST_CNN};

/// Each change by itself and all together.
pub(crate) const CAMERAS: [Camera; 8] = [
    Camera { gamma: 0.45, ..Camera::NONE },
    Camera { rotation: -7.0, ..Camera::NONE },
    Camera { down: 0.3, right: -1.7, ..Camera::NONE },
    Camera { blur: 0.7, ..Camera::NONE },
    Camera { brightness: 0.1, ..Camera::NONE },
    Camera { noise: 0.1, ..Camera::NONE },
    Camera { eight_bit: true, ..ALL },
    ALL,
];

const ALL: Camera = Camera {
    gamma: 1.6,
    rotation: 4.0,
    down: 1.0,
    right: 0.5,
    blur: 0.5,
    brightness: -0.05,
    noise: 0.05,
    eight_bit: false,
};

/// What the checksum of a camera's pictures starts with.
pub(crate) const START: u32 = 0x811c_9dc5;

/// Takes picture number `index` and adds its bits to a checksum (FNV-1a, by words: no single difference is lost).
pub(crate) fn add(
    checksum: u32,
    camera: &Camera,
    (index, image): (usize, &[f32]),
    picture: &mut [f32],
    buffer: &mut [f32],
) -> Result<u32, Error> {
    camera.apply(MNIST_CNN.input(), image, index as u64, picture, buffer)?;
    Ok(picture.iter().fold(checksum, |sum, x| (sum ^ x.to_bits()).wrapping_mul(0x0100_0193)))
}
