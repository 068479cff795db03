//! What was learned of destinations: each for a time, and no more than a bound of them.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::time::Instant;

/// A value for each of some destinations. The one that ends first makes room for a new one.
pub(crate) struct Learned<T> {
    entries: BTreeMap<Address, (T, Instant)>,
    ends: BTreeSet<(Instant, Address)>,
}

impl<T> Default for Learned<T> {
    fn default() -> Learned<T> {
        Learned { entries: BTreeMap::new(), ends: BTreeSet::new() }
    }
}

impl<T: Copy> Learned<T> {
    /// What is known of a destination.
    #[inline]
    pub(crate) fn get(&self, destination: Address) -> Option<T> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&destination).map(|&(value, _)| value)
    }

    /// Keeps a value until a time, in place of what was known before; at most so many, with 0 none.
    pub(crate) fn put(&mut self, destination: Address, value: T, until: Instant, most: usize) {
        if let Some((_, old)) = self.entries.remove(&destination) {
            self.ends.remove(&(old, destination));
        }
        while self.entries.len() >= most {
            let Some((_, first)) = self.ends.pop_first() else { return };
            self.entries.remove(&first);
        }
        self.entries.insert(destination, (value, until));
        self.ends.insert((until, destination));
    }

    /// Forgets what has ended; whether there was any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.deadline() <= now
            && let Some((_, destination)) = self.ends.pop_first()
        {
            self.entries.remove(&destination);
            any = true;
        }
        any
    }

    /// When the next one ends.
    pub(crate) fn deadline(&self) -> Instant {
        self.ends.first().map_or(Instant::NEVER, |&(until, _)| until)
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = T> + '_ {
        self.entries.values().map(|&(value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::testing::addr;

    #[test]
    fn the_bound_holds_and_what_ends_first_makes_room() {
        let mut learned = Learned::default();
        for (step, address) in ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"].into_iter().enumerate() {
            learned.put(addr(address), step, Instant(step as u64), 2);
        }
        assert_eq!(["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| learned.get(addr(address))), [Some(2), None, Some(3)]);
        assert_eq!((learned.values().count(), learned.ends.len(), learned.deadline()), (2, 2, Instant(2)));
        assert!(!learned.expire(Instant(1)) && learned.expire(Instant(2)));
        assert_eq!((learned.get(addr("192.0.2.1")), learned.deadline()), (None, Instant(3)));
        learned.put(addr("192.0.2.4"), 4, Instant(4), 0);
        assert_eq!((learned.values().count(), learned.ends.len()), (0, 0));
    }
}
