//! A network as constant data: the list of layers, checked and planned at compile time.

use crate::plan::{MAX_STAGES, Stage, Stages};

/// Most layers a [`Network`] can hold: those of VGG-16. A network's constant takes the space of all of them.
pub const MAX_LAYERS: usize = 37;

/// Largest height, width, channel, filter or unit count: keeps every length product far from overflow.
pub const MAX_DIMENSION: usize = 16_384;

/// Largest height and width of a convolution's window.
pub(crate) const MAX_KERNEL: usize = 7;

/// Most elements of one activation map or one weight tensor.
pub const MAX_ELEMENTS: usize = 1 << 26;

/// Height, width and channels of an activation map stored row by row, channel last (NHWC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values of one position.
    pub channels: usize,
}

impl Shape {
    /// A shape from height, width and channels.
    pub const fn hwc(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// True if the map has no element.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of one row.
    pub(crate) const fn row_len(&self) -> usize {
        self.width * self.channels
    }
}

/// What happens at the border of a convolution or pooling window; the words and the arithmetic are those of Keras.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// `ceil(n / stride)` outputs. The missing rows are shared between both ends, the odd one at the end.
    /// A convolution reads zeros there, a pooling ignores them.
    Same,
    /// Only whole windows: `(n - kernel) / stride + 1` outputs.
    Valid,
}

/// One layer of a sequential network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// 2-D cross-correlation. Weights `[filters][kernel][kernel][in channels]`, bias `[filters]`.
    Conv2d {
        /// Output channels.
        filters: usize,
        /// Height and width of the window, 1 to 7.
        kernel: usize,
        /// Step of the window, 1 or 2.
        stride: usize,
        /// Border rule.
        padding: Padding,
        /// Whether a bias is added.
        bias: bool,
    },
    /// `max(x, 0)`, with derivative 0 at 0.
    Relu,
    /// `max(x - t, 0)`, with derivative 0 at `t`: a ReLU with a threshold that is not learned, the same for all channels
    /// (the soft threshold of Donoho, 1995, for values that are not negative). Zeros stay zeros.
    ShiftedRelu {
        /// The threshold in hundredths, at most 255 together with ReLUs right before it.
        hundredths: u8,
    },
    /// Largest value of each `pool` x `pool` window; stride equals `pool`. The first of equal values wins.
    MaxPool2d {
        /// Height, width and stride of the window, 2 or 3.
        pool: usize,
        /// `Same` keeps partial windows at the border, `Valid` drops them.
        padding: Padding,
    },
    /// Row, column, channel to one vector, in that order.
    Flatten,
    /// `x W + b`. Weights `[inputs][units]`, bias `[units]`.
    Dense {
        /// Outputs.
        units: usize,
        /// Whether a bias is added.
        bias: bool,
    },
}

/// Why a list of layers is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkError {
    /// More layers than [`MAX_LAYERS`], or more fused stages than midge plans for.
    TooManyLayers,
    /// A dimension is zero or above [`MAX_DIMENSION`], or a tensor is above [`MAX_ELEMENTS`].
    Dimension {
        /// Index of the layer, or the number of layers if it is the input's shape.
        layer: usize,
    },
    /// A convolution's kernel is not 1..=7, its stride not 1..=2, or a pooling window not 2..=3.
    Window {
        /// Index of the layer.
        layer: usize,
    },
    /// A `Valid` window is larger than the map under it.
    TooSmall {
        /// Index of the layer.
        layer: usize,
    },
    /// A dense layer before `Flatten`, a convolution or pooling after it, or a second `Flatten`.
    Order {
        /// Index of the layer.
        layer: usize,
    },
    /// ReLUs behind each other, or with only poolings and a flatten between, whose thresholds add up to more than 2.55.
    Threshold {
        /// Index of the layer.
        layer: usize,
    },
    /// The network never reaches `Flatten`, so it has no logits.
    NotFlat,
    /// Fewer than two logits.
    TooFewClasses,
}

