//! Which SACK blocks an acknowledgment carries (RFC 2018, RFC 2883).

use core::ops::Deref;

use crate::tcp::out_of_order::Range;
use crate::tcp::seq::Seq;

/// No more blocks fit into TCP's options (RFC 2018, 3).
const MAX_BLOCKS: usize = 4;

/// What was received beyond RCV.NXT, the most recent first, and what was received twice.
///
/// The out-of-order queue knows every range; this knows in which order to report the latest of them: the block that the newest
/// segment is in first, then those reported most recently, so that each is repeated in several acknowledgments though some get
/// lost (RFC 2018, 4).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SackState {
    blocks: [Range; MAX_BLOCKS],
    duplicate: Range,
    count: u8,
    has_duplicate: bool,
}

/// The blocks of one acknowledgment, in the order in which they go into the option.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blocks {
    blocks: [Range; MAX_BLOCKS],
    count: u8,
}

impl Deref for Blocks {
    type Target = [Range];

    fn deref(&self) -> &[Range] {
        self.blocks.get(..self.count as usize).unwrap_or_default()
    }
}

impl Blocks {
    /// Adds one, if there is room.
    fn push(&mut self, block: Range) {
        if let Some(place) = self.blocks.get_mut(self.count as usize) {
            *place = block;
            self.count += 1;
        }
    }
}

impl SackState {
    /// A segment has arrived beyond RCV.NXT, and this is the contiguous range that it is in now. Of what it touches it takes the
    /// place; with four others, the one reported longest ago is forgotten.
    pub(crate) fn received(&mut self, range: Range) {
        let (mut start, mut end) = range;
        let mut kept = Blocks::default();
        for &(there, there_end) in self.known() {
            if there.at_or_before(end) && start.at_or_before(there_end) {
                (start, end) = (start.min(there), end.max(there_end));
            } else {
                kept.push((there, there_end));
            }
        }
        let mut all = Blocks::default();
        all.push((start, end));
        kept.iter().for_each(|&block| all.push(block));
        self.replace(all);
    }

    /// RCV.NXT has moved: what is before it is acknowledged by number, and needs no block.
    pub(crate) fn advanced(&mut self, rcv_nxt: Seq) {
        self.clip(|(start, end)| (start.max(rcv_nxt), end));
    }

    /// What was received from `seq` on has been given up: no block may report it any more (RFC 2018, 8).
    pub(crate) fn given_up(&mut self, seq: Seq) {
        self.clip(|(start, end)| (start, end.min(seq)));
    }

    /// A segment has arrived that has this in it for the second time. The next acknowledgment reports it.
    pub(crate) fn duplicate(&mut self, range: Range) {
        self.duplicate = range;
        self.has_duplicate = true;
    }

