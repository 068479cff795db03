//! Receiving and accepting: what arrives belongs to the handle, and waiting operations take it from there.

use crate::os::{FromRawFd, OwnedFd};
use std::io;

use crate::chunk::Chunk;
use crate::completion::{Completion, Payload};
use crate::config::DriverKind;
use crate::driver::number_of;
use crate::handle::{Flags, Handle, Kind, Node, Received};
use crate::op::OpId;
use crate::os::{raw, syscalls};
use crate::port::{Connection, Port, Ready};
use crate::slab::NONE;
use crate::slot::{State, Work};
use crate::sys::{CURRENT, Datagram, Event, Sys};
use crate::tag::{Tag, TagKind};

impl Port {
    /// Has the driver receive (accept, read) for this handle from now on, unless it does already.
    #[inline]
    pub(super) fn arm(&mut self, handle: Handle) {
        const NOT_NOW: u32 = Flags::ARMED | Flags::END | Flags::CLOSING | Flags::DIRECT | Flags::DRY;
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.flags.has(NOT_NOW) || sock.receive_error != 0 {
            return;
        }
        sock.flags.set(Flags::ARMED);
        let fd = sock.fd;
        let sys = match sock.kind {
            Kind::Listener if self.single_accepts => return self.post_accepts(handle),
            Kind::Listener => Sys::Accept { fd, multi: true },
            Kind::Pipe => Sys::ReadPool { fd },
            Kind::Datagram
                if self.receives_ahead
                    && sock.flags.are(Flags::TAKES_AHEAD | Flags::SHARED | Flags::ENGINE, Flags::TAKES_AHEAD) =>
            {
                sock.flags.set(Flags::AHEAD);
                Sys::ReceiveMsg { fd }
            }
            // Whoever asks takes the datagrams themselves: see `poll_readable`.
            Kind::Datagram => Sys::Poll { fd, events: raw::POLLIN as u32 },
            _ => Sys::Receive { fd },
        };
        sock.in_flight += 1;
        self.push(handle.receive_tag(), sys);
    }

    /// Keeps as many accepts posted as connections come in a turn, between the configured bounds.
    pub(super) fn post_accepts(&mut self, handle: Handle) {
        let (least, most) = self.config.accepts_posted;
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let target = usize::from(sock.accepts_target).clamp(least, most.min(250));
        sock.accepts_target = target as u8;
        let missing = target.saturating_sub(usize::from(sock.accepts));
        sock.accepts += missing as u8;
        sock.in_flight += missing as u32;
        let fd = sock.fd;
        for _ in 0..missing {
            self.push(handle.receive_tag(), Sys::Accept { fd, multi: false });
        }
    }

    /// Withdraws posted accepts that no burst has needed since this was last called.
    pub(super) fn cool_accepts(&mut self) {
        let (least, most) = self.config.accepts_posted;
        let listeners: Vec<Handle> =
            self.handles().filter(|&handle| self.kind(handle).is_ok_and(|k| k == Kind::Listener)).collect();
        for handle in listeners {
            // Whoever says nothing must not keep others out: everything that may be posted is, until they have been broken off.
            let held = self.driver.accepts_are_held(handle.receive_tag());
            let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { continue };
            if held && sock.flags.are(Flags::ARMED | Flags::CANCELLING, Flags::ARMED) {
                sock.accepts_target = most.min(250) as u8;
                self.post_accepts(handle);
                continue;
            }
            sock.accepts_target = (usize::from(sock.accepts_target) / 2).max(least).min(250) as u8;
            let (fd, surplus) = (sock.fd, sock.accepts.saturating_sub(sock.accepts_target));
            if !sock.flags.has(Flags::CANCELLING) {
                (0..surplus).for_each(|_| self.push_cancel(handle.receive_tag(), fd));
            }
        }
    }

