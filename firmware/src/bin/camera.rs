//! [`midge_core::camera`] in a program that links only if no panic can be reached.
#![no_std]
#![no_main]

use midge_core::MNIST_CNN;
use midge_core::camera::Camera;

#[path = "../board/panic_free.rs"]
mod panic_free;

#[cortex_m_rt::entry]
fn main() -> ! {
    panic_free::run(|_, image, _, picture, buffer| {
        // Not known to the compiler, so that every change stays in the program.
        let camera = core::hint::black_box(Camera { blur: 0.5, ..Camera::NONE });
        camera.apply(MNIST_CNN.input(), image, 1, picture, buffer).map(|()| [])
    })
}
