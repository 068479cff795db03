//! Handles: descriptors as a port knows them, with what is received, queued and in flight on each.

use crate::os::{RawFd, raw};

use crate::chunk::Chunk;
use crate::pool::Part;
use crate::port::Connection;
use crate::slab::{NONE, Record};

/// A descriptor that belongs to a port. Copies name the same one; after its closing they are refused (EBADF).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Handle {
    /// The handle's number: below the most handles that were ever open at once, and its own while it is open.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// The handle as one word, to serve as an operation's context.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The handle that [`to_bits`](Self::to_bits) gave; any other word names a handle that is not open.
    #[must_use]
    pub fn from_bits(bits: u64) -> Handle {
        // Only odd generations are ever given out.
        Handle { index: bits as u32, generation: (bits >> 32) as u32 | 1 }
    }
}

/// What a descriptor is, which decides what can be posted on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// A stream socket, connected or about to be.
    Stream,
    /// A listening socket.
    Listener,
    /// A datagram, raw or sequenced-packet socket: what arrives keeps its boundaries.
    Datagram,
    /// A regular file, a block device or a directory.
    File,
    /// A pipe, a terminal, an eventfd, an inotify descriptor: read and written in sequence, can be polled.
    Pipe,
}

/// What is going on with a handle, bit by bit.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    /// A receive (or accept) that repeats itself is with the driver.
    pub(crate) const ARMED: u32 = 1 << 0;
    /// Its end was asked for.
    pub(crate) const CANCELLING: u32 = 1 << 1;
    /// The peer has ended its side.
    pub(crate) const END: u32 = 1 << 2;
    /// The handle stands in the ready queue for its waiting operations.
    pub(crate) const QUEUED: u32 = 1 << 3;
    /// Somebody asked to be told when there is something to receive.
    pub(crate) const INTEREST: u32 = 1 << 4;
    /// Closing: nothing new is taken.
    pub(crate) const CLOSING: u32 = 1 << 5;
    /// The closing waits for accepted sends.
    pub(crate) const LINGERING: u32 = 1 << 6;
    /// An operation in flight receives straight into its own buffer.
    pub(crate) const DIRECT: u32 = 1 << 7;
    /// The open file is non-blocking, which `send_file` needs and io_uring's requests don't want.
    pub(crate) const NONBLOCKING: u32 = 1 << 8;
    /// The kernel copies this socket's zero-copy sends.
    pub(crate) const NO_ZC: u32 = 1 << 9;
    /// The handle waits for buffers to receive into.
    pub(crate) const DRY: u32 = 1 << 10;
    /// close(2) is with the driver.
    pub(crate) const SHUT: u32 = 1 << 11;
    /// The send queue is being worked on further up the stack.
    pub(crate) const PUMPING: u32 = 1 << 12;
    /// All that is unread is one part of a pool's buffer, which stands in the record itself: `head` is the buffer, `tail` the
    /// offset and `unread` the length.
    pub(crate) const LONE: u32 = 1 << 13;
    /// What a listening socket accepts keeps its boundaries (SOCK_SEQPACKET).
    pub(crate) const PACKETS: u32 = 1 << 14;
    /// It is no socket, so that what is sent goes by write(2).
    pub(crate) const WRITES: u32 = 1 << 15;
    /// What repeats itself receives datagrams, rather than to say that there are some.
    pub(crate) const AHEAD: u32 = 1 << 16;
    /// Whoever wants to know of datagrams takes such as were received ahead.
    pub(crate) const TAKES_AHEAD: u32 = 1 << 17;
    /// Others receive from the same socket: nothing may be taken away from them.
    pub(crate) const SHARED: u32 = 1 << 18;
    /// It is a socket of an engine, and its number is no descriptor.
    pub(crate) const ENGINE: u32 = 1 << 19;
    /// A send was told that the connection has broken. The system tells that once: its next receive would find an end.
    pub(crate) const BROKEN: u32 = 1 << 20;

    #[inline]
    pub(crate) fn has(self, any: u32) -> bool {
        self.0 & any != 0
    }

    /// Whether of the bits `of` exactly `these` are set.
    #[inline]
    pub(crate) fn are(self, of: u32, these: u32) -> bool {
        self.0 & of == these
    }

    #[inline]
    pub(crate) fn set(&mut self, bits: u32) {
        self.0 |= bits;
    }

    #[inline]
    pub(crate) fn clear(&mut self, bits: u32) {
        self.0 &= !bits;
    }

    /// Clears one bit and tells whether it was set.
    #[inline]
    pub(crate) fn take(&mut self, bit: u32) -> bool {
        let had = self.has(bit);
        self.clear(bit);
        had
    }
}

