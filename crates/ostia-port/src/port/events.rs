//! What the driver reports, given to whom it concerns.

use crate::handle::Handle;
use crate::os::raw;
use crate::port::{Port, Ready};
use crate::slot::{State, Work};
use crate::sys::Event;
use crate::tag::{Tag, TagKind};

impl Port {
    /// Takes one event, whatever it is.
    pub(super) fn on_event(&mut self, event: Event) {
        match event.tag.kind() {
            Some(TagKind::Receive) => self.on_received(event),
            Some(TagKind::Op) => self.on_op_event(event),
            Some(TagKind::Close) => {
                self.in_flight -= 1;
                self.on_closed(Handle { index: event.tag.index(), generation: event.tag.generation() }, event.result);
            }
            Some(TagKind::Silent) => self.on_silent_event(event),
            Some(TagKind::Nobody | TagKind::Wake | TagKind::Link) | None => {}
        }
    }

    fn on_op_event(&mut self, event: Event) {
        if !event.more {
            self.in_flight -= 1;
        }
        let index = event.tag.index();
        let Some(slot) = self.slots.get_mut(index, event.tag.generation()) else {
            debug_assert!(false, "an event for an operation that is gone");
            return;
        };
        let handle = slot.handle;
        let was_silent = slot.state == State::Silent;
        if was_silent {
            slot.state = State::InFlight;
        }
        if let (Some(handle), false) = (handle, event.more) {
            self.let_go(handle);
        }
        let Some(slot) = self.slots.at_mut(index) else { return };
        match (&slot.work, handle) {
            (Work::RecvInto { .. }, Some(handle)) => self.on_direct(handle, index, event.result),
            (
                Work::Send { .. } | Work::SendVectored(_) | Work::SendMsg(_) | Work::SendFile(_) | Work::Shutdown { .. },
                Some(handle),
            ) => {
                // A silent send that found no room took nothing: it goes on as one that waits.
                let result = if was_silent && event.result == -raw::EAGAIN { -raw::EINTR } else { event.result };
                self.on_sent(handle, index, result, event.more, event.notice);
            }
            (Work::Send { .. }, None) => self.on_late_notice(index),
            _ => self.on_single_event(index, event.result),
        }
        if let (Some(handle), false) = (handle, event.more) {
            self.proceed_closing(handle);
        }
    }

    /// Less is in flight on a handle by one driver request.
    pub(super) fn let_go(&mut self, handle: Handle) {
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.in_flight -= 1;
        }
    }

    /// An operation no longer keeps a second handle open; that one's closing may go on.
    pub(super) fn release(&mut self, handle: Handle) {
        self.let_go(handle);
        self.proceed_closing(handle);
    }

    pub(super) fn on_timer(&mut self, tag: Tag) {
        match tag.kind() {
            Some(TagKind::Op) if self.slots.get(tag.index(), tag.generation()).is_some() => self.complete(tag.index(), 0),
            Some(TagKind::Close) => self.on_linger_over(Handle { index: tag.index(), generation: tag.generation() }),
            _ => {}
        }
    }

    /// The operation has its result: it waits to be taken.
    #[inline]
    pub(super) fn complete(&mut self, index: u32, result: i64) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        slot.state = State::Done;
        slot.result = result;
        if slot.detached {
            self.slots.discard(index);
            return;
        }
        let key = slot.handle.and_then(|h| self.socks.get(h.index, h.generation)).map_or(0, |sock| sock.key);
        let tag = self.slot_id(index);
        self.ready.push_back(Ready { tag, context: key });
    }
}
