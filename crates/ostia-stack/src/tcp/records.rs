//! Transmit records: what has been sent and isn't acknowledged, as ranges of sequence numbers, each with its fate.
//!
//! The ranges are contiguous from SND.UNA to SND.NXT. A record is what was sent at one time, up to a super-segment of many
//! segments; it is split where the peer's acknowledgments, or what is sent again, cover a part of it.

use alloc::collections::VecDeque;

use crate::tcp::seq::Seq;
use crate::time::Instant;

/// The peer has it: a SACK block said so (RFC 2018). Such a record is neither lost nor on its way again.
pub(crate) const SACKED: u8 = 1 << 0;
/// It is believed lost.
pub(crate) const LOST: u8 = 1 << 1;
/// It was sent again, and that transmission is believed to be on its way.
pub(crate) const RETRANSMITTED: u8 = 1 << 2;
/// Its first sequence number is the SYN.
pub(crate) const SYN: u8 = 1 << 3;
/// Its last sequence number is the FIN.
pub(crate) const FIN: u8 = 1 << 4;
/// It ends what the program gave at once.
pub(crate) const PUSH: u8 = 1 << 5;

/// An empty row of no more than so many records is kept: an idle connection holds no more memory than that.
const KEPT: usize = 4;

/// What was sent at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// The first sequence number.
    pub(crate) start: Seq,
    /// How many sequence numbers, SYN and FIN included.
    pub(crate) len: u32,
    /// When it was sent last.
    pub(crate) sent: Instant,
    /// When it was sent first.
    pub(crate) first_sent: Instant,
    /// Octets in each of the segments that a super-segment is cut into, from its start on.
    pub(crate) segment: u16,
    /// [`SACKED`] and the others.
    pub(crate) flags: u8,
    /// How often it was sent; stays at 255.
    pub(crate) transmissions: u8,
}

impl Record {
    /// The sequence number after the last.
    pub(crate) fn end(&self) -> Seq {
        self.start + self.len
    }

    /// Whether all of these flags are set.
    pub(crate) fn is(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Whether it is lost, and no further transmission of it is on its way.
    fn is_waiting(&self) -> bool {
        self.flags & (LOST | RETRANSMITTED) == LOST
    }

    /// The rest from `len` on, which this loses.
    fn split(&mut self, len: u32) -> Record {
        let rest = Record { start: self.start + len, len: self.len - len, flags: self.flags & !SYN, ..*self };
        self.len = len;
        self.flags &= !(FIN | PUSH);
        rest
    }
}

/// What was sent last of what an acknowledgment newly covers, as RACK wants it (RFC 8985, 6.2, step 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Latest {
    /// When it was sent last.
    pub(crate) sent: Instant,
    /// The sequence number after it.
    pub(crate) end: Seq,
    /// Whether it was sent more than once.
    pub(crate) retransmitted: bool,
}

/// What an acknowledgment and its SACK blocks say that wasn't known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Acked {
    /// Sequence numbers that SND.UNA has moved over.
    pub(crate) seqs: u32,
    /// How many of those had been sacked before.
    pub(crate) were_sacked: u32,
    /// Sequence numbers newly sacked.
    pub(crate) sacked: u32,
    /// When the oldest of what is newly covered and was never retransmitted was sent: it gives an unambiguous round-trip time
    /// (Karn's algorithm: RFC 6298, 3), with the delay of the acknowledgment in it, for which the timeout must have room.
    pub(crate) oldest_sent: Option<Instant>,
    /// Whether any of what is newly covered was sent more than once.
    pub(crate) retransmitted: bool,
    /// What was sent last of what is newly covered.
    pub(crate) latest: Option<Latest>,
}

impl Acked {
    /// Sequence numbers that the peer is newly known to have.
    #[cfg(test)]
    pub(crate) fn delivered(&self) -> u32 {
        self.seqs - self.were_sacked + self.sacked
    }

    fn note(&mut self, record: &Record, end: Seq) {
        let retransmitted = record.transmissions > 1;
        self.retransmitted |= retransmitted;
        if !retransmitted {
            self.oldest_sent = Some(self.oldest_sent.map_or(record.sent, |oldest| oldest.min(record.sent)));
        }
        let later = |latest: Latest| record.sent > latest.sent || (record.sent == latest.sent && end.after(latest.end));
        if self.latest.is_none_or(later) {
            self.latest = Some(Latest { sent: record.sent, end, retransmitted });
        }
    }
}