    /// An event of a handle's receiving side.
    #[inline]
    pub(super) fn on_received(&mut self, event: Event) {
        let handle = Handle { index: event.tag.index(), generation: event.tag.generation() };
        if !event.more {
            self.in_flight -= 1;
        }
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else {
            // Can't be: a record with requests in flight is not freed. A connection would leak otherwise.
            debug_assert!(false, "an event for a handle that is gone");
            return;
        };
        let ahead = sock.flags.has(Flags::AHEAD);
        if !event.more {
            sock.flags.clear(Flags::AHEAD);
            sock.in_flight -= 1;
            sock.accepts = sock.accepts.saturating_sub(1);
            if sock.accepts == 0 {
                sock.flags.clear(Flags::ARMED | Flags::CANCELLING);
            } else if sock.flags.has(Flags::CANCELLING) {
                // Several requests of one name: a cancel meets any of them, perhaps one that an earlier cancel had met.
                let fd = sock.fd;
                self.push_cancel(handle.receive_tag(), fd);
            }
        }
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.kind == Kind::Listener && event.result >= 0 {
            if sock.unread + 1 >= u32::from(sock.accepts_target) {
                // As many came in one turn as could: next time more may.
                sock.accepts_target = sock.accepts_target.saturating_mul(2);
            }
            let connection = if sock.flags.has(Flags::ENGINE) {
                Connection::Engine(number_of(event.result as u32))
            } else {
                // SAFETY: accept has just made this descriptor and nobody else knows it.
                Connection::new(unsafe { OwnedFd::from_raw_fd(event.result) }, event)
            };
            self.keep(handle, Received::Connection(connection));
        } else if let Some(chunk) = event.chunk {
            if sock.kind == Kind::Datagram { self.keep_datagram(handle, chunk) } else { self.keep_chunk(handle, chunk) }
        } else if sock.kind == Kind::Datagram && !ahead {
            return self.on_readable(handle, event.result);
        } else {
            self.on_receive_end(handle, event.result, event.more);
        }
        self.after_receive(handle);
    }

