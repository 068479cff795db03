//! Puts fragments of both families together again (RFC 791, 3.2; RFC 8200, 4.5), within bounds.
//!
//! A fragment's bytes are copied to a piece of their exact size, so that a few of them don't pin a device's large buffer. A
//! packet with fragments that overlap is given up, with all that still come of it (RFC 5722). The bounds are on the packets of
//! one source, on the pieces of one packet, and on the memory of all; past one the oldest packet goes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use ostia_wire::Frame;

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::link::LinkId;
use crate::time::Instant;

/// Pieces of one packet: enough for the longest one in fragments for an MTU of 576.
const MAX_PIECES: usize = 128;
/// The longest packet, and the longest IPv6 payload.
const MAX_LENGTH: usize = 65_535;
/// What a piece and a packet cost beside their bytes.
const PIECE_COST: usize = 48;
const PACKET_COST: usize = 256;
const TCP: u8 = 6;
/// The shortest first fragment of a TCP packet: what shows its ports and flags (RFC 1858, 3).
const TCP_LEAST: usize = 16;

/// A fragment that has arrived.
pub(crate) struct Fragment<'a> {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) identification: u32,
    /// Of the payload; for IPv6 what the fragment header says, which is not part of the packet's name.
    pub(crate) protocol: u8,
    /// In bytes.
    pub(crate) offset: usize,
    pub(crate) more: bool,
    pub(crate) ecn: u8,
    pub(crate) link: LinkId,
    /// All headers before the payload; for IPv6 the fragment header is the last of them.
    pub(crate) head: &'a [u8],
    /// How much of that the whole packet has, too.
    pub(crate) kept: usize,
    /// For IPv6: where in `head` the number of the fragment header stands.
    pub(crate) next_header_at: usize,
    pub(crate) payload: &'a [u8],
}

/// What became of a fragment.
pub(crate) enum Outcome {
    /// It was the last one missing: the whole packet, from its IP header on.
    Whole(Frame),
    /// It waits for the others.
    Waiting,
    /// It goes no farther.
    Dropped(Reason),
}

/// A packet that was not completed in time.
pub(crate) struct Expired {
    pub(crate) link: LinkId,
    /// Its first fragment from the IP header on, if that came: ICMP quotes no other.
    pub(crate) first: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    source: Address,
    destination: Address,
    identification: u32,
    /// Zero for IPv6.
    protocol: u8,
    link: LinkId,
}

struct Piece {
    offset: u16,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> usize {
        usize::from(self.offset) + self.bytes.len()
    }
}

struct Partial {
    born: Instant,
    /// By offset, never overlapping.
    pieces: Vec<Piece>,
    /// Bytes in the pieces.
    received: usize,
    /// Where the packet ends, once the last fragment has come.
    end: Option<usize>,
    /// The headers of the first fragment, and how much of them the whole packet has.
    head: Vec<u8>,
    kept: usize,
    next_header_at: usize,
    protocol: u8,
    /// The congestion marks seen, one bit each (RFC 3168, 5.3).
    ecn: u8,
    /// What it takes of the budget.
    cost: usize,
    /// Given up: what still comes of it is dropped.
    spoiled: bool,
}

/// Every packet that is being put together.
#[derive(Default)]
pub(crate) struct Reassembly {
    packets: BTreeMap<Name, Partial>,
    ages: BTreeSet<(Instant, Name)>,
    cost: usize,
}

