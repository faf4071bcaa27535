//! Bytes of a model in flash, where its weights can be read in place.

/// Aligned to 8 bytes, as every type of weights accepts. [`include_model!`](crate::include_model) makes one.
///
/// ```
/// use midge_core::Aligned;
///
/// static BYTES: &Aligned<[u8]> = &Aligned([1, 2, 3]);
/// assert!(BYTES.0.as_ptr().cast::<u64>().is_aligned());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Aligned<T: ?Sized>(pub T);

/// The bytes of a model file as `&'static [u8]`, aligned for [`Model::from_safetensors`](crate::Model::from_safetensors).
/// The path is that of [`include_bytes!`], whose bytes lie anywhere.
///
/// ```
/// use midge_core::{MNIST_CNN, Model, f16, include_model};
///
/// static MODEL: &[u8] = include_model!("../../host-trainer/assets/plain.safetensors");
/// let model = Model::<f16>::from_safetensors(&MNIST_CNN, MODEL)?;
/// # assert!(MODEL.as_ptr().cast::<u64>().is_aligned());
/// # Ok::<(), midge_core::ModelError>(())
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {{
        const BYTES: &$crate::Aligned<[u8]> = &$crate::Aligned(*::core::include_bytes!($path));
        &BYTES.0
    }};
}
