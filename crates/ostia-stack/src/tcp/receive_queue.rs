//! What has been received in order and not yet read.

use alloc::collections::VecDeque;

use ostia_wire::Frame;

use crate::memory::Budget;
use crate::pool::{Pool, SMALL, SMALL_ROOM};

/// Frames whose payloads follow one another. A frame is kept as it came, without copying, unless that would waste memory:
/// a payload that is small beside its allocation is copied to the end of the one before it, or, if no others would find room
/// behind it or its allocation is large, into one of its size. What was copied out goes back to the pool.
#[derive(Default)]
pub(crate) struct ReceiveQueue {
    frames: VecDeque<Frame>,
    len: u32,
    truesize: usize,
}

impl ReceiveQueue {
    /// Octets unread.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a payload, whose true size comes out of the budget; gives it back if that is used up.
    pub(crate) fn push(&mut self, frame: Frame, memory: &mut Budget, pool: &mut Pool) -> Result<(), Frame> {
        let len = frame.len();
        if len == 0 {
            return Ok(());
        }
        if len < frame.truesize() / 4 {
            if let Some(tail) = self.frames.back_mut()
                && tail.tailroom() >= len
            {
                tail.extend(frame.as_slice());
                self.len += len as u32;
                pool.recycle(frame);
                return Ok(());
            }
            // Unless the next small ones find room behind this one.
            let gathers = frame.truesize() <= SMALL + size_of::<Frame>() && frame.tailroom() >= SMALL / 2;
            if !gathers {
                let mut own = if len <= SMALL_ROOM { pool.frame(SMALL_ROOM) } else { Frame::new(len) };
                own.extend(frame.as_slice());
                if let Err(own) = self.keep(own, memory) {
                    pool.recycle(own);
                    return Err(frame);
                }
                pool.recycle(frame);
                return Ok(());
            }
        }
        self.keep(frame, memory)
    }

    fn keep(&mut self, frame: Frame, memory: &mut Budget) -> Result<(), Frame> {
        let truesize = frame.truesize();
        if !memory.take(truesize) {
            return Err(frame);
        }
        self.truesize += truesize;
        self.len += frame.len() as u32;
        self.frames.push_back(frame);
        Ok(())
    }

    /// Copies out as much as there is and fits.
    pub(crate) fn read(&mut self, into: &mut [u8], memory: &mut Budget, pool: &mut Pool) -> usize {
        let mut done = 0;
        self.read_with(into.len(), memory, pool, |bytes| {
            into[done..done + bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
        })
    }

    /// Gives out as much as there is, but no more than `room`, piece by piece.
    pub(crate) fn read_with(&mut self, room: usize, memory: &mut Budget, pool: &mut Pool, mut sink: impl FnMut(&[u8])) -> usize {
        let mut done = 0;
        while let Some(frame) = self.frames.front_mut()
            && done < room
        {
            let count = frame.len().min(room - done);
            sink(&frame.as_slice()[..count]);
            frame.pull(count);
            done += count;
            if frame.is_empty()
                && let Some(frame) = self.drop_front(memory)
            {
                pool.recycle(frame);
            }
        }
        self.len -= done as u32;
        done
    }

    /// Takes the first frame out whole: its bytes are the next of the stream.
    pub(crate) fn pop(&mut self, memory: &mut Budget) -> Option<Frame> {
        let frame = self.drop_front(memory)?;
        self.len -= frame.len() as u32;
        Some(frame)
    }

    /// The next bytes, without taking them.
    pub(crate) fn peek(&self, into: &mut [u8]) -> usize {
        let mut done = 0;
        self.peek_with(into.len(), |bytes| {
            into[done..done + bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
        })
    }

    /// As [`read_with`](Self::read_with), and leaves it there.
    pub(crate) fn peek_with(&self, room: usize, mut sink: impl FnMut(&[u8])) -> usize {
        let mut done = 0;
        for frame in &self.frames {
            let count = frame.len().min(room - done);
            sink(&frame.as_slice()[..count]);
            done += count;
        }
        done
    }

    fn drop_front(&mut self, memory: &mut Budget) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        let truesize = frame.truesize();
        self.truesize -= truesize;
        memory.give(truesize);
        if self.frames.is_empty() {
            // An idle connection holds no memory.
            self.frames = VecDeque::new();
        }
        Some(frame)
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, memory: &mut Budget) {
        memory.give(self.truesize);
        *self = ReceiveQueue::default();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn frame(len: usize, room: usize) -> Frame {
        let mut frame = Frame::new(room);
        frame.extend(&vec![len as u8; len]);
        frame
    }

    #[test]
    fn small_payloads_do_not_pin_big_buffers() {
        let (mut queue, mut memory, mut pool) = (ReceiveQueue::default(), Budget::new(1 << 20), Pool::new(1 << 20));
        for _ in 0..1000 {
            queue.push(frame(1, 64 << 10), &mut memory, &mut pool).expect("within the budget");
        }
        assert_eq!(queue.len(), 1000);
        assert!(memory.used() < 10_000, "{}", memory.used());
        let mut bytes = vec![0; 2000];
        assert_eq!(queue.read(&mut bytes, &mut memory, &mut pool), 1000);
        assert!(bytes[..1000].iter().all(|&byte| byte == 1));
        assert_eq!((queue.len(), memory.used()), (0, 0));
    }

    #[test]
    fn a_small_payload_in_a_small_buffer_stays_where_it_is() {
        let (mut queue, mut memory, mut pool) = (ReceiveQueue::default(), Budget::new(1 << 20), Pool::new(1 << 20));
        let frames = [frame(60, SMALL_ROOM), frame(70, SMALL_ROOM)];
        let places = [frames[0].as_slice().as_ptr(), frames[1].as_slice().as_ptr()];
        for frame in frames {
            queue.push(frame, &mut memory, &mut pool).expect("within the budget");
        }
        // The second is behind the first, and its buffer is used again.
        assert_eq!(pool.frame(SMALL_ROOM).as_slice().as_ptr(), places[1]);
        let both = queue.pop(&mut memory).expect("both are in one");
        assert_eq!((both.as_slice().as_ptr(), both.len()), (places[0], 130));
        assert_eq!((queue.len(), memory.used()), (0, 0));
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        let (mut queue, mut memory, mut pool) = (ReceiveQueue::default(), Budget::new(1 << 20), Pool::new(1 << 20));
        let mut all = Vec::new();
        for len in [1, 1400, 3, 9000, 77, 1400] {
            queue.push(frame(len, len), &mut memory, &mut pool).expect("within the budget");
            all.extend(vec![len as u8; len]);
        }
        let mut got = vec![0; 1000];
        assert_eq!(queue.peek(&mut got), 1000);
        assert_eq!(queue.read(&mut got, &mut memory, &mut pool), 1000);
        while let Some(frame) = queue.pop(&mut memory) {
            got.extend_from_slice(frame.as_slice());
        }
        assert_eq!(got, all);
        assert_eq!((queue.len(), memory.used()), (0, 0));
    }

    #[test]
    fn a_budget_that_is_used_up_gives_the_frame_back() {
        let (mut queue, mut memory, mut pool) = (ReceiveQueue::default(), Budget::new(3000), Pool::new(1 << 20));
        queue.push(frame(1400, 1400), &mut memory, &mut pool).expect("within the budget");
        assert_eq!(queue.push(frame(1400, 1400), &mut memory, &mut pool).map_err(|frame| frame.len()), Err(1400));
        queue.clear(&mut memory);
        assert_eq!(memory.used(), 0);
    }
}
