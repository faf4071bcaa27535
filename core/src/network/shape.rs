//! Shapes of activation maps, and how many windows fit one.

/// Height, width and channels of an activation map stored row by row, channel last (NHWC).
///
/// ```
/// use midge_core::Shape;
///
/// const SHAPE: Shape = Shape::hwc(28, 28, 3);
/// let image = [0.0f32; SHAPE.len()];
/// // Row 1, column 2, channel 0.
/// assert_eq!(image[(1 * SHAPE.width + 2) * SHAPE.channels], 0.0);
/// ```
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

/// Height and width of a window, or its steps down and to the right: 1 to 255 each.
///
/// ```
/// use midge_core::Size;
///
/// assert_eq!(Size::square(3), Size::hw(3, 3));
/// assert_eq!((Size::square(3).to_string(), Size::hw(10, 4).to_string()), ("3".into(), "10x4".into()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: u8,
    /// Columns.
    pub width: u8,
}

impl Size {
    /// One row and one column.
    pub const ONE: Self = Self::square(1);

    /// A size from height and width.
    pub const fn hw(height: u8, width: u8) -> Self {
        Self { height, width }
    }

    /// As high as wide.
    pub const fn square(side: u8) -> Self {
        Self::hw(side, side)
    }

    /// Rows.
    pub(crate) const fn rows(self) -> usize {
        self.height as usize
    }

    /// Columns.
    pub(crate) const fn columns(self) -> usize {
        self.width as usize
    }

    /// Elements.
    pub(crate) const fn area(self) -> usize {
        self.rows() * self.columns()
    }

    /// Whether both are at least 1 and at most `most`.
    pub(super) const fn fits(self, most: usize) -> bool {
        self.height >= 1 && self.width >= 1 && self.rows() <= most && self.columns() <= most
    }
}

/// What happens at the border of a convolution or pooling window; the words and the arithmetic are those of Keras.
///
/// ```text
/// seven columns, a kernel of 3, a stride of 2
///
/// Valid       1 2 3 4 5 6 7           Same    0 1 2 3 4 5 6 7 0
///             [---]                           [---]
///                 [---]                           [---]
///                     [---]                           [---]
///                                                         [---]
/// ```
/// ```
/// use midge_core::{Layer, Network, Padding, Shape, Size};
///
/// let outputs = |padding| {
///     let conv = Layer::Conv2d { filters: 2, kernel: Size::square(3), stride: Size::square(2), padding, bias: false };
///     Network::new(Shape::hwc(7, 7, 1), &[conv, Layer::Flatten]).output_shape(0)
/// };
/// assert_eq!(outputs(Padding::Valid), Some(Shape::hwc(3, 3, 2)));
/// assert_eq!(outputs(Padding::Same), Some(Shape::hwc(4, 4, 2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// `ceil(n / stride)` outputs. The missing rows are shared between both ends, the odd one at the end.
    /// A convolution reads zeros there, a pooling ignores them.
    Same,
    /// Only whole windows: `(n - kernel) / stride + 1` outputs.
    Valid,
    /// So many rows of zeros above and as many below, columns to the left and as many to the right, as PyTorch's `padding` says:
    /// `(n + 2 padding - kernel) / stride + 1` outputs. Fewer than the kernel has, and at most 14. For convolutions only.
    Zeros(Zeros),
}

/// Rows and columns of zeros, in one byte: every byte of a layer is there 64 times in a network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zeros(u8);

/// As Rust has it, for programs that write a network as source.
impl core::fmt::Debug for Zeros {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "midge_core::Zeros::new({:?})", self.size())
    }
}

impl Zeros {
    /// What stands for more than there can be.
    const TOO_MANY: u8 = 15;

    /// From rows above and columns on the left; 15 and more count as too many.
    pub const fn new(size: Size) -> Self {
        let [rows, columns] = [
            if size.height < Self::TOO_MANY { size.height } else { Self::TOO_MANY },
            if size.width < Self::TOO_MANY { size.width } else { Self::TOO_MANY },
        ];
        Self(rows << 4 | columns)
    }

    /// Rows above, and below; columns on either side.
    pub const fn size(self) -> Size {
        Size::hw(self.0 >> 4, self.0 & 15)
    }
}

impl Padding {
    /// PyTorch's padding of a convolution.
    ///
    /// ```
    /// use midge_core::{Padding, Size};
    ///
    /// assert!(matches!(Padding::zeros(Size::hw(1, 2)), Padding::Zeros(zeros) if zeros.size() == Size::hw(1, 2)));
    /// assert_eq!(Padding::zeros(Size::square(0)), Padding::Valid);
    /// ```
    pub const fn zeros(size: Size) -> Self {
        if size.height == 0 && size.width == 0 { Self::Valid } else { Self::Zeros(Zeros::new(size)) }
    }

    /// Whether a window of this size can have it: every window has to lie on the map in part.
    pub(super) const fn fits(self, kernel: Size) -> bool {
        match self {
            Self::Zeros(zeros) => {
                let Size { height, width } = zeros.size();
                height < kernel.height && width < kernel.width && height < Zeros::TOO_MANY && width < Zeros::TOO_MANY
            }
            _ => true,
        }
    }
}

/// The windows of size `kernel` on a map: the map's height and width in windows, and how many rows and columns the first
/// one hangs over the border. Zero windows if a `Valid` window does not fit.
pub(crate) const fn windows(input: Shape, kernel: Size, stride: Size, padding: Padding) -> ((usize, usize), (u8, u8)) {
    let (rows, columns) = match padding {
        Padding::Same => (None, None),
        Padding::Valid => (Some(0), Some(0)),
        Padding::Zeros(zeros) => (Some(zeros.size().rows()), Some(zeros.size().columns())),
    };
    let (height, top) = window_count(input.height, kernel.rows(), stride.rows(), rows);
    let (width, left) = window_count(input.width, kernel.columns(), stride.columns(), columns);
    // A window of at most 255 hangs over by less.
    ((height, width), (top as u8, left as u8))
}

/// Number of windows along one axis and how many elements the first one hangs over the border; with so much padding, or as
/// `Same` has it. Zero windows if none fits.
const fn window_count(n: usize, kernel: usize, stride: usize, padding: Option<usize>) -> (usize, usize) {
    // Never 0 in a network that passed its check.
    let stride = if stride == 0 { 1 } else { stride };
    match padding {
        Some(padding) if n + 2 * padding < kernel => (0, 0),
        Some(padding) => ((n + 2 * padding - kernel) / stride + 1, padding),
        None => {
            let count = n.div_ceil(stride);
            let covered = count.saturating_sub(1) * stride + kernel;
            (count, covered.saturating_sub(n) / 2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_that_of_keras() {
        assert_eq!(window_count(28, 3, 1, None), (28, 1));
        assert_eq!(window_count(28, 3, 2, None), (14, 0));
        assert_eq!(window_count(7, 3, 2, None), (4, 1));
        assert_eq!(window_count(7, 3, 3, None), (3, 1));
        assert_eq!(window_count(8, 3, 3, None), (3, 0));
        assert_eq!(window_count(7, 2, 2, Some(0)), (3, 0));
        assert_eq!(window_count(2, 3, 1, Some(0)), (0, 0));
    }

    #[test]
    fn zeros_are_padded_as_pytorch_does() {
        assert_eq!(window_count(28, 3, 2, Some(1)), (14, 1));
        assert_eq!(window_count(28, 3, 1, Some(2)), (30, 2));
        assert_eq!(window_count(1, 3, 1, Some(1)), (1, 1));
        assert_eq!(window_count(1, 4, 1, Some(1)), (0, 0));
    }
}
