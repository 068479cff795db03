//! The send queue: what the program has given and the peer hasn't acknowledged.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

/// The smallest block that copied bytes go into.
const SMALLEST_BLOCK: usize = 256;

/// The largest block that copied bytes go into.
const LARGEST_BLOCK: usize = 16 << 10;

/// So many chunks fit into the row that an empty queue keeps until it is [released](SendQueue::release).
const KEPT_CHUNKS: usize = 8;

/// A queue of bytes: copied ones share blocks, shared ones stay where they are. The first byte has offset 0.
#[derive(Default)]
pub(crate) struct SendQueue {
    chunks: VecDeque<Chunk>,
    len: usize,
    /// What the chunks hold, without the row they stand in.
    held: usize,
    /// Where the last read was: reads mostly go on from there. `passed` bytes are in the chunks before chunk `cursor`.
    passed: usize,
    cursor: u32,
}

enum Chunk {
    /// Copied bytes, some of them acknowledged; as long as there is room, more are put behind.
    Block { bytes: Vec<u8>, acknowledged: u32 },
    /// Bytes that others may hold too.
    Shared(Bytes),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Block { bytes, acknowledged } => bytes.get(*acknowledged as usize..).unwrap_or_default(),
            Chunk::Shared(bytes) => bytes,
        }
    }

    /// Of shared bytes only the length is known, not how much memory they keep from being freed.
    fn size(&self) -> usize {
        match self {
            Chunk::Block { bytes, .. } => bytes.capacity(),
            Chunk::Shared(bytes) => bytes.len(),
        }
    }
}

impl SendQueue {
    /// How many bytes are in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much memory it holds.
    pub(crate) fn truesize(&self) -> usize {
        self.held + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Copies bytes to the end. Returns by how much [`truesize`](Self::truesize) has grown.
    pub(crate) fn push_copy(&mut self, mut bytes: &[u8]) -> usize {
        let before = self.truesize();
        self.len += bytes.len();
        let mut previous = 0;
        if let Some(Chunk::Block { bytes: block, .. }) = self.chunks.back_mut() {
            previous = block.capacity();
            let (head, rest) = bytes.split_at(bytes.len().min(previous - block.len()));
            block.extend_from_slice(head);
            bytes = rest;
        }
        while !bytes.is_empty() {
            // Blocks double while more and more small pieces come, so that neither a lone small send takes much memory, nor many
            // take many blocks.
            let size = bytes.len().next_power_of_two().max(previous * 2).clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
            let (head, rest) = bytes.split_at(bytes.len().min(size));
            let mut block = Vec::with_capacity(size);
            block.extend_from_slice(head);
            previous = size;
            self.append(Chunk::Block { bytes: block, acknowledged: 0 });
            bytes = rest;
        }
        self.truesize() - before
    }

    /// Puts bytes at the end without copying them. Returns by how much [`truesize`](Self::truesize) has grown.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let before = self.truesize();
        self.len += bytes.len();
        self.append(Chunk::Shared(bytes));
        self.truesize() - before
    }

