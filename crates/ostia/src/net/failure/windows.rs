//! The codes of network failures on Windows (Winsock's and winerror.h's), and what to do about them.

use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Networking::WinSock as sock;

use crate::net::FailureKind;

pub(super) fn kind_of(code: i32) -> FailureKind {
    match code {
        sock::WSAECONNREFUSED => return FailureKind::Refused,
        sock::WSAENETUNREACH | sock::WSAEHOSTUNREACH | sock::WSAENETDOWN | sock::WSAEHOSTDOWN => return FailureKind::Unreachable,
        sock::WSAETIMEDOUT => return FailureKind::TimedOut,
        sock::WSAEADDRINUSE => return FailureKind::AddressInUse,
        sock::WSAEADDRNOTAVAIL => return FailureKind::NotLocal,
        sock::WSAEACCES => return FailureKind::NoPermission,
        sock::WSAEMFILE | sock::WSAENOBUFS => return FailureKind::DescriptorLimit,
        sock::WSAEMSGSIZE => return FailureKind::MessageTooLong,
        sock::WSAECONNRESET | sock::WSAECONNABORTED | sock::WSAENETRESET | sock::WSAENOTCONN | sock::WSAESHUTDOWN => {
            return FailureKind::Disconnected;
        }
        _ => {}
    }
    match code as u32 {
        win::ERROR_ACCESS_DENIED => FailureKind::NoPermission,
        win::ERROR_TOO_MANY_OPEN_FILES => FailureKind::DescriptorLimit,
        win::ERROR_BROKEN_PIPE | win::ERROR_NO_DATA => FailureKind::Disconnected,
        _ => FailureKind::Other,
    }
}

pub(super) fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Refused => "start what should listen there, or check the address and any firewall that rejects",
        FailureKind::Unreachable => "check the routes (`Find-NetRoute -RemoteIPAddress ADDRESS`) and that the host is up",
        FailureKind::TimedOut => "check that the host is up and no firewall drops its packets, or allow more time",
        FailureKind::NameNotFound => "check the spelling, the hosts file and the name servers (`Resolve-DnsName NAME`)",
        FailureKind::NoNameServer => "name DNS servers that this network has a way to, and check that they answer",
        FailureKind::AddressInUse => "stop the program that has it (`netstat -abno` names it), or choose another address",
        FailureKind::NotLocal => "use an address that `ipconfig` lists, or the unspecified one for all of them",
        FailureKind::NoPermission => {
            "somebody may have the address for themselves (`netstat -abno`, `netsh int ipv4 show excludedportrange tcp`); broadcasts \
             need set_broadcast; a firewall may forbid it too"
        }
        FailureKind::DescriptorLimit => "close some sockets, or raise the number of ports (`netsh int ipv4 set dynamicport tcp`)",
        FailureKind::MessageTooLong => "send less at once (at most 65,507 bytes over UDP and IPv4), or receive with more room",
        FailureKind::PathTooLong | FailureKind::NoSuchPath => "use an IP address: there are no Unix sockets here",
        FailureKind::Disconnected => "connect again",
        FailureKind::Other => "look the system's error up (\"Windows Sockets Error Codes\", \"System Error Codes\")",
    }
}
