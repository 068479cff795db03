//! What a port hands out: one record per completed operation.

use std::io;
use std::process::ExitStatus;

use crate::buffer::Buffer;
use crate::chunk::Chunk;
use crate::handle::Handle;
use crate::message::Message;
use crate::op::OpId;
use crate::os::metadata::Stat;

/// An operation that has completed, or a packet that was posted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// Which operation. For a posted packet none.
    pub id: Option<OpId>,
    /// The completion key of the operation's handle, given when it was adopted; 0 for operations without a handle.
    pub key: u64,
    /// What the operation was submitted with.
    pub context: u64,
    /// Bytes transferred, or what the operation says its result is; an error has the operating system's code
    /// (ECANCELED for a cancelled operation).
    pub result: io::Result<usize>,
    /// What comes with it: the operation's buffer returned, in success and in failure, or what was made.
    pub payload: Payload,
    /// The operation goes on and will complete again (the multishot ones).
    pub more: bool,
}

/// What a completion carries besides its result.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing.
    #[default]
    None,
    /// Received bytes, lent from the pool.
    Chunk(Chunk),
    /// A handle for an accepted connection or an opened file.
    Handle(Handle),
    /// The operation's buffer, returned.
    Buffer(Buffer),
    /// The operation's buffers, returned.
    Buffers(Vec<Buffer>),
    /// The operation's message, returned.
    Message(Box<Message>),
    /// A file's metadata.
    Metadata(Box<Metadata>),
    /// How a child process ended.
    Exit(ExitStatus),
}

impl Payload {
    /// The chunk, if it is one.
    pub fn into_chunk(self) -> Option<Chunk> {
        if let Payload::Chunk(chunk) = self { Some(chunk) } else { None }
    }

    /// The handle, if it is one.
    pub fn into_handle(self) -> Option<Handle> {
        if let Payload::Handle(handle) = self { Some(handle) } else { None }
    }

    /// The returned buffer as a vector; empty if there is none.
    pub fn into_vec(self) -> Vec<u8> {
        if let Payload::Buffer(buffer) = self { buffer.into_vec() } else { Vec::new() }
    }
}

/// A file's metadata, as [`Op::Statx`](crate::Op::Statx) asks for it. Its methods are those of the system.
#[derive(Clone, Copy)]
pub struct Metadata(pub(crate) Stat);

impl Metadata {
    /// Whether the size is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").field("len", &self.len()).finish_non_exhaustive()
    }
}
