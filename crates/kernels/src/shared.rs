//! A slice that several workers write at once, each to its own part.

use std::marker::PhantomData;

/// A mutable slice shared by the workers of one [`Pool::run`](crate::Pool::run).
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `part`, whose caller promises that parts are disjoint; the elements
// themselves may move between threads.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        SharedMut { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// The part `from..to`.
    ///
    /// # Safety
    /// No other live part may overlap it.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, from: usize, to: usize) -> &mut [T] {
        assert!(from <= to && to <= self.len, "part {from}..{to} of {}", self.len);
        // SAFETY: in bounds by the assertion; disjoint by the caller's promise; the borrow of the
        // slice outlives `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), to - from) }
    }

    /// Writes one element.
    ///
    /// # Safety
    /// No other worker may touch the element at the same time.
    #[inline(always)]
    pub unsafe fn write(&self, index: usize, value: T)
    where
        T: Copy,
    {
        assert!(index < self.len, "element {index} of {}", self.len);
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { self.start.add(index).write(value) }
    }

    /// Writes `values` to `first`, `first + step` and so on.
    ///
    /// # Safety
    /// No other worker may touch these elements at the same time.
    #[inline(always)]
    pub unsafe fn write_apart(&self, first: usize, step: usize, values: &[T])
    where
        T: Copy,
    {
        let last = first + values.len().saturating_sub(1) * step;
        assert!(last < self.len, "element {last} of {}", self.len);
        for (at, value) in values.iter().enumerate() {
            // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
            unsafe { self.start.add(first + at * step).write(*value) }
        }
    }
}
