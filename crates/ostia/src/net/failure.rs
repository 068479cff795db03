//! Errors of the network: what failed, with which address, and what to do about it.

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
        match self.kind {
            FailureKind::Refused => "start what should listen there, or check the address and any firewall that rejects",
            FailureKind::Unreachable => "check the routes (`ip route get ADDRESS`) and that the host is up",
            FailureKind::TimedOut => "check that the host is up and no firewall drops its packets, or allow more time",
            FailureKind::NameNotFound => "check the spelling, /etc/hosts and the name servers (`getent hosts NAME`)",
            FailureKind::AddressInUse => "stop the program that has it (`ss -lntuxp` names it), or choose another address",
            FailureKind::NotLocal => "use an address that `ip address` lists, or the unspecified one for all of them",
            FailureKind::NoPermission => {
                "ports below 1024 need CAP_NET_BIND_SERVICE, broadcasts need set_broadcast, paths a directory that may be \
                 written to; a firewall may forbid sending too"
            }
            FailureKind::DescriptorLimit => "raise the limit (`ulimit -n`, LimitNOFILE=, `sysctl fs.file-max`), or close some",
            FailureKind::MessageTooLong => {
                "send less at once (at most 65,507 bytes over UDP and IPv4), or receive with more room"
            }
            FailureKind::PathTooLong => "use a path of at most 107 bytes, or a relative or abstract one",
            FailureKind::NoSuchPath => "create the directory, or start what should make the socket",
            FailureKind::Disconnected => "connect again",
            FailureKind::Other => "look the system's error up (errno(3))",
        }
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
        Some(libc::ECONNREFUSED) => FailureKind::Refused,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN) => FailureKind::Unreachable,
        Some(libc::ETIMEDOUT) => FailureKind::TimedOut,
        Some(libc::EADDRINUSE) => FailureKind::AddressInUse,
        Some(libc::EADDRNOTAVAIL) => FailureKind::NotLocal,
        Some(libc::EACCES | libc::EPERM) => FailureKind::NoPermission,
        Some(libc::EMFILE | libc::ENFILE) => FailureKind::DescriptorLimit,
        Some(libc::EMSGSIZE) => FailureKind::MessageTooLong,
        Some(libc::ENAMETOOLONG) => FailureKind::PathTooLong,
        Some(libc::ENOENT | libc::ENOTDIR) => FailureKind::NoSuchPath,
        Some(libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN) => FailureKind::Disconnected,
        Some(_) => FailureKind::Other,
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
    use super::*;

    #[test]
    fn an_error_names_its_address_once_and_keeps_its_kind() {
        let error = naming("connect to", "192.0.2.1:80", io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = naming("bind", "elsewhere", error);
        let inner = NetError::of(&error).expect("a network error");
        assert_eq!((inner.kind(), inner.address()), (FailureKind::Refused, "192.0.2.1:80"));
        assert_eq!(inner.raw_os_error(), Some(libc::ECONNREFUSED));
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to 192.0.2.1:80: Connection refused (os error 111)"), "{text}");
        assert!(text.contains(inner.remedy()));
        assert!(NetError::of(&io::Error::other("x")).is_none());
    }
}
