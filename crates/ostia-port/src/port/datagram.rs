//! The face for runtimes of what keeps its boundaries: try now, be told when it is worth trying again.
//!
//! Nobody's going away can lose a datagram: it waits in the kernel until a call takes it, into memory of the caller's size;
//! or, where one receive can repeat itself, on its handle, as a stream's bytes do.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::task::{Poll, ready};

use crate::address::{Address, IpName, ip_of};
use crate::driver::is_hosted;
use crate::handle::{Flags, Handle, Kind, Received, Sock};
use crate::os::message::{control_len, iovec};
use crate::os::{RawFd, raw, syscalls};
use crate::port::{Port, Ready, closed};
use crate::slab::NONE;
use crate::slot::{State, Work};
use crate::sys::{Datagram, Sys};

/// What came with a datagram besides its bytes.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// How long it was. More than there was room for means that the rest is lost.
    pub len: usize,
    /// The sender, where the socket is not connected to one and the sender has an address.
    pub peer: Option<Address>,
    /// The flags of recvmsg(2): `MSG_TRUNC`, `MSG_CTRUNC` for control data that had no room.
    pub flags: i32,
}

impl Port {
    /// Receives one datagram into the spare capacity of `data`, appending, and its control data into that of `control`
    /// (recvmsg(2) with MSG_DONTWAIT). Pending: none is there; nothing was booked, [`poll_readable`](Self::poll_readable)
    /// does that.
    ///
    /// On a stream socket this reads past what [`poll_recv`](Self::poll_recv) receives on its own: see
    /// [`is_receiving`](Self::is_receiving).
    ///
    /// # Errors
    /// EBADF for a closed handle; else what recvmsg(2) says.
    pub fn try_recv_msg(
        &mut self,
        handle: Handle,
        data: &mut Vec<u8>,
        control: &mut Vec<u8>,
        flags: i32,
    ) -> Poll<io::Result<Arrival>> {
        let (fd, received) = match self.sock(handle) {
            Ok(sock) if !sock.flags.has(Flags::CLOSING) => (sock.fd, sock.kind == Kind::Datagram && sock.has_news()),
            _ => return Poll::Ready(Err(closed())),
        };
        if received {
            // Received ahead, without control data.
            let before = data.len();
            let (len, peer) = self.take_datagram(handle, data)?;
            let flags = if len > data.len() - before { raw::MSG_TRUNC } else { 0 };
            return Poll::Ready(Ok(Arrival { len, peer: peer.map(Address::from), flags }));
        }
        if is_hosted(fd) {
            return self.receive_by_engine(handle, data, Some(control), flags);
        }
        if self.stop_ahead(handle) {
            return Poll::Pending;
        }
        let spare = data.spare_capacity_mut();
        let mut piece = iovec(spare.as_mut_ptr().cast(), spare.len());
        let room = spare.len();
        let spare = control.spare_capacity_mut();
        // SAFETY: plain data for which zeroes are valid.
        let mut head = unsafe { mem::zeroed::<raw::msghdr>() };
        let mut name = mem::MaybeUninit::<raw::sockaddr_storage>::uninit();
        head.msg_control = spare.as_mut_ptr().cast();
        head.msg_controllen = spare.len() as _;
        head.msg_name = (&raw mut name).cast();
        head.msg_namelen = size_of_val(&name) as raw::socklen_t;
        head.msg_iov = &raw mut piece;
        head.msg_iovlen = 1;
        let tried = self.at_once(|| {
            let sys = Sys::RecvMsg { fd, msg: &raw mut head, flags: flags | raw::MSG_TRUNC };
            // SAFETY: the header reaches locals and the spare capacity of the two vectors, all of which outlive the call.
            unsafe { syscalls::attempt(&sys) }.unwrap_or(-raw::EINVAL)
        });
        let got = ready!(tried)?;
        let filled = got.min(room);
        self.counters.bytes_received.add(filled as u64);
        // SAFETY: the kernel has written `filled` bytes of data, and as many of control data as it says.
        unsafe {
            data.set_len(data.len() + filled);
            control.set_len(control.len() + control_len(&head).min(control.capacity() - control.len()));
        }
        let len = head.msg_namelen.min(size_of_val(&name) as raw::socklen_t);
        // SAFETY: the kernel has written `len` bytes of an address.
        let peer = unsafe { Address::read((&raw const name).cast(), len) };
        Poll::Ready(Ok(Arrival { len: got, peer, flags: head.msg_flags as _ }))
    }

