//! The layers that a network is made of, and what can be wrong with a list of them.

use super::shape::{Padding, Shape, Size, windows};

/// Most layers of a [`Network`](crate::Network). A network's constant takes the space of all of them.
pub const MAX_LAYERS: usize = 64;

/// Largest height, width, channel, filter or unit count: keeps every length product far from overflow.
pub const MAX_DIMENSION: usize = 16_384;

/// Largest height and width of a convolution's window.
pub(crate) const MAX_KERNEL: usize = 16;

/// Largest step of a convolution's window.
pub(crate) const MAX_STRIDE: usize = 4;

/// Most elements of one activation map or one weight tensor.
pub const MAX_ELEMENTS: usize = 1 << 26;

/// One layer of a network, which reads what the layer before it puts out. Its [`Display`](core::fmt::Display) is the word that
/// stands for it in a model file.
///
/// ```
/// use midge_core::{Layer, Padding, Size};
///
/// let (kernel, stride) = (Size::square(3), Size::ONE);
/// let layer = Layer::Conv2d { filters: 32, kernel, stride, padding: Padding::Same, bias: false };
/// assert_eq!(layer.to_string(), "conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false)");
/// assert_eq!(Layer::ShiftedRelu { hundredths: 10 }.to_string(), "shifted_relu(hundredths=10)");
/// ```
///
/// A skip connection names the layer whose output it adds, and a second branch the layer that it starts from:
/// ```
/// use midge_core::{Network, Shape};
///
/// // A block of a residual network (He et al., arXiv 1512.03385) with half the resolution at its end.
/// let block: Network = "input(8,8,3) conv2d(filters=16,kernel=3) relu \
///     conv2d(filters=32,kernel=3,stride=2) relu conv2d(filters=32,kernel=3) \
///     from(layer=1) conv2d(filters=32,kernel=1,stride=2) add(layer=4) relu \
///     avgpool2d(pool=4) flatten dense(units=10)".parse()?;
/// assert_eq!(block.output_shape(7), Some(Shape::hwc(4, 4, 32)));
/// # Ok::<(), midge_core::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// 2-D cross-correlation. Weights `[row][column][in channels][filters]`, bias `[filters]`.
    Conv2d {
        /// Output channels.
        filters: usize,
        /// Height and width of the window, 1 to 16.
        kernel: Size,
        /// Steps of the window, 1 to 4.
        stride: Size,
        /// Border rule.
        padding: Padding,
        /// Whether a bias is added.
        bias: bool,
    },
    /// 2-D cross-correlation of each channel with filters of its own. Weights `[row][column][filters]`, bias `[filters]`.
    /// Filter `f` reads channel `f / multiplier`.
    DepthwiseConv2d {
        /// Filters of each channel: 1, or any number on a map of one channel.
        multiplier: usize,
        /// Height and width of the window, 1 to 16.
        kernel: Size,
        /// Steps of the window, 1 to 4.
        stride: Size,
        /// Border rule.
        padding: Padding,
        /// Whether a bias is added.
        bias: bool,
    },
    /// `max(x, 0)`, with derivative 0 at 0.
    Relu,
    /// `min(max(x, 0), 6)`, with derivative 0 at 0 and at 6.
    Relu6,
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
    /// Mean of each window; stride equals `pool`. A window as large as the map is a global average pooling.
    AvgPool2d {
        /// Height, width and stride of the window, 1 to 255 each.
        pool: Size,
        /// `Same` keeps partial windows at the border, whose mean is that of the elements on the map; `Valid` drops them.
        padding: Padding,
    },
    /// What follows reads the output of an earlier layer: the start of a second branch.
    From {
        /// Index of that layer.
        layer: usize,
    },
    /// Adds the output of an earlier layer: the end of a skip connection.
    Add {
        /// Index of that layer; its output has the same shape.
        layer: usize,
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
    /// Output shape for an input that has passed the network's check; `None` for [`Layer::From`], which reads another one.
    pub(super) fn output(&self, input: Shape) -> Option<Shape> {
        let grid = |kernel, stride, padding, channels| {
            let ((height, width), _) = windows(input, kernel, stride, padding);
            Shape::hwc(height, width, channels)
        };
        Some(match *self {
            Self::Conv2d { filters, kernel, stride, padding, .. } => grid(kernel, stride, padding, filters),
            Self::DepthwiseConv2d { multiplier, kernel, stride, padding, .. } => {
                grid(kernel, stride, padding, input.channels * multiplier)
            }
            Self::MaxPool2d { pool, padding } => {
                let pool = Size::square(pool as u8);
                grid(pool, pool, padding, input.channels)
            }
            Self::AvgPool2d { pool, padding } => grid(pool, pool, padding, input.channels),
            Self::Relu | Self::Relu6 | Self::ShiftedRelu { .. } | Self::Add { .. } => input,
            Self::From { .. } => return None,
            Self::Flatten => Shape::hwc(1, 1, input.len()),
            Self::Dense { units, .. } => Shape::hwc(1, 1, units),
        })
    }

    /// Elements of `weight` and of `bias` for such an input.
    pub(super) fn parameters(&self, input: Shape) -> (usize, usize) {
        match *self {
            Self::Conv2d { filters, kernel, bias, .. } => {
                (filters * kernel.area() * input.channels, if bias { filters } else { 0 })
            }
            Self::DepthwiseConv2d { multiplier, kernel, bias, .. } => {
                let filters = input.channels * multiplier;
                (filters * kernel.area(), if bias { filters } else { 0 })
            }
            Self::Dense { units, bias } => (input.len() * units, if bias { units } else { 0 }),
            _ => (0, 0),
        }
    }

    /// The earlier layer that it names.
    pub(super) const fn reference(&self) -> Option<usize> {
        match *self {
            Self::From { layer } | Self::Add { layer } => Some(layer),
            _ => None,
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
    /// A convolution's kernel is not 1..=16, its stride not 1..=4, its padding not smaller than its kernel; a max-pooling window
    /// not 2..=3, an average-pooling window has no elements, or a pooling is padded with zeros.
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
    /// A depthwise convolution has no filters, or several for each of several channels.
    Multiplier {
        /// Index of the layer.
        layer: usize,
    },
    /// `From` or `Add` names a layer that is not before it, or one behind which the map is flat already; or `Add` names one whose
    /// output has another shape.
    Reference {
        /// Index of the layer.
        layer: usize,
    },
    /// The output of a layer is read by nobody.
    Unread {
        /// Index of the layer.
        layer: usize,
    },
    /// A skip connection would have to keep more than 255 rows.
    SkipRows {
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
            Self::Window { .. } => {
                "kernel must be 1 to 16, stride 1 to 4, padding same, valid or below the kernel; pool of a maximum 2 or 3, with \
                 padding same or valid"
            }
            Self::TooSmall { .. } => "the map is smaller than the window",
            Self::Order { .. } => "convolutions and poolings stand before the one flatten, dense layers after it",
            Self::Multiplier { .. } => "a depthwise multiplier must be 1, or at least 1 on one channel",
            Self::Reference { .. } => "the layer that it names is not an earlier one with a map of the same shape",
            Self::Unread { .. } => "nothing reads the output of this layer",
            Self::SkipRows { .. } => "a skip connection would have to keep more than 255 rows",
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
            | Self::Multiplier { layer }
            | Self::Reference { layer }
            | Self::Unread { layer }
            | Self::SkipRows { layer }
            | Self::Threshold { layer } => write!(f, "layer {layer}: {}", self.message()),
            _ => f.write_str(self.message()),
        }
    }
}

impl core::error::Error for NetworkError {}
