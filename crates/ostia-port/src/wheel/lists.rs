//! Lists of timers in chunks of a cache line.
//!
//! A list is dealt out by reading its chunks, whose entries can be fetched from memory all at once; a chain of the timers
//! themselves would be fetched one after the other, each by what the one before says.

use crate::slab::NONE;

/// Entries of a chunk: with its length and its successor a cache line.
pub(super) const CHUNK: usize = 14;

/// Some entries of a list. All chunks of a list are full but the first.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Chunk {
    pub(super) entries: [u32; CHUNK],
    len: u32,
    /// The next of the list, or the next that is free.
    pub(super) next: u32,
}

impl Chunk {
    pub(super) fn entries(&self) -> &[u32] {
        &self.entries[..(self.len as usize).min(CHUNK)]
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) list: u16,
    offset: u16,
    chunk: u32,
}

impl Place {
    pub(super) const NOWHERE: Place = Place { list: 0, offset: 0, chunk: NONE };
}

/// So many lists, and the chunks of all.
pub(super) struct Lists<const N: usize> {
    heads: Box<[u32; N]>,
    chunks: Vec<Chunk>,
    free: u32,
}

impl<const N: usize> Lists<N> {
    pub(super) fn new() -> Lists<N> {
        Lists { heads: Box::new([NONE; N]), chunks: Vec::new(), free: NONE }
    }

    pub(super) fn is_empty(&self, list: u16) -> bool {
        self.heads[usize::from(list)] == NONE
    }

    /// Puts an entry into a list.
    #[inline]
    pub(super) fn push(&mut self, list: u16, entry: u32) -> Place {
        let mut head = self.heads[usize::from(list)];
        if self.chunks.get(head as usize).is_none_or(|chunk| chunk.len as usize == CHUNK) {
            head = self.new_chunk(head);
            self.heads[usize::from(list)] = head;
        }
        let chunk = &mut self.chunks[head as usize];
        let offset = chunk.len as usize % CHUNK;
        chunk.entries[offset] = entry;
        chunk.len += 1;
        Place { list, offset: offset as u16, chunk: head }
    }

    /// Takes the entry at `place` out. Another one may have come to stand there: it is returned.
    #[inline]
    pub(super) fn remove(&mut self, place: Place) -> Option<u32> {
        let head = self.heads[usize::from(place.list)];
        let first = &mut self.chunks[head as usize];
        first.len -= 1;
        let (last, end) = (first.entries[first.len as usize % CHUNK], first.len as usize);
        if end == 0 {
            self.heads[usize::from(place.list)] = self.chunks[head as usize].next;
            self.free_chunk(head);
        }
        if head == place.chunk && end == usize::from(place.offset) {
            return None;
        }
        self.chunks[place.chunk as usize].entries[usize::from(place.offset) % CHUNK] = last;
        Some(last)
    }

    /// Takes all of a list, chunk by chunk: by [`take_chunk`](Self::take_chunk).
    #[inline]
    pub(super) fn take(&mut self, list: u16) -> u32 {
        std::mem::replace(&mut self.heads[usize::from(list)], NONE)
    }

    /// The chunk that is the first of a list that was taken; its `next` is the second.
    #[inline]
    pub(super) fn take_chunk(&mut self, first: u32) -> Option<Chunk> {
        let chunk = *self.chunks.get(first as usize)?;
        self.free_chunk(first);
        Some(chunk)
    }

    fn new_chunk(&mut self, next: u32) -> u32 {
        let chunk = Chunk { entries: [NONE; CHUNK], len: 0, next };
        let index = self.free;
        if let Some(place) = self.chunks.get_mut(index as usize) {
            self.free = place.next;
            *place = chunk;
            return index;
        }
        self.chunks.push(chunk);
        self.chunks.len() as u32 - 1
    }

    fn free_chunk(&mut self, index: u32) {
        self.chunks[index as usize].next = self.free;
        self.free = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_elsewhere_after_a_removal_is_told() {
        let mut lists = Lists::<2>::new();
        // By entry, its place.
        let mut places: Vec<Option<Place>> = (0..40).map(|entry| Some(lists.push(1, entry))).collect();
        for entry in [39, 0, 13, 14, 27, 28, 38, 5] {
            let place = places[entry].take().expect("not taken yet");
            if let Some(moved) = lists.remove(place) {
                places[moved as usize] = Some(place);
            }
        }
        let mut left = Vec::new();
        let mut next = lists.take(1);
        while let Some(chunk) = lists.take_chunk(next) {
            for (offset, &entry) in chunk.entries().iter().enumerate() {
                assert_eq!(places[entry as usize], Some(Place { list: 1, offset: offset as u16, chunk: next }));
                left.push(entry);
            }
            next = chunk.next;
        }
        left.sort_unstable();
        let kept: Vec<u32> = (0..40).filter(|&entry| places[entry as usize].is_some()).collect();
        assert_eq!(left, kept);
        assert!(lists.is_empty(1) && lists.is_empty(0));
        let chunks = lists.chunks.len();
        for entry in 0..40 {
            lists.push(0, entry);
        }
        assert_eq!(lists.chunks.len(), chunks, "chunks are used again");
    }

    #[test]
    fn a_chunk_is_a_cache_line() {
        assert_eq!((size_of::<Chunk>(), size_of::<Place>()), (64, 8));
    }
}
