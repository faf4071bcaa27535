//! Data augmentation by small shifts: every time an image is seen it is moved by a few pixels, and the border it leaves
//! is filled with 0, MNIST's paper. Simard, Steinkraus, Platt: Best Practices for Convolutional Neural Networks Applied to
//! Visual Document Analysis, ICDAR 2003, section 2.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::random::below;

/// A shift of at most `largest` rows down or up and columns right or left, each with the same probability.
pub(super) fn draw(largest: usize, seed: u64) -> [isize; 2] {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    [0; 2].map(|_| below(&mut generator, 2 * largest + 1) as isize - largest as isize)
}

/// Writes `image` (`shape`: height, width, channels) moved `rows` down and `columns` right to `target`.
pub(super) fn shift(image: &[f32], shape: [usize; 3], [rows, columns]: [isize; 2], target: &mut [f32]) {
    let [height, width, channels] = shape;
    target.fill(0.0);
    let kept = width.saturating_sub(columns.unsigned_abs()) * channels;
    let (from, to) = ((-columns).max(0) as usize * channels, columns.max(0) as usize * channels);
    if kept == 0 {
        return;
    }
    for y in 0..height {
        let Some(source) = y.checked_add_signed(-rows).filter(|source| *source < height) else { continue };
        let line = width * channels;
        target[y * line + to..][..kept].copy_from_slice(&image[source * line + from..][..kept]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_moves_and_leaves_zeros() {
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let moved = |by: [isize; 2]| {
            let mut target = [f32::NAN; 6];
            shift(&image, [2, 3, 1], by, &mut target);
            target
        };
        assert_eq!(moved([0, 0]), image);
        assert_eq!(moved([1, 0]), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved([-1, 1]), [0.0, 4.0, 5.0, 0.0, 0.0, 0.0]);
        assert_eq!(moved([0, -2]), [3.0, 0.0, 0.0, 6.0, 0.0, 0.0]);
        assert_eq!((moved([5, 0]), moved([0, 5])), ([0.0; 6], [0.0; 6]));
    }

    #[test]
    fn every_shift_is_drawn() {
        let drawn: std::collections::BTreeSet<[isize; 2]> = (0..300).map(|seed| draw(1, seed)).collect();
        assert_eq!(drawn.len(), 9);
        assert!(drawn.iter().flatten().all(|shift| shift.abs() <= 1));
    }
}
