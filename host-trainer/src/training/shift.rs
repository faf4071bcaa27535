//! Data augmentation by small shifts and by mirroring: every time an image is seen it is moved by a few pixels, the edge it
//! leaves is repeated, and half of the time left and right change places. Simard, Steinkraus, Platt: Best Practices for
//! Convolutional Neural Networks Applied to Visual Document Analysis, ICDAR 2003, section 2.
//!
//! The edge of MNIST's images is paper, 0, four pixels wide; that of a photograph goes on.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::random::below;

/// How an image is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    /// Rows down, columns right.
    by: [isize; 2],
    is_mirrored: bool,
}

impl Change {
    /// A shift of at most `largest` rows down or up and columns right or left, each with the same probability, and if asked for
    /// a mirror or none.
    pub(super) fn draw(largest: usize, flip: bool, seed: u64) -> Self {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let by = [0; 2].map(|_| below(&mut generator, 2 * largest + 1) as isize - largest as isize);
        Self { by, is_mirrored: flip && below(&mut generator, 2) == 1 }
    }

    /// Writes `image` (`shape`: height, width, channels), mirrored and then moved, to `target`.
    pub(super) fn apply(&self, image: &[f32], [height, width, channels]: [usize; 3], target: &mut [f32]) {
        // The place that comes to `i` of `n`.
        let source = |i: usize, by: isize, n: usize| i.saturating_add_signed(-by).min(n - 1);
        for (y, row) in target.chunks_exact_mut(width * channels).enumerate() {
            let line = source(y, self.by[0], height) * width;
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let column = source(x, self.by[1], width);
                let column = if self.is_mirrored { width - 1 - column } else { column };
                pixel.copy_from_slice(&image[(line + column) * channels..][..channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_moves_and_repeats_its_edge() {
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let moved = |by: [isize; 2], is_mirrored: bool| {
            let mut target = [f32::NAN; 6];
            Change { by, is_mirrored }.apply(&image, [2, 3, 1], &mut target);
            target
        };
        assert_eq!(moved([0, 0], false), image);
        assert_eq!(moved([1, 0], false), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved([-1, 1], false), [4.0, 4.0, 5.0, 4.0, 4.0, 5.0]);
        assert_eq!(moved([0, -2], false), [3.0, 3.0, 3.0, 6.0, 6.0, 6.0]);
        assert_eq!((moved([5, 0], false)[3], moved([0, 5], false)[5]), (1.0, 4.0));
        assert_eq!(moved([0, 0], true), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(moved([0, 1], true), [3.0, 3.0, 2.0, 6.0, 6.0, 5.0]);
        let mut target = [0.0; 6];
        Change { by: [0, 0], is_mirrored: true }.apply(&image, [1, 2, 3], &mut target);
        assert_eq!(target, [4.0, 5.0, 6.0, 1.0, 2.0, 3.0], "colours stay together");
    }

    #[test]
    fn every_change_is_drawn() {
        let drawn = |flip| (0..400).map(|seed| Change::draw(1, flip, seed)).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((drawn(false).len(), drawn(true).len()), (9, 18));
        assert!(drawn(true).iter().flat_map(|change| change.by).all(|shift| shift.abs() <= 1));
        // The shifts of a recipe do not depend on whether it mirrors.
        assert!((0..50).all(|seed| Change::draw(3, false, seed).by == Change::draw(3, true, seed).by));
    }
}
