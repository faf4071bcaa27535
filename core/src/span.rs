//! Parts of slices without a panic: a device must not carry the code for one.
//!
//! Every offset here follows from a [`Network`](crate::Network) and a buffer whose lengths were checked, so the
//! empty slice is never returned in practice; it only tells the compiler that nothing can go wrong.

/// Elements of a cache line of a host. A vector across two lines takes two accesses.
pub(crate) const CACHE_LINE: usize = 16;

/// The first element that starts a cache line; at most [`CACHE_LINE`].
#[inline(always)]
pub(crate) fn cache_line(x: &[f32]) -> usize {
    x.as_ptr().align_offset(CACHE_LINE * size_of::<f32>()).min(CACHE_LINE.min(x.len()))
}

/// `len` elements from `start` on, or nothing if they are not all there.
#[inline(always)]
pub(crate) fn span<T>(x: &[T], start: usize, len: usize) -> &[T] {
    x.get(start..).and_then(|x| x.get(..len)).unwrap_or(&[])
}

/// [`span`], to be written to.
#[inline(always)]
pub(crate) fn span_mut<T>(x: &mut [T], start: usize, len: usize) -> &mut [T] {
    x.get_mut(start..).and_then(|x| x.get_mut(..len)).unwrap_or(&mut [])
}

/// Cuts the first `len` elements off `x`.
#[inline(always)]
pub(crate) fn take<'a, T>(x: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let whole = core::mem::take(x);
    match whole.split_at_mut_checked(len) {
        Some((front, back)) => {
            *x = back;
            front
        }
        None => &mut [],
    }
}
