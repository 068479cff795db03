//! The slot of an operation in flight: it keeps all that the kernel may read or write until the completion is taken.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::address::Address;
use crate::buffer::Buffer;
use crate::handle::Handle;
use crate::message::{Gather, MessageInFlight};
use crate::os::metadata::Stat;
use crate::os::open::RawOpenHow;
use crate::os::{OwnedFd, SystemPath};
use crate::port::{Piece, Progress};
use crate::remote::Packet;
use crate::slab::Record;
use crate::wheel::TimerKey;

/// Where an operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Waits for its turn, or for something to be received; the driver doesn't know it.
    Queued,
    /// A request of it is with the driver.
    InFlight,
    /// A send is with the driver that is heard of only if it does not go out whole.
    Silent,
    /// It has its result and waits to be taken.
    Done,
}

/// One operation.
pub(crate) struct Slot {
    pub(crate) generation: u32,
    /// The next in whatever list the operation stands in.
    pub(crate) next: u32,
    /// The handle it belongs to, or none.
    pub(crate) handle: Option<Handle>,
    pub(crate) context: u64,
    /// Bytes moved so far; when done the result, or a negated errno.
    pub(crate) result: i64,
    pub(crate) state: State,
    /// Its end was asked for.
    pub(crate) cancelling: bool,
    /// Nobody waits for the completion.
    pub(crate) detached: bool,
    pub(crate) work: Work,
}

impl Record for Slot {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    fn vacant(generation: u32, next: u32) -> Slot {
        Slot {
            generation,
            next,
            handle: None,
            context: 0,
            result: 0,
            state: State::Queued,
            cancelling: false,
            detached: false,
            work: Work::Finished(0),
        }
    }

    #[inline]
    fn next_free(&self) -> u32 {
        self.next
    }

    #[inline]
    fn retire(&mut self, generation: u32, next: u32) {
        self.work = Work::Finished(0);
        self.generation = generation;
        self.next = next;
    }
}

/// What an operation does, with everything that it owns.
pub(crate) enum Work {
    Accept {
        multi: bool,
    },
    Connect {
        address: Box<Address>,
    },
    Recv {
        multi: bool,
    },
    RecvInto {
        buffer: Vec<u8>,
    },
    Send {
        data: Buffer,
        zc: ZeroCopy,
    },
    SendVectored(Box<Gather>),
    RecvMsg(Box<MessageInFlight>),
    SendMsg(Box<MessageInFlight>),
    Read {
        buffer: Vec<u8>,
        offset: u64,
    },
    Write {
        data: Buffer,
        offset: u64,
    },
    Fsync {
        data_only: bool,
    },
    Open {
        directory: Option<Handle>,
        path: SystemPath,
        how: Box<RawOpenHow>,
    },
    Statx {
        path: Option<SystemPath>,
        out: Box<Stat>,
    },
    SendFile(Box<FileSend>),
    Splice {
        from: Handle,
        to: Handle,
        len: usize,
    },
    Shutdown {
        how: i32,
    },
    Close,
    Poll {
        events: i16,
    },
    Timeout(TimerKey),
    WaitPid {
        pidfd: OwnedFd,
        status: Option<std::process::ExitStatus>,
    },
    FutexWait {
        word: Arc<AtomicU32>,
        expected: u32,
    },
    /// Done at once, with this result or negated errno.
    Finished(i32),
    /// A packet that was posted.
    Packet(Packet),
    /// Not an operation: somebody who wants to know when a datagram can be sent.
    Writable,
    /// Not an operation: somebody who wants to know of room in the send queue, or of its end.
    Room {
        flush: bool,
    },
}

/// How a send treats its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ZeroCopy {
    /// Plain.
    No,
    /// Lent if the handle can; complete when the memory is free.
    Wanted,
    /// The bytes are sent; the note that the memory is free is awaited.
    Notice,
}

/// The state of a `send_file`.
pub(crate) struct FileSend {
    pub(crate) head: Buffer,
    pub(crate) head_sent: usize,
    pub(crate) file: Handle,
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) progress: Progress,
    /// What of it is on its way, where the kernel can't send it.
    pub(crate) piece: Piece,
}
