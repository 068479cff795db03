//! From a four-tuple to what is kept for it: one keyed table for connections, half-open ones, and TIME-WAIT records.

use hashbrown::HashTable;

/// What a tuple leads to: a place in one of the three slabs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

/// The kind stands in the top two bits, so that a slot costs four bytes.
const KIND: u32 = 30;
const PLACE: u32 = (1 << KIND) - 1;

impl Entry {
    /// Places that fit.
    pub(crate) const PLACES: usize = PLACE as usize;

    fn pack(self) -> u32 {
        let (kind, place) = match self {
            Entry::Connection(place) => (0, place),
            Entry::HalfOpen(place) => (1, place),
            Entry::TimeWait(place) => (2, place),
        };
        kind << KIND | place & PLACE
    }

    fn unpack(word: u32) -> Entry {
        let place = word & PLACE;
        match word >> KIND {
            0 => Entry::Connection(place),
            1 => Entry::HalfOpen(place),
            _ => Entry::TimeWait(place),
        }
    }

    /// One word for the entry, as timers carry it.
    pub(crate) fn token(self) -> u32 {
        self.pack()
    }

    /// The entry of a timer's word.
    pub(crate) fn of_token(token: u32) -> Entry {
        Entry::unpack(token)
    }
}

/// The table. It keeps no tuples: those stand in the records, and callers compare them.
#[derive(Default)]
pub(crate) struct Table(HashTable<u32>);

impl Table {
    /// The entry with that hash that `is_it` takes.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(Entry) -> bool) -> Option<Entry> {
        self.0.find(hash, |&word| is_it(Entry::unpack(word))).map(|&word| Entry::unpack(word))
    }

    /// Adds an entry; `rehash` tells the hash of others, should the table grow.
    pub(crate) fn insert(&mut self, hash: u64, entry: Entry, rehash: impl Fn(Entry) -> u64) {
        self.0.insert_unique(hash, entry.pack(), |&word| rehash(Entry::unpack(word)));
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, hash: u64, entry: Entry) -> bool {
        match self.0.find_entry(hash, |&word| word == entry.pack()) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Puts another entry in the place of one with the same tuple.
    pub(crate) fn replace(&mut self, hash: u64, entry: Entry, with: Entry) {
        if let Some(word) = self.0.find_mut(hash, |&word| word == entry.pack()) {
            *word = with.pack();
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_packing() {
        for place in [0, 1, 77, PLACE] {
            for entry in [Entry::Connection(place), Entry::HalfOpen(place), Entry::TimeWait(place)] {
                assert_eq!(Entry::of_token(entry.token()), entry);
            }
        }
    }

    #[test]
    fn entries_with_one_hash_are_told_apart() {
        let mut table = Table::default();
        for place in 0..100 {
            table.insert(7, Entry::Connection(place), |_| 7);
        }
        assert_eq!(table.find(7, |entry| entry == Entry::Connection(42)), Some(Entry::Connection(42)));
        assert!(table.remove(7, Entry::Connection(42)));
        assert!(!table.remove(7, Entry::Connection(42)));
        assert_eq!(table.find(7, |entry| entry == Entry::Connection(42)), None);
        table.replace(7, Entry::Connection(43), Entry::TimeWait(1));
        assert_eq!(table.find(7, |entry| entry == Entry::TimeWait(1)), Some(Entry::TimeWait(1)));
        assert_eq!(table.len(), 99);
    }
}
