//! Buffers of frames that are used again, so that in the steady state nothing is allocated per packet.

use alloc::vec::Vec;

use ostia_wire::Frame;

/// Bytes of a small buffer: a packet of 1,500 bytes with its headroom fits.
const SMALL: usize = 2048;

/// Frames that need no more than this aren't worth a small buffer of their own when none is left.
const TINY: usize = 512;

/// The longest buffer that is kept: a packet of 64 KiB with its headroom fits.
const LARGE: usize = 72 << 10;

/// Small buffers kept, at most: 512 KiB.
const SMALL_KEPT: usize = 256;

/// Bytes of larger ones kept, at most.
const LARGE_KEPT: usize = 1 << 20;

/// Unused buffers, of two kinds, so that no short packet takes a long buffer. The last one given back is used first: it is the
/// likeliest to be in a cache.
#[derive(Default)]
pub(crate) struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    large_size: usize,
}

impl Pool {
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
            None => Frame::new(SMALL - Frame::HEADROOM),
        }
    }

    fn large_frame(&mut self, capacity: usize, size: usize) -> Frame {
        match self.large.pop_if(|buffer| buffer.capacity() >= size) {
            Some(buffer) => {
                self.large_size -= buffer.capacity();
                Frame::reuse(buffer)
            }
            None => Frame::new(capacity),
        }
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
                if size <= LARGE && self.large_size + size <= LARGE_KEPT {
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

    fn place(frame: &Frame) -> *const u8 {
        frame.as_slice().as_ptr()
    }

    #[test]
    fn what_was_given_back_last_is_used_first() {
        let mut pool = Pool::default();
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
        let mut pool = Pool::default();
        let long = pool.frame(65_535);
        let where_it_was = place(&long);
        pool.recycle(long);
        assert_ne!(place(&pool.frame(1500)), where_it_was);
        assert!(pool.frame(70 << 10).tailroom() >= 70 << 10, "the one that is kept is too short");
        assert_eq!(place(&pool.frame(9000)), where_it_was);
        assert_eq!(pool.large_size, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = Pool::default();
        for _ in 0..2 * SMALL_KEPT {
            pool.recycle(Frame::new(SMALL - Frame::HEADROOM));
            pool.recycle(Frame::new(65_535));
            pool.recycle(Frame::new(1 << 20));
            pool.recycle(Frame::new(10));
        }
        assert_eq!(pool.small.len(), SMALL_KEPT);
        assert!(pool.large_size <= LARGE_KEPT);
        assert_eq!(pool.large_size, pool.large.iter().map(Vec::capacity).sum());
    }
}
