//! The stack's errors as those of the operating system's sockets.

use std::io;

use ostia_port::os;
use ostia_stack::Error;

/// The error with its code.
pub(crate) fn io_error(error: Error) -> io::Error {
    io::Error::from_raw_os_error(code(error))
}

/// The code of the stack's error.
pub(crate) fn code(error: Error) -> i32 {
    match error {
        Error::WouldBlock => os::EAGAIN,
        Error::BadHandle => os::EBADF,
        Error::InvalidInput => os::EINVAL,
        Error::AddressInUse => os::EADDRINUSE,
        Error::AddressNotAvailable => os::EADDRNOTAVAIL,
        Error::NotConnected => os::ENOTCONN,
        Error::AlreadyConnected => os::EISCONN,
        Error::ConnectionRefused => os::ECONNREFUSED,
        Error::ConnectionReset => os::ECONNRESET,
        Error::ConnectionAborted => os::ECONNABORTED,
        Error::TimedOut => os::ETIMEDOUT,
        Error::BrokenPipe => os::EPIPE,
        Error::NetworkUnreachable => os::ENETUNREACH,
        Error::HostUnreachable => os::EHOSTUNREACH,
        Error::ProtocolUnreachable | Error::NotSupported => os::EOPNOTSUPP,
        Error::MessageTooLong => os::EMSGSIZE,
        Error::NoBufferSpace => os::ENOBUFS,
        Error::PermissionDenied => os::EACCES,
        // Later versions of the stack may have more to say.
        _ => os::EIO,
    }
}

/// An error by its code.
pub(crate) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}
