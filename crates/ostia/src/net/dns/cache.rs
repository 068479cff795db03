//! What was answered, kept as long as it holds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::message::Kind;
use super::name::HostName;

/// What is known of the addresses of one family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// They are these, at least one.
    Addresses(Vec<IpAddr>),
    /// The name has none of this family.
    Nothing,
    /// There is no such name.
    Missing,
}

struct Entry {
    known: Known,
    until: Instant,
}

/// Answers by name and family.
pub(super) struct Cache {
    // In an order of its own, so that who is put out is the same each time.
    entries: BTreeMap<(HostName, Kind), Entry>,
    most: usize,
}

impl Cache {
    /// One that keeps so many answers at most.
    pub(super) fn new(most: usize) -> Cache {
        Cache { entries: BTreeMap::new(), most }
    }

    /// What is known, if it still holds.
    pub(super) fn get(&mut self, name: &HostName, kind: Kind, now: Instant) -> Option<Known> {
        let key = (name.clone(), kind);
        let entry = self.entries.get(&key)?;
        if entry.until > now {
            return Some(entry.known.clone());
        }
        self.entries.remove(&key);
        None
    }

    /// Keeps an answer for this long; one that holds for no time at all is not kept.
    pub(super) fn put(&mut self, name: HostName, kind: Kind, known: Known, now: Instant, lifetime: Duration) {
        let Some(until) = now.checked_add(lifetime).filter(|until| *until > now) else { return };
        let key = (name, kind);
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.entries.retain(|_, entry| entry.until > now);
        }
        while self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            let Some(first) = self.entries.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone()) else {
                return;
            };
            self.entries.remove(&first);
        }
        self.entries.insert(key, Entry { known, until });
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).expect("a name")
    }

    #[test]
    fn an_answer_holds_for_its_time_and_for_its_family() {
        let (mut cache, start, second) = (Cache::new(8), Instant::now(), Duration::from_secs(1));
        let known = Known::Addresses(vec![[192, 0, 2, 1].into()]);
        cache.put(name("a.b"), Kind::A, known.clone(), start, 5 * second);
        cache.put(name("a.b"), Kind::Aaaa, Known::Nothing, start, 2 * second);
        cache.put(name("none.b"), Kind::A, Known::Missing, start, Duration::ZERO);
        assert_eq!(cache.get(&name("A.B"), Kind::A, start + 4 * second), Some(known));
        assert_eq!(cache.get(&name("a.b"), Kind::Aaaa, start + second), Some(Known::Nothing));
        assert_eq!(cache.get(&name("a.b"), Kind::Aaaa, start + 2 * second), None);
        assert_eq!(cache.get(&name("a.b"), Kind::A, start + 5 * second), None);
        assert_eq!(cache.get(&name("none.b"), Kind::A, start), None);
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn the_first_to_go_goes_first_when_it_is_full() {
        let (mut cache, start) = (Cache::new(2), Instant::now());
        for (text, secs) in [("a", 30), ("b", 10), ("c", 20)] {
            cache.put(name(text), Kind::A, Known::Missing, start, Duration::from_secs(secs));
        }
        let left: Vec<bool> = ["a", "b", "c"].iter().map(|text| cache.get(&name(text), Kind::A, start).is_some()).collect();
        assert_eq!(left, [true, false, true]);
        // One that is there already puts nobody out.
        cache.put(name("c"), Kind::A, Known::Nothing, start, Duration::from_secs(5));
        assert!(cache.get(&name("a"), Kind::A, start).is_some());
        let mut none = Cache::new(0);
        none.put(name("a"), Kind::A, Known::Missing, start, Duration::from_secs(9));
        assert_eq!(none.get(&name("a"), Kind::A, start), None);
    }
}
