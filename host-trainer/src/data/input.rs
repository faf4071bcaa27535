//! What a model takes in: images and labels must fit it.

use std::ops::RangeInclusive;

use midge_core::Grid;

/// The ranges of models that take pictures, whose bytes are 0 to 255: of 0 to 1, of the bytes themselves, and of -1 to 1.
const PICTURES: [[f32; 2]; 3] = [PIXELS, [0.0, 255.0], [-1.0, 1.0]];
const PIXELS: [f32; 2] = [0.0, 1.0];

/// What a model takes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// Height, width and channels of an image.
    pub shape: [usize; 3],
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// Smallest and largest value of a pixel.
    pub range: [f32; 2],
    /// Where the integers of an int8 model's input lie, the only images that it sees; a float model has none.
    pub grid: Option<Grid>,
}

impl Input {
    /// The input of a float model, whose pixels are in [0, 1].
    pub const fn pixels(shape: [usize; 3], classes: usize) -> Self {
        Self { shape, classes, range: PIXELS, grid: None }
    }

    /// The input of an int8 model. A range that is [0, 1] but for rounding is that.
    pub fn int8(shape: [usize; 3], classes: usize, grid: Grid) -> Self {
        let range = if is_near(grid.range(), PIXELS) { PIXELS } else { grid.range() };
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

    /// Whether both take images of the same shape and know as many classes.
    pub fn has_shape_of(&self, other: &Self) -> bool {
        self.shape == other.shape && self.classes == other.classes
    }

    /// From the smallest to the largest pixel: what no eps exceeds.
    pub fn width(&self) -> f32 {
        self.range[1] - self.range[0]
    }

    /// A change of a pixel in steps of the grid, if there is one, to a thousandth.
    pub fn steps(&self, change: f32) -> Option<f32> {
        self.grid.map(|grid| (1000.0 * change / grid.scale).round() / 1000.0)
    }

    /// A change of a pixel as people read it, with its steps if there is a grid: `0.0078 (2q)`.
    pub fn shown(&self, change: f32) -> String {
        match self.steps(change) {
            Some(steps) => format!("{change} ({steps}q)"),
            None => change.to_string(),
        }
    }

    /// The values that a file's pixel may have: those beyond the ends of a grid that are rounded to its ends are among them.
    pub(super) fn values(&self) -> RangeInclusive<f32> {
        let room = self.grid.map_or(0.0, |grid| grid.scale / 2.0);
        self.range[0] - room..=self.range[1] + room
    }

    /// What the model sees of a value.
    pub(super) fn seen(&self, value: f32) -> f32 {
        self.grid.map_or(value, |grid| grid.value(grid.round(value)))
    }

    /// Whether a picture's pixel has a value.
    pub(super) fn takes_pictures(&self) -> bool {
        PICTURES.iter().any(|range| is_near(self.range, *range))
    }

    /// The value of a picture's pixel, from 0 (black) to 1: that of the integer `byte - 128` on a grid, where it is the same
    /// part of the way from the smallest to the largest.
    pub(super) fn picture(&self, pixel: f32) -> f32 {
        match self.grid {
            Some(grid) => grid.value(((pixel * 255.0).round() - 128.0) as i8),
            None if self.range == PIXELS => pixel,
            None => self.range[0] + self.width() * pixel,
        }
    }
}

/// Whether two ranges are the same but for less than a step of 255.
fn is_near(range: [f32; 2], other: [f32; 2]) -> bool {
    let most = 0.75 / 255.0 * (other[1] - other[0]);
    range.iter().zip(other).all(|(a, b)| (a - b).abs() < most)
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

    fn int8(scale: f32, zero_point: i32) -> Input {
        Input::int8([1, 1, 1], 2, Grid { scale, zero_point })
    }

    #[test]
    fn a_grid_of_pixels_ends_at_one_whatever_rounding_says() {
        // 1/255 as TensorFlow's converter writes it, and its neighbours.
        for scale in [1.0 / 255.0, 0.003_921_568_4, 0.003_921_569_4] {
            let input = int8(scale, -128);
            assert!(input.takes_pictures() && input.range == PIXELS, "{scale}");
            let grid = input.grid.unwrap();
            assert!([-128, 0, 127].iter().all(|q| input.values().contains(&grid.value(*q))), "{scale}");
            assert_eq!([0.0, 1.0].map(|x| grid.round(input.seen(x))), [-128, 127], "{scale}");
        }
    }

    /// A picture's byte is the integer less 128, as in all runtimes that take pictures.
    #[test]
    fn pictures_are_for_models_of_pictures() {
        for (scale, zero_point) in [(1.0, -128), (1.0 / 255.0, -128), (0.007_843_138, -1)] {
            let input = int8(scale, zero_point);
            assert!(input.takes_pictures(), "{scale} {zero_point}");
            for byte in 0..=255u8 {
                let value = input.picture(unit(byte));
                assert_eq!(i32::from(input.grid.unwrap().round(value)), i32::from(byte) - 128);
            }
        }
        assert_eq!(int8(1.0, -128).picture(unit(200)), 200.0);
        for (scale, zero_point) in [(1.0 / 255.0, 0), (1.0 / 128.0, -128), (0.5847, 83), (0.1017, -128)] {
            let input = int8(scale, zero_point);
            assert!(!input.takes_pictures(), "{scale} {zero_point}");
            assert_eq!(input.range[0], scale * (-128.0 - zero_point as f32));
        }
        let float = Input { range: [0.0, 255.0], ..Input::pixels([1, 1, 1], 2) };
        assert_eq!((float.takes_pictures(), float.picture(unit(51))), (true, 51.0));
        assert_eq!(Input::pixels([1, 1, 1], 2).picture(unit(51)), 0.2);
    }

    #[test]
    fn changes_are_counted_in_steps_of_the_grid() {
        assert_eq!(int8(0.5, 3).steps(1.0), Some(2.0));
        assert_eq!(int8(1.0 / 255.0, -128).steps(8.0 / 255.0), Some(8.0));
        assert_eq!(int8(1.0 / 255.0, -128).steps(0.1), Some(25.5));
        assert_eq!(Input::pixels([1, 1, 1], 2).steps(0.1), None);
        assert_eq!(int8(0.5, 3).shown(1.0), "1 (2q)");
        assert_eq!(Input::pixels([1, 1, 1], 2).shown(0.1), "0.1");
    }
}
