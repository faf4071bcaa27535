//! A network as constant data: the list of layers, checked and planned at compile time.
//!
//! ```text
//! shape.rs    what flows: height, width, channels         layer.rs   what it flows through, and what can be wrong
//! plan/       layers fused into stages, lengths of buffers
//! mod.rs      Network: input, layers and plan             text.rs    the network as one line of text
//!                                                         words.rs   its words, and a fingerprint of it
//! ```
//! A new layer is a variant of [`Layer`], with its lines in `layer.rs`, `words.rs`, `text.rs` and `plan/planner.rs`; what it computes
//! is a file in `kernels`.

mod layer;
mod mnist_cnn;
pub(crate) mod plan;
mod shape;
mod text;
mod words;

pub use layer::{Layer, MAX_DIMENSION, MAX_ELEMENTS, MAX_LAYERS, NetworkError};
pub(crate) use layer::{MAX_KERNEL, MAX_STRIDE};
pub use mnist_cnn::{MNIST_CNN, MNIST_CNN_SHIFTED};
use plan::{MAX_STAGES, Stage, Stages};
pub use shape::{Padding, Shape, Size, Zeros};
pub use text::ParseError;
pub(crate) use text::{is_tensor_name, read_number};
use words::Fingerprint;

use crate::span::span;

/// A CNN: input shape, layers, and the plan of how midge runs them.
///
/// ```
/// use midge_core::{Layer, Network, Padding, Shape, Size};
/// const SMALL: Network = Network::new(Shape::hwc(8, 8, 1), &[
///     Layer::Conv2d { filters: 4, kernel: Size::square(3), stride: Size::ONE, padding: Padding::Same, bias: true },
///     Layer::Relu,
///     Layer::MaxPool2d { pool: 2, padding: Padding::Same },
///     Layer::Flatten,
///     Layer::Dense { units: 10, bias: true },
/// ]);
/// static mut _BUFFER: [f32; SMALL.inference_len()] = [0.0; SMALL.inference_len()];
/// assert_eq!(SMALL.parameters(), 4 * 9 + 4 + 4 * 4 * 4 * 10 + 10);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Network {
    input: Shape,
    layers: [Layer; MAX_LAYERS],
    layer_count: usize,
    stages: Stages,
    fingerprint: Fingerprint,
}

impl Network {
    /// Checks and plans a network. In a `const`, a mistake stops the compiler.
    ///
    /// # Panics
    /// With the message of the [`NetworkError`]; use [`Network::try_new`] for data that is not constant.
    pub const fn new(input: Shape, layers: &[Layer]) -> Self {
        match Self::try_new(input, layers) {
            Ok(network) => network,
            Err(error) => panic!("{}", error.message()),
        }
    }

    /// Checks and plans a network, for layers that are not constant.
    ///
    /// ```
    /// use midge_core::{Layer, Network, Shape};
    ///
    /// let units: Vec<usize> = vec![300, 100, 10];
    /// let mut layers = vec![Layer::Flatten];
    /// for units in units {
    ///     layers.extend([Layer::Dense { units, bias: true }, Layer::Relu]);
    /// }
    /// let network = Network::try_new(Shape::hwc(28, 28, 1), &layers)?;
    /// assert_eq!(network.classes(), 10);
    /// let error = Network::try_new(Shape::hwc(28, 28, 1), &layers[1..]).unwrap_err();
    /// assert!(error.to_string().starts_with("layer 0: convolutions and poolings stand before the one flatten"));
    /// # Ok::<(), midge_core::NetworkError>(())
    /// ```
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub const fn try_new(input: Shape, layers: &[Layer]) -> Result<Self, NetworkError> {
        if layers.len() > MAX_LAYERS {
            return Err(NetworkError::TooManyLayers);
        }
        let stages = match Stages::plan(input, layers) {
            Ok(stages) => stages,
            Err(error) => return Err(error),
        };
        let mut copy = [Layer::Flatten; MAX_LAYERS];
        let mut i = 0;
        while i < layers.len() {
            copy[i] = layers[i];
            i += 1;
        }
        Ok(Self { input, layers: copy, layer_count: layers.len(), stages, fingerprint: Fingerprint::of(input, layers) })
    }

