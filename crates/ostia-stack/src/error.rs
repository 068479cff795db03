//! Why a call on the stack failed, or a connection ended.

use core::fmt;

/// What went wrong. The names are those of the errors that a kernel's sockets give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is there now, or there is no room now; an event tells when that has changed (EAGAIN).
    WouldBlock,
    /// The handle names nothing, or something of another kind (EBADF).
    BadHandle,
    /// An argument makes no sense (EINVAL).
    InvalidInput,
    /// The address and port are another socket's (EADDRINUSE).
    AddressInUse,
    /// The address isn't one of this host's, or no port is left (EADDRNOTAVAIL).
    AddressNotAvailable,
    /// The socket isn't connected (ENOTCONN).
    NotConnected,
    /// The socket is connected already (EISCONN).
    AlreadyConnected,
    /// The peer refused the connection (ECONNREFUSED).
    ConnectionRefused,
    /// The peer reset the connection (ECONNRESET).
    ConnectionReset,
    /// This side has ended the connection at once (ECONNABORTED).
    ConnectionAborted,
    /// The peer didn't answer in time (ETIMEDOUT).
    TimedOut,
    /// This side has ended its stream, or the connection is gone (EPIPE).
    BrokenPipe,
    /// No route leads there, or a router said so (ENETUNREACH).
    NetworkUnreachable,
    /// A router, or the last hop's silence, said that the host can't be reached (EHOSTUNREACH).
    HostUnreachable,
    /// The host knows nothing of the protocol (ENOPROTOOPT).
    ProtocolUnreachable,
    /// A datagram is longer than what can be sent (EMSGSIZE).
    MessageTooLong,
    /// A limit of memory or of a table is reached (ENOBUFS).
    NoBufferSpace,
    /// The path or the peer forbids it (EACCES).
    PermissionDenied,
    /// This socket has no such operation (EOPNOTSUPP).
    NotSupported,
}

impl Error {
    /// The error in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Error::WouldBlock => "nothing can be done now",
            Error::BadHandle => "no such socket",
            Error::InvalidInput => "invalid argument",
            Error::AddressInUse => "address in use",
            Error::AddressNotAvailable => "address not available",
            Error::NotConnected => "not connected",
            Error::AlreadyConnected => "already connected",
            Error::ConnectionRefused => "connection refused",
            Error::ConnectionReset => "connection reset by peer",
            Error::ConnectionAborted => "connection aborted",
            Error::TimedOut => "timed out",
            Error::BrokenPipe => "broken pipe",
            Error::NetworkUnreachable => "network unreachable",
            Error::HostUnreachable => "host unreachable",
            Error::ProtocolUnreachable => "protocol not available",
            Error::MessageTooLong => "message too long",
            Error::NoBufferSpace => "no buffer space",
            Error::PermissionDenied => "permission denied",
            Error::NotSupported => "operation not supported",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for Error {}
