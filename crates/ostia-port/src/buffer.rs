//! What can be sent and written: bytes that an operation can own until it completes.

use std::ops::Deref;
use std::sync::Arc;

use crate::chunk::Chunk;

/// Bytes owned by an operation while it is in flight. None of the forms is copied on the way to the operating system.
#[derive(Clone, Debug)]
pub enum Buffer {
    /// An ordinary vector; receives and reads append to its spare capacity.
    Vec(Vec<u8>),
    /// Received bytes, sent on without a copy.
    Chunk(Chunk),
    /// Bytes that live as long as the program.
    Static(&'static [u8]),
    /// Bytes shared with others, such as one message for many connections.
    Shared(Arc<[u8]>),
}

impl Buffer {
    /// The bytes as a vector: the vector itself if it is one, else a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Buffer::Vec(vec) => vec,
            other => other.to_vec(),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Buffer::Vec(bytes) => bytes,
            Buffer::Chunk(bytes) => bytes,
            Buffer::Static(bytes) => bytes,
            Buffer::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::Static(&[])
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer::Vec(bytes)
    }
}

impl From<String> for Buffer {
    fn from(text: String) -> Buffer {
        Buffer::Vec(text.into_bytes())
    }
}

impl From<Chunk> for Buffer {
    fn from(bytes: Chunk) -> Buffer {
        Buffer::Chunk(bytes)
    }
}

impl From<&'static [u8]> for Buffer {
    fn from(bytes: &'static [u8]) -> Buffer {
        Buffer::Static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Buffer {
    fn from(bytes: &'static [u8; N]) -> Buffer {
        Buffer::Static(bytes)
    }
}

impl From<&'static str> for Buffer {
    fn from(text: &'static str) -> Buffer {
        Buffer::Static(text.as_bytes())
    }
}

impl From<Arc<[u8]>> for Buffer {
    fn from(bytes: Arc<[u8]>) -> Buffer {
        Buffer::Shared(bytes)
    }
}
