//! Buffers of frames that are used again, so that in the steady state nothing is allocated per packet.

use alloc::vec::Vec;

use ostia_wire::Frame;

/// Bytes of a small buffer: a packet of 1,500 bytes with its headroom fits.
pub(crate) const SMALL: usize = 2048;

/// Bytes that fit into a small buffer behind its headroom.
pub(crate) const SMALL_ROOM: usize = SMALL - Frame::HEADROOM;

/// Frames that need no more than this aren't worth a small buffer of their own when none is left.
const TINY: usize = 512;

/// The longest buffer that is kept: a packet of 64 KiB with its headroom fits.
const LARGE: usize = 72 << 10;

/// Small buffers kept, at most: 512 KiB.
const SMALL_KEPT: usize = 256;

/// Bytes of larger ones kept, at most: as many as a link's turn may bring, 64 of 64 KiB.
const LARGE_KEPT: usize = 64 * LARGE;

/// What is kept of larger ones takes no more than this share of what everything may take.
const SHARE_OF_MEMORY: usize = 16;

/// Unused buffers, of two kinds, so that no short packet takes a long buffer. The last one given back is used first: it is the
/// likeliest to be in a cache.
pub(crate) struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    large_size: usize,
    large_kept: usize,
}

impl Pool {
    /// An empty pool of a stack that may take so much memory.
    pub(crate) fn new(memory: usize) -> Pool {
        Pool { small: Vec::new(), large: Vec::new(), large_size: 0, large_kept: LARGE_KEPT.min(memory / SHARE_OF_MEMORY) }
    }

    /// An empty frame with room for `capacity` bytes behind the headroom.
    #[inline]
    pub(crate) fn frame(&mut self, capacity: usize) -> Frame {
        let size = Frame::HEADROOM + capacity;
        if size > SMALL {
            return self.large_frame(capacity, size);
        }
        match self.small.pop() {
            Some(buffer) => Frame::reuse(buffer),
            None if size <= TINY => Frame::new(capacity),
            None => Frame::new(SMALL_ROOM),
        }
    }

    fn large_frame(&mut self, capacity: usize, size: usize) -> Frame {
        while let Some(buffer) = self.large.pop() {
            self.large_size -= buffer.capacity();
            if buffer.capacity() >= size {
                return Frame::reuse(buffer);
            }
            // Too short for what is asked for now: it is not to stand before those that are long enough.
        }
        Frame::new(capacity)
    }

    /// Takes back a frame that nobody needs any more.
    #[inline]
    pub(crate) fn recycle(&mut self, frame: Frame) {
        let buffer = frame.recycle();
        match buffer.capacity() {
            ..SMALL => {}
            SMALL => {
                if self.small.len() < SMALL_KEPT {
                    self.small.push(buffer);
                }
            }
            size => {
                if size <= LARGE && self.large_size + size <= self.large_kept {
                    self.large_size += size;
                    self.large.push(buffer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new(64 << 20)
    }

    fn place(frame: &Frame) -> *const u8 {
        frame.as_slice().as_ptr()
    }

    #[test]
    fn what_was_given_back_last_is_used_first() {
        let mut pool = pool();
        let frames = [pool.frame(1500), pool.frame(1400)];
        let places = [place(&frames[0]), place(&frames[1])];
        for mut frame in frames {
            frame.extend(b"old");
            pool.recycle(frame);
        }
        let (again, first) = (pool.frame(60), pool.frame(1500));
        assert_eq!([place(&first), place(&again)], places);
        assert!(again.is_empty() && again.headroom() == Frame::HEADROOM);
    }

    #[test]
    fn long_buffers_carry_long_packets_only() {
        let mut pool = pool();
        let long = pool.frame(65_535);
        let where_it_was = place(&long);
        pool.recycle(long);
        assert_ne!(place(&pool.frame(1500)), where_it_was);
        assert_eq!(place(&pool.frame(9000)), where_it_was);
        assert_eq!(pool.large_size, 0);
    }

    #[test]
    fn too_short_ones_do_not_stand_before_others() {
        let mut pool = pool();
        let (long, short) = (pool.frame(65_535), pool.frame(9000));
        let where_it_was = place(&long);
        pool.recycle(long);
        pool.recycle(short);
        assert_eq!(place(&pool.frame(65_535)), where_it_was);
        assert!(pool.frame(65_535).tailroom() >= 65_535);
        assert_eq!(pool.large_size, 0);
    }

    #[test]
    fn a_stack_with_little_memory_keeps_little() {
        let mut pool = Pool::new(1 << 20);
        pool.recycle(Frame::new(65_535));
        assert_eq!(pool.large_size, 0);
        pool.recycle(Frame::new(9000));
        assert!(pool.large_size > 9000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = pool();
        for _ in 0..2 * SMALL_KEPT {
            pool.recycle(Frame::new(SMALL - Frame::HEADROOM));
            pool.recycle(Frame::new(65_535));
            pool.recycle(Frame::new(1 << 20));
            pool.recycle(Frame::new(10));
        }
        assert_eq!(pool.small.len(), SMALL_KEPT);
        assert!(pool.large_size <= 4 << 20);
        assert_eq!(pool.large_size, pool.large.iter().map(Vec::capacity).sum());
    }
}