    fn on_receive_end(&mut self, handle: Handle, result: i32, more: bool) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        // An engine's word is about the listener itself, and to ask again would bring the same one at once, for ever.
        let transient = sock.kind == Kind::Listener && !sock.flags.has(Flags::ENGINE);
        match -result {
            0 if !more => sock.end_receiving(),
            0 | raw::ECANCELED | raw::EINTR => {}
            raw::ENOBUFS if sock.kind != Kind::Listener => {
                sock.flags.set(Flags::DRY);
                self.dry.push(handle);
            }
            raw::EINVAL | raw::EOPNOTSUPP | raw::ENOMEM if sock.kind == Kind::Datagram => self.receives_ahead = false,
            // `send_file` has left the socket non-blocking.
            raw::EAGAIN => {
                sock.flags.clear(Flags::NONBLOCKING);
                syscalls::set_nonblocking(sock.fd, false);
            }
            // A connection that broke before it was accepted is no error of the listener (accept(2), "Error handling").
            raw::ECONNABORTED | raw::EPROTO | raw::ENETDOWN | raw::EHOSTDOWN | raw::EHOSTUNREACH | raw::ENETUNREACH
                if transient => {}
            errno => sock.receive_error = errno as u16,
        }
    }

    /// Keeps received bytes on their handle; copied to exact size if half of the pool is leased, and booked so if they came past
    /// a dry one.
    #[inline]
    fn keep_chunk(&mut self, handle: Handle, chunk: Chunk) {
        self.counters.bytes_received.add(chunk.len() as u64);
        let copies = self.strained || self.pool.strained() || !chunk.is_lent();
        let chunk = if copies { self.copied_out(handle, chunk) } else { Some(chunk) };
        if let Some(chunk) = chunk {
            self.keep(handle, Received::Chunk(chunk));
        }
    }

    /// Keeps a datagram on its handle; copied to exact size if half of their buffers are in use.
    fn keep_datagram(&mut self, handle: Handle, chunk: Chunk) {
        let payload = Datagram::parse(&chunk).map_or(0, |datagram| datagram.payload.len());
        self.counters.bytes_received.add(payload as u64);
        let chunk = if self.driver.datagrams_strained() { self.copied_out(handle, chunk) } else { Some(chunk) };
        if let Some(chunk) = chunk {
            self.keep(handle, Received::Datagram(chunk));
        }
    }

    #[cold]
    fn copied_out(&mut self, handle: Handle, chunk: Chunk) -> Option<Chunk> {
        let sock = self.socks.get_mut(handle.index, handle.generation)?;
        if sock.receive_error != 0 {
            // Bytes behind those that were refused must not be taken for what comes next.
            return None;
        }
        let over = self.pool.copies.bytes() + chunk.len() > self.config.pool.copies_max;
        if over && sock.held as usize + chunk.len() > self.config.unread_max {
            self.counters.copies_refused.add(1);
            sock.receive_error = raw::ENOBUFS as u16;
            return None;
        }
        sock.held = sock.held.saturating_add(chunk.len() as u32);
        self.counters.bytes_copied_out.add(chunk.len() as u64);
        Some(Chunk::copied(&chunk, std::sync::Arc::clone(&self.pool.copies), handle.receive_tag().word()))
    }

    /// Makes a node of what stands in the record itself, for it will not be all that is unread.
    fn put_in_list(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let Some(part) = sock.take_lone() else { return };
        let chunk = self.pool.chunk(part);
        let len = chunk.len() as u32;
        let received = Received::Chunk(chunk);
        let node = self.nodes.insert_with(|_, generation| Node { received, next: NONE, generation });
        (sock.head, sock.tail, sock.unread) = (node, node, len);
    }

    fn keep(&mut self, handle: Handle, received: Received) {
        self.put_in_list(handle);
        let size = received.size();
        let node = self.nodes.insert_with(|_, generation| Node { received, next: NONE, generation });
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else {
            self.nodes.remove(node);
            return;
        };
        sock.unread += size;
        let tail = std::mem::replace(&mut sock.tail, node);
        match self.nodes.at_mut(tail) {
            Some(last) => last.next = node,
            None => sock.head = node,
        }
    }

    /// Tells whoever waits, bounds what is unread, receives on.
    #[inline]
    fn after_receive(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.flags.has(Flags::CLOSING) {
            return self.proceed_closing(handle);
        }
        let bound = if sock.kind == Kind::Listener { self.config.accepted_max } else { self.config.unread_max };
        if sock.unread as usize >= bound && sock.flags.has(Flags::ARMED) && !sock.flags.has(Flags::CANCELLING) {
            sock.flags.set(Flags::CANCELLING);
            let (fd, times) = (sock.fd, sock.accepts.max(1));
            self.counters.receives_paused.add(1);
            for _ in 0..times {
                self.push_cancel(handle.receive_tag(), fd);
            }
        }
        self.announce(handle);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        // Somebody waits and there is nothing for them: the request had ended for its own reasons.
        if !sock.flags.has(Flags::ARMED) && !sock.has_news() && (sock.waiters != NONE || sock.flags.has(Flags::INTEREST)) {
            self.arm(handle);
        } else if self.single_accepts
            && sock.kind == Kind::Listener
            && sock.flags.has(Flags::ARMED)
            && !sock.flags.has(Flags::CANCELLING)
        {
            self.post_accepts(handle);
        }
    }

    /// Puts a handle that has news into the ready queue, for its operations or for whoever asked to be told.
    #[inline]
    pub(super) fn announce(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        // While the first receiver's own buffer is with the kernel, its end decides what comes next.
        if !sock.has_news() || sock.flags.has(Flags::DIRECT) {
            return;
        }
        if sock.waiters != NONE && !sock.flags.has(Flags::QUEUED) {
            sock.flags.set(Flags::QUEUED);
            self.ready.push_back(Ready::tag(handle.receive_tag()));
        } else if sock.waiters == NONE && sock.flags.take(Flags::INTEREST) {
            self.ready.push_back(Ready::notify(sock.interest));
        }
    }

    /// Takes the first thing that was received; and receives on if that was the last and receiving had been paused.
    #[inline]
    pub(super) fn take_node(&mut self, handle: Handle) -> Option<Received> {
        let sock = self.socks.get_mut(handle.index, handle.generation)?;
        if let Some(part) = sock.take_lone() {
            return Some(Received::Chunk(self.pool.chunk(part)));
        }
        if sock.head == NONE {
            return None;
        }
        let node = self.nodes.remove(sock.head)?;
        sock.head = node.next;
        if sock.head == NONE {
            sock.tail = NONE;
        }
        sock.unread -= node.received.size();
        Some(node.received)
    }

    /// Drops all that was received and not taken.
    pub(super) fn discard_received(&mut self, handle: Handle) {
        while let Some(received) = self.take_node(handle) {
            if let Received::Connection(Connection::Engine(number)) = received
                && let Some(hosting) = self.driver.hosting_mut()
            {
                hosting.close(number);
            }
        }
    }

    /// Takes the error that the next receive is to report.
    pub(super) fn take_receive_error(&mut self, handle: Handle) -> Option<io::Error> {
        let sock = self.socks.get_mut(handle.index, handle.generation)?;
        match std::mem::take(&mut sock.receive_error) {
            0 => None,
            errno => Some(io::Error::from_raw_os_error(errno.into())),
        }
    }

    /// Posts a receiving or accepting operation: it waits on its handle.
    pub(super) fn queue_receiver(&mut self, handle: Handle, index: u32) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let first = sock.waiters;
        if first == NONE {
            sock.waiters = index;
        } else {
            let mut last = first;
            while let Some(slot) = self.slots.at(last) {
                if slot.next == NONE {
                    break;
                }
                last = slot.next;
            }
            if let Some(slot) = self.slots.at_mut(last) {
                slot.next = index;
            }
        }
        self.serve_receiver(handle);
    }

    /// Brings the first waiting receiver on: to the ready queue, into its own buffer, or to wait for the pool's.
    pub(super) fn serve_receiver(&mut self, handle: Handle) {
        let Some(sock) = self.socks.get(handle.index, handle.generation) else { return };
        if sock.has_news() {
            return self.announce(handle);
        }
        let first = sock.waiters;
        // A poll for datagrams takes nothing away from whoever receives them.
        let armed = sock.flags.has(Flags::ARMED) && sock.kind != Kind::Datagram;
        let (fd, idle) = (sock.fd, !armed && !sock.flags.has(Flags::DIRECT | Flags::CLOSING));
        let (interest, pipe) = (sock.flags.has(Flags::INTEREST), sock.kind == Kind::Pipe);
        let Some(slot) = self.slots.at_mut(first) else {
            if interest {
                self.arm(handle);
            }
            return;
        };
        if let (Work::RecvInto { buffer }, true) = (&mut slot.work, idle) {
            let spare = buffer.spare_capacity_mut();
            let (ptr, len) = (spare.as_mut_ptr().cast::<u8>(), spare.len());
            slot.state = State::InFlight;
            let tag = self.slot_id(first);
            if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
                sock.flags.set(Flags::DIRECT);
                sock.in_flight += 1;
            }
            let sys = if pipe { Sys::Read { fd, ptr, len, offset: CURRENT } } else { Sys::Recv { fd, ptr, len } };
            return self.push(tag, sys);
        }
        self.arm(handle);
    }

    /// A receive straight into its operation's buffer has ended.
    pub(super) fn on_direct(&mut self, handle: Handle, index: u32, result: i32) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        sock.flags.clear(Flags::DIRECT);
        let again = result == -raw::EAGAIN || result == -raw::EINTR;
        let cancelling = self.slots.at(index).is_some_and(|slot| slot.cancelling) || sock.flags.has(Flags::CLOSING);
        if again && !cancelling {
            sock.flags.clear(Flags::NONBLOCKING);
            if self.driver.kind() == DriverKind::IoUring {
                syscalls::set_nonblocking(sock.fd, false);
            }
            if let Some(slot) = self.slots.at_mut(index) {
                slot.state = State::Queued;
            }
            return self.serve_receiver(handle);
        }
        let mut result = if again { -raw::ECANCELED } else { result };
        self.unlink_receiver(handle, index);
        if result > 0 {
            self.counters.bytes_received.add(result as u64);
            if let Some(slot) = self.slots.at_mut(index)
                && let Work::RecvInto { buffer } = &mut slot.work
            {
                // SAFETY: the kernel has written `result` bytes to the spare capacity.
                unsafe { buffer.set_len(buffer.len() + result as usize) };
            }
        } else if result == 0
            && let Some(sock) = self.socks.get_mut(handle.index, handle.generation)
            && sock.kind == Kind::Stream
        {
            // A datagram may be empty; a stream that gives nothing has ended.
            sock.end_receiving();
            result = -i32::from(std::mem::take(&mut sock.receive_error));
        }
        self.complete(index, result.into());
        self.serve_receiver(handle);
    }

    pub(super) fn unlink_receiver(&mut self, handle: Handle, index: u32) {
        let next = self.slots.at(index).map_or(NONE, |slot| slot.next);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.waiters == index {
            sock.waiters = next;
        } else {
            let mut at = sock.waiters;
            while let Some(slot) = self.slots.at_mut(at) {
                if slot.next == index {
                    slot.next = next;
                    break;
                }
                at = slot.next;
            }
        }
        if let Some(slot) = self.slots.at_mut(index) {
            slot.next = NONE;
        }
    }

    /// Makes a completion of what a handle has for its first waiting operation.
    pub(super) fn take_received(&mut self, handle: Handle) -> Option<Completion> {
        let sock = self.socks.get_mut(handle.index, handle.generation)?;
        sock.flags.clear(Flags::QUEUED);
        let (key, index) = (sock.key, sock.waiters);
        if index == NONE || !sock.has_news() || sock.flags.has(Flags::DIRECT) {
            return None;
        }
        let (received, ended) = match self.take_node(handle) {
            Some(received) => (Ok(Some(received)), false),
            None => match self.take_receive_error(handle) {
                Some(error) => (Err(error), true),
                None => (Ok(None), true),
            },
        };
        let generation = self.slots.at(index).map_or(0, |slot| slot.generation);
        let slot = self.slots.at_mut(index)?;
        let context = slot.context;
        let multi = matches!(slot.work, Work::Recv { multi: true } | Work::Accept { multi: true }) && !ended;
        let mut completion = Completion {
            id: Some(OpId(Tag::new(TagKind::Op, index, generation))),
            key,
            context,
            result: Ok(0),
            payload: Payload::None,
            more: multi,
        };
        match (received, &mut slot.work) {
            (Ok(Some(Received::Chunk(mut chunk))), Work::RecvInto { buffer }) => {
                let taken = chunk.len().min(buffer.capacity() - buffer.len());
                buffer.extend_from_slice(&chunk[..taken]);
                completion.result = Ok(taken);
                chunk.advance(taken);
                if !chunk.is_empty() {
                    self.give_back(handle, chunk);
                }
            }
            (Ok(Some(Received::Chunk(chunk) | Received::Datagram(chunk))), _) => {
                completion.result = Ok(chunk.len());
                completion.payload = Payload::Chunk(chunk);
            }
            (Ok(Some(Received::Connection(connection))), _) => {
                let kind = self.accepts(handle);
                completion.payload = Payload::Handle(self.insert_connection(connection, kind, key));
            }
            (Ok(Some(Received::Nothing)), _) => {}
            (Ok(None), _) => self.forget_end(handle),
            (Err(error), _) => completion.result = Err(error),
        }
        if !multi {
            self.unlink_receiver(handle, index);
            if let Some(slot) = self.slots.remove(index)
                && let Work::RecvInto { buffer } = slot.work
            {
                completion.payload = Payload::Buffer(buffer.into());
            }
        }
        self.serve_receiver(handle);
        Some(completion)
    }

    /// The end has been told. That of a pipe need not be the last: a FIFO may find another writer.
    pub(super) fn forget_end(&mut self, handle: Handle) {
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation)
            && sock.kind == Kind::Pipe
        {
            sock.flags.clear(Flags::END);
        }
    }

    /// Puts the rest of a chunk back at the front.
    pub(super) fn give_back(&mut self, handle: Handle, chunk: Chunk) {
        self.put_in_list(handle);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let (len, head) = (chunk.len() as u32, sock.head);
        let node = self.nodes.insert_with(|_, generation| Node { received: Received::Chunk(chunk), next: head, generation });
        sock.unread += len;
        sock.head = node;
        if head == NONE {
            sock.tail = node;
        }
    }

    /// Receives again on handles that found no buffer, now that some may have come back.
    pub(super) fn rearm_dry(&mut self) {
        if self.dry.is_empty() {
            return;
        }
        let mut dry = self.driver.ready_for_descriptors() == 0 && self.pool.is_dry();
        if dry {
            self.driver.give_way(&self.pool);
            dry = self.pool.is_dry();
        }
        for handle in std::mem::take(&mut self.dry) {
            let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { continue };
            if dry && !sock.flags.has(Flags::ENGINE) {
                // Asking again would only be told the same.
                self.dry.push(handle);
                continue;
            }
            sock.flags.clear(Flags::DRY);
            if sock.waiters != NONE || sock.flags.has(Flags::INTEREST) {
                self.serve_receiver(handle);
            }
        }
    }
}
