//! From sums of a stage's output gradient to a row of 16 bits: times the slope of each channel's output in its sum, 0 where the ReLU is
//! closed.

#[cfg(cortex_m_dsp)]
use super::super::cortex_m;
use super::contribution::{Sums, VALUE_BITS, high_product};
use crate::kernels::masks::{RowMasks, channels_of_word, take_bit};
use crate::network::plan::WORD_BITS;
#[cfg(cortex_m_dsp)]
use crate::span::reach;

/// The slopes of a layer's outputs in its sums: for each channel a number of Q31 and a power of two; none is above 2 to `largest`.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    multipliers: &'a [[i32; 2]],
    largest: i32,
}

impl<'a> Factors<'a> {
    pub(crate) fn of(multipliers: &'a [[i32; 2]], largest: i32) -> Self {
        Self { multipliers, largest }
    }

    /// The power of two above the largest slope of a layer.
    pub(crate) fn largest(multipliers: &[[i32; 2]]) -> i32 {
        let slopes = multipliers.iter().filter(|[multiplier, _]| *multiplier > 0);
        slopes.map(|[_, shift]| *shift).max().unwrap_or(0)
    }
}

/// Which channels of each column are alive: a bit for each, in `step` words a column, or in a word for several columns; all if there are
/// no words.
#[derive(Clone, Copy)]
pub(crate) struct Alive<'a> {
    pub words: &'a [u32],
    pub step: usize,
    /// Columns that share a word.
    pub columns: usize,
}

impl Alive<'_> {
    /// All of them.
    pub(crate) const ALL: Self = Self { words: &[], step: 0, columns: 1 };

    /// The packed bits of a row of a stage with a ReLU.
    pub(crate) fn of<'a>(masks: &RowMasks<'a>) -> Alive<'a> {
        let stage = masks.stage;
        Alive { words: masks.words, step: stage.planes() * stage.words(), columns: stage.columns_of_word() }
    }

    /// Bits of the channels `32 * word ..` of a column of `channels`.
    #[inline(always)]
    fn word(&self, column: usize, word: usize, channels: usize) -> u32 {
        let (place, bit) = match self.columns {
            _ if self.words.is_empty() => return u32::MAX,
            0 | 1 => (column * self.step + word, 0),
            columns => (column / columns, column % columns * channels),
        };
        self.words.get(place).copied().unwrap_or(0) >> (bit % WORD_BITS)
    }
}

/// Bits of the largest value of a row: at least so many, if there are.
const LEAST_BITS: i32 = VALUE_BITS as i32 - 2;

/// By how much the first row's sums are shifted, before it is known better.
const FIRST_SHIFT: i32 = 10;
/// By how much sums can be shifted.
const MOST_SHIFT: i32 = 40;

/// Makes a row of sums, `[column][channel]`, values of 16 bits, and returns their exponent. With factors the sums of each channel are
/// multiplied with its own. `likely` is the exponent that was right for the row before, if any, and becomes that for the next one: rows
/// are as large as their neighbours.
#[inline(never)]
pub(crate) fn normalise(
    sums: &Sums<'_>,
    channels: usize,
    alive: Alive<'_>,
    factors: Option<Factors<'_>>,
    likely: &mut Option<i32>,
    target: &mut [i16],
) -> Option<i32> {
    // A high product has the unit of twice its factors'.
    let unit = sums.exponent + factors.map_or(0, |factors| factors.largest + 1);
    let mut shift = likely.map_or(FIRST_SHIFT, |exponent| (exponent - unit).clamp(-(VALUE_BITS as i32), MOST_SHIFT));
    // The first one is right, most of the time, and a few are always enough.
    for _ in 0..8 {
        let bits = row_of_values(sums.values, channels, alive, (factors, shift), target);
        let missing = VALUE_BITS as i32 - (u32::BITS - bits.leading_zeros()) as i32;
        if bits == 0 {
            if shift <= 0 {
                break;
            }
            shift = (shift - VALUE_BITS as i32).max(0);
        } else if (0..=VALUE_BITS as i32 - LEAST_BITS).contains(&missing) {
            // The next one may be twice as large, or half.
            *likely = Some(unit + shift + 1 - missing);
            return Some(unit + shift);
        } else {
            shift -= missing;
        }
    }
    target.fill(0);
    None
}

