//! Error numbers, as errno(3) has them.

use std::fmt;

use ostia_stack::Error;

/// Why a call failed: a number of errno(3), never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident)*) => {
        #[allow(missing_docs, reason = "errno(3) says what each means")]
        impl Errno {
            $(pub const $name: Errno = Errno(libc::$name);)*

            /// The name in errno(3); none of numbers that no call here gives.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECANCELED ECONNABORTED ECONNREFUSED ECONNRESET
    EDESTADDRREQ EEXIST EFAULT EHOSTUNREACH EINPROGRESS EINVAL EISCONN EMFILE EMSGSIZE ENETUNREACH ENOBUFS ENOENT ENOMEM
    ENOPROTOOPT ENOTCONN ENOTSOCK ENOTTY EOPNOTSUPP EPERM EPIPE EPROTONOSUPPORT EPROTOTYPE ESOCKTNOSUPPORT ESPIPE ETIMEDOUT
    ERANGE EIO EDOM EINTR
}

impl Errno {
    /// The number.
    pub fn code(self) -> i32 {
        self.0
    }

    /// The error with a number of the system's; 0 is none, and stands for EIO.
    pub(crate) fn of_number(number: i32) -> Errno {
        if number > 0 { Errno(number) } else { Errno::EIO }
    }

    /// An error of a call on the system's own descriptors.
    pub(crate) fn of_system(error: rustix::io::Errno) -> Errno {
        Errno(error.raw_os_error())
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Errno {
        match error {
            Error::WouldBlock => Errno::EAGAIN,
            Error::BadHandle => Errno::EBADF,
            Error::AddressInUse => Errno::EADDRINUSE,
            Error::AddressNotAvailable => Errno::EADDRNOTAVAIL,
            Error::NotConnected => Errno::ENOTCONN,
            Error::AlreadyConnected => Errno::EISCONN,
            Error::ConnectionRefused => Errno::ECONNREFUSED,
            Error::ConnectionReset => Errno::ECONNRESET,
            Error::ConnectionAborted => Errno::ECONNABORTED,
            Error::TimedOut => Errno::ETIMEDOUT,
            Error::BrokenPipe => Errno::EPIPE,
            Error::NetworkUnreachable => Errno::ENETUNREACH,
            Error::HostUnreachable => Errno::EHOSTUNREACH,
            Error::ProtocolUnreachable => Errno::ENOPROTOOPT,
            Error::MessageTooLong => Errno::EMSGSIZE,
            Error::NoBufferSpace => Errno::ENOBUFS,
            Error::PermissionDenied => Errno::EACCES,
            Error::NotSupported => Errno::EOPNOTSUPP,
            // `Error` may get more; each is an argument that made no sense until it is named here.
            _ => Errno::EINVAL,
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Errno {}