impl NetworkError {
    /// The error in words, without numbers.
    pub const fn message(&self) -> &'static str {
        match self {
            Self::TooManyLayers => "too many layers",
            Self::Dimension { .. } => "a dimension is zero or too large",
            Self::Window { .. } => "kernel must be 1 to 7, stride 1 or 2, pool 2 or 3",
            Self::TooSmall { .. } => "the map is smaller than the window",
            Self::Order { .. } => "convolutions and poolings stand before the one flatten, dense layers after it",
            Self::Threshold { .. } => "thresholds of ReLUs behind each other add up to more than 2.55",
            Self::NotFlat => "the network must end flat: a flatten is missing",
            Self::TooFewClasses => "a classifier needs at least two outputs",
        }
    }
}

impl core::fmt::Display for NetworkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Dimension { layer }
            | Self::Window { layer }
            | Self::TooSmall { layer }
            | Self::Order { layer }
            | Self::Threshold { layer } => write!(f, "layer {layer}: {}", self.message()),
            _ => f.write_str(self.message()),
        }
    }
}

impl core::error::Error for NetworkError {}

/// A sequential CNN: input shape, layers, and the plan of how midge runs them.
///
/// ```
/// use midge_core::{Layer, Network, Padding, Shape};
/// const SMALL: Network = Network::new(Shape::hwc(8, 8, 1), &[
///     Layer::Conv2d { filters: 4, kernel: 3, stride: 1, padding: Padding::Same, bias: true },
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

    /// Checks and plans a network.
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
        Ok(Self { input, layers: copy, layer_count: layers.len(), stages })
    }

    /// Shape of the image.
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        self.layers.get(..self.layer_count).unwrap_or(&[])
    }

    /// Number of logits.
    pub const fn classes(&self) -> usize {
        self.stages.lengths().classes
    }

    /// Output shape of layer `index`; flat layers have height and width 1. `None` beyond the last layer.
    pub fn output_shape(&self, index: usize) -> Option<Shape> {
        let mut shape = self.input;
        for layer in self.layers().get(..=index)? {
            shape = layer.output(shape);
        }
        Some(shape)
    }

    /// Weights and biases of layer `index`: (elements of `weight`, elements of `bias`).
    pub fn layer_parameters(&self, index: usize) -> (usize, usize) {
        let input = match index.checked_sub(1) {
            None => Some(self.input),
            Some(previous) => self.output_shape(previous),
        };
        match (self.layers().get(index), input) {
            (Some(layer), Some(shape)) => layer.parameters(shape),
            _ => (0, 0),
        }
    }

    /// Dimensions of the weights of layer `index`: `[kernel, kernel, in channels, filters]` for a convolution,
    /// `[inputs, units]` for a dense layer, none for the others.
    pub fn weight_shape(&self, index: usize) -> heapless::Vec<usize, 4> {
        let mut stages = self.stages.all().iter();
        let stage = stages.find(|stage| stage.layer == index && stage.parameters().0 > 0);
        stage.map_or(heapless::Vec::new(), Stage::weight_shape)
    }

    /// Number of weights and biases.
    pub const fn parameters(&self) -> usize {
        self.stages.parameters()
    }

    /// Multiply-adds of one forward pass if nothing is skipped, borders counted as whole windows.
    pub const fn multiply_adds(&self) -> usize {
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

    /// Elements with which [`Model::input_gradient`](crate::Model::input_gradient) and the one-step attacks are fastest, if
    /// the model has transposed weights.
    #[cfg(feature = "std")]
    pub fn fast_gradient_len(&self) -> usize {
        self.gradient_len().max(crate::batch::Batch::gradient(self, 1).buffer_len() + self.input.len())
    }

    /// The same for an attack with momentum.
    #[cfg(feature = "std")]
    pub fn fast_attack_len(&self) -> usize {
        self.fast_gradient_len() + self.input.len()
    }

    pub(crate) const fn plan(&self) -> &Stages {
        &self.stages
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input && self.layers() == other.layers()
    }
}

