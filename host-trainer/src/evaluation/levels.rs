//! The pixels that a model can be shown: all numbers of its range, or the points of a grid.

use midge_core::Grid;
use midge_core::attack::{to_8_bits, to_grid};

/// The pixels of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    range: [f32; 2],
    grid: Option<Grid>,
}

impl Levels {
    pub(super) fn new(range: [f32; 2], grid: Option<Grid>) -> Self {
        Self { range, grid }
    }

    /// Whether pixels lie on a grid, so that images are integers.
    pub fn are_integers(&self) -> bool {
        self.grid.is_some()
    }

    /// The nearest pixel in the range, and on a grid the nearest whose distance from the clean one is at most `eps`.
    pub fn shown(&self, x: f32, clean: f32, eps: f32) -> f32 {
        match self.grid {
            Some(grid) => to_grid(grid, x, clean, eps),
            None => self.inside(x),
        }
    }

    /// The pixel as a file or a display holds it: [`Self::shown`] on a grid, elsewhere the nearest of 256 levels from one end
    /// of the range to the other whose distance from the clean one is at most `eps`.
    pub fn to_8_bits(&self, x: f32, clean: f32, eps: f32) -> f32 {
        if self.grid.is_some() {
            return self.shown(x, clean, eps);
        }
        let [low, high] = self.range;
        let width = high - low;
        let byte = to_8_bits((x - low) / width, (clean - low) / width, eps / width);
        self.inside(low + width * (f32::from(byte) / 255.0))
    }

    /// A pixel as a part of the way from the smallest to the largest.
    pub fn to_unit(&self, x: f32) -> f32 {
        let [low, high] = self.range;
        ((x - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Back from [`Self::to_unit`].
    pub fn of_unit(&self, x: f32) -> f32 {
        let [low, high] = self.range;
        self.inside(low + (high - low) * x)
    }

    /// The nearest number in the range.
    pub fn inside(&self, x: f32) -> f32 {
        x.clamp(self.range[0], self.range[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_from_0_to_1_are_what_they_were() {
        let levels = Levels::new([0.0, 1.0], None);
        for i in 0..=1000 {
            let (x, clean) = (i as f32 / 1000.0, 0.3);
            assert_eq!(levels.to_8_bits(x, clean, 0.2), f32::from(to_8_bits(x, clean, 0.2)) / 255.0);
            assert_eq!([levels.to_unit(x), levels.of_unit(x), levels.shown(x, clean, 0.0)], [x; 3]);
        }
        assert_eq!([-0.1, 1.1].map(|x| levels.shown(x, 0.5, 1.0)), [0.0, 1.0]);
    }

    #[test]
    fn other_ranges_have_256_levels_too() {
        let levels = Levels::new([-1.0, 1.0], None);
        let step = 2.0 / 255.0;
        assert!((levels.to_8_bits(0.011, -1.0, 2.0) - (-1.0 + 129.0 * step)).abs() < 1e-6);
        // The nearest would be 129 steps from the end.
        assert!((levels.to_8_bits(-1.0 + 128.6 * step, -1.0, 128.7 * step) - (-1.0 + 128.0 * step)).abs() < 1e-6);
        assert_eq!([levels.to_unit(0.0), levels.of_unit(0.75)], [0.5, 0.5]);
    }

    #[test]
    fn integers_stay_on_their_grid_and_in_the_ball() {
        let levels = Levels::new([-64.0, 63.5], Some(Grid { scale: 0.5, zero_point: 0 }));
        for shown in [levels.shown(0.8, 0.5, 0.3), levels.to_8_bits(0.8, 0.5, 0.3)] {
            assert_eq!(shown, 0.5);
        }
        assert_eq!(levels.shown(99.0, 60.0, 50.0), 63.5);
    }
}
