//! Zeroed memory for packed weights: aligned to a cache line, and on huge pages when it is large.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A cache line, and the width of one tile step.
const LINE: usize = 64;
/// A huge page. A pass over a few hundred megabytes of weights in small pages spends a good part of
/// its time in page walks.
const HUGE: usize = 2 << 20;

/// Owned bytes, zeroed at first.
pub(crate) struct Buffer {
    allocated: NonNull<u8>,
    layout: Layout,
    /// The first aligned byte of the allocation, and the bytes from there on.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the buffer owns its memory and hands it out only through `&self` and `&mut self`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// At least `bytes` bytes, aligned to a cache line. Pages that are never touched cost nothing.
    pub fn zeroed(bytes: usize) -> Buffer {
        Buffer::aligned(bytes, LINE)
    }

    /// The same on huge pages, for memory that is read from end to end.
    pub fn streamed(bytes: usize) -> Buffer {
        if bytes < 2 * HUGE {
            return Buffer::zeroed(bytes);
        }
        let buffer = Buffer::aligned(bytes, HUGE);
        advise_huge(buffer.start.as_ptr(), buffer.len);
        buffer
    }

    fn aligned(bytes: usize, align: usize) -> Buffer {
        let len = bytes.max(1).next_multiple_of(align);
        // An allocation with a large alignment is cleared byte by byte, which touches every page; one
        // with the usual alignment comes from the system as zeros. So the start is moved here.
        let layout = Layout::from_size_align(len + align, 16).expect("weights fit the address space");
        // SAFETY: the size is not zero.
        let Some(allocated) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        let offset = allocated.as_ptr().align_offset(align);
        assert!(offset <= align, "bytes can be aligned");
        // SAFETY: the allocation is `align` bytes longer than needed, and the offset is at most that.
        let start = unsafe { allocated.add(offset) };
        Buffer { allocated, layout, start, len }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` on are allocated and initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    pub fn floats(&self) -> &[f32] {
        // SAFETY: as in `bytes`; `start` is aligned to 64 and every bit pattern is an `f32`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    pub fn floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `floats`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `aligned` with this layout.
        unsafe { dealloc(self.allocated.as_ptr(), self.layout) }
    }
}

#[cfg(target_os = "linux")]
fn advise_huge(start: *mut u8, size: usize) {
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(start: *mut u8, size: usize, advice: i32) -> i32;
    }
    // SAFETY: a page-aligned range we own; the advice changes no contents, and its failure only
    // leaves small pages.
    unsafe { madvise(start, size, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_start: *mut u8, _size: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_zeroed_and_aligned() {
        for bytes in [0, 1, 65, 5 << 20] {
            for mut buffer in [Buffer::zeroed(bytes), Buffer::streamed(bytes)] {
                assert!(buffer.bytes().len() >= bytes);
                assert!(buffer.bytes().iter().all(|&b| b == 0));
                assert_eq!(buffer.bytes().as_ptr() as usize % LINE, 0);
                buffer.floats_mut()[0] = 1.0;
                assert_eq!(buffer.floats()[0], 1.0);
            }
        }
    }
}