impl Layer {
    /// Output shape for an input that has passed the network's check.
    fn output(&self, input: Shape) -> Shape {
        let grid = |kernel, stride, padding, channels| {
            let (height, _) = window_count(input.height, kernel, stride, padding);
            let (width, _) = window_count(input.width, kernel, stride, padding);
            Shape::hwc(height, width, channels)
        };
        match *self {
            Self::Conv2d { filters, kernel, stride, padding, .. } => grid(kernel, stride, padding, filters),
            Self::MaxPool2d { pool, padding } => grid(pool, pool, padding, input.channels),
            Self::Relu | Self::ShiftedRelu { .. } => input,
            Self::Flatten => Shape::hwc(1, 1, input.len()),
            Self::Dense { units, .. } => Shape::hwc(1, 1, units),
        }
    }

    fn parameters(&self, input: Shape) -> (usize, usize) {
        match *self {
            Self::Conv2d { filters, kernel, bias, .. } => {
                (filters * kernel * kernel * input.channels, if bias { filters } else { 0 })
            }
            Self::Dense { units, bias } => (input.len() * units, if bias { units } else { 0 }),
            _ => (0, 0),
        }
    }
}

/// Number of windows along one axis and how many elements the first one hangs over the border.
/// Zero windows if a `Valid` window does not fit.
pub(crate) const fn window_count(n: usize, kernel: usize, stride: usize, padding: Padding) -> (usize, usize) {
    // Never 0 in a network that passed its check.
    let stride = if stride == 0 { 1 } else { stride };
    match padding {
        Padding::Valid if n < kernel => (0, 0),
        Padding::Valid => ((n - kernel) / stride + 1, 0),
        Padding::Same => {
            let count = n.div_ceil(stride);
            let covered = count.saturating_sub(1) * stride + kernel;
            (count, covered.saturating_sub(n) / 2)
        }
    }
}

// The whole plan is constant data, so its size is flash, not RAM; this keeps it honest.
const _: () = assert!(MAX_STAGES <= MAX_LAYERS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_that_of_keras() {
        assert_eq!(window_count(28, 3, 1, Padding::Same), (28, 1));
        assert_eq!(window_count(28, 3, 2, Padding::Same), (14, 0));
        assert_eq!(window_count(7, 3, 2, Padding::Same), (4, 1));
        assert_eq!(window_count(7, 3, 3, Padding::Same), (3, 1));
        assert_eq!(window_count(8, 3, 3, Padding::Same), (3, 0));
        assert_eq!(window_count(7, 2, 2, Padding::Valid), (3, 0));
        assert_eq!(window_count(2, 3, 1, Padding::Valid), (0, 0));
    }

    #[test]
    fn mistakes_are_named() {
        let image = Shape::hwc(4, 4, 1);
        let dense = Layer::Dense { units: 2, bias: true };
        let conv = |kernel, stride, padding| Layer::Conv2d { filters: 2, kernel, stride, padding, bias: false };
        let error = |layers: &[Layer]| Network::try_new(image, layers).err();
        assert_eq!(error(&[dense]), Some(NetworkError::Order { layer: 0 }));
        assert_eq!(error(&[Layer::Flatten, Layer::Flatten, dense]), Some(NetworkError::Order { layer: 1 }));
        assert_eq!(error(&[Layer::Flatten, conv(3, 1, Padding::Same)]), Some(NetworkError::Order { layer: 1 }));
        assert_eq!(error(&[conv(8, 1, Padding::Same)]), Some(NetworkError::Window { layer: 0 }));
        assert_eq!(error(&[conv(3, 3, Padding::Same)]), Some(NetworkError::Window { layer: 0 }));
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
        assert_eq!(Network::try_new(image, &[Layer::Relu; 60]).err(), Some(NetworkError::TooManyLayers));
    }
}
