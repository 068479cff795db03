//! The codes of network failures on Unix (errno(3)), and what to do about them.

use crate::net::FailureKind;

pub(super) fn kind_of(code: i32) -> FailureKind {
    match code {
        libc::ECONNREFUSED => FailureKind::Refused,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => FailureKind::Unreachable,
        libc::ETIMEDOUT => FailureKind::TimedOut,
        libc::EADDRINUSE => FailureKind::AddressInUse,
        libc::EADDRNOTAVAIL => FailureKind::NotLocal,
        libc::EACCES | libc::EPERM => FailureKind::NoPermission,
        libc::EMFILE | libc::ENFILE => FailureKind::DescriptorLimit,
        libc::EMSGSIZE => FailureKind::MessageTooLong,
        libc::ENAMETOOLONG => FailureKind::PathTooLong,
        libc::ENOENT | libc::ENOTDIR => FailureKind::NoSuchPath,
        libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN => FailureKind::Disconnected,
        _ => FailureKind::Other,
    }
}

pub(super) fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Refused => "start what should listen there, or check the address and any firewall that rejects",
        FailureKind::Unreachable => "check the routes (`ip route get ADDRESS`) and that the host is up",
        FailureKind::TimedOut => "check that the host is up and no firewall drops its packets, or allow more time",
        FailureKind::NameNotFound => "check the spelling, /etc/hosts and the name servers (`getent hosts NAME`)",
        FailureKind::NoNameServer => "name DNS servers that this network has a way to, and check that they answer",
        FailureKind::AddressInUse => "stop the program that has it (`ss -lntuxp` names it), or choose another address",
        FailureKind::NotLocal => "use an address that `ip address` lists, or the unspecified one for all of them",
        FailureKind::NoPermission => {
            "ports below 1024 need CAP_NET_BIND_SERVICE, broadcasts need set_broadcast, paths a directory that may be \
             written to; a firewall may forbid sending too"
        }
        FailureKind::DescriptorLimit => "raise the limit (`ulimit -n`, LimitNOFILE=, `sysctl fs.file-max`), or close some",
        FailureKind::MessageTooLong => "send less at once (at most 65,507 bytes over UDP and IPv4), or receive with more room",
        FailureKind::PathTooLong => "use a path of at most 107 bytes, or a relative or abstract one",
        FailureKind::NoSuchPath => "create the directory, or start what should make the socket",
        FailureKind::Disconnected => "connect again",
        FailureKind::Other => "look the system's error up (errno(3))",
    }
}