/// The records of one connection, in order, with the counts that congestion control needs.
#[derive(Default)]
pub(crate) struct Records {
    queue: VecDeque<Record>,
    total: u32,
    sacked: u32,
    lost: u32,
    retransmitted: u32,
    /// Octets that are lost and wait to be sent again.
    waiting: u32,
    /// The end of the highest record that is sacked.
    highest_sacked: Option<Seq>,
    /// No record before this one waits to be sent again; if any does, this one is the first.
    cursor: usize,
}

impl Records {
    /// What is sent for the first time, next to what was sent before. `segment` is the length of the segments that it is cut
    /// into.
    pub(crate) fn push(&mut self, start: Seq, len: u32, segment: u16, flags: u8, now: Instant) {
        debug_assert!(self.queue.back().is_none_or(|last| last.end() == start), "sequence numbers are sent in order");
        if len == 0 {
            return;
        }
        let flags = flags & (SYN | FIN | PUSH);
        self.total += len;
        self.queue.push_back(Record { start, len, sent: now, first_sent: now, segment, flags, transmissions: 1 });
    }

    /// Takes away what comes before `una`, the acknowledgment's number. A record that it covers in part keeps the rest.
    pub(crate) fn acknowledge(&mut self, una: Seq) -> Acked {
        let mut acked = Acked::default();
        while let Some(first) = self.queue.front().copied() {
            let covered = if una.after(first.start) { una.since(first.start).min(first.len) } else { 0 };
            if covered == 0 {
                break;
            }
            acked.seqs += covered;
            if first.is(SACKED) {
                acked.were_sacked += covered;
            } else {
                acked.note(&first, first.start + covered);
            }
            self.uncount(first.flags, covered);
            self.total -= covered;
            if covered == first.len {
                self.queue.pop_front();
                self.cursor = self.cursor.saturating_sub(1);
            } else if let Some(front) = self.queue.front_mut() {
                *front = front.split(covered);
            }
        }
        if self.sacked == 0 {
            self.highest_sacked = None;
        }
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        self.settle();
        acked
    }

    /// The peer has said in a SACK block that it has what is from `start` to before `end`. Returns how many sequence numbers are
    /// newly sacked, and adds to `acked` what they tell. A block that isn't between SND.UNA and SND.NXT is clipped at SND.UNA,
    /// and ignored if it reaches beyond SND.NXT.
    ///
    /// Records are split between segments only: a segment arrives whole or not at all, and so nobody can cut a super-segment
    /// into thousands of records of an octet.
    pub(crate) fn sack(&mut self, start: Seq, end: Seq, acked: &mut Acked) -> u32 {
        let Some((una, nxt)) = self.bounds() else { return 0 };
        let start = start.max(una);
        if start.at_or_after(end) || end.after(nxt) {
            return 0;
        }
        let first = self.split_at(start, Edge::Up);
        let last = self.split_at(end, Edge::Down);
        let mut newly = 0;
        for index in first..last {
            let Some(record) = self.queue.get_mut(index) else { break };
            if record.is(SACKED) {
                continue;
            }
            let (flags, len) = (record.flags, record.len);
            record.flags = record.flags & !(LOST | RETRANSMITTED) | SACKED;
            acked.note(record, record.end());
            newly += len;
            let end = record.end();
            self.highest_sacked = Some(self.highest_sacked.map_or(end, |highest| highest.max(end)));
            self.uncount(flags, len);
            self.sacked += len;
        }
        acked.sacked += newly;
        if newly > 0 {
            self.merge_sacked(first, last);
        }
        self.settle();
        newly
    }

    /// What is from `start` to before `end` is lost, as far as it isn't sacked; so is a retransmission of it that is on its way.
    /// Records are split between segments, outwards: what is lost is whole segments. Returns how many sequence numbers newly
    /// wait to be sent again.
    pub(crate) fn mark_lost(&mut self, start: Seq, end: Seq) -> u32 {
        let Some((una, nxt)) = self.bounds() else { return 0 };
        let (start, end) = (start.max(una), end.min(nxt));
        if start.at_or_after(end) {
            return 0;
        }
        let first = self.split_at(start, Edge::Down);
        let last = self.split_at(end, Edge::Up);
        self.lose(first, last)
    }

