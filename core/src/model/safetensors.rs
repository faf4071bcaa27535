//! A model from the bytes of a file; `header.rs` says what they are.

use super::error::ModelError;
use super::header::Header;
use super::{Model, Weights, weights};
use crate::network::Network;

impl<'a, T: Weights> Model<'a, T> {
    /// A model in a safetensors file's bytes, read in place. `network` is the architecture that the caller planned its
    /// buffers for; [`Header::network`] reads it from a file. The bytes must be aligned to the element type, and stay.
    ///
    /// ```
    /// use midge_core::{MNIST_CNN, Model, ModelError, f16, include_model};
    ///
    /// static FILE: &[u8] = include_model!("../../../host-trainer/assets/plain.safetensors");
    /// let model = Model::<f16>::from_safetensors(&MNIST_CNN, FILE)?;
    /// assert_eq!(model.tensors().map(<[f16]>::len).sum::<usize>(), MNIST_CNN.parameters());
    ///
    /// let error = Model::<f32>::from_safetensors(&MNIST_CNN, b"not a model").unwrap_err();
    /// assert!(matches!(error, ModelError::HeaderLength { .. }));
    /// # Ok::<(), ModelError>(())
    /// ```
    ///
    /// # Errors
    /// See [`ModelError`]; the module's documentation says what a file must be.
    pub fn from_safetensors(network: &'a Network, bytes: &'a [u8]) -> Result<Self, ModelError> {
        let header = Header::read(bytes)?;
        if !network.is_written_as(header.network_text()?) {
            return Err(ModelError::OtherNetwork);
        }
        if !weights::runs::<T>(network.plan()) {
            return Err(ModelError::NotRun);
        }
        // In the place of the result from the start, so that a device needs no code to move it.
        let mut result = Ok(Self::of(network, T::PerStage::default()));
        if let Ok(model) = &mut result
            && let Err(error) = model.read(&header)
        {
            result = Err(error);
        }
        result
    }

    /// Looks up all tensors.
    fn read(&mut self, header: &Header<'a>) -> Result<(), ModelError> {
        let mut expected = 0;
        let plan = self.network.plan();
        for (index, stage) in plan.all().iter().enumerate() {
            T::push(&mut self.tensors, T::read(header, stage)?);
            if !(T::IS_INT8 && plan.passes_on(index)) {
                expected += T::bytes(stage);
            }
        }
        // All tensors fill the file, without overlaps, and none is empty: one too many, or one twice, is seen in their sum.
        let found = header.tensors.len();
        if found != expected {
            return Err(ModelError::Extra { expected, found });
        }
        header.check_checksum()?;
        self.check_weights()
    }
}
