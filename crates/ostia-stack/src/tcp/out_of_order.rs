//! The out-of-order queue: what has been received beyond RCV.NXT (RFC 9293, 3.10.7.4, "Seventh, process the segment text").

use alloc::collections::VecDeque;

use crate::tcp::piece::Piece;
use crate::tcp::seq::Seq;

/// A range of sequence numbers: the first, and the one after the last.
pub(crate) type Range = (Seq, Seq);

/// What became of a segment that was put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inserted {
    /// The contiguous range that the segment is in now: the first block that SACK reports (RFC 2018, 4).
    pub(crate) merged: Range,
    /// The first part of the segment that was there already, which D-SACK reports (RFC 2883, 4).
    pub(crate) duplicate: Option<Range>,
}

/// Pieces of a stream in order, none overlapping another, with gaps between some of them.
///
/// Octets that came first stay, and what comes later is trimmed to what is new (RFC 9293, 3.10.7.4). The exception is a piece
/// with new octets on both sides of another: it takes the other's place, for only trimmed could the other stay, and what would be
/// left of the new one are two pieces that each keep all its memory in use.
pub(crate) struct OutOfOrder<P> {
    entries: VecDeque<Entry<P>>,
    /// The contiguous ranges, with the FIN's sequence number.
    ranges: VecDeque<Range>,
    /// The FIN's sequence number.
    fin: Option<Seq>,
    /// What the pieces keep in use.
    held: usize,
    max_pieces: usize,
    max_held: usize,
}

struct Entry<P> {
    start: Seq,
    piece: P,
}

impl<P: Piece> Entry<P> {
    fn end(&self) -> Seq {
        self.start + self.piece.len() as u32
    }
}

impl<P: Piece> OutOfOrder<P> {
    /// A queue of at most so many pieces, which keep at most so many bytes of memory in use. It takes memory when pieces come.
    pub(crate) fn new(max_pieces: usize, max_held: usize) -> OutOfOrder<P> {
        OutOfOrder { entries: VecDeque::new(), ranges: VecDeque::new(), fin: None, held: 0, max_pieces, max_held }
    }

    /// Whether nothing waits, not even a FIN.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many pieces.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How much memory the queue keeps in use.
    pub(crate) fn truesize(&self) -> usize {
        self.held + self.entries.capacity() * size_of::<Entry<P>>() + self.ranges.capacity() * size_of::<Range>()
    }

    /// The contiguous ranges in order.
    #[cfg(test)]
    pub(crate) fn ranges(&self) -> impl ExactSizeIterator<Item = Range> {
        self.ranges.iter().copied()
    }

    /// The sequence number after the highest that waits.
    pub(crate) fn highest(&self) -> Option<Seq> {
        self.ranges.back().map(|&(_, end)| end)
    }

    /// The FIN's sequence number, if a FIN waits.
    #[cfg(test)]
    pub(crate) fn fin(&self) -> Option<Seq> {
        self.fin
    }

    /// Takes a segment in: `len` octets from `seq` on, and a FIN behind them if `fin`. It must be in the window, and begin after
    /// RCV.NXT. None if nothing of it is kept: it is empty, or is behind a FIN, or doesn't fit. To make it fit, what is higher is
    /// given up, for that is needed last.
    pub(crate) fn insert(&mut self, seq: Seq, len: u32, mut piece: P, fin: bool) -> Option<Inserted> {
        debug_assert_eq!(piece.len(), len as usize);
        let (mut start, mut end) = (seq, seq + len);
        if let Some(fin) = self.fin
            && end.after(fin)
        {
            piece.trim_back(end.since(fin).min(len) as usize);
            end = fin.max(start);
        }
        // A FIN before something that was received, or before another FIN, can't be: what came first stays.
        let fin = fin && (self.fin == Some(end) || self.highest().is_none_or(|highest| highest.at_or_before(end)));
        let stop = if fin { end + 1 } else { end };
        let fin = fin.then_some(end);
        if start == stop || self.fin.is_some_and(|fin| start.after(fin)) {
            return None;
        }
        let duplicate = self.first_common(start, stop);
        let mut index = self.entries.partition_point(|entry| entry.start.at_or_before(start)).saturating_sub(1);
        while let Some(before) = self.entries.get(index)
            && before.start.at_or_before(start)
        {
            let overlap = if before.end().after(start) { before.end().since(start).min(end.since(start)) } else { 0 };
            piece.trim_front(overlap as usize);
            start += overlap;
            index += 1;
        }
        // From `index` on stand those that the piece covers entirely, and one that reaches to its end or beyond.
        let mut covered = index;
        while self.entries.get(covered).is_some_and(|entry| entry.end().before(end)) {
            covered += 1;
        }
        let mut kept = covered;
        if self.entries.get(covered).is_some_and(|after| after.start.before(end)) {
            kept += 1;
        }
        covered = kept;
        while covered > index
            && let Some(after) = self.entries.get(covered - 1)
            && after.end().at_or_after(end)
        {
            let overlap = end.since(after.start);
            piece.trim_back(overlap as usize);
            end = end - overlap;
            covered -= 1;
        }
        if piece.len() > 0 {
            if !self.make_room(index..covered, kept, piece.truesize()) {
                return None;
            }
            for entry in self.entries.drain(index..covered) {
                self.held -= entry.piece.truesize();
            }
            self.held += piece.truesize();
            self.entries.insert(index, Entry { start, piece });
        }
        self.fin = self.fin.or(fin);
        Some(Inserted { merged: self.add_range(seq, stop), duplicate })
    }