    /// Receives one datagram of UDP, as [`try_recv_msg`](Self::try_recv_msg) but without control data: how long it was, which is
    /// more than there was room for if its end is lost, and its sender. Pending: none is there, and a completion with `context`
    /// and no id comes once it is worth asking again; asking earlier replaces the context.
    ///
    /// From the second time on datagrams are received ahead where the driver can (io_uring with provided buffers), up to
    /// [`Config::unread_max`](crate::Config::unread_max), each counting at least 256 bytes: they wait on the handle for whoever
    /// asks next, by this or by `try_recv_msg`, and cost no system call each. See [`receive_singly`](Self::receive_singly).
    ///
    /// # Errors
    /// EBADF for a closed handle; EINVAL for one that is no datagram socket; else what recvfrom(2) says.
    #[inline]
    pub fn poll_recv_from(
        &mut self,
        handle: Handle,
        data: &mut Vec<u8>,
        context: u64,
    ) -> Poll<io::Result<(usize, Option<SocketAddr>)>> {
        let sock = self.datagrams(handle)?;
        if sock.has_news() {
            return Poll::Ready(self.take_datagram(handle, data));
        }
        // Once it has been waited for, what comes comes by the driver, even if that must be asked anew.
        let ahead = sock.flags.are(Flags::TAKES_AHEAD | Flags::SHARED | Flags::ENGINE, Flags::TAKES_AHEAD);
        let (fd, armed) = (sock.fd, sock.flags.has(Flags::AHEAD));
        let by_driver = armed || ahead && self.receives_ahead;
        if is_hosted(fd) {
            if let Poll::Ready(arrival) = self.receive_by_engine(handle, data, None, 0) {
                return Poll::Ready(arrival.map(|arrival| (arrival.len, arrival.peer.and_then(|peer| peer.ip()))));
            }
        } else if !by_driver && let Poll::Ready(received) = self.receive_from(fd, data) {
            return Poll::Ready(received);
        }
        let sock = self.sock_mut(handle)?;
        sock.flags.set(Flags::INTEREST | Flags::TAKES_AHEAD);
        sock.interest = context;
        self.arm(handle);
        Poll::Pending
    }

    /// recvfrom(2), at once or not.
    #[inline]
    fn receive_from(&mut self, fd: RawFd, data: &mut Vec<u8>) -> Poll<io::Result<(usize, Option<SocketAddr>)>> {
        let mut name = IpName::empty();
        let spare = data.spare_capacity_mut();
        let room = spare.len();
        let tried = self.at_once(|| {
            // SAFETY: the buffer is the vector's spare capacity and the name a local; both outlive the call.
            unsafe { syscalls::recv_from(fd, spare.as_mut_ptr().cast(), room, raw::MSG_TRUNC, &mut name) }
        });
        let got = ready!(tried)?;
        let filled = got.min(room);
        self.counters.bytes_received.add(filled as u64);
        // SAFETY: the kernel has written `filled` bytes behind those that were there.
        unsafe { data.set_len(data.len() + filled) };
        Poll::Ready(Ok((got, name.get())))
    }