    /// As [`mark_lost`](Self::mark_lost), for every whole record of which `is_lost` says so. Sacked ones aren't asked about, nor
    /// those that wait to be sent again.
    pub(crate) fn mark_lost_if(&mut self, mut is_lost: impl FnMut(&Record) -> bool) -> u32 {
        let mut newly = 0;
        for index in 0..self.queue.len() {
            if self.queue.get(index).is_some_and(|record| !record.is(SACKED) && !record.is_waiting() && is_lost(record)) {
                newly += self.lose(index, index + 1);
            }
        }
        newly
    }

    /// The retransmission timer has expired: everything that isn't sacked is lost. Returns how many sequence numbers newly wait
    /// to be sent again.
    pub(crate) fn mark_all_lost(&mut self) -> u32 {
        self.lose(0, self.queue.len())
    }

    /// The first record that waits to be sent again. It may be longer than what can be sent at once.
    pub(crate) fn next_lost(&self) -> Option<&Record> {
        if self.waiting == 0 { None } else { self.queue.get(self.cursor) }
    }

    /// The `len` sequence numbers from `start` on were sent again. Sacked ones stay as they are.
    pub(crate) fn retransmitted(&mut self, start: Seq, len: u32, now: Instant) {
        let Some((una, nxt)) = self.bounds() else { return };
        let (start, end) = (start.max(una), (start + len).min(nxt));
        if start.at_or_after(end) {
            return;
        }
        let first = self.split_at(start, Edge::Exact);
        let last = self.split_at(end, Edge::Exact);
        for record in self.queue.range_mut(first..last) {
            if record.is(SACKED) {
                continue;
            }
            if record.is_waiting() {
                self.waiting -= record.len;
            }
            if !record.is(RETRANSMITTED) {
                self.retransmitted += record.len;
            }
            record.flags |= RETRANSMITTED;
            record.sent = now;
            record.transmissions = record.transmissions.saturating_add(1);
        }
        self.settle();
    }

    /// The peer may have given up what it had sacked (reneging: RFC 2018, 8): nothing is sacked any more.
    pub(crate) fn clear_sacked(&mut self) {
        for record in &mut self.queue {
            record.flags &= !SACKED;
        }
        self.sacked = 0;
        self.highest_sacked = None;
    }

    /// Segments are now at most this long. What was sent before may be sent again in such.
    pub(crate) fn limit_segment(&mut self, segment: u16) {
        for record in &mut self.queue {
            record.segment = record.segment.min(segment);
        }
    }

    /// The first record.
    pub(crate) fn first(&self) -> Option<&Record> {
        self.queue.front()
    }

    /// The record that has a sequence number.
    #[cfg(test)]
    pub(crate) fn find(&self, seq: Seq) -> Option<&Record> {
        let (una, nxt) = self.bounds()?;
        if !seq.in_window(una, nxt.since(una)) {
            return None;
        }
        self.queue.get(self.index_of(seq))
    }

