//! Received bytes, lent: a reference-counted view of a pool buffer that finds its own way home.

use std::alloc::{Layout, dealloc};
use std::fmt;
use std::ops::{Deref, RangeBounds};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::pool::{Copies, Shared};

/// The record behind every chunk: who still uses these bytes, and where they go when nobody does.
#[repr(C)]
pub(crate) struct Block {
    refs: AtomicU32,
    /// The buffer's number in its pool.
    index: u32,
    /// The pool, or null when this is the head of a [`HeapBlock`].
    home: *const Shared,
}

/// A block whose bytes are a vector of their own. `repr(C)`: its address is its block's address.
#[repr(C)]
struct HeapBlock {
    block: Block,
    bytes: Vec<u8>,
    /// Set on bytes that were copied out of a strained pool: who holds them, and the ledger that counts them.
    copied_for: Option<(Arc<Copies>, u64)>,
}

impl Block {
    pub(crate) const fn pooled(index: u32, home: *const Shared) -> Block {
        Block { refs: AtomicU32::new(1), index, home }
    }

    /// Adds one reference.
    ///
    /// # Safety
    /// The caller must own a reference to a live block.
    #[inline]
    pub(crate) unsafe fn acquire(block: NonNull<Block>) {
        // SAFETY: live by the caller's promise. Relaxed, as in Arc: a new reference is made from an existing one.
        let old = unsafe { block.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
        assert!(old < u32::MAX / 2, "a chunk was cloned two thousand million times");
    }

    /// Gives one reference back; with the last one the buffer returns to its pool or the heap.
    ///
    /// # Safety
    /// The caller must own the reference it gives back.
    #[inline]
    pub(crate) unsafe fn release(block: NonNull<Block>) {
        // SAFETY: live until the last reference is given back, and the caller still has one.
        let this = unsafe { block.as_ref() };
        // A count of one is ours alone: nobody else can raise it, so no locked instruction is needed.
        if this.refs.load(Ordering::Acquire) != 1 {
            if this.refs.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        if this.home.is_null() {
            // SAFETY: a null home marks a HeapBlock, which Chunk::from_vec leaked from a Box, and this was its last reference.
            let heap = unsafe { Box::from_raw(block.as_ptr().cast::<HeapBlock>()) };
            if let Some((copies, holder)) = &heap.copied_for {
                copies.gave_back(*holder, heap.bytes.len());
            }
        } else {
            // SAFETY: a pool outlives its blocks' references, and this was the last reference to buffer `index`.
            unsafe { Shared::give_back(this.home, this.index) };
        }
    }
}

/// Bytes that were received, without a copy: a view into a pool buffer, kept alive by a reference count.
///
/// Cloning shares the bytes. Dropping the last chunk of a buffer returns the buffer to the port it came from, from
/// any thread, even after that port is gone. Holding many chunks for long is safe but strains the pool: past half of
/// it, later receives are copied to memory of their own (see [`PoolConfig`](crate::PoolConfig)).
pub struct Chunk {
    ptr: NonNull<u8>,
    len: u32,
    block: NonNull<Block>,
}

// SAFETY: the bytes behind a chunk are never written while a chunk of them exists (the kernel has finished with that
// range), the count is atomic, and the way home takes a lock when it is walked from another thread.
unsafe impl Send for Chunk {}
// SAFETY: as above; a shared chunk only reads.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Takes over one reference of `block`, as a view of `len` bytes from `ptr`.
    ///
    /// # Safety
    /// The caller gives up one reference; the range lies in the block's buffer, is initialised, and nothing writes
    /// to it while the block has references.
    #[inline]
    pub(crate) unsafe fn from_block(block: NonNull<Block>, ptr: NonNull<u8>, len: u32) -> Chunk {
        Chunk { ptr, len, block }
    }

    /// Bytes copied out of a strained pool, booked on `holder` in `copies` until they are dropped.
    pub(crate) fn copied(bytes: &[u8], copies: Arc<Copies>, holder: u64) -> Chunk {
        copies.took(bytes.len());
        Chunk::from_heap(bytes.to_vec(), Some((copies, holder)))
    }

    fn from_heap(bytes: Vec<u8>, copied_for: Option<(Arc<Copies>, u64)>) -> Chunk {
        let len = u32::try_from(bytes.len()).expect("a chunk holds less than 4 GiB");
        let block = Block { refs: AtomicU32::new(1), index: 0, home: std::ptr::null() };
        let heap = Box::leak(Box::new(HeapBlock { block, bytes, copied_for }));
        let ptr = NonNull::from(heap.bytes.as_mut_slice()).cast();
        Chunk { ptr, len, block: NonNull::from(heap).cast() }
    }

    /// Whether its bytes are in a pool's buffer.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        // SAFETY: a chunk has a reference to its block, which lives until that is given back; the home never changes.
        !unsafe { self.block.as_ref() }.home.is_null()
    }

