//! [`midge_core::camera`] in a program that links only if no panic can be reached.
#![no_std]
#![no_main]

use core::hint::black_box;

use midge_core::camera::Camera;
use midge_core::{MNIST_CNN, Shape};

#[path = "../board/panic_free.rs"]
mod panic_free;

const INPUT: Shape = MNIST_CNN.input();

#[cortex_m_rt::entry]
fn main() -> ! {
    panic_free::run(|_, _, _, buffer| {
        // Not known to the compiler, so that every change stays in the program.
        let camera = black_box(Camera { blur: 0.5, ..Camera::NONE });
        let (image, mut picture) = (black_box([0.5; INPUT.len()]), [0.0; INPUT.len()]);
        let taken = camera.apply(INPUT, &image, 1, &mut picture, buffer);
        black_box(picture);
        taken.map(|()| [])
    })
}
