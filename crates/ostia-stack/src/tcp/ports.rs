//! The choice of ephemeral ports (RFC 6056).

use alloc::boxed::Box;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

/// How many counters the destinations share.
const COUNTERS: usize = 256;

/// A port is at most this far from the last one of its counter.
const STRIDE: u32 = 8;

/// Chooses local ports so that nobody foretells them, and that the ports of one destination are used again as late as can be
/// (RFC 6056, 3.3.4, "double-hash port selection"): every destination begins at a place of its own in the range, and goes on from
/// there by one of a number of counters. Counters go on by random steps (3.3.5), for else a destination could count the
/// connections to others.
pub(crate) struct Ports {
    key: [u8; 16],
    low: u16,
    count: u32,
    counters: Box<[u32; COUNTERS]>,
}

impl Ports {
    /// Ports from the first to the last of `range`, both included. Port 0 is never chosen.
    pub(crate) fn new(key: [u8; 16], range: (u16, u16)) -> Ports {
        let (low, high) = (range.0.max(1), range.1);
        let count = (u32::from(high) + 1).saturating_sub(u32::from(low));
        Ports { key, low, count, counters: Box::new([0; COUNTERS]) }
    }

    /// A port that isn't taken, or none if all are. `destination` is a hash of the local address and the remote address and port;
    /// it needn't be keyed. `random` is any 32 random bits.
    pub(crate) fn choose(&mut self, destination: u64, random: u32, mut is_taken: impl FnMut(u16) -> bool) -> Option<u16> {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&destination.to_le_bytes());
        let hash = hasher.finish();
        // Parts of one keyed hash serve as the two functions.
        let counter = self.counters.get_mut((hash >> 32) as usize % COUNTERS)?;
        let first = (hash as u32).wrapping_add(*counter);
        for step in 0..self.count {
            // The remainder is taken first, so that a sum that wraps doesn't skip ports.
            let offset = (first.checked_rem(self.count)? + step) % self.count;
            let port = self.low + offset as u16;
            if !is_taken(port) {
                *counter = counter.wrapping_add(step + 1 + random % STRIDE);
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const KEY: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn every_free_port_is_found_and_then_none() {
        let mut ports = Ports::new(KEY, (1000, 1099));
        let mut taken = BTreeSet::new();
        for random in 0..100 {
            let port = ports.choose(7, random, |port| taken.contains(&port)).unwrap();
            assert!(taken.insert(port));
        }
        assert_eq!((taken.first(), taken.last()), (Some(&1000), Some(&1099)));
        assert_eq!(ports.choose(7, 0, |port| taken.contains(&port)), None);
        taken.remove(&1050);
        assert_eq!(ports.choose(7, 0, |port| taken.contains(&port)), Some(1050));
    }

    #[test]
    fn a_range_may_be_all_of_them_or_empty() {
        let mut ports = Ports::new(KEY, (0, u16::MAX));
        assert_eq!(ports.count, 65_535, "port 0 is never chosen");
        assert!((0..1000).all(|random| ports.choose(u64::from(random), random, |_| false) != Some(0)));
        assert_eq!(Ports::new(KEY, (0, u16::MAX)).choose(1, 0, |port| port != u16::MAX), Some(u16::MAX));
        assert_eq!(Ports::new(KEY, (10, 9)).choose(1, 0, |_| false), None);
        assert_eq!(Ports::new(KEY, (9, 9)).choose(1, 0, |_| false), Some(9));
    }

    #[test]
    fn the_ports_of_one_destination_come_again_late() {
        let mut ports = Ports::new(KEY, (32_768, 60_999));
        let randoms = (0..3000u32).map(|number| number.wrapping_mul(2_654_435_761) >> 7);
        let chosen: Vec<u16> = randoms.map(|random| ports.choose(5, random, |_| false).unwrap()).collect();
        let different: BTreeSet<u16> = chosen.iter().copied().collect();
        assert_eq!(different.len(), chosen.len());
    }

    #[test]
    fn destinations_begin_at_places_of_their_own() {
        let first: BTreeSet<u16> =
            (0..200).filter_map(|destination| Ports::new(KEY, (1024, 65_535)).choose(destination, 0, |_| false)).collect();
        assert!(first.len() > 190);
        let other: BTreeSet<u16> =
            (0..200).filter_map(|destination| Ports::new([0; 16], (1024, 65_535)).choose(destination, 0, |_| false)).collect();
        assert!(first.intersection(&other).count() < 10, "the key decides where");
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_free_and_in_the_range(
            low: u16,
            len in 0u16..300,
            calls in proptest::collection::vec((any::<u64>(), any::<u32>()), 0..50),
            modulus in 1u16..10,
        ) {
            let high = low.saturating_add(len);
            let mut ports = Ports::new(KEY, (low, high));
            for (destination, random) in calls {
                let free = |port: u16| port.is_multiple_of(modulus);
                match ports.choose(destination, random, |port| !free(port)) {
                    Some(port) => prop_assert!(port >= low.max(1) && port <= high && free(port)),
                    None => prop_assert!(!(low.max(1)..=high).any(free)),
                }
            }
        }
    }
}
