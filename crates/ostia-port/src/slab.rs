//! A slab in pages: records never move, growth copies nothing, and memory follows the number in use.

/// Records per page. A page is allocated when its first record is needed and freed when it and all pages behind it are empty.
const PAGE: usize = 64;

/// The index that stands for "none" in the intrusive lists that run through slabs.
pub(crate) const NONE: u32 = u32::MAX;

struct Page<T> {
    records: Box<[Entry<T>; PAGE]>,
}

enum Entry<T> {
    Vacant { next: u32, generation: u32 },
    Taken(T),
}

/// Keyed storage with O(1) insert and remove. A record tells its own generation through [`Generational`].
pub(crate) struct Slab<T> {
    pages: Vec<Page<T>>,
    free: u32,
    len: usize,
}

/// A record that remembers how often its place was reused, so that a late reference can be told from a live one.
pub(crate) trait Generational {
    /// The generation this record was given at [`Slab::insert_with`].
    fn generation(&self) -> u32;
}

/// Generations have 24 bits, for they share a word with an index and a kind.
const GENERATION_MASK: u32 = 0x00ff_ffff;

impl<T: Generational> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { pages: Vec::new(), free: NONE, len: 0 }
    }

    /// How many records are in use.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many indices exist: every live index is below this.
    pub(crate) fn bound(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }

    /// Puts in the record that `make` builds for its (index, generation) and returns the index.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32, u32) -> T) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let entry = self.entry_mut(index);
        let Entry::Vacant { next, generation } = *entry else { unreachable!("the free list holds vacant entries only") };
        *entry = Entry::Taken(make(index, generation));
        self.free = next;
        self.len += 1;
        index
    }

    fn grow(&mut self) {
        let base = self.bound();
        let last = base + PAGE as u32 - 1;
        let records: Vec<Entry<T>> =
            (base..=last).map(|i| Entry::Vacant { next: if i == last { NONE } else { i + 1 }, generation: 1 }).collect();
        let records = records.into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("a page has PAGE entries"));
        self.pages.push(Page { records });
        self.free = base;
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.pages[index as usize / PAGE].records[index as usize % PAGE]
    }

    /// The record at `index`, if one is there.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match self.pages.get(index as usize / PAGE)?.records[index as usize % PAGE] {
            Entry::Taken(ref t) => Some(t),
            Entry::Vacant { .. } => None,
        }
    }

    /// The record at `index`, if one is there.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.pages.get_mut(index as usize / PAGE)?.records[index as usize % PAGE] {
            Entry::Taken(ref mut t) => Some(t),
            Entry::Vacant { .. } => None,
        }
    }

    /// The record at `index`, if it is still of this `generation`.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        self.at_mut(index).filter(|t| t.generation() == generation)
    }

    /// The record at `index`, if it is still of this `generation`.
    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        self.at(index).filter(|t| t.generation() == generation)
    }

    /// Takes the record out; its place gets a new generation.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let generation = self.at(index)?.generation();
        let next_generation = ((generation + 1) & GENERATION_MASK).max(1);
        let entry = self.entry_mut(index);
        let Entry::Taken(record) = std::mem::replace(entry, Entry::Vacant { next: free, generation: next_generation }) else {
            return None;
        };
        self.free = index;
        self.len -= 1;
        Some(record)
    }

    /// The indices in use, in order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.bound()).filter(|&i| self.at(i).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rec(u32, &'static str);
    impl Generational for Rec {
        fn generation(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn a_reused_place_refuses_the_old_generation() {
        let mut slab = Slab::new();
        let mut first = 0;
        let a = slab.insert_with(|_, g| {
            first = g;
            Rec(g, "a")
        });
        assert_eq!(slab.get(a, first).map(|r| r.1), Some("a"));
        assert_eq!(slab.remove(a).map(|r| r.1), Some("a"));
        let b = slab.insert_with(|_, g| Rec(g, "b"));
        assert_eq!(a, b, "the place is reused");
        assert!(slab.get(a, first).is_none(), "the old key no longer opens it");
        assert_eq!(slab.at(b).map(|r| r.1), Some("b"));
        assert!(slab.remove(a).is_some() && slab.remove(a).is_none());
    }

    #[test]
    fn generations_wrap_without_zero() {
        let mut slab = Slab::new();
        let i = slab.insert_with(|_, _| Rec(GENERATION_MASK, "last"));
        slab.remove(i);
        slab.insert_with(|_, g| {
            assert_eq!(g, 1);
            Rec(g, "first")
        });
    }

    #[test]
    fn grows_by_pages_and_keeps_every_record() {
        let mut slab = Slab::new();
        let all: Vec<u32> = (0..1000).map(|_| slab.insert_with(|_, g| Rec(g, "x"))).collect();
        assert_eq!(slab.len(), 1000);
        assert_eq!(slab.indices().count(), 1000);
        for i in all {
            assert!(slab.remove(i).is_some());
        }
        assert_eq!(slab.len(), 0);
    }
}
