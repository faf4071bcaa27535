//! Where the values of a map end. They are counted, not kept, so that any number of images can be used, and counts do not
//! depend on the order.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// Where the values of each layer end that has a range, by the layer's index.
pub type Ranges = BTreeMap<usize, [f32; 2]>;

/// Which values decide a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ends {
    /// The smallest and the largest of all.
    All,
    /// The smallest and the largest of so many percent of the values: half of the others is below, half above. More than 50 and
    /// at most 100.
    Percentile(f64),
}

/// Passes each part of the values on to another function.
type Each<'a> = dyn FnMut(&mut dyn FnMut(&[f32])) -> Result<()> + 'a;

/// Bits of a half of a number's place in the order of all.
const HALF: u32 = 16;

impl Ends {
    /// How often the values are looked at.
    pub fn passes(self) -> usize {
        match self {
            Self::All => 1,
            Self::Percentile(_) => 2,
        }
    }

    /// The ends of the values that `each` passes on, the same ones each time.
    pub(super) fn of(self, each: &mut Each<'_>) -> Result<[f32; 2]> {
        match self {
            Self::All => all(each),
            Self::Percentile(percent) => percentile(percent, each),
        }
    }
}

fn all(each: &mut Each<'_>) -> Result<[f32; 2]> {
    let [mut low, mut high] = [f32::INFINITY, f32::NEG_INFINITY];
    each(&mut |values| {
        low = values.iter().copied().fold(low, f32::min);
        high = values.iter().copied().fold(high, f32::max);
    })?;
    ensure!(low.is_finite() && high.is_finite(), "expected finite values, found {low} to {high}");
    Ok([low, high])
}

/// Exactly, by the upper and then by the lower half of a number's place.
fn percentile(percent: f64, each: &mut Each<'_>) -> Result<[f32; 2]> {
    ensure!(percent > 50.0 && percent <= 100.0, "expected a percentile above 50 and at most 100, found {percent}");
    let mut counts = vec![0u64; 1 << HALF];
    each(&mut |values| values.iter().for_each(|x| counts[(place(*x) >> HALF) as usize] += 1))?;
    let count: u64 = counts.iter().sum();
    ensure!(count > 0, "expected values, found none");
    let left_out = (count as f64 * (100.0 - percent) / 200.0).floor() as u64;
    let ranks = [left_out, count - 1 - left_out];
    let upper = ranks.map(|rank| holds(&counts, rank));
    let mut counts = vec![vec![0u64; 1 << HALF]; 2];
    each(&mut |values| {
        for place in values.iter().map(|x| place(*x)) {
            for ((upper, _), counts) in upper.iter().zip(&mut counts) {
                counts[(place & 0xffff) as usize] += u64::from(place >> HALF == *upper);
            }
        }
    })?;
    let find = |end: usize| {
        let (upper, rest) = upper[end];
        value(upper << HALF | holds(&counts[end], rest).0)
    };
    let range = [find(0), find(1)];
    ensure!(range.iter().all(|x| x.is_finite()), "expected finite values, found {range:?}");
    Ok(range)
}

/// Which count holds the value of this rank, and the rank inside it.
fn holds(counts: &[u64], mut rank: u64) -> (u32, u64) {
    for (place, count) in counts.iter().enumerate() {
        if rank < *count {
            return (place as u32, rank);
        }
        rank -= count;
    }
    (0, 0)
}

/// The place of a number in the order of all.
fn place(x: f32) -> u32 {
    // Both zeros are one.
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The number at a place.
fn value(place: u32) -> f32 {
    f32::from_bits(if place >> 31 == 1 { place & !(1 << 31) } else { !place })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ends: Ends, parts: &[&[f32]]) -> Result<[f32; 2]> {
        ends.of(&mut |visit| {
            parts.iter().for_each(|part| visit(part));
            Ok(())
        })
    }

    #[test]
    fn places_are_in_the_order_of_numbers() {
        let numbers = [f32::NEG_INFINITY, -1e30, -1.5, -1.0, -1e-40, 0.0, 1e-45, 2.0, 2.000_000_2, f32::MAX];
        assert!(numbers.windows(2).all(|pair| place(pair[0]) < place(pair[1])));
        assert!(numbers.iter().all(|x| value(place(*x)) == *x));
        assert_eq!(place(-0.0), place(0.0));
    }

    #[test]
    fn a_percentile_leaves_as_many_out_below_as_above() {
        // -100, -99 .. 99, in parts.
        let values: Vec<f32> = (0..200).map(|i| ((i * 73) % 200) as f32 - 100.0).collect();
        let parts: Vec<&[f32]> = values.chunks(7).collect();
        assert_eq!(of(Ends::All, &parts).unwrap(), [-100.0, 99.0]);
        assert_eq!(of(Ends::Percentile(100.0), &parts).unwrap(), [-100.0, 99.0]);
        // 1 of 200 at each end, then 10, and 10 again: the eleventh is not whole.
        assert_eq!(of(Ends::Percentile(99.0), &parts).unwrap(), [-99.0, 98.0]);
        assert_eq!(of(Ends::Percentile(90.0), &parts).unwrap(), [-90.0, 89.0]);
        assert_eq!(of(Ends::Percentile(89.1), &parts).unwrap(), [-90.0, 89.0]);
        // Numbers that differ in their last bits only.
        assert_eq!(
            of(Ends::Percentile(60.0), &[&[1.0, 1.000_000_1, 1.000_000_2, 1.000_000_4, 1.000_000_5]]).unwrap(),
            [1.000_000_1, 1.000_000_4]
        );
    }

    #[test]
    fn what_has_no_ends_is_an_error() {
        for percent in [50.0, 100.1, f64::NAN, -3.0] {
            assert!(of(Ends::Percentile(percent), &[&[1.0]]).is_err(), "{percent}");
        }
        for values in [&[1.0, f32::INFINITY][..], &[]] {
            assert!(of(Ends::All, &[values]).is_err() && of(Ends::Percentile(100.0), &[values]).is_err());
        }
    }
}
