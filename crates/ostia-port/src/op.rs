//! The vocabulary: every operation that can be posted, on one page.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::address::Address;
use crate::buffer::Buffer;
use crate::handle::Handle;
use crate::message::Message;
use crate::os::SystemPath;
use crate::os::open::OpenHow;
use crate::tag::Tag;

/// Names an operation in flight, for [`Port::cancel`](crate::Port::cancel). Never reused while it could be confused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpId(pub(crate) Tag);

/// An operation with everything it needs. It owns its buffer until its [`Completion`](crate::Completion) is taken.
///
/// Each entry says what cancelling means: *nothing happened* (the operation had no effect), *happened and kept* (what
/// arrived stays with its handle and the next operation finds it) or *partly happened* (the completion says how much).
/// A cancelled operation completes with ECANCELED and gives its buffer back, or completes normally if it was faster.
#[derive(Debug)]
#[non_exhaustive]
pub enum Op {
    /// Takes a connection from a listening socket; payload: its handle (accept4(2)).
    /// Cancelled: happened and kept; a connection that was already accepted waits on the listener for the next accept.
    Accept {
        /// The listening socket.
        listener: Handle,
    },
    /// As [`Accept`](Self::Accept), again and again: one completion per connection, until cancelled or failed.
    AcceptMulti {
        /// The listening socket.
        listener: Handle,
    },
    /// Connects a socket (connect(2)).
    /// Cancelled: the socket is unusable and should be closed, for a SYN can't be taken back.
    Connect {
        /// A socket that is not connected.
        socket: Handle,
        /// Where to.
        address: Address,
    },
    /// Receives what there is into a buffer of the pool; payload: the chunk, none at end of file. Stream sockets only. Of a
    /// connection that has broken the system tells one call: if that was a send, the receive fails with ECONNRESET all the same.
    /// Cancelled: happened and kept; no byte is lost.
    Recv {
        /// A connected stream socket.
        socket: Handle,
    },
    /// As [`Recv`](Self::Recv), again and again until end of file, an error or its cancelling.
    RecvMulti {
        /// A connected stream socket.
        socket: Handle,
    },
    /// Receives into the spare capacity of `buffer`, appending; result: bytes, 0 at end of file (recv(2), read(2)), and else as
    /// [`Recv`](Self::Recv).
    /// Cancelled: happened and kept; the buffer comes back as it was.
    RecvInto {
        /// A connected socket, or what [`ReadMulti`](Self::ReadMulti) reads.
        socket: Handle,
        /// Where to; it must have spare capacity.
        buffer: Vec<u8>,
    },
    /// Sends all of `data`, after whatever was posted on this socket before; result: bytes (send(2), write(2)).
    /// Cancelled: nothing happened if it was still queued; else partly happened and the connection is usable only by
    /// whoever knows how to go on from the result.
    Send {
        /// A connected socket, or a pipe: that raises SIGPIPE where the process doesn't ignore it, and fails with EPIPE.
        socket: Handle,
        /// What to send.
        data: Buffer,
    },
    /// As [`Send`](Self::Send), complete only when the memory is free again: the network card reads it in place where
    /// the system can do that, and where it can't this is a plain send (IORING_OP_SEND_ZC, Linux 6.0).
    SendZc {
        /// A connected socket, or a pipe.
        socket: Handle,
        /// What to send.
        data: Buffer,
    },
    /// Sends several buffers as one run of bytes (sendmsg(2)). Cancelling as for [`Send`](Self::Send).
    SendVectored {
        /// A connected socket.
        socket: Handle,
        /// What to send, in order.
        data: Vec<Buffer>,
    },
    /// Receives a message with its sender and control data (recvmsg(2)); payload: the message.
    /// Cancelled: nothing happened; a message that had arrived completes the operation instead.
    RecvMsg {
        /// Any socket.
        socket: Handle,
        /// Room for it.
        message: Box<Message>,
    },
    /// Sends a message (sendmsg(2)); payload: the message back. Cancelling as for [`Send`](Self::Send).
    SendMsg {
        /// Any socket.
        socket: Handle,
        /// What to send, and where if the socket is not connected.
        message: Box<Message>,
    },
    /// Reads from a pipe, a terminal or a file's own position into spare capacity (read(2)).
    /// Cancelled: nothing happened; bytes that had been read complete the operation instead.
    Read {
        /// What to read.
        file: Handle,
        /// Where to; it must have spare capacity.
        buffer: Vec<u8>,
    },
    /// Writes to a pipe, a terminal or a file's own position; may be short (write(2)). Cancelled: partly happened.
    Write {
        /// Where to.
        file: Handle,
        /// What to write.
        data: Buffer,
    },
    /// Reads a file at `offset` into spare capacity (pread(2)). Cancelled: nothing happened.
    ReadAt {
        /// The file.
        file: Handle,
        /// Where to; it must have spare capacity.
        buffer: Vec<u8>,
        /// From which byte of the file.
        offset: u64,
    },
    /// Writes to a file at `offset`; may be short (pwrite(2)). Cancelled: partly happened.
    WriteAt {
        /// The file.
        file: Handle,
        /// What to write.
        data: Buffer,
        /// To which byte of the file.
        offset: u64,
    },
    /// Reads a pipe or a device again and again into buffers of the pool, until its end, an error or its cancelling.
    /// Cancelled: happened and kept.
    ReadMulti {
        /// A pipe, an eventfd, an inotify descriptor, a tun device.
        file: Handle,
    },
    /// Brings a file's changes to its device (fsync(2), fdatasync(2)). Cancelled: may have happened.
    Fsync {
        /// The file.
        file: Handle,
        /// Leave out metadata that reading the data back doesn't need.
        data_only: bool,
    },
    /// Opens a file; payload: its handle (openat2(2)). Cancelled: nothing happened; a file that had been opened is closed
    /// again (one just created by the call stays).
    Open {
        /// A directory that a relative path starts from; none: the working directory.
        directory: Option<Handle>,
        /// The path.
        path: SystemPath,
        /// How.
        how: OpenHow,
    },
    /// Asks for metadata of an open file, or of a path; payload: [`Metadata`](crate::Metadata) (statx(2)).
    /// Cancelled: nothing happened.
    Statx {
        /// The file, or the directory that a relative path starts from; none: the working directory.
        file: Option<Handle>,
        /// The path; none: the file itself.
        path: Option<SystemPath>,
    },
    /// Sends `head` and then `len` bytes of a file from `offset`, without copying the file's bytes (sendfile(2));
    /// result: bytes of the file. Fewer than asked for mean that the file ends earlier. Ranges that are not in the page
    /// cache are first read by another thread: this one never waits for a disk. Cancelled: partly happened.
    SendFile {
        /// A connected stream socket.
        socket: Handle,
        /// Bytes that go first, in the same packets where they fit; may be empty.
        head: Buffer,
        /// A regular file.
        file: Handle,
        /// From which byte of the file.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Moves up to `len` bytes between two descriptors of which one is a pipe (splice(2)); result: bytes, 0 at the end.
    /// Cancelled: partly happened.
    Splice {
        /// From where.
        from: Handle,
        /// To where.
        to: Handle,
        /// At most this many bytes.
        len: usize,
    },
    /// Ends one or both directions of a connection, after the sends posted before (shutdown(2)). Not cancellable once
    /// its turn has come.
    Shutdown {
        /// A connected socket.
        socket: Handle,
        /// Which directions.
        how: Shutdown,
    },
    /// Closes a handle (close(2)): sends posted before go out first, for which they have the configured linger time; everything
    /// else in flight is cancelled. Not cancellable.
    Close {
        /// What to close.
        handle: Handle,
    },
    /// Waits until one of `events` (`POLLIN`, `POLLOUT` …) holds; result: those that do (poll(2)).
    /// Cancelled: nothing happened.
    Poll {
        /// Anything that can be polled.
        handle: Handle,
        /// The events to wait for, a mask of poll(2)'s; errors and hang-ups are always included.
        events: i16,
    },
    /// Completes after a time, to the millisecond, never early. Cancelled: nothing happened.
    Timeout {
        /// How long from the port's present `now`.
        after: Duration,
    },
    /// Waits for a child process to end and reaps it; payload: its status (pidfd_open(2), waitid(2)).
    /// Cancelled: nothing happened; the child can still be waited for.
    WaitPid {
        /// A child of this process.
        pid: i32,
    },
    /// Waits until `word` is woken, if it holds `expected`; else completes at once with EAGAIN. May wake spuriously
    /// (futex(2), process-private). Cancelled: nothing happened.
    FutexWait {
        /// The futex.
        word: Arc<AtomicU32>,
        /// What it must hold.
        expected: u32,
    },
    /// Wakes waiters of `word`; result: how many (futex(2), process-private). Done at once, not cancellable.
    FutexWake {
        /// The futex.
        word: Arc<AtomicU32>,
        /// At most this many.
        count: u32,
    },
}

impl Op {
    /// Receives one datagram of at most `room` bytes with its sender's address (recvfrom(2)).
    #[must_use]
    pub fn recv_from(socket: Handle, buffer: Vec<u8>) -> Op {
        Op::RecvMsg { socket, message: Box::new(Message { data: buffer, ..Message::default() }) }
    }

    /// Sends one datagram to an address (sendto(2)).
    #[must_use]
    pub fn send_to(socket: Handle, data: Vec<u8>, to: Address) -> Op {
        Op::SendMsg { socket, message: Box::new(Message { data, peer: Some(to), ..Message::default() }) }
    }
}