    /// Takes out what RCV.NXT has come to, trimmed to what is beyond it. What is before RCV.NXT is dropped. The caller moves
    /// RCV.NXT on by the piece's length and asks again.
    pub(crate) fn pop(&mut self, rcv_nxt: Seq) -> Option<P> {
        let mut popped = None;
        while popped.is_none()
            && self.entries.front().is_some_and(|entry| entry.start.at_or_before(rcv_nxt))
            && let Some(entry) = self.entries.pop_front()
        {
            self.held -= entry.piece.truesize();
            let (end, mut piece) = (entry.end(), entry.piece);
            if end.after(rcv_nxt) {
                piece.trim_front(rcv_nxt.since(entry.start) as usize);
                popped = Some((piece, end));
            }
        }
        self.forget_before(popped.as_ref().map_or(rcv_nxt, |&(_, end)| end));
        popped.map(|(piece, _)| piece)
    }

    /// Whether RCV.NXT has come to the FIN, which then is taken out.
    pub(crate) fn take_fin(&mut self, rcv_nxt: Seq) -> bool {
        if self.fin != Some(rcv_nxt) {
            return false;
        }
        self.forget_before(rcv_nxt + 1);
        true
    }

    /// Gives up pieces from the highest on until those that are left keep at most `keep` bytes of memory in use. Returns how much
    /// less they keep in use. The peer sends again what it was told is here: SACK allows that (RFC 2018, 8).
    pub(crate) fn prune(&mut self, keep: usize) -> usize {
        let before = self.held;
        while self.held > keep {
            self.drop_last();
        }
        self.release();
        before - self.held
    }

    /// Gives up pieces from the highest on, but not the first `kept`, until one more fits in the place of the `replaced`. Nothing
    /// is given up if that isn't enough.
    fn make_room(&mut self, replaced: core::ops::Range<usize>, kept: usize, size: usize) -> bool {
        let (mut count, mut held) = (self.entries.len() + 1 - replaced.len(), self.held + size);
        held -= self.entries.range(replaced.clone()).map(|entry| entry.piece.truesize()).sum::<usize>();
        let mut left = self.entries.len();
        while count > self.max_pieces || held > self.max_held {
            if left == kept {
                return false;
            }
            left -= 1;
            count -= 1;
            held -= self.entries.get(left).map_or(0, |entry| entry.piece.truesize());
        }
        while self.entries.len() > left {
            self.drop_last();
        }
        true
    }

    fn drop_last(&mut self) {
        let Some(entry) = self.entries.pop_back() else { return };
        self.held -= entry.piece.truesize();
        let at = entry.start;
        self.fin = self.fin.filter(|fin| fin.before(at));
        while self.ranges.back().is_some_and(|&(start, _)| start.at_or_after(at)) {
            self.ranges.pop_back();
        }
        if let Some((_, end)) = self.ranges.back_mut() {
            *end = end.min(at);
        }
    }

    /// Nothing before `seq` waits any more.
    fn forget_before(&mut self, seq: Seq) {
        self.fin = self.fin.filter(|fin| fin.at_or_after(seq));
        while self.ranges.front().is_some_and(|&(_, end)| end.at_or_before(seq)) {
            self.ranges.pop_front();
        }
        if let Some((start, _)) = self.ranges.front_mut() {
            *start = start.max(seq);
        }
        self.release();
    }

    /// An empty queue takes no memory.
    fn release(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        if self.ranges.is_empty() {
            self.ranges = VecDeque::new();
        }
    }

    /// The first part of a range that is there.
    fn first_common(&self, start: Seq, end: Seq) -> Option<Range> {
        let index = self.ranges.partition_point(|&(_, end)| end.at_or_before(start));
        let &(there, there_end) = self.ranges.get(index)?;
        there.before(end).then(|| (there.max(start), there_end.min(end)))
    }

