//! Echoing on Windows: streams and UDP are all there is.

use crate::args::Common;
use crate::errors::Failure;

/// How an address is written.
pub(super) const FORMS: &str = "HOST:PORT, tcp://HOST:PORT or udp://HOST:PORT";

/// Whether the system spreads senders over UDP sockets that share a port: they all come to one of them.
pub(super) const SPREADS: bool = false;

/// Another kind of place to echo. There is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {}

impl Place {
    /// Reads an address that begins as one of these does.
    pub(super) fn parse(_: &str) -> Option<Result<Place, String>> {
        None
    }

    /// Echoes there from now on.
    pub(super) fn listen(&self, _: &Common) -> Result<String, Failure> {
        match *self {}
    }
}
