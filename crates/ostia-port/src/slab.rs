//! A slab: records in one growing row, reused last in first out, each place with a generation.
//!
//! A row large enough for its allocation to be a mapping of its own grows by moving pages, not bytes, leaves no hole behind,
//! and what it has not used yet takes no memory: so rows begin at that size, and may double.

/// The index that stands for "none" in the intrusive lists that run through slabs.
pub(crate) const NONE: u32 = u32::MAX;

/// Generations have 24 bits, for they share a word with an index and a kind. Odd ones are of records in use.
const GENERATION_MASK: u32 = 0x00ff_ffff;

/// The size in bytes of a row when its first record comes: allocators map what is this large rather than carve it out.
const FIRST: usize = 256 << 10;

/// What a slab needs of its records: where a vacant one keeps the free list, and every one its generation.
pub(crate) trait Record {
    /// The generation given by [`Slab::insert_with`] or [`vacant`](Self::vacant).
    fn generation(&self) -> u32;
    /// A record that is not in use.
    fn vacant(generation: u32, next_free: u32) -> Self;
    /// What [`vacant`](Self::vacant) was given.
    fn next_free(&self) -> u32;
    /// Becomes vacant in place; what the record owned is dropped.
    fn retire(&mut self, generation: u32, next_free: u32)
    where
        Self: Sized,
    {
        *self = Self::vacant(generation, next_free);
    }
}

/// Keyed storage with O(1) insert and remove.
pub(crate) struct Slab<T> {
    records: Vec<T>,
    free: u32,
    len: usize,
}

impl<T: Record> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { records: Vec::new(), free: NONE, len: 0 }
    }

    /// How many records are in use.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many indices exist: every live index is below this.
    pub(crate) fn bound(&self) -> u32 {
        self.records.len() as u32
    }

    /// Puts in the record that `make` builds for its (index, generation) and returns the index.
    #[inline]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32, u32) -> T) -> u32 {
        self.len += 1;
        let index = self.free;
        if let Some(place) = self.records.get_mut(index as usize) {
            self.free = place.next_free();
            let fresh = make(index, (place.generation() + 1) & GENERATION_MASK);
            // A vacant record owns nothing: forgetting it spares looking what there is to drop.
            std::mem::forget(std::mem::replace(place, fresh));
            return index;
        }
        if self.records.capacity() == 0 {
            self.records.reserve_exact(FIRST / size_of::<T>().max(1));
        }
        let index = self.bound();
        assert!(index < NONE, "a slab holds less than 2^32 records");
        self.records.push(make(index, 1));
        index
    }

    /// The record in use at `index`.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        self.records.get(index as usize).filter(|record| record.generation() & 1 == 1)
    }

    /// The record in use at `index`.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.records.get_mut(index as usize).filter(|record| record.generation() & 1 == 1)
    }

    /// The record at `index`, if it is still of this `generation`, which must be one that a record in use has had.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        debug_assert_eq!(generation & 1, 1, "only records in use are named");
        self.records.get_mut(index as usize).filter(|record| record.generation() == generation)
    }

    /// As [`get_mut`](Self::get_mut), to look at.
    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        debug_assert_eq!(generation & 1, 1, "only records in use are named");
        self.records.get(index as usize).filter(|record| record.generation() == generation)
    }

    /// Takes the record out; its place gets a new generation.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let place = self.at_mut(index)?;
        let vacant = T::vacant((place.generation() + 1) & GENERATION_MASK, free);
        let record = std::mem::replace(place, vacant);
        self.free = index;
        self.len -= 1;
        Some(record)
    }

    /// Drops the record where it stands; its place gets a new generation.
    #[inline]
    pub(crate) fn discard(&mut self, index: u32) {
        let free = self.free;
        let Some(place) = self.at_mut(index) else { return };
        place.retire((place.generation() + 1) & GENERATION_MASK, free);
        self.free = index;
        self.len -= 1;
    }

    /// The indices in use, in order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.bound()).filter(|&i| self.at(i).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rec(u32, &'static str, u32);
    impl Record for Rec {
        fn generation(&self) -> u32 {
            self.0
        }
        fn vacant(generation: u32, next_free: u32) -> Rec {
            Rec(generation, "", next_free)
        }
        fn next_free(&self) -> u32 {
            self.2
        }
    }

    #[test]
    fn a_reused_place_refuses_the_old_generation() {
        let mut slab = Slab::new();
        let mut first = 0;
        let a = slab.insert_with(|_, g| {
            first = g;
            Rec(g, "a", 0)
        });
        assert_eq!(slab.get(a, first).map(|r| r.1), Some("a"));
        assert_eq!(slab.remove(a).map(|r| r.1), Some("a"));
        let b = slab.insert_with(|_, g| Rec(g, "b", 0));
        assert_eq!(a, b, "the place is reused");
        assert!(slab.get(a, first).is_none(), "the old key no longer opens it");
        assert_eq!(slab.at(b).map(|r| r.1), Some("b"));
        assert!(slab.remove(a).is_some() && slab.remove(a).is_none());
    }

    #[test]
    fn generations_wrap_without_zero() {
        let mut slab = Slab::new();
        let i = slab.insert_with(|_, _| Rec(GENERATION_MASK, "last", 0));
        slab.remove(i);
        slab.insert_with(|_, g| {
            assert_eq!(g, 1, "odd, and zero is skipped");
            Rec(g, "first", 0)
        });
    }

    #[test]
    fn grows_and_keeps_every_record() {
        let mut slab = Slab::new();
        let all: Vec<u32> = (0..1000).map(|_| slab.insert_with(|_, g| Rec(g, "x", 0))).collect();
        assert_eq!(slab.len(), 1000);
        assert_eq!(slab.indices().count(), 1000);
        for i in all {
            assert!(slab.remove(i).is_some());
        }
        assert_eq!(slab.len(), 0);
    }
}