/// The record behind a handle. An idle connection costs this and nothing else in the port.
pub(crate) struct Sock {
    pub(crate) generation: u32,
    pub(crate) fd: RawFd,
    pub(crate) key: u64,
    /// Whom to tell when there is something to receive, if `INTEREST` is set.
    pub(crate) interest: u64,
    /// What was received and not yet taken, as a list of nodes (but see [`Flags::LONE`]).
    pub(crate) head: u32,
    pub(crate) tail: u32,
    /// How much that is: bytes, or connections of a listener.
    pub(crate) unread: u32,
    /// Receiving (accepting) operations in the order they were posted, as a list of slots.
    pub(crate) waiters: u32,
    /// Sending operations in the order they were posted; the first is with the driver.
    pub(crate) sends: u32,
    /// The last of them. Where there is none and `silent_turn` is the present one, the place of a silent send.
    pub(crate) sends_tail: u32,
    /// In which turn the last silent send was pushed.
    pub(crate) silent_turn: u32,
    /// Bytes of sends that nobody waits for.
    pub(crate) queued_bytes: u32,
    /// A slot that wants to know of room in the send queue; while closing, the close operation's.
    pub(crate) room_waiter: u32,
    /// Driver requests that name the descriptor, and operations that keep it open.
    pub(crate) in_flight: u32,
    /// Bytes copied out of a strained pool that are still held.
    pub(crate) held: u32,
    /// errno to report to the next receive, and to every further send.
    pub(crate) receive_error: u16,
    pub(crate) send_error: u16,
    pub(crate) flags: Flags,
    pub(crate) kind: Kind,
    /// Accepts posted at once where one can't repeat itself.
    pub(crate) accepts: u8,
    /// How many there should be.
    pub(crate) accepts_target: u8,
}

impl Sock {
    pub(crate) fn new(generation: u32, fd: RawFd, kind: Kind, key: u64) -> Sock {
        Sock {
            generation,
            fd,
            key,
            interest: 0,
            head: NONE,
            tail: NONE,
            unread: 0,
            waiters: NONE,
            sends: NONE,
            sends_tail: NONE,
            silent_turn: 0,
            queued_bytes: 0,
            room_waiter: NONE,
            in_flight: 0,
            held: 0,
            receive_error: 0,
            send_error: 0,
            flags: Flags::default(),
            kind,
            accepts: 0,
            accepts_target: 1,
        }
    }

    /// Keeps a part of a pool's buffer as all that is unread.
    #[inline]
    pub(crate) fn set_lone(&mut self, part: Part) {
        debug_assert!(self.head == NONE && !self.flags.has(Flags::LONE));
        (self.head, self.tail, self.unread) = part.into_raw();
        self.flags.set(Flags::LONE);
    }

    /// Takes the part that was all there is.
    #[inline]
    pub(crate) fn take_lone(&mut self) -> Option<Part> {
        if !self.flags.take(Flags::LONE) {
            return None;
        }
        let raw = (self.head, self.tail, self.unread);
        (self.head, self.tail, self.unread) = (NONE, NONE, 0);
        // SAFETY: the flag is set by `set_lone` alone, which has put these numbers there, and they are taken once.
        Some(unsafe { Part::from_raw(raw) })
    }

    /// Hears what a send was told.
    #[cold]
    pub(crate) fn note_send_error(&mut self, errno: i32) {
        let broken = matches!(errno, raw::ECONNRESET | raw::ECONNABORTED | raw::ETIMEDOUT);
        if broken && self.kind == Kind::Stream {
            self.flags.set(Flags::BROKEN);
        }
    }

    /// Nothing more comes: the peer has ended its side, unless a send knows better.
    pub(crate) fn end_receiving(&mut self) {
        if self.flags.take(Flags::BROKEN) {
            self.receive_error = raw::ECONNRESET as u16;
        } else {
            self.flags.set(Flags::END);
        }
    }

    /// Whether a receive would find something: bytes, a connection, the end or an error.
    pub(crate) fn has_news(&self) -> bool {
        self.head != NONE || self.receive_error != 0 || self.flags.has(Flags::END)
    }
}

impl Record for Sock {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }

    fn vacant(generation: u32, next_free: u32) -> Sock {
        Sock { head: next_free, ..Sock::new(generation, -1, Kind::File, 0) }
    }

    fn next_free(&self) -> u32 {
        self.head
    }
}

/// Something received, waiting on its handle.
pub(crate) enum Received {
    Chunk(Chunk),
    /// What [`Datagram`](crate::sys::Datagram) reads.
    Datagram(Chunk),
    Connection(Connection),
    /// A vacant node.
    Nothing,
}

/// The least that a datagram counts for among what is unread, for its buffer is larger than it is.
const DATAGRAM_LEAST: usize = 256;

impl Received {
    /// How much it is among what is unread.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        match self {
            Received::Chunk(chunk) => chunk.len() as u32,
            Received::Datagram(chunk) => chunk.len().max(DATAGRAM_LEAST) as u32,
            Received::Connection(_) => 1,
            Received::Nothing => 0,
        }
    }
}

/// A link of a handle's list of received things.
pub(crate) struct Node {
    pub(crate) received: Received,
    pub(crate) next: u32,
    pub(crate) generation: u32,
}

impl Record for Node {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    fn vacant(generation: u32, next: u32) -> Node {
        Node { received: Received::Nothing, next, generation }
    }

    #[inline]
    fn next_free(&self) -> u32 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_stays_small() {
        assert!(size_of::<Sock>() <= 80, "{} bytes", size_of::<Sock>());
    }
}