    /// Drops the first `count` bytes, or all if there are fewer. Returns by how much [`truesize`](Self::truesize) has shrunk.
    pub(crate) fn acknowledge(&mut self, count: usize) -> usize {
        let before = self.truesize();
        let count = count.min(self.len);
        let mut left = count;
        while left > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            let (len, size) = (chunk.bytes().len(), chunk.size());
            if left < len {
                match chunk {
                    Chunk::Block { acknowledged, .. } => *acknowledged += left as u32,
                    Chunk::Shared(bytes) => *bytes = bytes.slice(left..),
                }
                self.held -= size - chunk.size();
                break;
            }
            left -= len;
            self.held -= size;
            self.chunks.pop_front();
            // The cursor stays on its chunk; if that has gone, on the first.
            self.passed = self.passed.saturating_sub(len);
            self.cursor = self.cursor.saturating_sub(1);
        }
        // What is acknowledged of the first chunk is no longer before the cursor.
        self.passed = if self.cursor == 0 { 0 } else { self.passed - left };
        self.len -= count;
        if self.chunks.is_empty() && self.chunks.capacity() > KEPT_CHUNKS {
            self.release();
        }
        before - self.truesize()
    }

    /// The pieces of up to `len` bytes from `offset` on. Reading on from where the last read ended, or near, is O(1).
    pub(crate) fn read(&mut self, offset: usize, len: usize) -> impl Iterator<Item = &[u8]> {
        let offset = offset.min(self.len);
        self.seek(offset);
        let mut skip = offset - self.passed;
        let mut left = len;
        self.chunks.range(self.cursor as usize..).map_while(move |chunk| {
            let bytes = chunk.bytes().get(core::mem::take(&mut skip)..)?;
            let bytes = bytes.get(..left.min(bytes.len()))?;
            left -= bytes.len();
            (!bytes.is_empty()).then_some(bytes)
        })
    }

    /// Gives back what an empty queue still holds.
    pub(crate) fn release(&mut self) {
        if self.chunks.is_empty() {
            *self = SendQueue::default();
        }
    }

    fn append(&mut self, chunk: Chunk) {
        self.held += chunk.size();
        self.chunks.push_back(chunk);
    }

    /// Moves the cursor to the chunk that has the byte at `offset`, or to the last one.
    fn seek(&mut self, offset: usize) {
        if offset < self.passed / 2 {
            (self.passed, self.cursor) = (0, 0);
        }
        while offset < self.passed {
            self.cursor -= 1;
            self.passed -= self.chunk_len(self.cursor);
        }
        loop {
            let len = self.chunk_len(self.cursor);
            // Not behind the last: bytes may yet be put into it.
            if offset - self.passed < len || self.cursor as usize + 1 >= self.chunks.len() {
                return;
            }
            self.passed += len;
            self.cursor += 1;
        }
    }

    fn chunk_len(&self, index: u32) -> usize {
        self.chunks.get(index as usize).map_or(0, |chunk| chunk.bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(queue: &mut SendQueue, offset: usize, len: usize) -> Vec<u8> {
        queue.read(offset, len).flatten().copied().collect()
    }

    #[test]
    fn small_sends_share_a_block() {
        let mut queue = SendQueue::default();
        for byte in 0..100 {
            queue.push_copy(&[byte]);
        }
        assert_eq!(queue.chunks.len(), 1);
        assert_eq!(queue.held, SMALLEST_BLOCK);
        assert_eq!(queue.read(0, 100).count(), 1);
        assert_eq!(all(&mut queue, 10, 3), [10, 11, 12]);
    }

    #[test]
    fn blocks_double_up_to_the_largest() {
        let mut queue = SendQueue::default();
        for _ in 0..1000 {
            queue.push_copy(&[7; 100]);
        }
        let sizes: Vec<usize> = queue.chunks.iter().map(Chunk::size).collect();
        assert_eq!(sizes[..7], [256, 512, 1024, 2048, 4096, 8192, 16384]);
        assert!(sizes[7..].iter().all(|&size| size == LARGEST_BLOCK));
        let mut queue = SendQueue::default();
        queue.push_copy(&[7; 100_000]);
        assert_eq!(queue.held, 100_000usize.next_multiple_of(LARGEST_BLOCK), "only the last has room");
    }

    #[test]
    fn shared_bytes_are_not_copied() {
        let bytes = Bytes::from(alloc::vec![1; 5000]);
        let mut queue = SendQueue::default();
        queue.push_copy(&[0]);
        queue.push_shared(bytes.clone());
        queue.push_copy(&[2]);
        let pieces: Vec<&[u8]> = queue.read(0, usize::MAX).collect();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), bytes.as_ptr());
        queue.push_shared(Bytes::new());
        assert_eq!(queue.chunks.len(), 3, "no empty chunk");
    }

    #[test]
    fn an_empty_queue_holds_little_and_after_release_nothing() {
        let mut queue = SendQueue::default();
        assert_eq!(queue.truesize(), 0);
        queue.push_copy(&[1; 100]);
        queue.acknowledge(100);
        assert!(queue.is_empty());
        assert!(queue.truesize() <= KEPT_CHUNKS * size_of::<Chunk>());
        for _ in 0..100 {
            queue.push_shared(Bytes::from_static(b"x"));
        }
        queue.acknowledge(100);
        assert_eq!(queue.truesize(), 0, "a long row isn't kept");
        queue.push_copy(&[1]);
        queue.release();
        assert_eq!(all(&mut queue, 0, 2), [1], "what isn't acknowledged stays");
        queue.acknowledge(1);
        queue.release();
        assert_eq!(queue.truesize(), 0);
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<SendQueue>() <= 64);
        assert!(size_of::<Chunk>() <= 40);
    }

    proptest! {
        #[test]
        fn it_is_a_row_of_bytes(steps in proptest::collection::vec((0u8..6, 0usize..40_000, 0usize..40_000), 1..60)) {
            let mut queue = SendQueue::default();
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut numbers = (0u32..).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8);
            let mut fresh = |count: usize| -> Vec<u8> { numbers.by_ref().take(count).collect() };
            let mut size = 0;
            let mut onward = 0usize;
            for (what, a, b) in steps {
                match what {
                    0 | 1 => {
                        let bytes = fresh(if what == 0 { a } else { a % 300 });
                        model.extend(&bytes);
                        size += queue.push_copy(&bytes);
                    }
                    2 => {
                        let bytes = fresh(a);
                        model.extend(&bytes);
                        size += queue.push_shared(bytes.into());
                    }
                    3 => {
                        size -= queue.acknowledge(a);
                        model.drain(..a.min(model.len()));
                        onward = onward.saturating_sub(a);
                    }
                    _ => {
                        let offset = if what == 4 { onward } else { a };
                        let expected: Vec<u8> = model.iter().skip(offset).take(b).copied().collect();
                        onward = offset + expected.len();
                        prop_assert_eq!(all(&mut queue, offset, b), expected);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.truesize(), size);
                prop_assert_eq!(queue.held, queue.chunks.iter().map(Chunk::size).sum::<usize>());
                let passed: usize = queue.chunks.iter().take(queue.cursor as usize).map(|chunk| chunk.bytes().len()).sum();
                prop_assert_eq!(queue.passed, passed);
                prop_assert!(queue.chunks.iter().all(|chunk| !chunk.bytes().is_empty()));
            }
        }
    }
}
