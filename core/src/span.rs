//! Parts of slices without a panic: a device must not carry the code for one.
//!
//! | function | the part | beyond the end |
//! |---|---|---|
//! | [`span`], [`span_mut`] | `len` elements from `start` on | a fault |
//! | [`rest`], [`rest_mut`] | all from `start` on | a fault |
//! | [`split`], [`split_mut`], [`take`] | the first `len`, and the others | a fault |
//! | [`copy_part`] | elements to another place | a fault |
//! | [`reach`], [`reach_mut`], [`reach_rest`], [`reach_rest_mut`] | as above | the empty slice, on purpose |
//!
//! Every offset here follows from a [`Network`](crate::Network) and a buffer whose lengths were checked. A build with debug
//! assertions stops at a wrong one. Without them it gives the empty slice, which tells the compiler that nothing can go
//! wrong. Where the end of a slice may be passed, [`reach`] and its kin say so.

use core::ops::Range;

/// Elements of a cache line of a host. A vector across two lines takes two accesses.
pub(crate) const CACHE_LINE: usize = 16;

/// The first element that starts a cache line; at most [`CACHE_LINE`].
#[inline(always)]
pub(crate) fn cache_line(x: &[f32]) -> usize {
    x.as_ptr().align_offset(CACHE_LINE * size_of::<f32>()).min(CACHE_LINE.min(x.len()))
}

/// `len` elements from `start` on.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn span<T>(x: &[T], start: usize, len: usize) -> &[T] {
    debug_assert!(start + len <= x.len(), "{start} .. + {len} of {}", x.len());
    reach(x, start, len)
}

/// [`span`], to be written to.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn span_mut<T>(x: &mut [T], start: usize, len: usize) -> &mut [T] {
    debug_assert!(start + len <= x.len(), "{start} .. + {len} of {}", x.len());
    reach_mut(x, start, len)
}

/// `len` elements from `start` on, or nothing if they are not all there.
#[inline(always)]
pub(crate) fn reach<T>(x: &[T], start: usize, len: usize) -> &[T] {
    x.get(start..).and_then(|x| x.get(..len)).unwrap_or(&[])
}

/// [`reach`], to be written to.
#[inline(always)]
pub(crate) fn reach_mut<T>(x: &mut [T], start: usize, len: usize) -> &mut [T] {
    x.get_mut(start..).and_then(|x| x.get_mut(..len)).unwrap_or(&mut [])
}

/// The elements from `start` on.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn rest<T>(x: &[T], start: usize) -> &[T] {
    debug_assert!(start <= x.len(), "{start} .. of {}", x.len());
    x.get(start..).unwrap_or(&[])
}

/// [`rest`], to be written to.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn rest_mut<T>(x: &mut [T], start: usize) -> &mut [T] {
    debug_assert!(start <= x.len(), "{start} .. of {}", x.len());
    x.get_mut(start..).unwrap_or(&mut [])
}

/// The elements from `start` on, or nothing beyond the end.
#[inline(always)]
pub(crate) fn reach_rest<T>(x: &[T], start: usize) -> &[T] {
    x.get(start..).unwrap_or(&[])
}

/// [`reach_rest`], to be written to.
#[inline(always)]
pub(crate) fn reach_rest_mut<T>(x: &mut [T], start: usize) -> &mut [T] {
    x.get_mut(start..).unwrap_or(&mut [])
}

/// The first `len` elements and those behind them.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn split<T>(x: &[T], len: usize) -> (&[T], &[T]) {
    debug_assert!(len <= x.len(), "{len} of {}", x.len());
    x.split_at_checked(len).unwrap_or((&[], &[]))
}

/// [`split`], to be written to.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn split_mut<T>(x: &mut [T], len: usize) -> (&mut [T], &mut [T]) {
    debug_assert!(len <= x.len(), "{len} of {}", x.len());
    x.split_at_mut_checked(len).unwrap_or((&mut [], &mut []))
}

/// Cuts the first `len` elements off `x`.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn take<'a, T>(x: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    debug_assert!(len <= x.len(), "{len} of {}", x.len());
    let whole = core::mem::take(x);
    match whole.split_at_mut_checked(len) {
        Some((front, back)) => {
            *x = back;
            front
        }
        None => &mut [],
    }
}

/// Copies the elements `from` to the place `to`; the two do not overlap.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn copy_part<T: Copy>(x: &mut [T], from: Range<usize>, to: usize) {
    let len = from.len();
    debug_assert!(from.end <= to || to + len <= from.start, "{from:?} to {to}");
    let (source, target) = if from.start < to {
        let (front, back) = split_mut(x, to);
        (span(front, from.start, len), span_mut(back, 0, len))
    } else {
        let (front, back) = split_mut(x, from.start);
        (span(back, 0, len), span_mut(front, to, len))
    };
    target.iter_mut().zip(source).for_each(|(target, x)| *target = *x);
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "2 .. + 2 of 3")]
    fn a_wrong_index_stops_a_debug_build() {
        span(&[1, 2, 3], 2, 2);
    }

    #[test]
    fn beyond_the_end_there_is_nothing_to_reach() {
        assert!(reach(&[1, 2, 3], 2, 2).is_empty());
        assert_eq!(reach(&[1, 2, 3], 1, 2), [2, 3]);
    }
}
