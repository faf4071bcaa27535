//! The layers that a network is made of, and what can be wrong with a list of them.

use super::shape::{Padding, Shape, window_count};

/// Most layers a [`Network`](crate::Network) can hold: those of VGG-16. A network's constant takes the space of all of them.
pub const MAX_LAYERS: usize = 37;

/// Largest height, width, channel, filter or unit count: keeps every length product far from overflow.
pub const MAX_DIMENSION: usize = 16_384;

/// Largest height and width of a convolution's window.
pub(crate) const MAX_KERNEL: usize = 7;

/// Most elements of one activation map or one weight tensor.
pub const MAX_ELEMENTS: usize = 1 << 26;

/// One layer of a sequential network. Its [`Display`](core::fmt::Display) is the word that stands for it in a model file.
///
/// ```
/// use midge_core::{Layer, Padding};
///
/// let layer = Layer::Conv2d { filters: 32, kernel: 3, stride: 1, padding: Padding::Same, bias: false };
/// assert_eq!(layer.to_string(), "conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false)");
/// assert_eq!(Layer::ShiftedRelu { hundredths: 10 }.to_string(), "shifted_relu(hundredths=10)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// 2-D cross-correlation. Weights `[row][column][in channels][filters]`, bias `[filters]`.
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

impl Layer {
    /// Output shape for an input that has passed the network's check.
    pub(super) fn output(&self, input: Shape) -> Shape {
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

    /// Elements of `weight` and of `bias` for such an input.
    pub(super) fn parameters(&self, input: Shape) -> (usize, usize) {
        match *self {
            Self::Conv2d { filters, kernel, bias, .. } => {
                (filters * kernel * kernel * input.channels, if bias { filters } else { 0 })
            }
            Self::Dense { units, bias } => (input.len() * units, if bias { units } else { 0 }),
            _ => (0, 0),
        }
    }
}

/// Why a list of layers is not a network.
///
/// ```
/// use midge_core::{Layer, Network, NetworkError, Shape};
///
/// let error = Network::try_new(Shape::hwc(8, 8, 1), &[Layer::Dense { units: 10, bias: true }]).unwrap_err();
/// assert_eq!(error, NetworkError::Order { layer: 0 });
/// ```
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
    /// A buffer would need more than 4 GB, which no address of 32 bits reaches.
    Buffers,
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
            Self::Buffers => "a buffer would be larger than 4 GB",
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
