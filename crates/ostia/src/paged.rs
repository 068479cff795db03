//! Numbered records in pages: they never move, growth copies nothing, and a free place costs what a record does.

/// Records per page.
const PAGE: usize = 64;
/// No place.
const NONE: u32 = u32::MAX;

enum Entry<T> {
    Vacant(u32),
    Taken(T),
}

/// A slab without generations: a number may be used again as soon as its record is gone, so whoever holds a number
/// past that must be content to reach another record.
pub(crate) struct Paged<T> {
    pages: Vec<Box<[Entry<T>; PAGE]>>,
    free: u32,
    len: usize,
}

impl<T> Paged<T> {
    pub(crate) const fn new() -> Paged<T> {
        Paged { pages: Vec::new(), free: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, record: T) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let entry = &mut self.pages[index as usize / PAGE][index as usize % PAGE];
        if let Entry::Vacant(next) = std::mem::replace(entry, Entry::Taken(record)) {
            self.free = next;
        }
        self.len += 1;
        index
    }

    #[cold]
    fn grow(&mut self) {
        let base = (self.pages.len() * PAGE) as u32;
        let next = |i: usize| if i + 1 == PAGE { NONE } else { base + i as u32 + 1 };
        self.pages.push(Box::new(std::array::from_fn(|i| Entry::Vacant(next(i)))));
        self.free = base;
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match &self.pages.get(index as usize / PAGE)?[index as usize % PAGE] {
            Entry::Taken(record) => Some(record),
            Entry::Vacant(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match &mut self.pages.get_mut(index as usize / PAGE)?[index as usize % PAGE] {
            Entry::Taken(record) => Some(record),
            Entry::Vacant(_) => None,
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.pages.get_mut(index as usize / PAGE)?.get_mut(index as usize % PAGE)?;
        if matches!(entry, Entry::Vacant(_)) {
            return None;
        }
        let Entry::Taken(record) = std::mem::replace(entry, Entry::Vacant(self.free)) else { return None };
        self.free = index;
        self.len -= 1;
        if self.len == 0 {
            // Nothing is numbered any more: the memory can go, all but a page.
            self.pages.truncate(1);
            self.free = 0;
            let next = |i: usize| if i + 1 == PAGE { NONE } else { i as u32 + 1 };
            for (i, entry) in self.pages[0].iter_mut().enumerate() {
                *entry = Entry::Vacant(next(i));
            }
        }
        Some(record)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).filter_map(|entry| match entry {
            Entry::Taken(record) => Some(record),
            Entry::Vacant(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_place_for_a_waker_costs_a_waker() {
        assert_eq!(size_of::<Entry<Waker>>(), size_of::<Waker>());
    }

    #[test]
    fn places_are_reused_and_pages_go_when_all_are_free() {
        let mut paged = Paged::new();
        let all: Vec<u32> = (0..1000).map(|i| paged.insert(i)).collect();
        assert_eq!(paged.len(), 1000);
        assert!(all.iter().all(|&i| paged.get(i) == Some(&(i as usize as i32))));
        assert_eq!(paged.remove(17), Some(17));
        assert_eq!(paged.remove(17), None);
        assert_eq!(paged.insert(-1), 17);
        assert_eq!(paged.iter().count(), 1000);
        for i in all {
            assert!(paged.remove(i).is_some());
        }
        assert_eq!(paged.len(), 0);
        assert_eq!(paged.pages.len(), 1);
        assert_eq!((0..130).map(|i| paged.insert(i)).max(), Some(129));
    }
}
