//! Closing a handle: sends go out, everything else ends, and the descriptor is closed when nothing uses it.

use std::time::Duration;

use crate::engine::SocketOption;
use crate::handle::{Flags, Handle};
use crate::os::raw;
use crate::port::Port;
use crate::slab::NONE;
use crate::slot::{State, Work};
use crate::sys::Sys;
use crate::tag::{Tag, TagKind};

impl Port {
    /// Closes a handle without a completion, as [`Op::Close`](crate::Op::Close) does. A closed handle is left alone.
    pub fn close(&mut self, handle: Handle) {
        if self.sock(handle).is_ok_and(|sock| !sock.flags.has(Flags::CLOSING)) {
            self.begin_close(handle, None);
        }
    }

    /// Closes a handle at once: sends that were accepted but have not gone out are dropped, and the peer of a TCP
    /// connection sees a reset.
    pub fn abort(&mut self, handle: Handle) {
        self.reset_when_closed(handle);
        self.close(handle);
        self.cancel_sends(handle);
    }

    /// Has the closing of a connection be a reset.
    pub(super) fn reset_when_closed(&mut self, handle: Handle) {
        let zero = Some(Duration::ZERO);
        if self.is_engines(handle) {
            let _ = self.set_option(handle, SocketOption::Linger(zero));
        } else if let Ok(fd) = self.descriptor(handle) {
            let _ = rustix::net::sockopt::set_socket_linger(fd, zero);
        }
    }

    pub(super) fn begin_close(&mut self, handle: Handle, operation: Option<u32>) {
        self.give_slot(handle);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        sock.flags.set(Flags::CLOSING);
        sock.flags.clear(Flags::INTEREST);
        let room = std::mem::replace(&mut sock.room_waiter, operation.unwrap_or(NONE));
        if matches!(self.slots.at(room).map(|slot| &slot.work), Some(Work::Room { .. })) {
            self.slots.remove(room);
        }
        self.discard_received(handle);
        self.end_receivers(handle);

        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let (fd, accepts) = (sock.fd, sock.accepts.max(1));
        if sock.flags.has(Flags::ARMED) && !sock.flags.has(Flags::CANCELLING) {
            sock.flags.set(Flags::CANCELLING);
            for _ in 0..accepts {
                self.push_cancel(handle.receive_tag(), fd);
            }
        }
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let receiving = if sock.flags.has(Flags::ARMED) { u32::from(accepts) } else { 0 };
        let (in_flight, sends) = (sock.in_flight, sock.sends);
        let sending = self.slots.at(sends).map_or(0, |slot| u32::from(slot.state == State::InFlight));
        // Looking through all operations is for the rare handle that has others in flight.
        if in_flight > receiving + sending {
            self.end_others(handle);
        }
        if self.sock(handle).is_ok_and(|sock| sock.sends != NONE) {
            self.hurry_send(handle);
            let deadline = self.clock.tick_after(self.config.linger);
            self.timers.insert(deadline, Tag::new(TagKind::Close, handle.index, handle.generation));
            if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
                sock.flags.set(Flags::LINGERING);
            }
        }
        self.proceed_closing(handle);
    }

    /// Completes the receiving operations that wait.
    fn end_receivers(&mut self, handle: Handle) {
        let Ok(sock) = self.sock(handle) else { return };
        let mut index = sock.waiters;
        while let Some(slot) = self.slots.at(index) {
            let next = slot.next;
            if slot.state == State::Queued {
                self.unlink_receiver(handle, index);
                self.complete(index, -i64::from(raw::ECANCELED));
            }
            index = next;
        }
    }

    /// Cancels what is in flight on a handle, but for its sends: those were posted before the close and go out before it.
    fn end_others(&mut self, handle: Handle) {
        for index in self.slots_of(handle) {
            let Some(slot) = self.slots.at(index) else { continue };
            let sends = matches!(
                slot.work,
                Work::Send { .. } | Work::SendVectored(_) | Work::SendMsg(_) | Work::SendFile(_) | Work::Shutdown { .. }
            );
            let of_another = slot.handle != Some(handle) && sends;
            if !matches!(slot.work, Work::Close) && (!sends || of_another) {
                self.cancel_slot(index);
            }
        }
    }

    fn cancel_sends(&mut self, handle: Handle) {
        for index in self.slots_of(handle) {
            if let Some(slot) = self.slots.at_mut(index)
                && matches!(slot.work, Work::Send { .. } | Work::SendVectored(_) | Work::SendMsg(_) | Work::SendFile(_))
            {
                self.cancel_slot(index);
            }
        }
    }

    /// The time that accepted sends had is over: they are cancelled and the peer is told by a reset.
    pub(super) fn on_linger_over(&mut self, handle: Handle) {
        let Ok(sock) = self.sock(handle) else { return };
        if sock.flags.has(Flags::LINGERING) && !sock.flags.has(Flags::SHUT) {
            self.reset_when_closed(handle);
            self.cancel_sends(handle);
        }
    }

    /// Closes the descriptor if the handle is closing and nothing uses it any more.
    #[inline]
    pub(super) fn proceed_closing(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if !sock.flags.has(Flags::CLOSING) || sock.in_flight > 0 || sock.sends != NONE || sock.flags.has(Flags::SHUT) {
            return;
        }
        sock.flags.set(Flags::SHUT);
        let fd = sock.fd;
        // Received while the closing went on.
        self.discard_received(handle);
        self.push(Tag::new(TagKind::Close, handle.index, handle.generation), Sys::Close { fd });
    }

    /// The descriptor is closed: the record goes, and the operation that asked for it completes.
    pub(super) fn on_closed(&mut self, handle: Handle, result: i32) {
        let Ok(sock) = self.sock(handle) else { return };
        let waiter = sock.room_waiter;
        if matches!(self.slots.at(waiter).map(|slot| &slot.work), Some(Work::Close)) {
            self.complete(waiter, result.into());
        }
        self.socks.remove(handle.index);
    }
}
