//! What is kept of a connection that has ended in order, so that nothing old is taken for something new (TIME-WAIT).

use ostia_wire::Flags;

use super::limiter::ShortSpacing;
use super::segment::Segment;
use super::seq::Seq;
use super::tuple::Tuple;
use crate::mutation::{Mutation, on};
use crate::time::Instant;
use crate::wheel::TimerId;

/// How long a timestamp is believed to be newer than another: the clock of a peer that ticks each millisecond wraps after
/// 24 days (RFC 7323, 5.5).
pub(crate) const TIMESTAMP_LIFE: u64 = 24 * 24 * 3600;

/// The record: at most 128 bytes with its places in the slab, the table, and the wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: Tuple,
    pub(crate) timer: TimerId,
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    /// The peer's newest timestamp, and the second in which it came.
    pub(crate) timestamp: Option<(u32, u32)>,
    /// The window as it stood in the last header.
    pub(crate) window: u16,
    /// Between answers to what can't be accepted.
    pub(crate) invalid_acks: ShortSpacing,
}

/// What is to be done about a segment for a TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Nothing.
    Drop,
    /// It is acknowledged, for its sender has missed the last ACK or is confused.
    Acknowledge,
    /// It is the peer's FIN again: acknowledge it, and wait as long once more (RFC 9293, 3.10.7.4).
    Restart,
    /// The record ends at once.
    End,
    /// A new connection begins, with a sequence number beyond all of the old one's.
    Reopen(Seq),
}

impl TimeWait {
    /// Whether a segment's timestamp is older than the peer's newest (PAWS; RFC 7323, 5.3).
    fn is_old(&self, segment: &Segment, now: Instant) -> bool {
        let (Some((recent, second)), Some(timestamps)) = (self.timestamp, segment.options.timestamps) else {
            return false;
        };
        let fresh = now.secs().saturating_sub(u64::from(second)) < TIMESTAMP_LIFE;
        fresh && Seq(timestamps.value).before(Seq(recent))
    }

    /// Whether a segment's timestamp is newer than the peer's newest.
    fn is_newer(&self, segment: &Segment) -> bool {
        matches!((self.timestamp, segment.options.timestamps),
            (Some((recent, _)), Some(timestamps)) if Seq(timestamps.value).after(Seq(recent)))
    }

    /// RFC 9293, 3.10.7.4 for TIME-WAIT; reuse as in its 3.6.1 and RFC 6191; resets as in RFC 1337 if `protects`.
    pub(crate) fn answer(&mut self, segment: &Segment, protects: bool, now: Instant) -> Answer {
        let old = self.is_old(segment, now);
        if segment.has(Flags::RST) {
            // Its timestamp isn't looked at (RFC 7323, 5.2).
            return if segment.seq == self.rcv_nxt && !protects { Answer::End } else { Answer::Drop };
        }
        if segment.has(Flags::SYN) {
            let beyond = segment.seq.after(self.rcv_nxt) || self.is_newer(segment);
            return match (beyond && !old || on(Mutation::OldSynReopens)) && !segment.has(Flags::ACK) {
                // As far beyond the old connection's window as any was.
                true => Answer::Reopen(self.snd_nxt + 65_535 + 2),
                false => Answer::Acknowledge,
            };
        }
        if !segment.has(Flags::ACK) {
            return Answer::Drop;
        }
        if old {
            return Answer::Acknowledge;
        }
        if let Some(timestamps) = segment.options.timestamps
            && segment.seq.at_or_before(self.rcv_nxt)
            && self.is_newer(segment)
        {
            self.timestamp = Some((timestamps.value, now.secs() as u32));
        }
        if segment.has(Flags::FIN) && segment.end() == self.rcv_nxt {
            return Answer::Restart;
        }
        // A pure ACK of what is past wants no answer; anything else has missed something.
        if segment.sequence_len() == 0 && segment.seq == self.rcv_nxt { Answer::Drop } else { Answer::Acknowledge }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use ostia_wire::{Frame, Timestamps};

    use super::*;

    /// A TIME-WAIT, and a segment for it with that flag, number and timestamp.
    fn pair(flags: Flags, seq: Seq, value: u32) -> (TimeWait, Segment) {
        let address = Ipv4Addr::LOCALHOST.into();
        let tuple = Tuple { local: address, remote: address, local_port: 1, remote_port: 2, zone: 0 };
        let (timer, timestamp) = (TimerId::NO_TIMER, Some((1000, 0)));
        let invalid_acks = ShortSpacing::default();
        let record = TimeWait { tuple, timer, snd_nxt: Seq(50), rcv_nxt: Seq(100), timestamp, window: 9, invalid_acks };
        let options = ostia_wire::TcpOptions { timestamps: Some(Timestamps { value, echo: 0 }), ..Default::default() };
        let (window, urgent, frame, arrived) = (0, 0, Frame::default(), Instant(0));
        (record, Segment { tuple, seq, ack: Seq(50), flags, window, urgent, options, frame, arrived })
    }

    #[test]
    fn a_reset_is_judged_by_its_number_alone() {
        for (seq, protects, expected) in [(100, false, Answer::End), (101, false, Answer::Drop), (100, true, Answer::Drop)] {
            for value in [900, 1000, 1100] {
                let (mut record, segment) = pair(Flags::RST, Seq(seq), value);
                assert_eq!(record.answer(&segment, protects, Instant(0)), expected, "{seq} {protects} {value}");
            }
        }
    }

    #[test]
    fn a_syn_opens_anew_if_its_number_or_its_timestamp_is_beyond_the_old_ones() {
        for (seq, value, opens) in [(101, 1000, true), (101, 1001, true), (99, 1001, true), (100, 1000, false), (101, 999, false)]
        {
            let (mut record, segment) = pair(Flags::SYN, Seq(seq), value);
            let expected = if opens { Answer::Reopen(Seq(50 + 65_537)) } else { Answer::Acknowledge };
            assert_eq!(record.answer(&segment, true, Instant(0)), expected, "{seq} {value}");
        }
    }

    #[test]
    fn a_time_wait_takes_no_more_than_128_bytes() {
        let table = (size_of::<u32>() + 1) * 16 / 7;
        let whole = size_of::<TimeWait>() + crate::slab::ENTRY_OVERHEAD + table + crate::wheel::NODE_SIZE;
        assert!(whole <= 128, "{whole}");
    }
}
