//! Sums of weights times factors: the gradient of a layer's inputs, for the outputs that are alive.
//!
//! ```text
//! dx[i] += sum over terms of factor * weights[place + i]        i: as many as there are sums
//! ```
//! The weights of one output lie side by side for all inputs under a kernel's row, and the rows of the kernel behind each other. The
//! terms of a position are listed first, so that sums stay in registers while all terms are added to them.

#[cfg(cortex_m_dsp)]
use super::super::cortex_m;
use super::contribution::shift_right;
use crate::span::{reach, span_mut};

/// Where weights start, and their factor, which has 16 bits. (With assembly the place is an address.)
pub(crate) type Term = [i32; 2];

/// Terms that are listed before their products are added; an even number.
pub(crate) const TERMS: usize = 64;

/// A list of terms over the weights of one layer.
pub(crate) struct Terms<'a, 'b> {
    weights: &'a [i8],
    list: &'b mut [Term],
    count: usize,
}

impl<'a, 'b> Terms<'a, 'b> {
    /// An empty list.
    pub(crate) fn new(weights: &'a [i8], list: &'b mut [Term]) -> Self {
        Self { weights, list, count: 0 }
    }

    /// Lists the values that are not 0, at most [`TERMS`] of them, divided by 2 to `shift`, in place of what was listed: `len` weights
    /// of the first stand at `place`, those of each next one `stride` further.
    #[inline(never)]
    pub(crate) fn list(&mut self, values: &[i16], shift: u32, (place, stride): (usize, usize), len: usize) {
        self.count = 0;
        let is_inside = place + values.len().saturating_sub(1) * stride + len <= self.weights.len();
        debug_assert!(is_inside, "{place} + {} * {stride} + {len} of {}", values.len(), self.weights.len());
        if !is_inside || values.len() > self.list.len() {
            return;
        }
        let mut place = self.base().wrapping_add(place as i32);
        #[cfg(cortex_m_dsp)]
        if !values.is_empty() {
            // SAFETY: there is room for all values.
            #[allow(unsafe_code, reason = "inline assembly")]
            unsafe {
                let end = cortex_m::list_terms(
                    self.list.as_mut_ptr(),
                    (values.as_ptr(), values.len()),
                    (place, stride),
                    shift,
                );
                self.count = end.offset_from_unsigned(self.list.as_ptr());
            }
            return;
        }
        for value in values {
            if *value != 0
                && let Some(term) = self.list.get_mut(self.count)
            {
                *term = [place, shift_right(i32::from(*value), shift)];
                self.count += 1;
            }
            place = place.wrapping_add(stride as i32);
        }
    }

    /// Lists one more term with as many weights as there are sums, to which all are added first if there is no room.
    #[inline(always)]
    pub(crate) fn push(&mut self, place: usize, factor: i32, sums: &mut [i32]) {
        let is_inside = place + sums.len() <= self.weights.len();
        debug_assert!(is_inside, "{place} .. + {} of {} weights", sums.len(), self.weights.len());
        if !is_inside {
            return;
        }
        if self.count >= self.list.len().min(TERMS) {
            self.finish(sums);
        }
        let place = self.base().wrapping_add(place as i32);
        if let Some(term) = self.list.get_mut(self.count) {
            *term = [place, factor];
            self.count += 1;
        }
    }

    /// What places are counted from.
    #[inline(always)]
    fn base(&self) -> i32 {
        #[cfg(cortex_m_dsp)]
        return self.weights.as_ptr() as usize as i32;
        #[cfg(not(cortex_m_dsp))]
        0
    }

    /// Adds the products of all terms and empties the list.
    #[inline(always)]
    pub(crate) fn finish(&mut self, sums: &mut [i32]) {
        self.add(sums);
        self.count = 0;
    }

    /// Adds the products of all terms, and moves their places behind the weights that were read.
    #[inline(never)]
    pub(crate) fn add(&mut self, sums: &mut [i32]) {
        let (base, count) = (self.base(), self.count);
        #[cfg(cortex_m_dsp)]
        let sums = add_blocks((self.list, count), sums);
        if sums.is_empty() {
            return;
        }
        for [place, factor] in span_mut(self.list, 0, count) {
            let weights = reach(self.weights, place.wrapping_sub(base) as usize, sums.len());
            sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += *factor * i32::from(*w));
            *place = place.wrapping_add(sums.len() as i32);
        }
    }
}

/// Adds the products of whole blocks of sums and moves the places of the terms behind them; returns the other sums.
#[cfg(cortex_m_dsp)]
#[inline(always)]
fn add_blocks<'s>((list, mut count): (&mut [Term], usize), sums: &'s mut [i32]) -> &'s mut [i32] {
    if count == 0 || count > list.len() {
        return &mut [];
    }
    // Terms go in pairs.
    if let Some(&[place, _]) = list.first()
        && !count.is_multiple_of(2)
        && let Some(odd) = list.get_mut(count)
    {
        *odd = [place, 0];
        count += 1;
    }
    let (blocks, rest) = sums.as_chunks_mut::<8>();
    if !blocks.is_empty() {
        // SAFETY: who listed a term saw that its weights go as far as the sums.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            cortex_m::add_terms8((blocks.as_mut_ptr(), blocks.len()), (list.as_mut_ptr(), count));
        }
    }
    let (blocks, rest) = rest.as_chunks_mut::<4>();
    if !blocks.is_empty() {
        // SAFETY: as above.
        #[allow(unsafe_code, reason = "inline assembly")]
        unsafe {
            cortex_m::add_terms4((blocks.as_mut_ptr(), blocks.len()), (list.as_mut_ptr(), count));
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::plan::GRADIENT_TERMS;

    #[test]
    fn the_plan_has_room_for_the_list() {
        assert_eq!(GRADIENT_TERMS, 2 * TERMS);
    }

    fn weights() -> std::vec::Vec<i8> {
        (0..400).map(|i| (i * 37 % 256 - 128) as i8).collect()
    }

    #[test]
    fn lists_of_any_length_are_added_up() {
        let weights = weights();
        for (count, len) in [(0, 3), (1, 1), (3, 8), (64, 5), (65, 13), (200, 17)] {
            let mut list = [[0; 2]; TERMS];
            let (mut terms, mut sums) = (Terms::new(&weights, &mut list), std::vec![7; len]);
            let mut expected = sums.clone();
            for number in 0..count {
                let (place, factor) = (number * 29 % (400 - len), number as i32 * 331 % 65535 - 32767);
                terms.push(place, factor, &mut sums);
                expected.iter_mut().zip(&weights[place..]).for_each(|(sum, w)| *sum += factor * i32::from(*w));
            }
            terms.finish(&mut sums);
            assert_eq!(sums, expected, "{count} terms of {len}");
        }
    }

    #[test]
    fn the_rows_of_a_kernel_follow_each_other() {
        let (weights, values) = (weights(), [5, 0, -32767, 12, 0, 0, 7]);
        let mut list = [[0; 2]; TERMS];
        let mut terms = Terms::new(&weights, &mut list);
        // Three rows of five weights of each of seven outputs.
        terms.list(&values, 2, (3, 20), 15);
        for row in 0..3 {
            let mut sums = [1; 5];
            terms.add(&mut sums);
            for (i, sum) in sums.iter().enumerate() {
                let products = values.iter().enumerate().map(|(o, value)| {
                    let place = 3 + 20 * o + 5 * row + i;
                    ((i32::from(*value) + 2) >> 2) * i32::from(weights[place])
                });
                assert_eq!(*sum, 1 + products.sum::<i32>(), "row {row}, {i}");
            }
        }
    }
}
