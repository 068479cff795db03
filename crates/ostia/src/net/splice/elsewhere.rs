//! A system that can't forward in the kernel: everything goes by chunks.

use std::io;

use ostia_port::Port;

use crate::net::raw::Raw;

/// The pipes of a worker: none.
#[derive(Debug, Default)]
pub(crate) struct Pipes;

impl Pipes {
    /// None is at rest.
    pub(crate) fn cool(&mut self, _nanos: u64, _port: &mut Port) -> bool {
        false
    }

    /// How many pipes are in use and at rest.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Whether bytes have to go by chunks.
pub(super) fn by_chunks(_from: Raw) -> io::Result<bool> {
    Ok(true)
}

/// Nothing comes this way.
pub(super) async fn forward(_from: Raw, _to: Raw, _limit: u64) -> io::Result<u64> {
    Ok(0)
}
