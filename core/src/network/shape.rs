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
/// use midge_core::{Layer, Network, Padding, Shape};
///
/// let outputs = |padding| {
///     let conv = Layer::Conv2d { filters: 2, kernel: 3, stride: 2, padding, bias: false };
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
}
