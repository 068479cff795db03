//! Identifications of packets that may be fragmented: never repeated soon, and telling nothing of other traffic (RFC 7739).

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::address::Address;
use crate::random::Random;

/// How many counters: destinations that share one can't tell, for each has a start of its own.
const COUNTERS: usize = 256;

/// A counter for each of some groups of destinations, begun anywhere, with an offset of its own for each destination.
pub(crate) struct Identifications {
    key: [u8; 16],
    counters: [u32; COUNTERS],
}

impl Identifications {
    pub(crate) fn new(random: &mut Random) -> Identifications {
        Identifications { key: random.key(), counters: core::array::from_fn(|_| random.u32()) }
    }

    /// The next for packets of a protocol between two addresses. IPv4 takes the low 16 bits.
    pub(crate) fn next(&mut self, source: Address, destination: Address, protocol: u8) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(source.bytes());
        hasher.write(destination.bytes());
        hasher.write_u8(protocol);
        let hash = hasher.finish();
        let counter = &mut self.counters[hash as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        counter.wrapping_add((hash >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::testing::addr;

    #[test]
    fn one_pair_of_addresses_counts_on_and_others_begin_elsewhere() {
        let mut all = Identifications::new(&mut Random::new([1; 32]));
        let (a, b, c) = (addr("192.0.2.1"), addr("192.0.2.2"), addr("192.0.2.3"));
        let first = all.next(a, b, 17);
        assert_eq!(all.next(a, b, 17), first.wrapping_add(1));
        assert_ne!(all.next(a, c, 17).wrapping_sub(first) & 0xffff, 2);
    }
}
