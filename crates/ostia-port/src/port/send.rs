//! Sending: what is posted on a handle leaves in that order and whole; one request of it is with the driver at a time.

use crate::handle::{Flags, Handle};
use crate::os::{raw, syscalls};
use crate::port::{Port, Ready};
use crate::slab::NONE;
use crate::slot::{State, Work, ZeroCopy};
use crate::sys::{CURRENT, Sys};

impl Port {
    /// Appends a sending operation to its handle's queue and starts it if it is the first.
    #[inline]
    pub(super) fn queue_send(&mut self, handle: Handle, index: u32) {
        self.hurry_send(handle);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let tail = std::mem::replace(&mut sock.sends_tail, index);
        if sock.sends == NONE {
            sock.sends = index;
            return self.pump(handle);
        }
        if let Some(last) = self.slots.at_mut(tail) {
            last.next = index;
        }
    }

    /// Starts the first operation of the queue, and the next if that ends at once, without recursion.
    #[inline]
    pub(super) fn pump(&mut self, handle: Handle) {
        loop {
            let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
            let queued = self.slots.at(sock.sends).is_some_and(|slot| slot.state == State::Queued);
            if !queued || sock.flags.has(Flags::PUMPING) {
                return;
            }
            sock.flags.set(Flags::PUMPING);
            self.start_send(handle);
            if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
                sock.flags.clear(Flags::PUMPING);
            }
        }
    }

    /// Has the driver go on with the first operation of the queue.
    #[inline]
    pub(super) fn start_send(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let (index, fd, error) = (sock.sends, sock.fd, sock.send_error);
        let (no_zc, writes) = (sock.flags.has(Flags::NO_ZC), sock.flags.has(Flags::WRITES));
        let Some(slot) = self.slots.at_mut(index) else { return };
        if error != 0 {
            return self.end_send(handle, index, -i64::from(error));
        }
        let sent = slot.result as usize;
        let sys = match &mut slot.work {
            Work::Send { data, zc } => {
                let rest = &data[sent..];
                let (ptr, len, flags) = (rest.as_ptr(), rest.len(), raw::MSG_WAITALL);
                if writes {
                    *zc = ZeroCopy::No;
                    Sys::Write { fd, ptr, len, offset: CURRENT }
                } else if *zc == ZeroCopy::Wanted && !no_zc && len >= self.config.send_zc_min {
                    Sys::SendZc { fd, ptr, len, flags }
                } else {
                    *zc = ZeroCopy::No;
                    Sys::Send { fd, ptr, len, flags }
                }
            }
            Work::SendVectored(gather) => Sys::SendMsg { fd, msg: gather.from(sent), flags: raw::MSG_WAITALL },
            Work::SendMsg(message) => {
                let flags = message.message.flags;
                Sys::SendMsg { fd, msg: message.for_send(sent), flags }
            }
            Work::Shutdown { how } => Sys::Shutdown { fd, how: *how },
            Work::SendFile(_) => return self.advance_file(handle, index),
            // Only sending operations are ever queued here.
            _ => return self.end_send(handle, index, -i64::from(raw::EINVAL)),
        };
        slot.state = State::InFlight;
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.in_flight += 1;
        }
        self.push(self.slot_id(index), sys);
    }

    /// A request of the first operation in the queue has had an event.
    #[inline]
    pub(super) fn on_sent(&mut self, handle: Handle, index: u32, result: i32, more: bool, notice: bool) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        if notice {
            return self.on_notice(handle, index, result);
        }
        let total = match &mut slot.work {
            Work::Send { data, .. } => data.len(),
            Work::SendVectored(gather) => gather.len(),
            Work::SendMsg(message) => message.message.data.len(),
            Work::Shutdown { .. } => 0,
            Work::SendFile(_) => return self.on_file_event(handle, index, result),
            _ => return,
        };
        if result >= 0 {
            slot.result += i64::from(result);
            self.counters.bytes_sent.add(result as u64);
        }
        let (so_far, cancelling) = (slot.result, slot.cancelling);
        let whole = so_far as usize >= total;
        if let Work::Send { zc: zc @ ZeroCopy::Wanted, .. } = &mut slot.work
            && more
        {
            *zc = ZeroCopy::Notice;
            let errno = -result;
            if errno == raw::EAGAIN {
                self.make_sends_wait(handle);
            } else if errno > 0 && errno != raw::EINTR && !(errno == raw::ECANCELED && so_far > 0) {
                slot.result = result.into();
            }
            // The memory is the kernel's until its note comes; what is left unsent goes on after that.
            if cancelling {
                self.leave_to_notice(handle, index);
            }
            return;
        }
        match result {
            0.. if whole => self.end_send(handle, index, total as i64),
            // Nothing was taken of something: the kernel would do the same again for ever.
            0 => self.end_send(handle, index, -i64::from(raw::EPIPE)),
            1.. if cancelling => self.end_send(handle, index, so_far),
            1.. => self.start_send(handle),
            _ => match -result {
                raw::EAGAIN if !cancelling => {
                    self.make_sends_wait(handle);
                    self.start_send(handle);
                }
                raw::EINTR if !cancelling => self.start_send(handle),
                // Cancelled after a part had gone: the result says how much.
                raw::ECANCELED | raw::EAGAIN | raw::EINTR if so_far > 0 => self.end_send(handle, index, so_far),
                raw::EAGAIN | raw::EINTR => self.end_send(handle, index, -i64::from(raw::ECANCELED)),
                _ => self.end_send(handle, index, result.into()),
            },
        }
    }

    /// `send_file` has left the socket non-blocking, and io_uring doesn't wait then.
    fn make_sends_wait(&mut self, handle: Handle) {
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.flags.clear(Flags::NONBLOCKING);
            self.counters.syscalls.add(1);
            syscalls::set_nonblocking(sock.fd, false);
        }
    }

    /// A cancelled zero-copy send of a closing handle waits only for the note that its memory is free, and that may not
    /// come before the connection's end: the handle doesn't wait for it. True if it was one.
    pub(super) fn leave_to_notice(&mut self, handle: Handle, index: u32) -> bool {
        let Some(slot) = self.slots.at_mut(index) else { return false };
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return false };
        let notice = matches!(slot.work, Work::Send { zc: ZeroCopy::Notice, .. });
        if !notice || !sock.flags.has(Flags::CLOSING) || sock.sends != index {
            return false;
        }
        slot.handle = None;
        sock.sends = std::mem::replace(&mut slot.next, NONE);
        if sock.sends == NONE {
            sock.sends_tail = NONE;
        }
        sock.in_flight -= 1;
        self.pump(handle);
        self.proceed_closing(handle);
        true
    }

    /// The note of a zero-copy send whose handle has not waited for it.
    pub(super) fn on_late_notice(&mut self, index: u32) {
        let Some(slot) = self.slots.at(index) else { return };
        let result = if slot.result == 0 { -i64::from(raw::ECANCELED) } else { slot.result };
        self.complete(index, result);
    }

    /// The note of a zero-copy send: its memory is free.
    fn on_notice(&mut self, handle: Handle, index: u32, copied: i32) {
        if copied == 1 {
            self.counters.sends_copied_after_all.add(1);
            if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
                sock.flags.set(Flags::NO_ZC);
            }
        } else {
            self.counters.sends_zero_copy.add(1);
        }
        let Some(slot) = self.slots.at_mut(index) else { return };
        let Work::Send { data, zc } = &mut slot.work else { return };
        *zc = ZeroCopy::Wanted;
        let (result, total, cancelling) = (slot.result, data.len() as i64, slot.cancelling);
        if result < 0 || result >= total || cancelling {
            let nothing = cancelling && result == 0 && total > 0;
            self.end_send(handle, index, if nothing { -i64::from(raw::ECANCELED) } else { result });
        } else {
            self.start_send(handle);
        }
    }

    /// Ends the first operation of the queue and starts the next.
    #[inline]
    pub(super) fn end_send(&mut self, handle: Handle, index: u32, result: i64) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        let (next, detached) = (std::mem::replace(&mut slot.next, NONE), slot.detached);
        let bytes = match &slot.work {
            Work::Send { data, .. } if detached => u32::try_from(data.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        debug_assert_eq!(sock.sends, index, "only the first operation of a queue ends here");
        sock.sends = next;
        if next == NONE {
            sock.sends_tail = NONE;
        }
        sock.queued_bytes = sock.queued_bytes.saturating_sub(bytes);
        if result < 0 {
            sock.note_send_error(-result as i32);
        }
        // An accepted send that failed has nobody to tell: the next one is told, and those behind it fail with it.
        if detached && result < 0 && sock.send_error == 0 {
            sock.send_error = (-result) as u16;
        }
        let waits = sock.room_waiter != NONE;
        if detached {
            self.slots.discard(index);
        } else {
            self.complete(index, result);
        }
        if waits {
            self.tell_room(handle);
        }
        if next != NONE {
            self.pump(handle);
        }
    }

    /// Takes a queued operation out of the middle of its queue.
    pub(super) fn unlink_send(&mut self, handle: Handle, index: u32) {
        let next = self.slots.at(index).map_or(NONE, |slot| slot.next);
        let Some(sock) = self.socks.get(handle.index, handle.generation) else { return };
        let (mut at, tail) = (sock.sends, sock.sends_tail);
        while let Some(slot) = self.slots.at_mut(at) {
            if slot.next == index {
                slot.next = next;
                if tail == index
                    && let Some(sock) = self.socks.get_mut(handle.index, handle.generation)
                {
                    sock.sends_tail = at;
                }
                break;
            }
            at = slot.next;
        }
        if let Some(slot) = self.slots.at_mut(index) {
            slot.next = NONE;
        }
    }

    /// Tells whoever waits for room in the send queue, or for its end.
    pub(super) fn tell_room(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.flags.has(Flags::CLOSING) {
            return;
        }
        let index = sock.room_waiter;
        let Some(slot) = self.slots.at(index) else { return };
        let Work::Room { flush } = slot.work else { return };
        let told = if flush { sock.sends == NONE } else { sock.queued_bytes as usize <= self.config.unread_max / 2 };
        if told || sock.send_error != 0 {
            sock.room_waiter = NONE;
            let context = slot.context;
            self.slots.discard(index);
            self.ready.push_back(Ready::notify(context));
        }
    }
}
