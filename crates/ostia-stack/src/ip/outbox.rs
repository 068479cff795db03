//! Frames on their way out: they wait for the caller of [`poll_transmit`](crate::Stack::poll_transmit), who takes all at once.

use alloc::collections::VecDeque;

use crate::ip::link::Transmit;
use crate::memory::Budget;

/// Frames that wait, at most, before what others have prompted, and datagrams, are dropped.
const MOST: usize = 4096;

/// Of the budget's limit, the part that may wait: a quarter. It isn't taken out of the budget, for the caller of the stack gets it
/// and then has it to pay for.
const PART: usize = 4;

/// The queue of all links.
#[derive(Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Transmit>,
    /// What they keep in use.
    held: usize,
}

impl Outbox {
    /// Adds a frame. Whoever sends what somebody else has prompted asks first whether there [is room](Self::is_full).
    #[inline]
    pub(crate) fn push(&mut self, transmit: Transmit) {
        self.held += transmit.frame.truesize();
        self.frames.push_back(transmit);
    }

    /// Whether so much waits that nobody may prompt this host to send more: a device that is slow, or a caller who gives the
    /// stack frames and takes none, must not let peers fill the memory.
    pub(crate) fn is_full(&self, memory: &Budget) -> bool {
        self.frames.len() >= MOST || self.held >= memory.limit() / PART
    }

    /// How many bytes of memory those that wait keep in use.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes all that wait, in order.
    pub(crate) fn drain(&mut self) -> impl ExactSizeIterator<Item = Transmit> + '_ {
        self.held = 0;
        self.frames.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use ostia_wire::Frame;

    use super::*;
    use crate::ip::testing::L;

    fn transmit(len: usize) -> Transmit {
        Transmit { link: L, frame: Frame::from_slice(&alloc::vec![0; len]) }
    }

    #[test]
    fn it_is_full_by_count_or_by_size_until_it_is_emptied() {
        for (limit, len, most) in [(usize::MAX, 60, MOST), (1 << 20, 60_000, 5)] {
            let (mut outbox, memory) = (Outbox::default(), Budget::new(limit));
            for count in 0..most {
                assert!(!outbox.is_full(&memory), "{count} of {len} bytes");
                outbox.push(transmit(len));
            }
            assert!(outbox.is_full(&memory), "{most} of {len} bytes");
            assert_eq!(outbox.drain().len(), most);
            assert!(outbox.is_empty() && !outbox.is_full(&memory));
        }
    }
}