    /// Adds a range, and returns what it has become with those that it touches.
    fn add_range(&mut self, mut start: Seq, mut end: Seq) -> Range {
        let first = self.ranges.partition_point(|&(_, end)| end.before(start));
        let mut last = first;
        while let Some(&(there, there_end)) = self.ranges.get(last)
            && there.at_or_before(end)
        {
            (start, end) = (start.min(there), end.max(there_end));
            last += 1;
        }
        if first == last {
            self.ranges.insert(first, (start, end));
        } else {
            self.ranges.drain(first + 1..last);
            if let Some(range) = self.ranges.get_mut(first) {
                *range = (start, end);
            }
        }
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use bytes::{Buf, Bytes};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Piece for Bytes {
        fn len(&self) -> usize {
            self.len()
        }

        fn trim_front(&mut self, count: usize) {
            self.advance(count);
        }

        fn trim_back(&mut self, count: usize) {
            self.truncate(self.len() - count);
        }

        fn truesize(&self) -> usize {
            100
        }
    }

    fn queue() -> OutOfOrder<Bytes> {
        OutOfOrder::new(100, 1 << 20)
    }

    fn put(queue: &mut OutOfOrder<Bytes>, start: u32, bytes: &'static [u8]) -> Option<Inserted> {
        queue.insert(Seq(start), bytes.len() as u32, Bytes::from_static(bytes), false)
    }

    fn range(start: u32, end: u32) -> Range {
        (Seq(start), Seq(end))
    }

    /// Everything contiguous from `rcv_nxt` on.
    fn drain(queue: &mut OutOfOrder<Bytes>, mut rcv_nxt: Seq) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = queue.pop(rcv_nxt) {
            rcv_nxt += piece.len() as u32;
            all.extend_from_slice(&piece);
        }
        all
    }

    #[test]
    fn ranges_grow_together() {
        let mut queue = queue();
        assert_eq!(put(&mut queue, 10, b"abc"), Some(Inserted { merged: range(10, 13), duplicate: None }));
        assert_eq!(put(&mut queue, 16, b"ghi"), Some(Inserted { merged: range(16, 19), duplicate: None }));
        assert_eq!(put(&mut queue, 13, b"def"), Some(Inserted { merged: range(10, 19), duplicate: None }));
        assert_eq!(queue.ranges().collect::<Vec<_>>(), [range(10, 19)]);
        assert!(queue.pop(Seq(9)).is_none(), "the gap before it isn't filled");
        assert_eq!(drain(&mut queue, Seq(11)), b"bcdefghi", "trimmed to what is beyond RCV.NXT");
        assert!(queue.is_empty());
        assert_eq!(queue.truesize(), 0);
    }

    #[test]
    fn what_came_first_stays() {
        let mut queue = queue();
        put(&mut queue, 10, b"cde");
        assert_eq!(put(&mut queue, 8, b"ABCD"), Some(Inserted { merged: range(8, 13), duplicate: Some(range(10, 12)) }));
        assert_eq!(put(&mut queue, 12, b"EF"), Some(Inserted { merged: range(8, 14), duplicate: Some(range(12, 13)) }));
        assert_eq!(put(&mut queue, 9, b"xyz"), Some(Inserted { merged: range(8, 14), duplicate: Some(range(9, 12)) }));
        assert_eq!(drain(&mut queue, Seq(8)), b"ABcdeF");
    }

    #[test]
    fn no_octet_is_kept_twice_even_if_a_piece_covers_others() {
        let mut queue = queue();
        put(&mut queue, 10, b"a");
        put(&mut queue, 12, b"c");
        put(&mut queue, 14, b"e");
        put(&mut queue, 15, b"f");
        assert_eq!(put(&mut queue, 9, b"_ABCDE"), Some(Inserted { merged: range(9, 16), duplicate: Some(range(10, 11)) }));
        assert_eq!(queue.len(), 3, "what touches its ends stays");
        assert_eq!(drain(&mut queue, Seq(9)), b"_ABCDef");
    }

    #[test]
    fn the_fin_keeps_its_place() {
        let mut queue = queue();
        let fin = queue.insert(Seq(15), 0, Bytes::new(), true);
        assert_eq!(fin, Some(Inserted { merged: range(15, 16), duplicate: None }));
        assert_eq!(queue.insert(Seq(15), 0, Bytes::new(), true).unwrap().duplicate, Some(range(15, 16)));
        assert_eq!(put(&mut queue, 12, b"abcde").unwrap().merged, range(12, 16), "what is behind the FIN is no data");
        assert_eq!(put(&mut queue, 16, b"x"), None);
        assert_eq!(queue.insert(Seq(13), 0, Bytes::new(), true), None, "a second FIN elsewhere");
        assert!(!queue.take_fin(Seq(12)));
        assert_eq!(drain(&mut queue, Seq(12)), b"abc");
        assert!(!queue.is_empty());
        assert!(queue.take_fin(Seq(15)) && !queue.take_fin(Seq(15)));
        assert!(queue.is_empty());
    }