impl Reassembly {
    /// Takes a fragment.
    pub(crate) fn input(&mut self, fragment: &Fragment<'_>, env: &mut Env) -> Outcome {
        env.counters.ip_reasm_reqds += 1;
        if is_bad(fragment) {
            return Outcome::Dropped(Reason::FragmentBad);
        }
        let v4 = fragment.source.is_v4();
        let name = Name {
            source: fragment.source,
            destination: fragment.destination,
            identification: fragment.identification,
            protocol: if v4 { fragment.protocol } else { 0 },
            link: fragment.link,
        };
        if !self.packets.contains_key(&name) && !self.make_room(name, env) {
            return Outcome::Dropped(Reason::FragmentMemory);
        }
        if self.packets.get(&name).is_some_and(|partial| partial.spoiled) {
            return Outcome::Dropped(Reason::FragmentOverlap);
        }
        let cost = fragment.payload.len() + PIECE_COST + if fragment.offset == 0 { fragment.head.len() } else { 0 };
        if !self.charge(name, cost, env) {
            self.remove(name, env);
            env.counters.ip_reasm_fails += 1;
            return Outcome::Dropped(Reason::FragmentMemory);
        }
        let Some(partial) = self.packets.get_mut(&name) else { return Outcome::Dropped(Reason::FragmentMemory) };
        match partial.add(fragment) {
            Ok(true) => {}
            // The very same again (RFC 8200, 4.5): nothing is kept of it.
            Ok(false) => {
                partial.cost -= cost;
                self.cost -= cost;
                env.memory.give(cost);
                return Outcome::Waiting;
            }
            Err(reason) => {
                env.counters.ip_reasm_fails += 1;
                self.spoil(name, env);
                return Outcome::Dropped(reason);
            }
        }
        if !partial.is_complete() {
            return Outcome::Waiting;
        }
        let whole = partial.assemble(v4);
        self.remove(name, env);
        match whole {
            Some(frame) => {
                env.counters.ip_reasm_oks += 1;
                Outcome::Whole(frame)
            }
            None => {
                env.counters.ip_reasm_fails += 1;
                Outcome::Dropped(Reason::FragmentBad)
            }
        }
    }

    /// Gives up what was not completed in time.
    pub(crate) fn expire(&mut self, env: &mut Env, expired: &mut Vec<Expired>) {
        while self.deadline(env) <= env.now
            && let Some(&(_, name)) = self.ages.first()
            && let Some(partial) = self.remove(name, env)
        {
            if partial.spoiled {
                continue;
            }
            env.counters.ip_reasm_fails += 1;
            env.drop(Reason::FragmentTimeout);
            let first = partial.pieces.first().filter(|piece| piece.offset == 0).map(|piece| {
                let mut first = partial.head;
                first.extend_from_slice(&piece.bytes);
                first
            });
            expired.push(Expired { link: name.link, first });
        }
    }

    /// When the next one is late.
    pub(crate) fn deadline(&self, env: &Env) -> Instant {
        self.ages.first().map_or(Instant::NEVER, |&(born, _)| born + env.config.reassembly_timeout)
    }

    /// Begins a packet; where its source has too many, the oldest of them goes.
    fn make_room(&mut self, name: Name, env: &mut Env) -> bool {
        let first = Name { destination: Address::UNSPECIFIED, identification: 0, protocol: 0, link: LinkId(0), ..name };
        let same = self.packets.range(first..).take_while(|(other, _)| other.source == name.source);
        let (mut count, mut oldest) = (0, None);
        for (&other, partial) in same {
            count += 1;
            if oldest.is_none_or(|(born, _)| partial.born < born) {
                oldest = Some((partial.born, other));
            }
        }
        if count >= env.config.reassembly_per_source.max(1)
            && let Some((_, oldest)) = oldest
        {
            self.give_up(oldest, env);
        }
        let partial = Partial {
            born: env.now,
            pieces: Vec::new(),
            received: 0,
            end: None,
            head: Vec::new(),
            kept: 0,
            next_header_at: 0,
            protocol: 0,
            ecn: 0,
            cost: 0,
            spoiled: false,
        };
        self.packets.insert(name, partial);
        self.ages.insert((env.now, name));
        if self.charge(name, PACKET_COST, env) {
            return true;
        }
        self.remove(name, env);
        false
    }

    /// Takes memory for a packet; where there is too little, the oldest others go.
    fn charge(&mut self, name: Name, cost: usize, env: &mut Env) -> bool {
        while self.cost + cost > env.config.reassembly_memory {
            let oldest = self.ages.iter().map(|&(_, other)| other).find(|&other| other != name);
            let Some(oldest) = oldest else { return false };
            self.give_up(oldest, env);
        }
        if !env.memory.take(cost) {
            return false;
        }
        match self.packets.get_mut(&name) {
            Some(partial) => {
                partial.cost += cost;
                self.cost += cost;
                true
            }
            None => {
                env.memory.give(cost);
                false
            }
        }
    }

    fn give_up(&mut self, name: Name, env: &mut Env) {
        if self.remove(name, env).is_some_and(|partial| !partial.spoiled) {
            env.counters.ip_reasm_fails += 1;
            env.drop(Reason::FragmentMemory);
        }
    }

    /// Frees what a packet holds, but remembers it until its time is over.
    fn spoil(&mut self, name: Name, env: &mut Env) {
        let Some(partial) = self.packets.get_mut(&name) else { return };
        partial.spoiled = true;
        partial.pieces = Vec::new();
        partial.head = Vec::new();
        let freed = partial.cost.saturating_sub(PACKET_COST);
        partial.cost -= freed;
        self.cost -= freed;
        env.memory.give(freed);
    }

