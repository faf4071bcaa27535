//! From sums of a stage's output gradient to a row of 16 bits: times the slope of each channel's output in its sum, 0 where the ReLU is
//! closed.

#[cfg(cortex_m_dsp)]
use super::super::cortex_m;
use super::contribution::{Sums, VALUE_BITS, high_product, shift_right};
use crate::kernels::masks::RowMasks;
use crate::network::plan::WORD_BITS;
#[cfg(cortex_m_dsp)]
use crate::span::{reach, split, split_mut};

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

    /// The power of two that is next to the largest slope of a layer.
    pub(crate) fn largest(multipliers: &[[i32; 2]]) -> i32 {
        let power = |[multiplier, shift]: &[i32; 2]| shift + 1 - multiplier.leading_zeros() as i32;
        multipliers.iter().filter(|[multiplier, _]| *multiplier > 0).map(power).max().unwrap_or(0)
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

/// Makes a row of sums, `[column][channel]`, values of 16 bits, and returns their exponent. With factors the sums of each channel are
/// multiplied with its own.
#[inline(never)]
pub(crate) fn normalise(
    sums: &mut Sums<'_>,
    channels: usize,
    alive: Alive<'_>,
    factors: Option<Factors<'_>>,
    target: &mut [i16],
) -> Option<i32> {
    let mut bits = 0;
    for (column, sums) in sums.values.chunks_mut(channels.max(1)).enumerate() {
        for (word, sums) in sums.chunks_mut(WORD_BITS).enumerate() {
            bits |= scale(sums, alive.word(column, word, channels), factors, word * WORD_BITS);
        }
    }
    // A high product has the unit of twice its factors'.
    let exponent = sums.exponent + factors.map_or(0, |factors| factors.largest + 1);
    to_values((sums.values, bits), target).map(|shift| exponent + shift)
}

/// Multiplies the sums of the channels `first ..` that are alive with their factors, and clears the others. Returns all bits of their
/// magnitudes.
#[inline(always)]
fn scale(sums: &mut [i32], alive: u32, factors: Option<Factors<'_>>, first: usize) -> u32 {
    #[cfg(cortex_m_dsp)]
    if let Some(Factors { multipliers, largest }) = factors
        && let own = reach(multipliers, first, sums.len())
        && !own.is_empty()
    {
        // SAFETY: there are as many multipliers as sums, at most a word's.
        #[allow(unsafe_code, reason = "inline assembly")]
        return unsafe { cortex_m::scale((sums.as_mut_ptr(), sums.len()), alive, (own.as_ptr(), largest)) };
    }
    let mut bits = 0;
    for (bit, sum) in sums.iter_mut().enumerate() {
        if alive >> bit & 1 == 0 {
            *sum = 0;
        } else if let Some(Factors { multipliers, largest }) = factors {
            let [multiplier, shift] = multipliers.get(first + bit).copied().unwrap_or_default();
            let product = high_product(*sum, multiplier);
            let right = largest - shift;
            *sum = if right < 0 { product << (-right).min(31) } else { product >> right.min(31) };
        }
        bits |= (*sum ^ (*sum >> 31)) as u32;
    }
    bits
}

/// Shifts sums, all bits of whose magnitudes are in `bits`, to values of 15 bits; returns by how much.
#[inline(always)]
fn to_values((sums, bits): (&[i32], u32), target: &mut [i16]) -> Option<i32> {
    if bits == 0 {
        target.fill(0);
        return None;
    }
    let excess = (u32::BITS - bits.leading_zeros()).saturating_sub(VALUE_BITS);
    // Rounding must not reach the 16th bit.
    let rounded = (bits + (1u32 << excess >> 1)) >> excess;
    let excess = if rounded >> VALUE_BITS == 0 { excess } else { excess + 1 };
    let left = if excess == 0 { VALUE_BITS - (u32::BITS - bits.leading_zeros()) } else { 0 };
    #[cfg(cortex_m_dsp)]
    let (target, sums) = shift_pairs((target, sums), excess, left);
    for (target, sum) in target.iter_mut().zip(sums) {
        *target = (shift_right(*sum, excess) << left) as i16;
    }
    Some(excess as i32 - left as i32)
}

/// Shifts pairs of sums to the right; returns what is left over.
#[cfg(cortex_m_dsp)]
#[inline(always)]
fn shift_pairs<'t, 's>(
    (target, sums): (&'t mut [i16], &'s [i32]),
    excess: u32,
    left: u32,
) -> (&'t mut [i16], &'s [i32]) {
    let count = target.len().min(sums.len()) / 2;
    if left != 0 || count == 0 {
        return (target, sums);
    }
    let (values, target) = split_mut(target, 2 * count);
    let (sums, rest) = split(sums, 2 * count);
    if values.len() == sums.len() {
        // SAFETY: both are as long as said.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            cortex_m::shift_pairs((sums.as_ptr(), count), values.as_mut_ptr(), excess);
        }
    }
    (target, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_use_all_bits_and_no_more() {
        for (sums, values, exponent) in [
            ([0, 0, 0], [0, 0, 0], None),
            ([1, -1, 0], [16384, -16384, 0], Some(-14)),
            ([32767, 5, -5], [32767, 5, -5], Some(0)),
            // Rounded to 15 bits it would be 32768.
            ([65535, 6, -6], [16384, 2, -1], Some(2)),
            ([i32::MAX - (1 << 25), 1 << 16, -1], [32256, 1, 0], Some(16)),
        ] {
            let mut row = [i16::MAX; 3];
            let found = normalise(&mut Sums { values: &mut { sums }, exponent: 0 }, 3, Alive::ALL, None, &mut row);
            assert_eq!((row, found), (values, exponent), "{sums:?}");
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
            normalise(&mut Sums { values: &mut sums, exponent: 3 }, 3, alive, Some(factors), &mut row).unwrap();
        let found = row.map(|value| libm::ldexp(f64::from(value), exponent));
        assert_eq!(found, [4194304.0, 524288.0, 4194304.0, 8388608.0, 0.0, 0.0]);
    }
}
