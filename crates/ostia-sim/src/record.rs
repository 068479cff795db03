//! What happens in a world: hashed as it happens, counted, and, of what programs say, kept.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};

/// Notes that are kept; more are hashed and counted only.
const MOST_NOTES: usize = 10_000;

/// Something that a program has said by [`Host::note`](crate::Host::note).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// When.
    pub at: Duration,
    /// On which host.
    pub host: String,
    /// What.
    pub text: String,
}

/// What has happened to frames.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Tally {
    /// Frames that hosts have sent.
    pub sent: u64,
    /// Octets of those.
    pub bytes: u64,
    /// Frames that have arrived, at each host that they went to.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost in a burst.
    pub burst: u64,
    /// Dropped, for the sender's queue was full.
    pub overflowed: u64,
    /// Dropped, for they were longer than the MTU allows.
    pub too_long: u64,
    /// Dropped by a cut between hosts.
    pub cut: u64,
    /// For a host that isn't there.
    pub stray: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// With a bit turned over.
    pub corrupted: u64,
}

impl Tally {
    /// Each count with its name.
    #[must_use]
    pub fn table(&self) -> [(&'static str, u64); 12] {
        [
            ("sent", self.sent),
            ("bytes", self.bytes),
            ("delivered", self.delivered),
            ("lost", self.lost),
            ("burst", self.burst),
            ("overflowed", self.overflowed),
            ("too-long", self.too_long),
            ("cut", self.cut),
            ("stray", self.stray),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
        ]
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Tally) {
        let Tally { sent, bytes, delivered, lost, burst, overflowed, too_long, cut, stray, duplicated, reordered, corrupted } =
            other;
        self.sent += sent;
        self.bytes += bytes;
        self.delivered += delivered;
        self.lost += lost;
        self.burst += burst;
        self.overflowed += overflowed;
        self.too_long += too_long;
        self.cut += cut;
        self.stray += stray;
        self.duplicated += duplicated;
        self.reordered += reordered;
        self.corrupted += corrupted;
    }

    /// Frames that did not arrive, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lost + self.burst + self.overflowed + self.too_long + self.cut + self.stray
    }
}

/// The record of a world.
pub(crate) struct Record {
    hasher: SipHasher13,
    events: u64,
    pub(crate) notes: Vec<Note>,
    /// The world has ended: what happens while it is taken down is no part of it.
    closed: bool,
}

impl Record {
    pub(crate) fn new() -> Record {
        Record { hasher: SipHasher13::new(), events: 0, notes: Vec::new(), closed: false }
    }

    /// Takes note of an event: what it is, its numbers, and what it is about.
    pub(crate) fn event(&mut self, kind: u8, numbers: &[u64], bytes: &[u8]) {
        if self.closed {
            return;
        }
        self.events += 1;
        self.hasher.write(&[kind]);
        numbers.iter().for_each(|number| self.hasher.write(&number.to_le_bytes()));
        self.hasher.write(&(bytes.len() as u64).to_le_bytes());
        self.hasher.write(bytes);
    }

    /// Takes note of what a program says.
    pub(crate) fn note(&mut self, at: u64, host: usize, name: &str, text: &str) {
        if self.closed {
            return;
        }
        self.event(b'n', &[at, host as u64], text.as_bytes());
        if self.notes.len() < MOST_NOTES {
            self.notes.push(Note { at: Duration::from_nanos(at), host: name.to_owned(), text: text.to_owned() });
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed
    }

    /// Ends the record. The hash of all that has happened, and how many events that were.
    pub(crate) fn close(&mut self) -> (u128, u64) {
        self.closed = true;
        (self.hasher.finish128().as_u128(), self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_event_counts_and_what_comes_after_the_end_does_not() {
        let hash = |events: &[(u8, &[u64], &[u8])]| {
            let mut record = Record::new();
            events.iter().for_each(|(kind, numbers, bytes)| record.event(*kind, numbers, bytes));
            let closed = record.close();
            record.event(1, &[1], b"late");
            record.note(1, 1, "x", "late");
            assert_eq!((record.close(), record.notes.len()), (closed, 0));
            closed.0
        };
        let all = [
            hash(&[]),
            hash(&[(1, &[2, 3], b"four")]),
            hash(&[(2, &[2, 3], b"four")]),
            hash(&[(1, &[3, 2], b"four")]),
            hash(&[(1, &[2, 3], b"five")]),
            hash(&[(1, &[2, 3], b"fo"), (1, &[2, 3], b"ur")]),
        ];
        assert!(all.iter().enumerate().all(|(at, one)| all[at + 1..].iter().all(|other| other != one)));
        assert_eq!(all[1], hash(&[(1, &[2, 3], b"four")]));
    }
}