/// All values of a row with one shift. Returns all bits of their magnitudes.
fn row_of_values(
    sums: &[i32],
    channels: usize,
    alive: Alive<'_>,
    (factors, shift): (Option<Factors<'_>>, i32),
    target: &mut [i16],
) -> u32 {
    let mut bits = 0;
    target.fill(0);
    let columns = sums.chunks(channels.max(1)).zip(target.chunks_mut(channels.max(1)));
    for (column, (sums, target)) in columns.enumerate() {
        let words = sums.chunks(WORD_BITS).zip(target.chunks_mut(WORD_BITS));
        for (word, (sums, target)) in words.enumerate() {
            let alive = alive.word(column, word, channels) & channels_of_word(sums.len(), 0);
            if alive != 0 {
                bits |= values(sums, (alive, word * WORD_BITS), (factors, shift), target);
            }
        }
    }
    bits
}

/// The values of a word's channels, from `first` on. Returns all bits of their magnitudes.
#[inline(always)]
fn values(
    sums: &[i32],
    (alive, first): (u32, usize),
    (factors, shift): (Option<Factors<'_>>, i32),
    target: &mut [i16],
) -> u32 {
    #[cfg(cortex_m_dsp)]
    if shift > 0 && target.len() == sums.len() {
        let (row, alive) = ((sums.as_ptr(), target.as_mut_ptr()), alive.reverse_bits());
        // SAFETY: there are as many values and multipliers as sums, at most a word's, and bits for no more.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            match factors {
                None => return cortex_m::values(row, alive, core::ptr::null(), shift),
                Some(Factors { multipliers, largest }) => {
                    let own = reach(multipliers, first, sums.len());
                    if own.len() == sums.len() {
                        return cortex_m::values_of_products(row, alive, own.as_ptr(), largest + shift);
                    }
                }
            }
        }
    }
    let (mut bits, mut left) = (0, alive);
    while left != 0 {
        let bit = take_bit(&mut left);
        let (Some(sum), Some(target)) = (sums.get(bit), target.get_mut(bit)) else { return bits };
        let value = match factors {
            None => shift_to_nearest(*sum, shift),
            Some(Factors { multipliers, largest }) => {
                let [multiplier, own] = multipliers.get(first + bit).copied().unwrap_or_default();
                shift_to_nearest(high_product(*sum, multiplier), largest + shift - own)
            }
        };
        *target = value as i16;
        bits |= (value ^ (value >> 31)) as u32;
    }
    bits
}

/// `x / 2^shift`, rounded to nearest, halves up.
#[inline(always)]
fn shift_to_nearest(x: i32, shift: i32) -> i32 {
    match shift {
        ..=0 => x << (-shift).min(31),
        1..=31 => (x >> shift) + (x >> (shift - 1) & 1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_use_13_to_15_bits_whatever_was_likely() {
        for sums in [
            [0, 0, 0],
            [1, -1, 0],
            [32767, 5, -5],
            [65535, 6, -6],
            [3 << 15, 1 << 13, -1],
            [i32::MAX - (1 << 25), 1 << 16, -1],
        ] {
            for shift in [-9, 0, 1, 2, 10, 16, 40] {
                let mut row = [i16::MAX; 3];
                let values = &Sums { values: &mut sums.clone(), exponent: 0 };
                let found = normalise(values, 3, Alive::ALL, None, &mut Some(shift), &mut row);
                let Some(exponent) = found else {
                    assert_eq!((sums, row), ([0; 3], [0; 3]), "{shift}");
                    continue;
                };
                let largest = row.iter().map(|value| value.unsigned_abs()).max().unwrap();
                assert!((1 << 12..1 << 15).contains(&largest), "{sums:?} {shift}: {row:?}");
                for (value, sum) in row.into_iter().zip(sums) {
                    let error = libm::ldexp(f64::from(value), exponent) - f64::from(sum);
                    assert!(error.abs() <= libm::ldexp(0.5, exponent), "{sums:?} {shift}: {row:?} * 2^{exponent}");
                }
            }
        }
    }

    #[test]
    fn each_channel_has_its_factor_and_the_dead_have_none() {
        // A half, a sixteenth and a half: 2^28 in all, twice, of which only what is alive counts.
        let multipliers = [[1 << 30, 0], [1 << 30, -3], [1 << 30, 0]];
        let factors = Factors::of(&multipliers, Factors::largest(&multipliers));
        let mut sums = [1 << 20, 1 << 20, 1 << 20, 1 << 21, 0, 1 << 25];
        let mut row = [0; 6];
        let alive = Alive { words: &[0b111, 9, 0b011, 9], step: 2, columns: 1 };
        let exponent =
            normalise(&Sums { values: &mut sums, exponent: 3 }, 3, alive, Some(factors), &mut None, &mut row).unwrap();
        let found = row.map(|value| libm::ldexp(f64::from(value), exponent));
        assert_eq!(found, [4194304.0, 524288.0, 4194304.0, 8388608.0, 0.0, 0.0]);
    }
}
