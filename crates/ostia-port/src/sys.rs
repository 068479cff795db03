//! The narrow waist: what a port asks of a driver, and what a driver answers. Every driver is a match over [`Sys`].

use crate::chunk::Chunk;
use crate::os::metadata::Stat;
use crate::os::open::RawOpenHow;
use crate::os::path::PathChar;
use crate::os::{RawFd, raw};
use crate::tag::Tag;

/// "At the file's own position", as the offset −1 of io_uring's read and write.
pub(crate) const CURRENT: u64 = u64::MAX;

/// One request to the operating system.
///
/// # Safety of the pointers
/// Whoever pushes a request keeps everything that its pointers reach alive and in place, and does not touch what the
/// system may write, until the request's last event has been taken ([`Event::more`] false). The port does so by
/// leaving them in the operation's slot; a slot is not freed earlier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sys {
    /// accept4(2); event: the descriptor. With `multi`, once per connection.
    Accept { fd: RawFd, multi: bool },
    /// connect(2).
    Connect { fd: RawFd, addr: *const raw::sockaddr, len: raw::socklen_t },
    /// recv(2) into buffers of the pool; event: a chunk each time.
    Receive { fd: RawFd },
    /// recvmsg(2) of one datagram after the other into buffers of their own; event: a chunk each time, which a
    /// [`Datagram`] reads. Only for drivers that [receive datagrams](crate::driver::Driver::receives_datagrams).
    ReceiveMsg { fd: RawFd },
    /// recv(2) into memory of the operation.
    Recv { fd: RawFd, ptr: *mut u8, len: usize },
    /// send(2).
    Send { fd: RawFd, ptr: *const u8, len: usize, flags: i32 },
    /// send(2) that either takes all at once and then makes no event, or has an event that says how much it took
    /// (EAGAIN: nothing). Only for drivers that have [`Features::SILENT_SEND`](crate::Features::SILENT_SEND).
    SendNow { fd: RawFd, ptr: *const u8, len: usize },
    /// sendto(2) of a datagram that goes out at once or not at all, and makes no event either way. Only for drivers that have
    /// [`Features::SILENT_SEND`](crate::Features::SILENT_SEND).
    SendToNow { fd: RawFd, ptr: *const u8, len: usize, addr: *const raw::sockaddr, addr_len: raw::socklen_t },
    /// send(2) without a copy; a second event (with `notice`) says that the memory is free again.
    SendZc { fd: RawFd, ptr: *const u8, len: usize, flags: i32 },
    /// recvmsg(2).
    RecvMsg { fd: RawFd, msg: *mut raw::msghdr, flags: i32 },
    /// sendmsg(2).
    SendMsg { fd: RawFd, msg: *const raw::msghdr, flags: i32 },
    /// read(2), or pread(2) where `offset` is not [`CURRENT`].
    Read { fd: RawFd, ptr: *mut u8, len: usize, offset: u64 },
    /// read(2) from a pipe or a device into buffers of the pool; event: a chunk each time.
    ReadPool { fd: RawFd },
    /// write(2), or pwrite(2) where `offset` is not [`CURRENT`].
    Write { fd: RawFd, ptr: *const u8, len: usize, offset: u64 },
    /// fsync(2), or fdatasync(2).
    Fsync { fd: RawFd, data_only: bool },
    /// openat2(2), or openat(2) where `how.resolve` is zero; event: the descriptor.
    Open { dir: RawFd, path: *const PathChar, how: *const RawOpenHow },
    /// statx(2); of the descriptor itself where `path` is null.
    Statx { fd: RawFd, path: *const PathChar, out: *mut Stat },
    /// splice(2); at least one end is a pipe.
    Splice { from: RawFd, from_offset: i64, to: RawFd, to_offset: i64, len: usize },
    /// TransmitFile: memory and then a range of a file; event: bytes of both. Only of Windows.
    #[cfg(windows)]
    TransmitFile { fd: RawFd, file: RawFd, offset: u64, len: u32, head: *const u8, head_len: u32 },
    /// Not a call of its own: pages of a file that are brought into the page cache by a thread that may block.
    Warm { fd: RawFd, offset: u64, len: usize },
    /// shutdown(2).
    Shutdown { fd: RawFd, how: i32 },
    /// close(2).
    Close { fd: RawFd },
    /// poll(2) for one descriptor; event: the ready set.
    Poll { fd: RawFd, events: u32 },
    /// The end of a child process by its descriptor, which then can be reaped.
    WaitPid { fd: RawFd },
    /// futex(2), FUTEX_WAIT on a private futex.
    FutexWait { word: *const u32, expected: u32 },
}

