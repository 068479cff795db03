//! The face for runtimes: try now, be told later. Nothing is posted, so nothing is lost when the asker goes away.

use crate::os::{FromRawFd, OwnedFd};
use std::io::{self, IoSlice};
use std::task::Poll;

use crate::buffer::Buffer;
use crate::chunk::Chunk;
use crate::clock::Patience;
use crate::driver::Env;
use crate::handle::{Flags, Handle, Kind, Received};
use crate::os::{raw, syscalls};
use crate::port::{Accepted, Port, closed};
use crate::slab::NONE;
use crate::slot::{State, Work};

impl Port {
    /// Takes what was received first on a stream socket or pipe; none at its end. If nothing is there, a completion with
    /// `context` and no id comes once there is: then ask again. Asking again earlier replaces the context.
    ///
    /// This is [`Op::Recv`](crate::Op::Recv) without an operation: bytes stay with the handle until a call takes them,
    /// so whoever stops asking loses nothing.
    ///
    /// # Errors
    /// EBADF for a closed handle; EINVAL for one that is no stream; else what recv(2) says, once.
    #[inline]
    pub fn poll_recv(&mut self, handle: Handle, context: u64) -> Poll<io::Result<Option<Chunk>>> {
        const IDLE: u32 = Flags::ARMED | Flags::CLOSING | Flags::END;
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return Poll::Ready(Err(closed())) };
        if let Some(part) = sock.take_lone() {
            return Poll::Ready(Ok(Some(self.pool.chunk(part))));
        }
        if sock.head == NONE && sock.flags.are(IDLE, Flags::ARMED) && sock.receive_error == 0 {
            // The driver is receiving already; a wrong kind of handle would not have come so far.
            sock.flags.set(Flags::INTEREST);
            sock.interest = context;
            return Poll::Pending;
        }
        self.poll_recv_slowly(handle, context)
    }

    #[inline(never)]
    fn poll_recv_slowly(&mut self, handle: Handle, context: u64) -> Poll<io::Result<Option<Chunk>>> {
        if self.sock(handle).is_ok_and(|sock| sock.kind == Kind::Listener) {
            // Its connections are for those who accept.
            return Poll::Ready(Err(io::Error::from_raw_os_error(raw::EINVAL)));
        }
        match self.take_node(handle) {
            Some(Received::Chunk(chunk)) => Poll::Ready(Ok(Some(chunk))),
            Some(Received::Connection(_) | Received::Datagram(_) | Received::Nothing) => {
                Poll::Ready(Err(io::Error::from_raw_os_error(raw::EINVAL)))
            }
            None => self.poll_news(handle, context, false).map(|news| news.map(|()| None)),
        }
    }

    /// Takes a connection that was accepted on a listening socket, as [`poll_recv`](Self::poll_recv) takes bytes.
    ///
    /// # Errors
    /// EBADF for a closed handle; EINVAL for one that does not listen; else what accept(2) says, once: EMFILE and its like
    /// are worth a pause, for the connection waits in the kernel's queue and the next call tries again.
    pub fn poll_accept(&mut self, handle: Handle, context: u64) -> Poll<io::Result<Handle>> {
        match self.take_node(handle) {
            Some(Received::Connection(connection)) => {
                let key = self.sock(handle).map_or(0, |sock| sock.key);
                Poll::Ready(Ok(self.insert_connection(connection, self.accepts(handle), key)))
            }
            Some(Received::Chunk(_) | Received::Datagram(_) | Received::Nothing) => {
                Poll::Ready(Err(io::Error::from_raw_os_error(raw::EINVAL)))
            }
            None => self.poll_news(handle, context, true).map(|news| news.and_then(|()| Err(closed()))),
        }
    }

    /// As [`poll_accept`](Self::poll_accept), but the connection's descriptor is not made a handle: for another port, which takes it by
    /// [`adopt_accepted`](Self::adopt_accepted). Who takes only the descriptor loses the first bytes that came with it, if
    /// [`Config::accept_data`](crate::Config::accept_data) has asked for some.
    ///
    /// # Errors
    /// As for `poll_accept`; EOPNOTSUPP on a listener of an engine, whose connections have no descriptors.
    pub fn poll_accept_fd(&mut self, handle: Handle, context: u64) -> Poll<io::Result<Accepted>> {
        if self.is_engines(handle) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP)));
        }
        match self.take_node(handle) {
            Some(Received::Connection(connection)) => Poll::Ready(connection.into_accepted().map_err(|_| closed())),
            Some(Received::Chunk(_) | Received::Datagram(_) | Received::Nothing) => {
                Poll::Ready(Err(io::Error::from_raw_os_error(raw::EINVAL)))
            }
            None => self.poll_news(handle, context, true).map(|news| news.and_then(|()| Err(closed()))),
        }
    }

    /// Nothing is there to take: the end, an error, or interest is booked and the driver receives.
    fn poll_news(&mut self, handle: Handle, context: u64, accepts: bool) -> Poll<io::Result<()>> {
        let Ok(sock) = self.sock(handle) else { return Poll::Ready(Err(closed())) };
        if sock.flags.has(Flags::CLOSING) {
            return Poll::Ready(Err(closed()));
        }
        if let Some(error) = self.take_receive_error(handle) {
            return Poll::Ready(Err(error));
        }
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return Poll::Ready(Err(closed())) };
        if accepts != (sock.kind == Kind::Listener) || !matches!(sock.kind, Kind::Listener | Kind::Stream | Kind::Pipe) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(raw::EINVAL)));
        }
        if sock.flags.has(Flags::END) {
            self.forget_end(handle);
            return Poll::Ready(Ok(()));
        }
        sock.flags.set(Flags::INTEREST);
        sock.interest = context;
        self.arm(handle);
        Poll::Pending
    }

    /// Forgets who asked by [`poll_recv`](Self::poll_recv) or [`poll_accept`](Self::poll_accept). What arrives is kept.
    pub fn forget_interest(&mut self, handle: Handle) {
        if let Ok(sock) = self.sock_mut(handle) {
            sock.flags.clear(Flags::INTEREST);
        }
    }

    /// The time of the last wait, in nanoseconds since the port was made.
    #[inline]
    pub fn nanos(&self) -> u64 {
        self.clock.nanos()
    }

    /// As [`wait_until`](Port::wait_until), until so many milliseconds after the port was made.
    ///
    /// # Errors
    /// As for `wait`.
    #[inline]
    pub fn wait_until_tick(&mut self, tick: u64) -> io::Result<()> {
        self.wait_for(Patience::Until(self.clock.moment_of(tick)))
    }

    /// Whether the port is receiving on a handle of its own accord, or holds bytes that nobody has taken: then operations
    /// that read the descriptor directly (such as [`Op::Splice`](crate::Op::Splice)) would miss some.
    pub fn is_receiving(&self, handle: Handle) -> bool {
        const RECEIVING: u32 = Flags::ARMED | Flags::DIRECT | Flags::DRY;
        self.sock(handle).is_ok_and(|sock| sock.flags.has(RECEIVING) || sock.head != NONE)
    }

    /// Takes a stream's descriptor out of the port, with what was received and not taken, so that another port can adopt it.
    ///
    /// # Errors
    /// EBADF when the handle is closed; EBUSY while anything is in flight on it; Unsupported on Windows before version 8.1 (and
    /// under Wine 8) if a request was ever made of it, for there it stays with this port. The handle is as it was then.
    pub fn release_stream(&mut self, handle: Handle) -> io::Result<(OwnedFd, Vec<Chunk>)> {
        let sock = self.sock(handle)?;
        let busy = sock.in_flight > 0
            || sock.sends != NONE
            || self.silent_bytes(handle) > 0
            || sock.waiters != NONE
            || sock.flags.has(Flags::CLOSING);
        if busy || sock.kind != Kind::Stream {
            return Err(io::Error::from_raw_os_error(raw::EBUSY));
        }
        let (room, fd) = (sock.room_waiter, sock.fd);
        self.driver.release(fd)?;
        self.slots.remove(room);
        let unread = std::iter::from_fn(|| self.take_node(handle))
            .filter_map(|received| if let Received::Chunk(chunk) = received { Some(chunk) } else { None })
            .collect();
        let sock = self.socks.remove(handle.index).ok_or_else(closed)?;
        // SAFETY: the record owned the descriptor and is gone; nothing is in flight on it.
        Ok((unsafe { OwnedFd::from_raw_fd(sock.fd) }, unread))
    }

    /// Puts bytes back in front of what is unread on a handle: the next receive finds them first.
    ///
    /// # Errors
    /// EBADF when the handle is closed.
    pub fn unread(&mut self, handle: Handle, chunk: Chunk) -> io::Result<()> {
        self.sock(handle)?;
        if !chunk.is_empty() {
            self.give_back(handle, chunk);
            self.announce(handle);
        }
        Ok(())
    }

    /// Accepts bytes for a stream socket or pipe if the handle's send queue has room (less than `unread_max` bytes wait there), taking
    /// them out of `data`. They go out after what was accepted before; an error meets the next call. If there is no room,
    /// a completion with `context` and no id comes once there is.
    ///
    /// # Errors
    /// EBADF for a closed handle; else what send(2) said to bytes accepted earlier (EPIPE, ECONNRESET).
    #[inline]
    pub fn poll_send(&mut self, handle: Handle, data: &mut Option<Buffer>, context: u64) -> Poll<io::Result<()>> {
        if self.send_silently(handle, data) {
            return Poll::Ready(Ok(()));
        }
        self.poll_send_slowly(handle, data, context)
    }

    /// Sends as much of `slices` as a stream socket takes now, without a copy (sendmsg(2) with MSG_DONTWAIT). Pending, and nothing
    /// booked: it takes nothing now, something accepted earlier is still to go out before, or the handle is no socket. Then
    /// [`poll_send`](Self::poll_send) is the way.
    ///
    /// # Errors
    /// EBADF for a closed handle; else what sendmsg(2) says, or said to bytes accepted earlier.
    pub fn try_send_slices(&mut self, handle: Handle, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Ok(sock) = self.sock(handle) else { return Poll::Ready(Err(closed())) };
        if sock.flags.has(Flags::CLOSING) {
            return Poll::Ready(Err(closed()));
        }
        if sock.send_error != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(sock.send_error.into())));
        }
        let waits = sock.sends != NONE || sock.queued_bytes > 0 || self.silent_bytes(handle) > 0;
        if waits || sock.kind != Kind::Stream {
            return Poll::Pending;
        }
        if sock.flags.has(Flags::ENGINE) {
            return self.send_slices_by_engine(handle, slices);
        }
        self.counters.operations.add(1);
        self.counters.syscalls.add(1);
        match syscalls::send_slices(sock.fd, slices) {
            again if again == -raw::EAGAIN || again == -raw::EINTR => Poll::Pending,
            error @ ..0 => {
                if let Ok(sock) = self.sock_mut(handle) {
                    sock.note_send_error(-error);
                }
                Poll::Ready(Err(io::Error::from_raw_os_error(-error)))
            }
            sent => {
                self.counters.bytes_sent.add(sent as u64);
                Poll::Ready(Ok(sent as usize))
            }
        }
    }

    #[inline(never)]
    fn poll_send_slowly(&mut self, handle: Handle, data: &mut Option<Buffer>, context: u64) -> Poll<io::Result<()>> {
        let Ok(sock) = self.sock(handle) else { return Poll::Ready(Err(closed())) };
        if sock.flags.has(Flags::CLOSING) {
            return Poll::Ready(Err(closed()));
        }
        if sock.send_error != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(sock.send_error.into())));
        }
        let silent = self.silent_bytes(handle);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return Poll::Ready(Err(closed())) };
        if sock.queued_bytes as usize + silent >= self.config.unread_max {
            self.await_room(handle, context, false);
            return Poll::Pending;
        }
        let engines = sock.flags.has(Flags::ENGINE) && sock.sends == NONE;
        let Some(bytes) = data.take() else {
            return if engines { self.poll_room_of_engine(handle, context) } else { Poll::Ready(Ok(())) };
        };
        let len = bytes.len();
        if len == 0 {
            return Poll::Ready(Ok(()));
        }
        if engines {
            return self.lend_to_engine(handle, bytes, data, context);
        }
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return Poll::Ready(Err(closed())) };
        let mut sent = 0;
        if sock.sends == NONE && silent == 0 && !sock.flags.has(Flags::WRITES) {
            let env = Env { pool: &self.pool, counters: &self.counters };
            match self.driver.send_directly(sock.fd, &bytes, &env) {
                Some(taken @ 0..) => {
                    sent = taken as usize;
                    self.counters.bytes_sent.add(taken as u64);
                    if sent == len {
                        self.counters.operations.add(1);
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(error) if error != -raw::EAGAIN && error != -raw::EINTR => {
                    sock.send_error = -error as u16;
                    sock.note_send_error(-error);
                    return Poll::Ready(Err(io::Error::from_raw_os_error(-error)));
                }
                Some(_) | None => {}
            }
        }
        self.counters.operations.add(1);
        let index = self.accepted_send(handle, bytes, State::Queued, sent);
        self.queue_send(handle, index);
        Poll::Ready(Ok(()))
    }

    /// Whether everything accepted by [`poll_send`](Self::poll_send) or posted has been taken by the kernel; if not, a
    /// completion with `context` and no id comes once it has.
    ///
    /// # Errors
    /// As for `poll_send`.
    pub fn poll_flush(&mut self, handle: Handle, context: u64) -> Poll<io::Result<()>> {
        let sock = match self.sock(handle) {
            Ok(sock) => sock,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if sock.send_error != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(sock.send_error.into())));
        }
        if sock.sends == NONE && self.silent_bytes(handle) == 0 {
            return Poll::Ready(Ok(()));
        }
        self.await_room(handle, context, true);
        Poll::Pending
    }

    fn await_room(&mut self, handle: Handle, context: u64, flush: bool) {
        self.hurry_send(handle);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        let old = sock.room_waiter;
        if let Some(slot) = self.slots.at_mut(old) {
            slot.context = context;
            if let Work::Room { flush: old } = &mut slot.work {
                *old = flush;
            }
            return;
        }
        let index = self.new_slot(Some(handle), Work::Room { flush }, context);
        if let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.room_waiter = index;
        }
    }
}
