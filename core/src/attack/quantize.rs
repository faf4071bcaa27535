//! Adversarial images as 8-bit pixels: as a file or a display stores them, and as a network of integers sees them.

use crate::kernels::int8::Grid;

/// The 8-bit value nearest to `x` whose distance from the clean pixel is at most `eps`; the nearest to `clean` if
/// none lies in the ball (possible for `eps` below 1/510).
///
/// ```
/// use midge_core::attack::to_8_bits;
///
/// assert_eq!(to_8_bits(0.5, 0.4, 0.2), 128);
/// // 0.1 is 25.5 of 255: rounded up it would leave the ball of 0.1 around 0.
/// assert_eq!(to_8_bits(0.1, 0.0, 0.1), 25);
/// ```
pub fn to_8_bits(x: f32, clean: f32, eps: f32) -> u8 {
    let nearest = round(x);
    let toward_clean =
        if f32::from(nearest) / 255.0 > clean { nearest.saturating_sub(1) } else { nearest.saturating_add(1) };
    [nearest, toward_clean].into_iter().find(|value| inside(*value, clean, eps)).unwrap_or(round(clean))
}

/// The point of a grid nearest to `x` whose distance from the clean pixel is at most `eps`; the one nearest to the clean pixel
/// if none is.
///
/// ```
/// use midge_core::{Grid, attack::to_grid};
///
/// let grid = Grid { scale: 0.5, zero_point: 0 };
/// assert_eq!(to_grid(grid, 0.8, 0.5, 0.5), 1.0);
/// // Rounded up it would leave the ball of 0.3 around 0.5.
/// assert_eq!(to_grid(grid, 0.8, 0.5, 0.3), 0.5);
/// ```
pub fn to_grid(grid: Grid, x: f32, clean: f32, eps: f32) -> f32 {
    let byte = grid.round(x);
    let nearest = grid.value(byte);
    let toward_clean = grid.value(byte.saturating_add(if nearest > clean { -1 } else { 1 }));
    let of_clean = grid.value(grid.round(clean));
    // With room for the rounding of a difference.
    let is_inside = |value: f32| (value - clean).abs() <= eps + 1e-3 * grid.scale;
    // Every candidate is there before the choice, so that a processor need not guess where the ball ends.
    let inside = if is_inside(toward_clean) { toward_clean } else { of_clean };
    if is_inside(nearest) { nearest } else { inside }
}

/// Whether an 8-bit value lies in the ball, with room for the rounding of a division.
fn inside(value: u8, clean: f32, eps: f32) -> bool {
    (f32::from(value) / 255.0 - clean).abs() <= eps + 1e-6
}

/// Rounds a pixel in [0, 1]; the cast saturates, so anything else ends at 0 or 255.
fn round(x: f32) -> u8 {
    (x * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_stays_in_the_ball() {
        for clean in 0..=255u8 {
            let clean = f32::from(clean) / 255.0;
            for eps in [0.0, 0.001, 0.1, 0.3] {
                for x in [f32::max(0.0, clean - eps), clean, f32::min(1.0, clean + eps)] {
                    let value = f32::from(to_8_bits(x, clean, eps)) / 255.0;
                    assert!((value - clean).abs() <= eps + 1e-6, "{x} {clean} {eps} {value}");
                    assert!((value - x).abs() <= 1.0 / 255.0);
                }
            }
        }
        assert_eq!(to_8_bits(0.5, 0.5, 0.0), 128);
        assert_eq!(to_8_bits(0.1, 0.0, 0.1), 25);
    }

    #[test]
    fn a_value_outside_the_ball_moves_to_the_clean_one() {
        let clean = 100.0 / 255.0;
        // The ball ends before 103.4 and behind 96.6: the nearest values lie in it. Before 103 and behind 97: not.
        assert_eq!([103.4, 96.6].map(|x| to_8_bits(x / 255.0, clean, 3.4 / 255.0)), [103, 97]);
        assert_eq!([102.8, 97.2].map(|x| to_8_bits(x / 255.0, clean, 2.8 / 255.0)), [102, 98]);
        // No value lies in the ball around 0.5.
        assert_eq!(to_8_bits(0.501, 0.5, 0.001), 128);
        assert_eq!([-1.0, 2.0, f32::NAN].map(|x| to_8_bits(x, x, 1.0)), [0, 255, 0]);
    }
}
