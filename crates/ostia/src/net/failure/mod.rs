//! Errors of the network: what failed, with which address, and what to do about it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use std::fmt;
use std::io;

use crate::carried::{carried, carry};

/// What kind of failure it was, for a program to tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// Nothing listens there (ECONNREFUSED), or a firewall says so.
    Refused,
    /// No route, or the network or host is down (ENETUNREACH, EHOSTUNREACH).
    Unreachable,
    /// No answer in time (ETIMEDOUT).
    TimedOut,
    /// The name has no address.
    NameNotFound,
    /// No DNS server has answered, or none is named.
    NoNameServer,
    /// Somebody else has the address (EADDRINUSE).
    AddressInUse,
    /// The address is none of this machine's (EADDRNOTAVAIL).
    NotLocal,
    /// Not allowed (EACCES, EPERM).
    NoPermission,
    /// No descriptor left, of the process or of the system (EMFILE, ENFILE).
    DescriptorLimit,
    /// Longer than one datagram may be, or than there was room for (EMSGSIZE).
    MessageTooLong,
    /// A Unix socket's path does not fit into an address (107 bytes).
    PathTooLong,
    /// There is no such path (ENOENT, ENOTDIR).
    NoSuchPath,
    /// The peer has closed or reset the connection (ECONNRESET, EPIPE, ENOTCONN).
    Disconnected,
    /// Anything else.
    Other,
}

/// An error with the address it concerns and a remedy. It travels inside of an [`io::Error`] of the same kind: see
/// [`NetError::of`].
#[derive(Debug)]
pub struct NetError {
    kind: FailureKind,
    doing: &'static str,
    address: String,
    source: io::Error,
}

impl NetError {
    /// The network error inside of an error that this module's calls gave, if it has one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&NetError> {
        carried(error)
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The address as it was asked for.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The system's error code, which the [`io::Error`] around this no longer has.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        system::remedy(self.kind)
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}; {}", self.doing, self.address, self.source, self.remedy())
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn kind_of(error: &io::Error) -> FailureKind {
    match error.raw_os_error() {
        Some(code) => system::kind_of(code),
        None if error.kind() == io::ErrorKind::TimedOut => FailureKind::TimedOut,
        None => FailureKind::Other,
    }
}

/// Says what an error concerns. An error that says so already is left as it is.
#[cold]
pub(crate) fn naming(doing: &'static str, address: impl fmt::Display, source: io::Error) -> io::Error {
    let kind = kind_of(&source);
    named_as(kind, doing, address, source)
}

/// As [`naming`], where the kind is known better than the error tells.
#[cold]
pub(crate) fn named_as(kind: FailureKind, doing: &'static str, address: impl fmt::Display, source: io::Error) -> io::Error {
    carry(source, |source| NetError { kind, doing, address: address.to_string(), source })
}

#[cfg(test)]
mod tests {
    use ostia_port::os::ECONNREFUSED;

    use super::*;

    #[test]
    fn an_error_names_its_address_once_and_keeps_its_kind() {
        let refused = || io::Error::from_raw_os_error(ECONNREFUSED);
        let error = naming("connect to", "192.0.2.1:80", refused());
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = naming("bind", "elsewhere", error);
        let inner = NetError::of(&error).expect("a network error");
        assert_eq!((inner.kind(), inner.address()), (FailureKind::Refused, "192.0.2.1:80"));
        assert_eq!(inner.raw_os_error(), Some(ECONNREFUSED));
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot connect to 192.0.2.1:80: {}; ", refused())), "{text}");
        assert!(text.contains(inner.remedy()));
        assert!(NetError::of(&io::Error::other("x")).is_none());
    }
}