    /// The same network in integers of 8 bits, as it runs on a microcontroller: with the buffers of a
    /// [`Model<i8>`](crate::Model).
    ///
    /// ```
    /// use midge_core::MNIST_CNN;
    ///
    /// const INT8: midge_core::Network = MNIST_CNN.int8();
    /// assert!(INT8.is_int8() && INT8.inference_len() < MNIST_CNN.inference_len());
    /// ```
    pub const fn int8(self) -> Self {
        Self { stages: self.stages.int8(self.input), ..self }
    }

    /// The first layer of each stage, which has tensors of its own in a model of integers.
    pub fn int8_stages(&self) -> impl Iterator<Item = usize> + '_ {
        self.stages.all().iter().map(Stage::layer)
    }

    /// Whether it is planned for integers of 8 bits.
    pub const fn is_int8(&self) -> bool {
        self.stages.is_int8()
    }

    /// Whether every layer reads the one before it and is of the kinds that [`Chain`](crate::Chain) runs.
    pub const fn is_chain(&self) -> bool {
        self.stages.is_chain()
    }

    /// Shape of the image.
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        span(&self.layers, 0, self.layer_count)
    }

    /// Number of logits.
    pub const fn classes(&self) -> usize {
        self.stages.lengths().classes
    }

    /// Output shape of layer `index`; flat layers have height and width 1. `None` beyond the last layer.
    pub fn output_shape(&self, index: usize) -> Option<Shape> {
        match self.layers().get(index)? {
            Layer::From { layer } => self.output_shape(*layer),
            layer => layer.output(self.input_shape(index)?),
        }
    }

    /// Shape of what layer `index` gets from the layer before it. `None` beyond the last layer.
    pub fn input_shape(&self, index: usize) -> Option<Shape> {
        index.checked_sub(1).map_or(Some(self.input), |previous| self.output_shape(previous))
    }

    /// Weights and biases of layer `index`: (elements of `weight`, elements of `bias`).
    pub fn layer_parameters(&self, index: usize) -> (usize, usize) {
        match (self.layers().get(index), self.input_shape(index)) {
            (Some(layer), Some(shape)) => layer.parameters(shape),
            _ => (0, 0),
        }
    }

    /// Dimensions of the weights of layer `index`: `[rows, columns, in channels, filters]` for a convolution,
    /// `[rows, columns, filters]` for a depthwise one, `[inputs, units]` for a dense layer, none for the others.
    pub fn weight_shape(&self, index: usize) -> heapless::Vec<usize, 4> {
        let mut stages = self.stages.all().iter();
        let stage = stages.find(|stage| stage.layer() == index && stage.parameters().0 > 0);
        stage.map_or(heapless::Vec::new(), Stage::weight_shape)
    }

    /// Number of weights and biases.
    pub const fn parameters(&self) -> usize {
        self.stages.parameters()
    }

    /// Multiply-adds of one forward pass if nothing is skipped, borders counted as whole windows.
    pub const fn multiply_adds(&self) -> u64 {
        self.stages.multiply_adds()
    }

    /// Elements of the buffer for [`Model::logits`](crate::Model::logits), `classify` and `loss`.
    pub const fn inference_len(&self) -> usize {
        self.stages.lengths().inference
    }

    /// Elements of the buffer for [`Model::input_gradient`](crate::Model::input_gradient) and the one-step attacks.
    pub const fn gradient_len(&self) -> usize {
        self.stages.lengths().gradient
    }

    /// Elements of the buffer for an attack with momentum: [`Self::gradient_len`] and one image.
    pub const fn attack_len(&self) -> usize {
        self.gradient_len() + self.input.len()
    }

    /// Elements of the buffer for an attack on an image of integers, without momentum and from one start:
    /// [`Attack::attack_integers`](crate::attack::Attack::attack_integers).
    pub const fn integers_len(&self) -> usize {
        self.stages.lengths().integers
    }

    /// Whether `text` is this network as [`Display`](core::fmt::Display) writes it, with nothing left out.
    pub(crate) fn is_written_as(&self, text: &[u8]) -> bool {
        self.fingerprint.is_of(text)
    }

    /// The stages, and the lengths of the buffers.
    pub(crate) const fn plan(&self) -> &Stages {
        &self.stages
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        // Mostly one constant is compared with itself.
        core::ptr::eq(self, other)
            || self.input == other.input && self.layers() == other.layers() && self.is_int8() == other.is_int8()
    }
}

