//! A slab: values in one row of places, each place with a generation, so that a key outlives its value without harm.

use alloc::vec::Vec;

/// The index that stands for none.
const NONE: u32 = u32::MAX;

/// Names a value in a [`Slab`], and never another one that is put into the same place later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// Which place.
    pub(crate) index: u32,
    /// Which of the values that the place has held.
    pub(crate) generation: u32,
}

/// Values named by keys, with O(1) insert, look-up and remove. A freed place is the next to be used, for it is still in the
/// processor's cache.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: u32,
    len: usize,
    limit: usize,
}

/// The generation stands in both variants, so that it shares a word with the tag: a place costs eight bytes more than `T`.
enum Place<T> {
    Vacant { generation: u32, next_free: u32 },
    Used { generation: u32, value: T },
}

/// What a place takes beside its value.
#[cfg(test)]
pub(crate) const ENTRY_OVERHEAD: usize = size_of::<Place<u64>>() - size_of::<u64>();

impl<T> Slab<T> {
    /// A slab that never holds more than `limit` values. It takes memory as values come.
    pub(crate) fn with_limit(limit: usize) -> Slab<T> {
        Slab { places: Vec::new(), free: NONE, len: 0, limit }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many places there are, of values and free ones: every index is below.
    pub(crate) fn places(&self) -> u32 {
        self.places.len() as u32
    }

    /// Whether [`insert`](Self::insert) would refuse a value.
    pub(crate) fn is_full(&self) -> bool {
        // Without a free place a new one is made, and those that retired count too: an index has 32 bits.
        self.len >= self.limit || (self.free == NONE && self.places.len() >= NONE as usize)
    }

    /// Puts a value in; none at the limit, where the value is dropped.
    pub(crate) fn insert(&mut self, value: T) -> Option<Key> {
        if self.is_full() {
            return None;
        }
        self.len += 1;
        let index = self.free;
        if let Some(place) = self.places.get_mut(index as usize)
            && let Place::Vacant { generation, next_free } = *place
        {
            self.free = next_free;
            *place = Place::Used { generation, value };
            return Some(Key { index, generation });
        }
        let index = self.places.len() as u32;
        self.places.push(Place::Used { generation: 0, value });
        Some(Key { index, generation: 0 })
    }

    /// The value that the key names, if it is still there.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.places.get(key.index as usize)? {
            Place::Used { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The value that the key names, if it is still there.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.places.get_mut(key.index as usize)? {
            Place::Used { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the value out that the key names, if it is still there.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.remove_at(key.index)
    }

    /// The value in a place.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match self.places.get(index as usize)? {
            Place::Used { value, .. } => Some(value),
            Place::Vacant { .. } => None,
        }
    }

    /// The value in a place.
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.places.get_mut(index as usize)? {
            Place::Used { value, .. } => Some(value),
            Place::Vacant { .. } => None,
        }
    }

    /// The key of the value in a place.
    pub(crate) fn key_of(&self, index: u32) -> Option<Key> {
        match *self.places.get(index as usize)? {
            Place::Used { generation, .. } => Some(Key { index, generation }),
            Place::Vacant { .. } => None,
        }
    }

    /// Takes the value of a place out.
    pub(crate) fn remove_at(&mut self, index: u32) -> Option<T> {
        let generation = self.key_of(index)?.generation;
        let place = self.places.get_mut(index as usize)?;
        // A place whose generations are used up retires: no key may come to name a second value.
        let next = generation.checked_add(1);
        let vacant = Place::Vacant { generation: next.unwrap_or(generation), next_free: self.free };
        let Place::Used { value, .. } = core::mem::replace(place, vacant) else { return None };
        if next.is_some() {
            self.free = index;
        }
        self.len -= 1;
        Some(value)
    }

    /// The values with their keys, in order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().zip(0..).filter_map(|(place, index)| match place {
            Place::Used { generation, value } => Some((Key { index, generation: *generation }, value)),
            Place::Vacant { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_stale_key_opens_nothing() {
        let mut slab = Slab::with_limit(4);
        let first = slab.insert("first").unwrap();
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second").unwrap();
        assert_eq!(first.index, second.index, "the place is reused");
        assert_ne!(first, second);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
    }

    #[test]
    fn the_place_freed_last_is_used_first() {
        let mut slab = Slab::with_limit(4);
        let keys: Vec<Key> = (0..3).map(|n| slab.insert(n).unwrap()).collect();
        slab.remove(keys[0]);
        slab.remove(keys[2]);
        assert_eq!(slab.insert(7).unwrap().index, 2);
        assert_eq!(slab.insert(8).unwrap().index, 0);
        assert_eq!(slab.insert(9).unwrap().index, 3);
    }

    #[test]
    fn there_are_never_more_values_than_the_limit() {
        let mut slab = Slab::with_limit(2);
        let key = slab.insert(1).unwrap();
        slab.insert(2).unwrap();
        assert!(slab.is_full());
        assert_eq!(slab.insert(3), None);
        slab.remove(key);
        assert!(slab.insert(3).is_some());
        assert!(Slab::with_limit(0).insert(()).is_none());
    }

    #[test]
    fn a_place_costs_eight_bytes() {
        assert_eq!(size_of::<Place<[u64; 4]>>(), 32 + 8);
        assert_eq!(size_of::<Place<u32>>(), 4 + 8);
        assert!(size_of::<Place<Vec<u8>>>() <= size_of::<Vec<u8>>() + 8);
    }

    #[test]
    fn a_place_without_generations_left_retires() {
        let mut slab = Slab::with_limit(4);
        slab.places.push(Place::Used { generation: u32::MAX, value: "last" });
        slab.len = 1;
        let last = slab.key_of(0).unwrap();
        assert_eq!(slab.remove(last), Some("last"));
        assert_eq!(slab.insert("next").unwrap().index, 1);
        assert_eq!(slab.get(last), None);
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(steps in proptest::collection::vec((0u8..4, any::<u16>()), 0..200)) {
            let mut slab = Slab::with_limit(20);
            let mut model: HashMap<Key, u16> = HashMap::new();
            let mut keys: Vec<Key> = Vec::new();
            for (what, number) in steps {
                match (what, keys.len()) {
                    (0 | 1, _) => match slab.insert(number) {
                        Some(key) => {
                            keys.push(key);
                            prop_assert_eq!(model.insert(key, number), None, "a key is given once");
                        }
                        None => prop_assert_eq!(model.len(), 20),
                    },
                    (_, 0) => {}
                    (2, count) => {
                        let key = keys[number as usize % count];
                        prop_assert_eq!(slab.remove(key), model.remove(&key));
                    }
                    (_, count) => {
                        let key = keys[number as usize % count];
                        if let Some(value) = slab.get_mut(key) {
                            *value = number;
                            model.insert(key, number);
                        }
                    }
                }
                prop_assert_eq!(slab.len(), model.len());
                for key in &keys {
                    prop_assert_eq!(slab.get(*key), model.get(key));
                }
                let listed: Vec<(Key, u16)> = slab.iter().map(|(key, value)| (key, *value)).collect();
                prop_assert!(listed.is_sorted_by_key(|(key, _)| key.index));
                prop_assert_eq!(listed.len(), model.len());
                for (key, value) in listed {
                    prop_assert_eq!(model.get(&key), Some(&value));
                    prop_assert_eq!(slab.key_of(key.index), Some(key));
                    prop_assert_eq!(slab.at(key.index), Some(&value));
                    prop_assert_eq!(slab.at_mut(key.index).copied(), Some(value));
                }
            }
        }
    }
}