    /// All records in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.queue.iter()
    }

    /// Whether nothing waits for an acknowledgment.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// SND.NXT - SND.UNA.
    #[cfg(test)]
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Octets sacked.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// The sequence number after the highest one that is sacked: how far the peer is known to have received.
    #[cfg(test)]
    pub(crate) fn highest_sacked(&self) -> Option<Seq> {
        self.highest_sacked
    }

    /// Octets lost, whether or not they were sent again since.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Octets of which a retransmission is on its way.
    pub(crate) fn retransmitted_out(&self) -> u32 {
        self.retransmitted
    }

    /// What is on its way: "pipe" of RFC 6675, 4. First transmissions that are neither sacked nor lost, and retransmissions.
    pub(crate) fn in_flight(&self) -> u32 {
        self.total - self.sacked - self.lost + self.retransmitted
    }

    /// Gives back the memory that empty records still take.
    pub(crate) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Bytes of memory that the records take.
    pub(crate) fn truesize(&self) -> usize {
        self.queue.capacity() * size_of::<Record>()
    }

    fn bounds(&self) -> Option<(Seq, Seq)> {
        Some((self.queue.front()?.start, self.queue.back()?.end()))
    }

    /// The record that has a sequence number from SND.UNA on; the number of records if none has.
    fn index_of(&self, seq: Seq) -> usize {
        self.queue.partition_point(|record| record.end().at_or_before(seq))
    }

    /// Makes an edge between two records at or near a sequence number between SND.UNA and SND.NXT, and returns the index of the
    /// record that begins there. Sacked records aren't split, for what changes leaves them out.
    fn split_at(&mut self, seq: Seq, edge: Edge) -> usize {
        let index = self.index_of(seq);
        let Some(record) = self.queue.get_mut(index) else { return index };
        let len = seq.since(record.start);
        let segment = u32::from(record.segment).max(1);
        let len = match edge {
            _ if record.is(SACKED) => 0,
            Edge::Exact => len,
            Edge::Down => len - len % segment,
            Edge::Up => len.next_multiple_of(segment),
        };
        if len == 0 {
            return index;
        }
        if len < record.len {
            let rest = record.split(len);
            self.queue.insert(index + 1, rest);
            if self.cursor > index {
                self.cursor += 1;
            }
        }
        index + 1
    }

    fn lose(&mut self, first: usize, last: usize) -> u32 {
        let before = self.waiting;
        for index in first..last {
            let Some(record) = self.queue.get_mut(index) else { break };
            if record.is(SACKED) || record.is_waiting() {
                continue;
            }
            if !record.is(LOST) {
                self.lost += record.len;
            }
            if record.is(RETRANSMITTED) {
                self.retransmitted -= record.len;
            }
            record.flags = record.flags & !RETRANSMITTED | LOST;
            // The cursor is on the first that waits, but means nothing if none does.
            self.cursor = if self.waiting == 0 { index } else { self.cursor.min(index) };
            self.waiting += record.len;
        }
        self.waiting - before
    }

    /// A number of sequence numbers of a record with these flags go, or become sacked.
    fn uncount(&mut self, flags: u8, len: u32) {
        if flags & SACKED != 0 {
            self.sacked -= len;
        }
        if flags & LOST != 0 {
            self.lost -= len;
        }
        if flags & RETRANSMITTED != 0 {
            self.retransmitted -= len;
        }
        if flags & (LOST | RETRANSMITTED) == LOST {
            self.waiting -= len;
        }
    }

    /// Moves the cursor on to the first record that waits. Each record is passed once for every time that one before it was
    /// marked lost.
    fn settle(&mut self) {
        while self.waiting > 0 && self.queue.get(self.cursor).is_some_and(|record| !record.is_waiting()) {
            self.cursor += 1;
        }
    }

    /// Sacked neighbours become one record, so that blocks which come again and again, as SACK's do, are gone through fast.
    fn merge_sacked(&mut self, first: usize, last: usize) {
        let is_sacked = |index: usize| self.queue.get(index).is_some_and(|record| record.is(SACKED));
        let first = if first > 0 && is_sacked(first - 1) { first - 1 } else { first };
        let last = if is_sacked(last) { last + 1 } else { last };
        if last - first < 2 {
            return;
        }
        let Some(mut merged) = self.queue.get(first).copied() else { return };
        for other in self.queue.range(first + 1..last) {
            merged.len += other.len;
            merged.flags |= other.flags;
            merged.sent = merged.sent.max(other.sent);
            merged.first_sent = merged.first_sent.min(other.first_sent);
            merged.segment = merged.segment.min(other.segment);
            merged.transmissions = merged.transmissions.max(other.transmissions);
        }
        self.queue.drain(first + 1..last);
        if let Some(record) = self.queue.get_mut(first) {
            *record = merged;
        }
        if self.cursor >= last {
            self.cursor -= last - first - 1;
        } else {
            self.cursor = self.cursor.min(first);
        }
    }
}

/// Where an edge goes that falls into a segment.
#[derive(Clone, Copy)]
enum Edge {
    /// To the start of the segment.
    Down,
    /// To the end of the segment.
    Up,
    /// Nowhere: it cuts the segment.
    Exact,
}

#[cfg(test)]
mod tests;