    /// Moves the chunk's start forward by `count` bytes.
    ///
    /// # Panics
    /// If the chunk is shorter than that.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance by {count} in a chunk of {}", self.len());
        // SAFETY: at most one past the end of the same buffer.
        self.ptr = unsafe { self.ptr.add(count) };
        self.len -= count as u32;
    }

    /// Splits off the first `at` bytes; `self` keeps the rest. No bytes are copied.
    ///
    /// # Panics
    /// If the chunk is shorter than that.
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> Chunk {
        assert!(at <= self.len(), "split at {at} in a chunk of {}", self.len());
        let mut head = self.clone();
        head.len = at as u32;
        self.advance(at);
        head
    }

    /// Shortens the chunk to its first `len` bytes; does nothing if it is that short already.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// A view of a part of the bytes, sharing them.
    ///
    /// # Panics
    /// If the range does not lie in the chunk.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Chunk {
        let view = &self[(range.start_bound().cloned(), range.end_bound().cloned())];
        let mut part = self.clone();
        part.ptr = NonNull::from(view).cast();
        part.len = view.len() as u32;
        part
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `from_block` and `from_heap` make the range valid for as long as the reference is held.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len as usize) }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Chunk {
        // SAFETY: `self` owns a reference.
        unsafe { Block::acquire(self.block) };
        Chunk { ..*self }
    }
}

impl Drop for Chunk {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: every chunk owns exactly one reference, given back here.
        unsafe { Block::release(self.block) };
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        Chunk::from_heap(bytes, None)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk(\"{}\")", self.escape_ascii())
    }
}

impl PartialEq<[u8]> for Chunk {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

/// Frees a mapping or table that was allocated with `layout`; here so that all raw frees stand in one file.
///
/// # Safety
/// As [`std::alloc::dealloc`].
pub(crate) unsafe fn free_table(table: *mut Block, count: usize) {
    let layout = Layout::array::<Block>(count).expect("the same layout was allocated");
    // SAFETY: by the caller's promise `table` was allocated with this layout.
    unsafe { dealloc(table.cast(), layout) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_chunk_share_its_bytes() {
        let mut chunk = Chunk::from(b"hello, harbour".to_vec());
        let hello = chunk.split_to(5);
        chunk.advance(2);
        assert_eq!((&*hello, &*chunk), (&b"hello"[..], &b"harbour"[..]));
        let bour = chunk.slice(3..);
        drop(chunk);
        drop(hello);
        assert_eq!(&*bour, b"bour");
    }

    #[test]
    fn empty_and_full_cuts_are_allowed() {
        let mut chunk = Chunk::from(b"abc".to_vec());
        assert!(chunk.split_to(0).is_empty());
        assert_eq!(&*chunk.split_to(3), b"abc");
        assert!(chunk.is_empty());
        chunk.truncate(10);
        assert!(chunk.slice(..).is_empty());
    }

    #[test]
    fn the_last_of_many_threads_frees() {
        let chunk = Chunk::from(vec![7u8; 4096]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mine = chunk.clone();
                scope.spawn(move || assert!((0..1000).all(|_| mine.clone()[0] == 7)));
            }
        });
        assert_eq!(chunk.len(), 4096);
    }
}
