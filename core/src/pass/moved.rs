//! An image of integers on its way through an attack: a clean one, which may stay in flash, and a byte for each pixel that says how far it
//! has moved.
//!
//! ```text
//! x = clean + change * eps / UNITS         change: -UNITS to UNITS, so that x never leaves the ball of eps
//! what the network sees: x rounded to an integer that lies in the ball and in a byte
//! ```
//! A step of `eps / 10` is a whole number of units, as are those of most attacks.

use crate::kernels::int8::Grid;

/// Units of a change in the radius of the ball: 120 has more divisors than any other number that fits.
pub(crate) const UNITS: i32 = 120;

/// Bits behind the point of a change's unit.
const FRACTION: u32 = 16;

/// What changes are counted in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    /// Steps of the grid that one unit is, in parts of 2^16.
    steps: i32,
    /// Steps of the grid in the ball's radius.
    most: i32,
}

impl Unit {
    /// For a ball of `eps` on a grid.
    pub(crate) fn of(eps: f32, grid: Grid) -> Self {
        // No byte moves further than 255 steps.
        let radius = (eps / grid.scale).min(256.0);
        // With room for the rounding of the quotient.
        Self { steps: (radius / UNITS as f32 * (1 << FRACTION) as f32 + 0.5) as i32, most: (radius + 1e-3) as i32 }
    }

    /// The pixel that the network sees.
    #[inline(always)]
    pub(crate) fn pixel(self, clean: i8, change: i8) -> i8 {
        let steps = (i32::from(change) * self.steps + (1 << (FRACTION - 1))) >> FRACTION;
        // (`i32::clamp` would check its ends, and could panic.)
        (i32::from(clean) + steps.max(-self.most).min(self.most)).clamp(-128, 127) as i8
    }

    /// A change after `more` units, in the ball and no further than the largest and the smallest byte.
    #[inline(always)]
    pub(crate) fn advance(self, clean: i8, change: i8, more: i32) -> i8 {
        let change = (i32::from(change) + more).clamp(-UNITS, UNITS);
        let (up, down) = ((127 - i32::from(clean)) << FRACTION, (128 + i32::from(clean)) << FRACTION);
        let distance = change * self.steps;
        let change = if distance > up {
            (up + self.steps / 2) / self.steps.max(1)
        } else if -distance > down {
            -((down + self.steps / 2) / self.steps.max(1))
        } else {
            change
        };
        change as i8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { scale: 0.5, zero_point: 3 };

    #[test]
    fn no_change_leads_out_of_the_ball() {
        for eps in [0.0, 0.2, 0.5, 1.0, 1.25, 7.0, 1e9] {
            let unit = Unit::of(eps, GRID);
            for clean in (i8::MIN..=i8::MAX).step_by(if cfg!(miri) { 51 } else { 1 }) {
                for change in [-120, -119, -60, -1, 0, 1, 40, 120] {
                    let (pixel, exact) = (unit.pixel(clean, change), f32::from(change) / 120.0 * eps.min(128.0) / 0.5);
                    let moved = f32::from(pixel) - f32::from(clean);
                    assert!(
                        moved.abs() * 0.5 <= eps && (moved == 0.0 || moved * exact > 0.0),
                        "{eps} {clean} {change}"
                    );
                    let is_clipped = [i8::MIN, i8::MAX].contains(&pixel);
                    assert!(is_clipped || (moved - exact).abs() <= 1.0, "{eps} {clean} {change}: {moved} {exact}");
                }
            }
        }
    }

    #[test]
    fn a_step_ends_at_the_border_of_the_ball_and_of_the_byte() {
        // 120 units are 12 steps.
        let unit = Unit::of(6.0, GRID);
        assert_eq!([0, 110, -115].map(|change| unit.advance(0, change, 12)), [12, 120, -103]);
        assert_eq!([0, -110].map(|change| unit.advance(0, change, -12)), [-12, -120]);
        // Two steps, 20 units, are left.
        assert_eq!([(125, 12), (126, 12), (127, 12)].map(|(clean, more)| unit.advance(clean, 12, more)), [20, 10, 0]);
        assert_eq!((unit.advance(-127, -5, -12), unit.pixel(-127, -10)), (-10, -128));
        // Back at once.
        assert_eq!(unit.advance(125, 20, -12), 8);
    }
}