    fn remove(&mut self, name: Name, env: &mut Env) -> Option<Partial> {
        let partial = self.packets.remove(&name)?;
        self.ages.remove(&(partial.born, name));
        self.cost -= partial.cost;
        env.memory.give(partial.cost);
        Some(partial)
    }
}

/// Whether a fragment can't be one of an honest packet.
fn is_bad(fragment: &Fragment<'_>) -> bool {
    let length = fragment.payload.len();
    let end = fragment.offset + length;
    let v4 = fragment.source.is_v4();
    // An IPv4 header counts towards the longest packet; of IPv6 only the extension headers do.
    let before = if v4 { fragment.kept } else { fragment.kept.saturating_sub(40) };
    let tcp = fragment.protocol == TCP;
    length == 0
        || (fragment.more && !length.is_multiple_of(8))
        || end + before > MAX_LENGTH
        // A TCP header cut so that a filter doesn't see its flags (RFC 1858, 3; RFC 3128).
        || (v4 && tcp && fragment.offset == 0 && length < TCP_LEAST)
        || (v4 && tcp && fragment.offset == 8)
}

impl Partial {
    /// Puts a fragment's bytes in their place; false if they are there already.
    fn add(&mut self, fragment: &Fragment<'_>) -> Result<bool, Reason> {
        let (start, end) = (fragment.offset, fragment.offset + fragment.payload.len());
        let place = self.pieces.partition_point(|piece| usize::from(piece.offset) < start);
        if let Some(there) = self.pieces.get(place)
            && usize::from(there.offset) == start
            && there.bytes == fragment.payload
        {
            return Ok(false);
        }
        let before = place.checked_sub(1).and_then(|at| self.pieces.get(at));
        let after = self.pieces.get(place);
        if before.is_some_and(|piece| piece.end() > start) || after.is_some_and(|piece| usize::from(piece.offset) < end) {
            return Err(Reason::FragmentOverlap);
        }
        let last = self.pieces.last().map_or(0, Piece::end);
        let misplaced = match (fragment.more, self.end) {
            (true, Some(known)) => end >= known,
            (true, None) => false,
            (false, Some(_)) => true,
            (false, None) => last > end,
        };
        if misplaced || self.pieces.len() >= MAX_PIECES {
            return Err(Reason::FragmentBad);
        }
        if !fragment.more {
            self.end = Some(end);
        }
        self.ecn |= 1 << (fragment.ecn & 3);
        if start == 0 {
            self.head = fragment.head.to_vec();
            self.kept = fragment.kept.min(fragment.head.len());
            self.next_header_at = fragment.next_header_at;
            self.protocol = fragment.protocol;
        }
        let offset = u16::try_from(start).map_err(|_| Reason::FragmentBad)?;
        self.received += fragment.payload.len();
        self.pieces.insert(place, Piece { offset, bytes: fragment.payload.to_vec() });
        Ok(true)
    }

    fn is_complete(&self) -> bool {
        self.end == Some(self.received)
    }