// The whole plan is constant data, so its size is flash, not RAM; this keeps it honest.
const _: () = assert!(MAX_STAGES <= MAX_LAYERS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let image = Shape::hwc(4, 4, 1);
        let dense = Layer::Dense { units: 2, bias: true };
        let conv = |kernel, stride, padding| {
            let (kernel, stride) = (Size::square(kernel), Size::square(stride));
            Layer::Conv2d { filters: 2, kernel, stride, padding, bias: false }
        };
        let error = |layers: &[Layer]| Network::try_new(image, layers).err();
        assert_eq!(error(&[dense]), Some(NetworkError::Order { layer: 0 }));
        assert_eq!(error(&[Layer::Flatten, Layer::Flatten, dense]), Some(NetworkError::Order { layer: 1 }));
        assert_eq!(error(&[Layer::Flatten, conv(3, 1, Padding::Same)]), Some(NetworkError::Order { layer: 1 }));
        assert_eq!(error(&[conv(17, 1, Padding::Same)]), Some(NetworkError::Window { layer: 0 }));
        assert_eq!(error(&[conv(3, 5, Padding::Same)]), Some(NetworkError::Window { layer: 0 }));
        assert_eq!(error(&[conv(5, 1, Padding::Valid)]), Some(NetworkError::TooSmall { layer: 0 }));
        assert_eq!(error(&[conv(3, 1, Padding::Same)]), Some(NetworkError::NotFlat));
        let shifted = Layer::ShiftedRelu { hundredths: 128 };
        assert_eq!(error(&[shifted, Layer::Relu, shifted]), Some(NetworkError::Threshold { layer: 2 }));
        assert_eq!(error(&[]), Some(NetworkError::NotFlat));
        assert_eq!(error(&[Layer::Flatten, Layer::Dense { units: 1, bias: true }]), Some(NetworkError::TooFewClasses));
        assert_eq!(
            error(&[Layer::Flatten, Layer::Dense { units: 0, bias: true }]),
            Some(NetworkError::Dimension { layer: 1 })
        );
        let huge = Network::try_new(Shape::hwc(usize::MAX, 2, 2), &[Layer::Flatten, dense]);
        assert_eq!(huge.err(), Some(NetworkError::Dimension { layer: 2 }));
        assert_eq!(Network::try_new(image, &[Layer::Relu; 65]).err(), Some(NetworkError::TooManyLayers));
        // Each layer for itself is small enough, and the lengths of few of them together still are.
        let rows = |count| {
            let mut layers = [Layer::Flatten; MAX_STAGES + 1];
            let (kernel, stride) = (Size::square(7), Size::ONE);
            let conv = Layer::Conv2d { filters: 1024, kernel, stride, padding: Padding::Same, bias: false };
            layers[..count].fill(conv);
            Network::try_new(Shape::hwc(1, 16_384, 1024), &layers[..=count])
        };
        assert!(rows(2).is_ok_and(|network| network.attack_len() < 1 << 30));
        assert_eq!(rows(MAX_STAGES).err(), Some(NetworkError::Buffers));
    }

    /// On a 32-bit device as on a host.
    #[test]
    fn the_work_of_a_large_network_is_counted() {
        let (kernel, stride) = (Size::square(3), Size::ONE);
        let conv = |filters| Layer::Conv2d { filters, kernel, stride, padding: Padding::Same, bias: true };
        let network = Network::new(Shape::hwc(224, 224, 64), &[conv(64), conv(128), Layer::Flatten]);
        assert_eq!(network.multiply_adds(), 224 * 224 * 9 * 64 * (64 + 128));
        assert!(network.multiply_adds() > u64::from(u32::MAX));
    }
}
