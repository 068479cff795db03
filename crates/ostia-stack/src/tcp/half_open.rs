//! A connection that a peer has begun: a SYN has come, its SYN-ACK has gone, the ACK is awaited (SYN-RECEIVED).
//!
//! It is small because anybody can make us keep one: at most 128 bytes with its places in the slab, the table, and the
//! timer wheel. A connection is made of it when the ACK comes.

use super::limiter::ShortSpacing;
use super::seq::Seq;
use super::tuple::Tuple;
use crate::slab::Key;
use crate::wheel::TimerId;

/// What the peer's SYN offered and we took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offer {
    /// The most that a segment to the peer may carry.
    pub(crate) mss: u16,
    /// The shift of windows that the peer announces; none if it doesn't scale.
    pub(crate) scale: Option<u8>,
    /// Whether it takes selective acknowledgments.
    pub(crate) sack: bool,
    /// Its timestamp, if it sends them.
    pub(crate) timestamp: Option<u32>,
}

/// The record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: Tuple,
    /// The timer's times tell when the SYN-ACK went out.
    pub(crate) timer: TimerId,
    pub(crate) listener: Key,
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
    timestamp: u32,
    mss: u16,
    /// The window of the SYN, which is never scaled (RFC 7323, 2.2).
    pub(crate) window: u16,
    /// The window of the SYN-ACK, which isn't either. It is kept to, whatever becomes of the listener's buffer.
    pub(crate) announced: u16,
    /// How often the SYN-ACK was sent again.
    pub(crate) retries: u8,
    /// Between answers to what can't be accepted.
    pub(crate) invalid_acks: ShortSpacing,
    scale: u8,
    /// The shift that the SYN-ACK announces, whatever becomes of the listener's buffer.
    pub(crate) shift: u8,
    flags: u8,
}

const SCALES: u8 = 1;
const SACK: u8 = 2;
const TIMESTAMPS: u8 = 4;
const RESENT: u8 = 8;

impl HalfOpen {
    pub(crate) fn new(
        tuple: Tuple,
        listener: Key,
        (iss, irs): (Seq, Seq),
        (window, announced): (u16, u16),
        offer: &Offer,
        shift: Option<u8>,
    ) -> HalfOpen {
        let mut flags = 0;
        flags |= if offer.scale.is_some() { SCALES } else { 0 };
        flags |= if offer.sack { SACK } else { 0 };
        flags |= if offer.timestamp.is_some() { TIMESTAMPS } else { 0 };
        HalfOpen {
            tuple,
            timer: TimerId::NO_TIMER,
            listener,
            iss,
            irs,
            timestamp: offer.timestamp.unwrap_or(0),
            mss: offer.mss,
            window,
            announced,
            retries: 0,
            invalid_acks: ShortSpacing::default(),
            scale: offer.scale.unwrap_or(0),
            shift: shift.unwrap_or(0),
            flags,
        }
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer {
            mss: self.mss,
            scale: (self.flags & SCALES != 0).then_some(self.scale),
            sack: self.flags & SACK != 0,
            timestamp: (self.flags & TIMESTAMPS != 0).then_some(self.timestamp),
        }
    }

    /// The SYN-ACK goes out again.
    pub(crate) fn note_resent(&mut self) {
        self.flags |= RESENT;
    }

    /// Whether the SYN-ACK went out once, so that its time tells the round-trip time (Karn's algorithm).
    pub(crate) fn was_sent_once(&self) -> bool {
        self.flags & RESENT == 0
    }

    /// The peer's newest timestamp.
    pub(crate) fn note_timestamp(&mut self, value: u32) {
        self.timestamp = value;
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_half_open_connection_takes_no_more_than_128_bytes() {
        let slab = crate::slab::ENTRY_OVERHEAD;
        // hashbrown keeps one byte beside each word, and an eighth of the places free; after it has grown, more than half.
        let table = (size_of::<u32>() + 1) * 16 / 7;
        let whole = size_of::<HalfOpen>() + slab + table + crate::wheel::NODE_SIZE;
        assert!(whole <= 128, "{whole}");
    }

    #[test]
    fn what_was_offered_is_kept() {
        let tuple = Tuple {
            local: Ipv4Addr::LOCALHOST.into(),
            remote: Ipv4Addr::LOCALHOST.into(),
            local_port: 1,
            remote_port: 2,
            zone: 0,
        };
        for bits in 0..8u8 {
            let offer = Offer {
                mss: 1460,
                scale: (bits & 1 != 0).then_some(7),
                sack: bits & 2 != 0,
                timestamp: (bits & 4 != 0).then_some(99),
            };
            let key = Key { index: 0, generation: 0 };
            assert_eq!(HalfOpen::new(tuple, key, (Seq(1), Seq(2)), (3, 4), &offer, Some(5)).offer(), offer);
        }
    }
}
