//! Classifies images with a small convolutional network and computes white-box adversarial examples against it,
//! without an operating system, an allocator or a panic.
//!
//! The modules follow the data: a [`Network`] says what is computed, a [`Model`] adds weights that are read where
//! they lie, the kernels run it row by row, [`loss`] turns logits into a number to increase, and
//! [`attack`] changes the image so that it does.
//!
//! ```
//! use midge_core::{Layer, Model, Network, Shape, attack::Fgsm};
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

mod aligned;
pub mod attack;
pub mod camera;
mod element;
mod error;
mod layers;
pub mod loss;
mod mnist_cnn;
mod model;
mod network;
mod pass;
mod plan;
mod simd;
mod span;
mod text;

pub use aligned::Aligned;
pub use element::Element;
pub use error::Error;
pub use half::f16;
pub use mnist_cnn::{MNIST_CNN, MNIST_CNN_SHIFTED};
pub use model::{
    Classification, Header, InputGradient, METADATA_CHECKSUM, METADATA_FORMAT, METADATA_NETWORK, Model, ModelError,
    checksum,
};
pub use network::{Layer, MAX_DIMENSION, MAX_ELEMENTS, MAX_LAYERS, Network, NetworkError, Padding, Shape};
pub use pass::batch;
pub use simd::Level;
pub use text::ParseError;
