//! Silent sends: those that the driver takes whole at once, or else has an event for.
//!
//! By far the most sends of a server go out at once, so they are spared all book-keeping: one is a place in the row of its
//! turn that keeps the bytes until the turn is over. Only if somebody wants to wait for it or to queue behind it, or if it
//! did not go out, does it become an operation like the others.

use crate::buffer::Buffer;
use crate::handle::{Flags, Handle};
use crate::port::Port;
use crate::slab::NONE;
use crate::slot::{State, Work, ZeroCopy};
use crate::sys::{Event, Sys};
use crate::tag::{Tag, TagKind};

/// Sends longer than this are likely to wait for room: they are not tried silently.
const SILENT_MAX: usize = 256 << 10;

/// A send of this turn.
pub(super) struct Silent {
    handle: Handle,
    /// The operation it has become.
    slot: Tag,
    /// What the kernel reads, unless the operation has it.
    data: Buffer,
}

impl Port {
    /// Pushes the bytes as a silent send if that can be, and takes them out of `data`.
    #[inline]
    pub(super) fn send_silently(&mut self, handle: Handle, data: &mut Option<Buffer>) -> bool {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return false };
        let free = sock.sends == NONE && sock.silent_turn != self.silent_turn && sock.room_waiter == NONE;
        if !free || !self.sends_silently || sock.send_error != 0 || sock.flags.has(Flags::CLOSING | Flags::WRITES | Flags::ENGINE)
        {
            return false;
        }
        let Some(bytes) = data.as_deref().filter(|bytes| !bytes.is_empty() && bytes.len() <= SILENT_MAX) else { return false };
        let (ptr, len) = (bytes.as_ptr(), bytes.len());
        let place = self.silent.len() as u32;
        (sock.sends_tail, sock.silent_turn) = (place, self.silent_turn);
        let fd = sock.fd;
        let Some(data) = data.take() else { return false };
        self.silent.push(Silent { handle, slot: Tag::NOBODY, data });
        self.counters.operations.add(1);
        self.push_uncounted(Tag::new(TagKind::Silent, place, self.silent_turn), Sys::SendNow { fd, ptr, len });
        true
    }

    /// How many bytes of this handle are in a silent send that is under way and no operation yet.
    pub(super) fn silent_bytes(&self, handle: Handle) -> usize {
        let Ok(sock) = self.sock(handle) else { return 0 };
        if sock.sends != NONE || sock.silent_turn != self.silent_turn {
            return 0;
        }
        self.silent.get(sock.sends_tail as usize).filter(|send| send.handle == handle).map_or(0, |send| send.data.len())
    }

    /// How many silent sends are under way that are no operations.
    pub(super) fn silent_sends(&self) -> usize {
        self.silent.iter().filter(|send| send.slot == Tag::NOBODY).count()
    }

    /// Makes an operation of a handle's silent send, if there is one.
    pub(super) fn give_slot(&mut self, handle: Handle) {
        let Ok(sock) = self.sock(handle) else { return };
        if sock.sends != NONE || sock.silent_turn != self.silent_turn {
            return;
        }
        let place = sock.sends_tail as usize;
        let unborn = |send: &&mut Silent| send.handle == handle && send.slot == Tag::NOBODY;
        let Some(send) = self.silent.get_mut(place).filter(unborn) else { return };
        // The kernel reads what the buffer points to, which stays where it is.
        let data = std::mem::take(&mut send.data);
        let index = self.accepted_send(handle, data, State::Silent, 0);
        self.silent[place].slot = self.slot_id(index);
        let Ok(sock) = self.sock_mut(handle) else { return };
        (sock.sends, sock.sends_tail) = (index, index);
        sock.in_flight += 1;
        self.in_flight += 1;
    }

    /// Makes the slot of a send that nobody waits for, of which so many bytes have gone, and counts what it keeps.
    pub(super) fn accepted_send(&mut self, handle: Handle, data: Buffer, state: State, sent: usize) -> u32 {
        if let Ok(sock) = self.sock_mut(handle) {
            // A buffer that the count can't hold is counted as far as it goes, and so discounted.
            sock.queued_bytes = sock.queued_bytes.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
        }
        let index = self.new_slot(Some(handle), Work::Send { data, zc: ZeroCopy::No }, 0);
        if let Some(slot) = self.slots.at_mut(index) {
            (slot.state, slot.detached, slot.result) = (state, true, sent as i64);
        }
        index
    }

    /// Somebody waits for the end of a send that may make no event: the next turn must not wait for others.
    pub(super) fn hurry_send(&mut self, handle: Handle) {
        self.give_slot(handle);
        let Some(sock) = self.socks.get(handle.index, handle.generation) else { return };
        if self.slots.at(sock.sends).is_some_and(|slot| slot.state == State::Silent) {
            self.hurry = true;
        }
    }

    /// A silent send did not go out whole: it goes on as an operation.
    #[cold]
    pub(super) fn on_silent_event(&mut self, event: Event) {
        let place = event.tag.index() as usize;
        let Some(handle) = self.silent.get(place).map(|send| send.handle) else { return };
        if event.tag != Tag::new(TagKind::Silent, place as u32, self.silent_turn) {
            debug_assert!(false, "an event for a silent send of another turn");
            return;
        }
        self.give_slot(handle);
        if let Some(tag) = self.silent.get(place).map(|send| send.slot).filter(|&tag| tag != Tag::NOBODY) {
            self.on_event(Event { tag, ..event });
        }
    }

    /// After a turn: ends the silent sends of which nothing was heard, for they have gone out.
    #[inline]
    pub(super) fn settle(&mut self) {
        if !self.driver.is_settled() {
            self.hurry = true;
            return;
        }
        self.silent_turn = self.silent_turn.wrapping_add(1);
        let mut bytes = 0;
        let mut given = false;
        for send in &self.silent {
            bytes += send.data.len() as u64;
            given |= send.slot != Tag::NOBODY;
        }
        self.counters.bytes_sent.add(bytes);
        if given {
            for place in 0..self.silent.len() {
                self.end_silent(self.silent[place].slot);
            }
        }
        self.silent.clear();
    }

    /// A silent send that has become an operation has gone out, unless an event said otherwise.
    #[cold]
    fn end_silent(&mut self, tag: Tag) {
        if tag == Tag::NOBODY {
            return;
        }
        let Some(slot) = self.slots.get(tag.index(), tag.generation()) else { return };
        if let (State::Silent, Work::Send { data, .. }) = (slot.state, &slot.work) {
            let len = data.len();
            self.on_event(Event::last(tag, len as i32));
        }
    }
}