impl Sys {
    /// The descriptor that it is about; none for what waits on memory. Of a splice's two it is an engine's socket if one is: their
    /// numbers are the lowest.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        Some(match *self {
            Sys::Accept { fd, .. }
            | Sys::Connect { fd, .. }
            | Sys::Receive { fd }
            | Sys::ReceiveMsg { fd }
            | Sys::Recv { fd, .. }
            | Sys::Send { fd, .. }
            | Sys::SendNow { fd, .. }
            | Sys::SendToNow { fd, .. }
            | Sys::SendZc { fd, .. }
            | Sys::RecvMsg { fd, .. }
            | Sys::SendMsg { fd, .. }
            | Sys::Read { fd, .. }
            | Sys::ReadPool { fd }
            | Sys::Write { fd, .. }
            | Sys::Fsync { fd, .. }
            | Sys::Statx { fd, .. }
            | Sys::Warm { fd, .. }
            | Sys::Shutdown { fd, .. }
            | Sys::Close { fd }
            | Sys::Poll { fd, .. }
            | Sys::WaitPid { fd } => fd,
            #[cfg(windows)]
            Sys::TransmitFile { fd, .. } => fd,
            Sys::Splice { from, to, .. } => from.min(to),
            Sys::Open { dir, .. } => dir,
            Sys::FutexWait { .. } => return None,
        })
    }
}

// SAFETY: the pointers travel to the pool of blocking threads and come back unread; what they reach is pinned by the
// operation's slot for as long as the request is in flight, and only the thread that carries it out uses it.
unsafe impl Send for Sys {}

/// The room for a datagram's sender in what [`Sys::ReceiveMsg`] gives: that of an IPv6 address, the longest of IP.
pub(crate) const DATAGRAM_NAME: usize = size_of::<raw::sockaddr_in6>();

/// What [`Sys::ReceiveMsg`] gives: struct io_uring_recvmsg_out of io_uring_prep_recvmsg_multishot(3), the sender in the room
/// that was left for it, and the datagram.
pub(crate) struct Datagram<'a> {
    /// The sender's address, in the system's form.
    pub(crate) name: &'a [u8],
    /// The bytes.
    pub(crate) payload: &'a [u8],
}

impl Datagram<'_> {
    /// None for what no kernel gives.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Datagram<'_>> {
        const HEAD: usize = 16;
        let namelen = u32::from_ne_bytes(bytes.first_chunk::<4>().copied()?);
        let name = bytes.get(HEAD..HEAD + DATAGRAM_NAME)?;
        let payload = bytes.get(HEAD + DATAGRAM_NAME..)?;
        Some(Datagram { name: name.get(..namelen as usize).unwrap_or_default(), payload })
    }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) tag: Tag,
    /// Bytes, a descriptor or a ready set; or a negated errno.
    pub(crate) result: i32,
    /// More events of this request will come.
    pub(crate) more: bool,
    /// This is the note that a zero-copy send's memory is free; `result` is then 1 if the kernel had copied.
    pub(crate) notice: bool,
    /// What was received.
    pub(crate) chunk: Option<Chunk>,
    /// This side's address and the peer's of a connection that was accepted.
    #[cfg(windows)]
    pub(crate) addresses: Option<Box<(std::net::SocketAddr, std::net::SocketAddr)>>,
}

impl Event {
    pub(crate) fn last(tag: Tag, result: i32) -> Event {
        Event {
            tag,
            result,
            more: false,
            notice: false,
            chunk: None,
            #[cfg(windows)]
            addresses: None,
        }
    }
}