    /// How many blocks there are to report, the duplicate among them.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.count) + usize::from(self.has_duplicate)
    }

    /// Whether there is anything to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The blocks for an acknowledgment that has room for `max`. A duplicate comes first, and is reported once (RFC 2883, 4);
    /// with room for nothing it is kept.
    pub(crate) fn blocks(&mut self, max: usize) -> Blocks {
        let mut blocks = Blocks::default();
        if self.has_duplicate && max > 0 {
            blocks.push(self.duplicate);
            self.has_duplicate = false;
        }
        let left = max.saturating_sub(blocks.len());
        self.known().iter().take(left).for_each(|&block| blocks.push(block));
        blocks
    }

    fn known(&self) -> &[Range] {
        self.blocks.get(..self.count as usize).unwrap_or_default()
    }

    /// Cuts every block, and forgets what is empty then.
    fn clip(&mut self, cut: impl Fn(Range) -> Range) {
        let mut kept = Blocks::default();
        let blocks = self.known().iter().map(|&block| cut(block));
        blocks.filter(|(start, end)| start.before(*end)).for_each(|block| kept.push(block));
        self.replace(kept);
    }

    fn replace(&mut self, blocks: Blocks) {
        self.blocks = blocks.blocks;
        self.count = blocks.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn range(start: u32, end: u32) -> Range {
        (Seq(start), Seq(end))
    }

    fn report(state: &mut SackState, max: usize) -> Vec<(u32, u32)> {
        state.blocks(max).iter().map(|(start, end)| (start.0, end.0)).collect()
    }

    #[test]
    fn the_newest_comes_first_and_then_the_most_recently_reported() {
        let mut state = SackState::default();
        for start in [20, 40, 60] {
            state.received(range(start, start + 10));
        }
        assert_eq!(report(&mut state, 3), [(60, 70), (40, 50), (20, 30)]);
        state.received(range(40, 55));
        assert_eq!(report(&mut state, 3), [(40, 55), (60, 70), (20, 30)]);
        assert_eq!(report(&mut state, 1), [(40, 55)]);
        assert_eq!(report(&mut state, 0), []);
    }

    #[test]
    fn what_touches_becomes_one() {
        let mut state = SackState::default();
        state.received(range(10, 20));
        state.received(range(30, 40));
        state.received(range(20, 30));
        assert_eq!(report(&mut state, 4), [(10, 40)]);
    }

    #[test]
    fn the_one_reported_longest_ago_is_forgotten() {
        let mut state = SackState::default();
        for start in [10, 30, 50, 70, 90] {
            state.received(range(start, start + 10));
        }
        assert_eq!(report(&mut state, 9), [(90, 100), (70, 80), (50, 60), (30, 40)]);
    }

    #[test]
    fn what_is_acknowledged_by_number_has_no_block() {
        let mut state = SackState::default();
        state.received(range(10, 20));
        state.received(range(30, 40));
        state.advanced(Seq(20));
        assert_eq!(report(&mut state, 4), [(30, 40)]);
        state.advanced(Seq(35));
        assert_eq!(report(&mut state, 4), [(35, 40)]);
        state.advanced(Seq(40));
        assert!(state.is_empty());
    }

    #[test]
    fn what_is_given_up_has_no_block() {
        let mut state = SackState::default();
        state.received(range(10, 20));
        state.received(range(30, 40));
        state.given_up(Seq(15));
        assert_eq!(report(&mut state, 4), [(10, 15)]);
    }

    #[test]
    fn a_duplicate_is_reported_first_and_once() {
        let mut state = SackState::default();
        state.received(range(10, 40));
        state.duplicate(range(20, 30));
        assert_eq!(report(&mut state, 0), [], "it is kept where there is no room");
        assert!(!state.is_empty());
        assert_eq!(state.len(), 2);
        assert_eq!(report(&mut state, 3), [(20, 30), (10, 40)], "then the block that it is in");
        assert_eq!(state.len(), 1);
        assert_eq!(report(&mut state, 3), [(10, 40)]);
        state.duplicate(range(0, 5));
        assert_eq!(report(&mut state, 1), [(0, 5)], "what RCV.NXT is beyond too");
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<SackState>() <= 48);
    }

    proptest! {
        #[test]
        fn blocks_are_true_disjoint_and_beyond_rcv_nxt(
            origin: u32,
            steps in proptest::collection::vec((0u8..5, 0u32..100, 1u32..20), 0..60),
        ) {
            let mut state = SackState::default();
            let mut rcv_nxt = 0;
            let mut there = alloc::vec![false; 4096];
            for (what, offset, len) in steps {
                let at = |offset: u32| Seq(origin) + offset;
                if what == 0 {
                    rcv_nxt += len;
                    state.advanced(at(rcv_nxt));
                } else {
                    let start = rcv_nxt + 1 + offset;
                    there[start as usize..(start + len) as usize].fill(true);
                    state.received((at(start), at(start + len)));
                    let first = state.blocks(4)[0];
                    prop_assert!(first.0.at_or_before(at(start)) && first.1.at_or_after(at(start + len)));
                }
                let blocks = state.blocks(4);
                for (index, &(start, end)) in blocks.iter().enumerate() {
                    let (start, end) = (start.since(at(0)), end.since(at(0)));
                    prop_assert!(rcv_nxt <= start && start < end);
                    prop_assert!(there[start as usize..end as usize].iter().all(|there| *there));
                    for &(other, other_end) in &blocks[..index] {
                        prop_assert!(other.since(at(0)) > end || other_end.since(at(0)) < start);
                    }
                }
            }
        }
    }
}