    /// The whole packet, with the first fragment's header made to fit it. None if it can't be one: marked and not markable
    /// fragments together (RFC 3168, 5.3), or too long.
    fn assemble(&self, v4: bool) -> Option<Frame> {
        const NOT_ECT: u8 = 1 << 0;
        const CE: u8 = 1 << 3;
        let marked = self.ecn & CE != 0;
        if marked && self.ecn & NOT_ECT != 0 {
            return None;
        }
        let head = self.head.get(..self.kept)?;
        let mut frame = Frame::new(head.len() + self.received);
        frame.extend(head);
        for piece in &self.pieces {
            frame.extend(&piece.bytes);
        }
        let length = u16::try_from(if v4 { frame.len() } else { frame.len().checked_sub(40)? }).ok()?;
        let (next_header_at, protocol) = (self.next_header_at, self.protocol);
        let header = frame.as_mut_slice().get_mut(..self.kept)?;
        if v4 {
            *header.get_mut(1)? |= if marked { 3 } else { 0 };
            header.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
            header.get_mut(6..8)?.fill(0);
            header.get_mut(10..12)?.fill(0);
            let checksum = ostia_wire::checksum::fold(ostia_wire::checksum::sum(header, 0));
            header.get_mut(10..12)?.copy_from_slice(&checksum.to_be_bytes());
        } else {
            // The congestion marks are the third byte's, from the traffic class's low bits.
            *header.get_mut(1)? |= if marked { 0x30 } else { 0 };
            header.get_mut(4..6)?.copy_from_slice(&length.to_be_bytes());
            *header.get_mut(next_header_at)? = protocol;
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::ip::testing::addr;
    use core::time::Duration;
    use proptest::prelude::*;

    const HEAD4: [u8; 20] = [0x45, 0, 0, 28, 0, 7, 0x20, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    const UDP: u8 = 17;

    fn fragment(source: &str, id: u32, offset: usize, more: bool, payload: &'static [u8]) -> Fragment<'static> {
        Fragment {
            source: addr(source),
            destination: addr("192.0.2.2"),
            identification: id,
            protocol: UDP,
            offset,
            more,
            ecn: 0,
            link: LinkId(0),
            head: &HEAD4,
            kept: HEAD4.len(),
            next_header_at: 0,
            payload,
        }
    }

    fn env() -> Env {
        Env::new(Config::default(), [0; 32])
    }

    fn reason(outcome: Outcome) -> Option<Reason> {
        match outcome {
            Outcome::Dropped(reason) => Some(reason),
            _ => None,
        }
    }

    #[test]
    fn fragments_in_any_order_make_the_packet_and_free_the_memory() {
        let (mut all, mut env) = (Reassembly::default(), env());
        assert!(matches!(all.input(&fragment("192.0.2.1", 7, 8, false, b"tail"), &mut env), Outcome::Waiting));
        assert!(env.memory.used() > 0);
        let Outcome::Whole(frame) = all.input(&fragment("192.0.2.1", 7, 0, true, b"01234567"), &mut env) else {
            panic!("not whole")
        };
        assert_eq!(frame.as_slice().get(20..), Some(&b"01234567tail"[..]));
        assert_eq!(frame.as_slice().get(2..8), Some(&[0, 32, 0, 7, 0, 0][..]));
        assert_eq!(ostia_wire::checksum::fold(ostia_wire::checksum::sum(&frame.as_slice()[..20], 0)), 0);
        assert_eq!((env.memory.used(), all.deadline(&env)), (0, Instant::NEVER));
    }

    #[test]
    fn overlap_spoils_the_packet_with_all_that_still_come_of_it() {
        let (mut all, mut env) = (Reassembly::default(), env());
        all.input(&fragment("192.0.2.1", 7, 0, true, b"0123456789abcdef"), &mut env);
        let overlap = all.input(&fragment("192.0.2.1", 7, 8, false, b"evil"), &mut env);
        assert_eq!(reason(overlap), Some(Reason::FragmentOverlap));
        let honest = all.input(&fragment("192.0.2.1", 7, 16, false, b"tail"), &mut env);
        assert_eq!(reason(honest), Some(Reason::FragmentOverlap));
        env.now = all.deadline(&env);
        let mut expired = Vec::new();
        all.expire(&mut env, &mut expired);
        assert_eq!((expired.len(), env.memory.used()), (0, 0));
    }

    #[test]
    fn the_very_same_fragment_again_changes_nothing() {
        let (mut all, mut env) = (Reassembly::default(), env());
        all.input(&fragment("192.0.2.1", 7, 0, true, b"01234567"), &mut env);
        let used = env.memory.used();
        assert!(matches!(all.input(&fragment("192.0.2.1", 7, 0, true, b"01234567"), &mut env), Outcome::Waiting));
        assert_eq!(env.memory.used(), used);
        let other = all.input(&fragment("192.0.2.1", 7, 0, true, b"0123456x"), &mut env);
        assert_eq!(reason(other), Some(Reason::FragmentOverlap));
    }

    #[test]
    fn tiny_misplaced_and_overlong_fragments_are_dropped() {
        let (mut all, mut env) = (Reassembly::default(), env());
        let tcp = |offset, payload| Fragment { protocol: TCP, ..fragment("192.0.2.1", 1, offset, true, payload) };
        for bad in [
            fragment("192.0.2.1", 1, 0, true, b"not eight"),
            fragment("192.0.2.1", 1, 8, false, b""),
            fragment("192.0.2.1", 1, 65_528, false, b"01234567"),
            tcp(0, b"01234567"),
            tcp(8, b"01234567"),
        ] {
            assert_eq!(reason(all.input(&bad, &mut env)), Some(Reason::FragmentBad));
        }
        assert_eq!(env.memory.used(), 0);
        all.input(&fragment("192.0.2.1", 1, 8, false, b"end"), &mut env);
        let past = all.input(&fragment("192.0.2.1", 1, 16, true, b"01234567"), &mut env);
        assert_eq!(reason(past), Some(Reason::FragmentBad));
    }

    #[test]
    fn a_late_packet_gives_back_its_first_fragment_to_be_quoted() {
        let (mut all, mut env) = (Reassembly::default(), env());
        all.input(&fragment("192.0.2.1", 1, 0, true, b"01234567"), &mut env);
        all.input(&fragment("192.0.2.1", 2, 8, true, b"01234567"), &mut env);
        env.now = env.now + Duration::from_secs(30);
        let mut expired = Vec::new();
        all.expire(&mut env, &mut expired);
        let firsts: Vec<_> = expired.iter().map(|expired| expired.first.as_ref().map(Vec::len)).collect();
        assert_eq!(firsts, [Some(28), None]);
        assert_eq!((env.memory.used(), env.drops.get(Reason::FragmentTimeout)), (0, 2));
    }

    #[test]
    fn one_source_and_all_together_stay_within_their_bounds() {
        let (mut all, mut env) = (Reassembly::default(), env());
        for id in 0..100 {
            all.input(&fragment("192.0.2.1", id, 8, true, b"01234567"), &mut env);
            assert!(all.packets.len() <= 16);
        }
        assert_eq!(env.drops.get(Reason::FragmentMemory), 84);
        env.config.reassembly_memory = 4096;
        for n in 0..1000u32 {
            let source = core::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into();
            all.input(&Fragment { source, ..fragment("192.0.2.1", 1, 0, true, b"01234567") }, &mut env);
            assert!(all.cost <= 4096 && all.cost == env.memory.used());
        }
        assert_eq!(all.packets.len(), all.ages.len());
    }

    #[test]
    fn congestion_marks_are_kept_and_never_put_on_what_cannot_bear_them() {
        let (mut all, mut env) = (Reassembly::default(), env());
        all.input(&Fragment { ecn: 3, ..fragment("192.0.2.1", 1, 8, false, b"tail") }, &mut env);
        let whole = all.input(&Fragment { ecn: 2, ..fragment("192.0.2.1", 1, 0, true, b"01234567") }, &mut env);
        assert!(matches!(whole, Outcome::Whole(frame) if frame.as_slice()[1] & 3 == 3));
        all.input(&Fragment { ecn: 3, ..fragment("192.0.2.1", 2, 8, false, b"tail") }, &mut env);
        let mixed = all.input(&fragment("192.0.2.1", 2, 0, true, b"01234567"), &mut env);
        assert_eq!(reason(mixed), Some(Reason::FragmentBad));
    }

    proptest! {
        #[test]
        fn any_split_in_any_order_with_repeats_gives_the_bytes_back(
            units in 2usize..60, cuts in proptest::collection::btree_set(1usize..60, 0..12), tail in 1usize..8,
            order in any::<proptest::sample::Index>(), swaps in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>()), 0..20),
        ) {
            let bytes: Vec<u8> = (0..units * 8 + tail).map(|n| n as u8).collect();
            let mut edges: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= units).map(|cut| cut * 8).collect();
            edges.insert(0, 0);
            edges.push(bytes.len());
            let mut parts: Vec<(usize, usize)> = edges.windows(2).map(|edge| (edge[0], edge[1])).collect();
            prop_assume!(parts.len() > 1);
            for (a, b) in swaps {
                let (a, b) = (a.index(parts.len()), b.index(parts.len()));
                parts.swap(a, b);
            }
            let repeated = parts[order.index(parts.len())];
            if repeated != parts[parts.len() - 1] {
                parts.insert(0, repeated);
            }
            let (mut all, mut env) = (Reassembly::default(), env());
            let mut whole = None;
            for (start, end) in parts {
                let part = Fragment { payload: &bytes[start..end], offset: start, more: end < bytes.len(), ..fragment("192.0.2.1", 1, 0, true, b"") };
                if let Outcome::Whole(frame) = all.input(&part, &mut env) {
                    whole = Some(frame);
                }
            }
            let whole = whole.expect("every fragment came");
            prop_assert_eq!(&whole.as_slice()[20..], &bytes[..]);
            prop_assert_eq!(env.memory.used(), 0);
        }
    }
}
