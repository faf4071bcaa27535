//! What a model takes in: images and labels must fit it.

use std::ops::RangeInclusive;

/// What a model takes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// Height, width and channels of an image.
    pub shape: [usize; 3],
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// Smallest and largest value of a pixel.
    pub range: [f32; 2],
    /// Where the integers of an int8 model's input lie; a float model has none.
    pub grid: Option<Grid>,
}

/// The grid of an int8 model's input: `value = (q - zero_point) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Distance of two neighbouring values.
    pub scale: f32,
    /// The integer whose value is 0.
    pub zero_point: i8,
}

impl Grid {
    /// The value of an integer.
    pub fn value(self, q: i8) -> f32 {
        (i16::from(q) - i16::from(self.zero_point)) as f32 * self.scale
    }
}

impl Input {
    /// The input of a float model, whose pixels are in [0, 1].
    pub const fn pixels(shape: [usize; 3], classes: usize) -> Self {
        Self { shape, classes, range: [0.0, 1.0], grid: None }
    }

    /// The input of an int8 model. A range that is [0, 1] but for rounding is that.
    pub fn int8(shape: [usize; 3], classes: usize, grid: Grid) -> Self {
        let [low, high] = [i8::MIN, i8::MAX].map(|q| grid.value(q));
        let near = |a: f32, b: f32| (a - b).abs() < grid.scale / 2.0;
        let range = if near(low, 0.0) && near(high, 1.0) { [0.0, 1.0] } else { [low, high] };
        Self { shape, classes, range, grid: Some(grid) }
    }

    /// Elements of an image.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether images have no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values that a pixel may have.
    pub(super) fn values(&self) -> RangeInclusive<f32> {
        self.range[0]..=self.range[1]
    }

    /// The value of an integer on an int8 model's grid.
    pub(super) fn integer(&self, grid: Grid, q: i8) -> f32 {
        grid.value(q).clamp(self.range[0], self.range[1])
    }

    /// Whether a byte of a picture, 0 to 255, has a value: `byte / 255`.
    pub(super) fn takes_bytes(&self) -> bool {
        self.range == [0.0, 1.0]
    }
}

/// The value of a picture's byte.
pub(super) fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// `28x28x1`.
pub(super) fn dimensions(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_the_values_of_their_grid() {
        let grid = Grid { scale: 0.5, zero_point: -128 };
        assert_eq!([-128, 0, 127].map(|q| grid.value(q)), [0.0, 64.0, 127.5]);
        assert_eq!(Grid { scale: 2.0, zero_point: 127 }.value(-128), -510.0);
    }

    #[test]
    fn a_grid_of_pixels_ends_at_one_whatever_rounding_says() {
        // 1/255 as TensorFlow's converter writes it, and its neighbours.
        for scale in [1.0 / 255.0, 0.003_921_568_4, 0.003_921_569_4] {
            let grid = Grid { scale, zero_point: -128 };
            let input = Input::int8([1, 1, 1], 2, grid);
            assert!(input.takes_bytes(), "{scale}");
            assert!([-128, 0, 127].iter().all(|q| input.values().contains(&input.integer(grid, *q))), "{scale}");
        }
        for (scale, zero_point) in [(1.0, -128), (1.0 / 255.0, 0), (1.0 / 128.0, -128)] {
            let input = Input::int8([1, 1, 1], 2, Grid { scale, zero_point });
            assert!(!input.takes_bytes(), "{scale} {zero_point}");
            assert_eq!(input.range[0], scale * (-128.0 - f32::from(zero_point)));
        }
    }
}