    /// Takes what was received ahead: a datagram or an error, of which there must be one.
    fn take_datagram(&mut self, handle: Handle, data: &mut Vec<u8>) -> io::Result<(usize, Option<SocketAddr>)> {
        self.counters.operations.add(1);
        let Some(Received::Datagram(chunk)) = self.take_node(handle) else {
            // There is no end of datagrams: after a shutdown each receive gives nothing.
            return self.take_receive_error(handle).map_or(Ok((0, None)), Err);
        };
        let Some(datagram) = Datagram::parse(&chunk) else { return Ok((0, None)) };
        let filled = datagram.payload.len().min(data.capacity() - data.len());
        data.extend_from_slice(&datagram.payload[..filled]);
        Ok((datagram.payload.len(), ip_of(datagram.name)))
    }

    /// Others receive from this socket too, by another handle or descriptor: from now on nothing is received ahead of being
    /// asked for, for it would be taken away from them. What was received before stays on the handle.
    pub fn receive_singly(&mut self, handle: Handle) {
        if let Ok(sock) = self.sock_mut(handle) {
            sock.flags.set(Flags::SHARED);
        }
        self.stop_ahead(handle);
    }

    /// Ends receiving ahead on a handle, if it is going on. True if what repeats itself is no longer, or not yet, a poll.
    fn stop_ahead(&mut self, handle: Handle) -> bool {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return false };
        sock.flags.clear(Flags::TAKES_AHEAD);
        if sock.flags.has(Flags::AHEAD) && !sock.flags.has(Flags::CANCELLING) {
            sock.flags.set(Flags::CANCELLING);
            let fd = sock.fd;
            self.push_cancel(handle.receive_tag(), fd);
            return true;
        }
        sock.flags.has(Flags::AHEAD)
    }

    /// Sends one datagram, with control data in the layout of cmsg(3) (sendmsg(2) with MSG_DONTWAIT). Pending: there is no
    /// room for it; nothing was booked, [`poll_writable`](Self::poll_writable) does that. It does not wait its turn behind
    /// operations that were posted.
    ///
    /// # Errors
    /// EBADF for a closed handle; else what sendmsg(2) says.
    pub fn try_send_msg(
        &mut self,
        handle: Handle,
        data: &[u8],
        peer: Option<&Address>,
        control: &[u8],
    ) -> Poll<io::Result<usize>> {
        let fd = match self.sock(handle) {
            Ok(sock) if !sock.flags.has(Flags::CLOSING) => sock.fd,
            _ => return Poll::Ready(Err(closed())),
        };
        if is_hosted(fd) {
            return self.send_by_engine(handle, data, peer, control);
        }
        let tried = self.at_once(|| match control {
            // sendto(2) costs the system less.
            [] => syscalls::send_to(fd, data, peer),
            control => send_msg(fd, data, peer, control),
        });
        let sent = ready!(tried)?;
        self.counters.bytes_sent.add(sent as u64);
        Poll::Ready(Ok(sent))
    }

    /// Carries out a system call that does not wait, again if a signal has interrupted it. Pending: it would have waited.
    #[inline]
    fn at_once(&self, mut call: impl FnMut() -> i32) -> Poll<io::Result<usize>> {
        self.counters.operations.add(1);
        loop {
            self.counters.syscalls.add(1);
            match call() {
                again if again == -raw::EINTR => {}
                again if again == -raw::EAGAIN => return Poll::Pending,
                error @ ..0 => return Poll::Ready(Err(io::Error::from_raw_os_error(-error))),
                done => return Poll::Ready(Ok(done as usize)),
            }
        }
    }

    /// The record of a datagram socket that is open.
    #[inline]
    pub(super) fn datagrams(&mut self, handle: Handle) -> io::Result<&mut Sock> {
        let sock = self.sock_mut(handle)?;
        if sock.flags.has(Flags::CLOSING) {
            return Err(closed());
        }
        if sock.kind != Kind::Datagram {
            return Err(io::Error::from_raw_os_error(raw::EINVAL));
        }
        Ok(sock)
    }

    /// Has a completion with `context` and no id come once there may be something to receive on a datagram socket (bytes,
    /// an error, the end): then [`try_recv_msg`](Self::try_recv_msg) again. Asking again earlier replaces the context.
    ///
    /// # Errors
    /// EBADF for a closed handle; EINVAL for one that is no datagram socket.
    pub fn poll_readable(&mut self, handle: Handle, context: u64) -> io::Result<()> {
        let sock = self.datagrams(handle)?;
        sock.flags.clear(Flags::TAKES_AHEAD);
        sock.flags.set(Flags::INTEREST);
        sock.interest = context;
        if sock.has_news() {
            self.announce(handle);
        } else {
            self.arm(handle);
        }
        Ok(())
    }

    /// Has a completion with `context` and no id come once there may be room to send on a datagram socket. Asking again
    /// earlier replaces the context.
    ///
    /// # Errors
    /// As for [`poll_readable`](Self::poll_readable).
    pub fn poll_writable(&mut self, handle: Handle, context: u64) -> io::Result<()> {
        self.datagrams(handle)?;
        self.await_writable(handle, context);
        Ok(())
    }

    /// Has whoever this context stands for told once a handle can be written to.
    pub(super) fn await_writable(&mut self, handle: Handle, context: u64) {
        let Ok(sock) = self.sock(handle) else { return };
        let (fd, waiter) = (sock.fd, sock.room_waiter);
        if let Some(slot) = self.slots.at_mut(waiter) {
            slot.context = context;
            return;
        }
        let index = self.new_slot(Some(handle), Work::Writable, context);
        if let Some(slot) = self.slots.at_mut(index) {
            (slot.state, slot.detached) = (State::InFlight, true);
        }
        if let Ok(sock) = self.sock_mut(handle) {
            sock.room_waiter = index;
            sock.in_flight += 1;
        }
        self.push(self.slot_id(index), Sys::Poll { fd, events: raw::POLLOUT as u32 });
    }

    /// The poll of a datagram socket has ended: whoever asked tries again, and learns of an error by that.
    pub(super) fn on_readable(&mut self, handle: Handle, result: i32) {
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.flags.has(Flags::CLOSING) {
            return self.proceed_closing(handle);
        }
        if result == -raw::EINTR && sock.flags.has(Flags::INTEREST) {
            return self.arm(handle);
        }
        if sock.flags.take(Flags::INTEREST) {
            self.ready.push_back(Ready::notify(sock.interest));
        }
    }

    /// As [`on_readable`](Self::on_readable), for the other direction.
    pub(super) fn on_writable(&mut self, handle: Handle, index: u32) {
        let Some(slot) = self.slots.at(index) else { return };
        let context = slot.context;
        self.slots.discard(index);
        let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { return };
        if sock.room_waiter == index {
            sock.room_waiter = NONE;
            self.ready.push_back(Ready::notify(context));
        }
    }
}

/// sendmsg(2) of one datagram with its control data.
fn send_msg(fd: RawFd, data: &[u8], peer: Option<&Address>, control: &[u8]) -> i32 {
    let mut piece = iovec(data.as_ptr().cast_mut(), data.len());
    // SAFETY: plain data for which zeroes are valid.
    let mut head = unsafe { mem::zeroed::<raw::msghdr>() };
    head.msg_iov = &raw mut piece;
    head.msg_iovlen = 1;
    head.msg_control = control.as_ptr().cast_mut().cast();
    head.msg_controllen = control.len() as _;
    if let Some(peer) = peer {
        head.msg_name = peer.as_ptr().cast_mut().cast();
        head.msg_namelen = peer.len();
    }
    // SAFETY: the header reaches a local and the caller's slices and address, all of which outlive the call.
    unsafe { syscalls::attempt(&Sys::SendMsg { fd, msg: &raw const head, flags: 0 }) }.unwrap_or(-raw::EINVAL)
}
