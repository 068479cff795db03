//! The usual completions, dealt with while they are reaped: bytes for a handle that waits for them, a send gone out whole.
//!
//! Nine of ten completions of a busy server are one of these two. They need no request in answer, so the driver may hand
//! them over in the middle of its own work; all others become events. What is done here must be what
//! [`on_event`](super::Port) would have done.

use std::collections::VecDeque;

use crate::chunk::Chunk;
use crate::counters::Counters;
use crate::handle::{Flags, Node, Received, Sock};
use crate::port::Ready;
use crate::slab::{NONE, Slab};
use crate::slot::{Slot, Work, ZeroCopy};
use crate::tag::Tag;

/// The parts of a port that the usual completions touch.
pub(crate) struct Usual<'a> {
    pub(super) socks: &'a mut Slab<Sock>,
    pub(super) slots: &'a mut Slab<Slot>,
    pub(super) nodes: &'a mut Slab<Node>,
    pub(super) ready: &'a mut VecDeque<Ready>,
    pub(super) counters: &'a Counters,
    pub(super) in_flight: &'a mut usize,
    pub(super) strained: bool,
}

impl Usual<'_> {
    /// Keeps `len` bytes, which `chunk` fetches, on a handle that has nothing unread and of which somebody wants to know;
    /// false, and nothing fetched, if the case is another. More events of the request must be to come.
    #[inline]
    pub(crate) fn received(&mut self, tag: Tag, len: usize, chunk: impl FnOnce() -> Option<Chunk>) -> bool {
        let Some(sock) = self.socks.get_mut(tag.index(), tag.generation()) else { return false };
        // What is refused here is kept after the reaping, so nothing that differs between two receives of one handle may
        // decide, or the second would overtake the first. Bytes past the bound are stopped at the next receive.
        let usual = sock.head == NONE && sock.waiters == NONE && !self.strained;
        if !usual || !sock.flags.has(Flags::INTEREST) || sock.flags.has(Flags::CLOSING) {
            return false;
        }
        let Some(chunk) = chunk() else { return false };
        self.counters.bytes_received.add(len as u64);
        let node = self.nodes.insert_with(|_, generation| Node { received: Received::Chunk(chunk), next: NONE, generation });
        (sock.head, sock.tail, sock.unread) = (node, node, len as u32);
        sock.flags.clear(Flags::INTEREST);
        self.ready.push_back(Ready::notify(sock.interest));
        true
    }

    /// Ends an accepted send that has gone out whole with nothing behind it; false if the case is another. It must be the
    /// last event of the request.
    #[inline]
    pub(crate) fn sent(&mut self, tag: Tag, result: i32) -> bool {
        let Some(slot) = self.slots.get_mut(tag.index(), tag.generation()) else { return false };
        let Work::Send { data, zc: ZeroCopy::No } = &mut slot.work else { return false };
        let usual = slot.detached && slot.result == 0 && result as usize == data.len() && slot.next == NONE;
        let Some(handle) = slot.handle.filter(|_| usual) else { return false };
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return false };
        if sock.room_waiter != NONE || sock.flags.has(Flags::CLOSING) {
            return false;
        }
        *self.in_flight -= 1;
        sock.in_flight -= 1;
        sock.queued_bytes = sock.queued_bytes.saturating_sub(result as u32);
        (sock.sends, sock.sends_tail) = (NONE, NONE);
        self.counters.bytes_sent.add(result as u64);
        drop(std::mem::take(data));
        self.slots.discard(tag.index());
        true
    }
}
