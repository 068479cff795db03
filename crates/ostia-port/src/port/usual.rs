//! The usual completion, dealt with while it is reaped: bytes for a handle that waits for them and has nothing unread.
//!
//! Nine of ten completions of a busy server are this one (a send that goes out whole makes none). It needs no request in
//! answer, so the driver may hand it over in the middle of its own work; all others become events. What is done here must
//! be what [`on_event`](super::Port) would have done.

use std::collections::VecDeque;

use crate::counters::Counters;
use crate::handle::{Flags, Sock};
use crate::pool::Part;
use crate::port::Ready;
use crate::slab::{NONE, Slab};
use crate::tag::Tag;

/// The parts of a port that the usual completion touches.
pub(crate) struct Usual<'a> {
    pub(super) socks: &'a mut Slab<Sock>,
    pub(super) ready: &'a mut VecDeque<Ready>,
    pub(super) counters: &'a Counters,
}

impl Usual<'_> {
    /// Keeps `len` bytes, which `part` fetches, on a handle that has nothing unread and of which somebody wants to know;
    /// false, and nothing fetched, if the case is another. More events of the request must be to come.
    #[inline]
    pub(crate) fn received(&mut self, tag: Tag, len: usize, part: impl FnOnce() -> Option<Part>) -> bool {
        let Some(sock) = self.socks.get_mut(tag.index(), tag.generation()) else { return false };
        // What is refused here is kept after the reaping, so nothing that differs between two receives of one handle may
        // decide, or the second would overtake the first. Bytes past the bound are stopped at the next receive.
        if !sock.flags.are(Flags::INTEREST | Flags::CLOSING, Flags::INTEREST) || sock.head != NONE || sock.waiters != NONE {
            return false;
        }
        let Some(part) = part() else { return false };
        self.counters.bytes_received.add(len as u64);
        sock.set_lone(part);
        sock.flags.clear(Flags::INTEREST);
        self.ready.push_back(Ready::notify(sock.interest));
        true
    }
}
