//! Classifies images with a small convolutional network and computes white-box adversarial examples against it,
//! without an operating system, an allocator or a panic.
//!
//! A [`Network`] says what is computed. A [`Model`] adds weights that are read where they lie, in flash or in a file's bytes.
//! Its methods run it row by row in a buffer of the caller's: [`Model::classify`], [`Model::input_gradient`]. A
//! [`loss`] turns logits into a number to raise, and an [`attack`] changes the image so that it does.
//!
//! Feature `std` means *host*: the processor is asked for its vectors ([`Level`]), and attacks take whole batches.
//! `docs/architecture.md` in the repository shows the way of one image through the files of this crate.
//!
//! ```
//! use midge_core::{Layer, Model, Network, Shape, attack::{Attack, Fgsm}};
//!
//! const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
//! let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
//!
//! let (image, label) = ([0.6, 0.4], 0);
//! let mut buffer = [0.0; NETWORK.gradient_len()];
//! assert_eq!(model.classify(&image, &mut buffer)?.class, 0);
//!
//! let mut adversarial = [0.0; 2];
//! let outcome = Fgsm { eps: 0.2 }.attack(&model, &image, label, &mut adversarial, &mut buffer)?;
//! assert_eq!(outcome.after.class, 1);
//! # Ok::<(), midge_core::Error>(())
//! ```
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(not(any(feature = "std", cortex_m_fpu)), forbid(unsafe_code))]

#[cfg(any(test, feature = "std"))]
extern crate std;

// From the ground up: each module imports only from those above it (a test holds them to that).

// What can be wrong with a caller's data; parts of slices without a panic; a checksum.
mod checksum;
mod error;
mod span;

// The types of weights, and how their bytes lie in flash.
mod aligned;
mod number;

// Vectors of the processor: one trait, and a file for each instruction set.
mod vector;

// What is computed: shapes, layers, the network, its text, and the plan of how it runs in which buffers.
mod network;

// What is multiplied: for each kind of layer, forward beside backward.
mod kernels;

// Weights bound to a network, and the file that they come from.
mod model;

// What an attack raises.
pub mod loss;

// The walks through the layers: one image by rows, as on a device, or by whole maps; batches.
mod pass;

// The attacks, and what a camera makes of their images.
pub mod attack;
pub mod camera;

pub use aligned::Aligned;
pub use error::Error;
pub use half::f16;
pub use kernels::int8::Grid;
pub use model::{
    Chain, FloatWeights, Header, Int8Tensors, METADATA_CHECKSUM, METADATA_FORMAT, METADATA_NETWORK, Model, ModelError,
    Weights, checksum,
};
pub use network::{
    Layer, MAX_DIMENSION, MAX_ELEMENTS, MAX_LAYERS, MNIST_CNN, MNIST_CNN_SHIFTED, Network, NetworkError, Padding,
    ParseError, Shape, Size, Zeros,
};
pub use number::{Number, Stored};
pub use pass::{Classification, Element, InputGradient, batch};
pub use vector::Level;