    #[test]
    fn past_its_bounds_the_highest_goes_first() {
        let mut queue = OutOfOrder::new(2, 1000);
        put(&mut queue, 20, b"c");
        put(&mut queue, 30, b"d");
        assert_eq!(put(&mut queue, 40, b"e"), None, "it is the highest itself");
        assert_eq!(put(&mut queue, 10, b"b").unwrap().merged, range(10, 11));
        assert_eq!(queue.ranges().collect::<Vec<_>>(), [range(10, 11), range(20, 21)]);
        let mut queue = OutOfOrder::new(10, 250);
        for start in [50, 40, 30] {
            assert!(put(&mut queue, start, b"x").is_some());
        }
        assert_eq!((queue.len(), queue.held), (2, 200));
        assert_eq!(queue.prune(150), 100);
        assert_eq!(queue.ranges().collect::<Vec<_>>(), [range(30, 31)]);
        assert_eq!(queue.prune(0), 100);
        assert_eq!((queue.truesize(), queue.is_empty()), (0, true));
    }

    #[test]
    fn a_piece_that_takes_the_place_of_others_needs_no_room_beside_them() {
        let mut queue = OutOfOrder::new(2, 200);
        put(&mut queue, 12, b"c");
        put(&mut queue, 20, b"x");
        assert_eq!(put(&mut queue, 10, b"ABCDE").unwrap().merged, range(10, 15));
        assert_eq!(queue.ranges().collect::<Vec<_>>(), [range(10, 15), range(20, 21)]);
    }

    #[test]
    fn a_fin_behind_what_is_given_up_goes_with_it() {
        let mut queue = OutOfOrder::new(1, 1000);
        queue.insert(Seq(20), 1, Bytes::from_static(b"x"), true);
        assert_eq!(queue.fin(), Some(Seq(21)));
        put(&mut queue, 10, b"a");
        assert_eq!((queue.fin(), queue.ranges().collect::<Vec<_>>()), (None, [range(10, 11)].to_vec()));
    }

    proptest! {
        #[test]
        fn it_holds_each_octet_once(
            origin: u32,
            pieces in proptest::collection::vec((1u32..300, 0u32..40, any::<u8>(), 0u8..12), 1..60),
            limit in 2usize..40,
        ) {
            let mut queue = OutOfOrder::new(limit, limit * 100);
            let mut model: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            let mut rcv_nxt = 0;
            for (start, len, byte, what) in pieces {
                let at = |offset: u32| Seq(origin) + offset;
                let start = rcv_nxt + start;
                match what {
                    0 => {
                        queue.prune(start as usize * 10);
                    }
                    1 => {
                        rcv_nxt += start % 50;
                        while let Some(piece) = queue.pop(at(rcv_nxt)) {
                            for byte in piece {
                                let given = model.get(&rcv_nxt);
                                prop_assert!(given.is_some_and(|bytes| bytes.contains(&byte)), "it was put in there");
                                rcv_nxt += 1;
                            }
                        }
                    }
                    _ => {
                        let there = |queue: &OutOfOrder<Bytes>, offset: u32| {
                            queue.ranges().any(|(start, end)| at(offset).in_window(start, end.since(start)))
                        };
                        let first = (start..start + len).find(|&offset| there(&queue, offset));
                        let bytes = alloc::vec![byte; len as usize];
                        let inserted = queue.insert(at(start), len, bytes.into(), false);
                        (start..start + len).for_each(|offset| model.entry(offset).or_default().push(byte));
                        if let Some(Inserted { merged, duplicate }) = inserted {
                            prop_assert!(queue.ranges().any(|range| range == merged));
                            prop_assert!(at(start).at_or_after(merged.0) && at(start + len).at_or_before(merged.1));
                            prop_assert_eq!(duplicate.map(|(start, _)| start), first.map(at));
                        } else {
                            prop_assert!(len == 0 || !queue.is_empty());
                        }
                    }
                }
                prop_assert!(queue.len() <= limit && queue.held <= limit * 100);
                prop_assert_eq!(queue.held, queue.entries.iter().map(|entry| entry.piece.truesize()).sum::<usize>());
                // The pieces, put together, are the ranges.
                let mut ranges: Vec<Range> = Vec::new();
                for entry in &queue.entries {
                    prop_assert!(!entry.piece.is_empty());
                    match ranges.last_mut() {
                        Some((_, end)) if *end == entry.start => *end = entry.end(),
                        last => {
                            prop_assert!(last.is_none_or(|(_, end)| end.before(entry.start)));
                            ranges.push((entry.start, entry.end()));
                        }
                    }
                }
                prop_assert_eq!(queue.ranges().collect::<Vec<_>>(), ranges);
            }
        }
    }
}
