//! Types and numbers by the names that Unix gives them, in Windows' layouts (winsock2.h, ws2def.h, ws2ipdef.h).

#![allow(non_camel_case_types)]

use std::ffi::c_void;

use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Networking::WinSock as sock;

pub(crate) use super::codes::*;

pub(crate) use sock::{SOCKADDR as sockaddr, SOCKADDR_STORAGE as sockaddr_storage};

pub(crate) type socklen_t = i32;
pub(crate) type sa_family_t = u16;

pub(crate) const AF_INET: i32 = sock::AF_INET as i32;
pub(crate) const AF_INET6: i32 = sock::AF_INET6 as i32;

/// `sockaddr_in` of ws2def.h.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct sockaddr_in {
    pub(crate) sin_family: sa_family_t,
    pub(crate) sin_port: u16,
    pub(crate) sin_addr: in_addr,
    pub(crate) sin_zero: [u8; 8],
}

/// `in_addr` of inaddr.h.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct in_addr {
    pub(crate) s_addr: u32,
}

/// `sockaddr_in6` of ws2ipdef.h.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct sockaddr_in6 {
    pub(crate) sin6_family: sa_family_t,
    pub(crate) sin6_port: u16,
    pub(crate) sin6_flowinfo: u32,
    pub(crate) sin6_addr: in6_addr,
    pub(crate) sin6_scope_id: u32,
}

/// `in6_addr` of in6addr.h.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct in6_addr {
    pub(crate) s6_addr: [u8; 16],
}

/// `WSABUF` of ws2def.h.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct iovec {
    pub(crate) iov_len: u32,
    pub(crate) iov_base: *mut c_void,
}

/// `WSAMSG` of ws2def.h, the control buffer taken apart.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct msghdr {
    pub(crate) msg_name: *mut c_void,
    pub(crate) msg_namelen: socklen_t,
    pub(crate) msg_iov: *mut iovec,
    pub(crate) msg_iovlen: u32,
    #[cfg(target_pointer_width = "64")]
    pad: u32,
    pub(crate) msg_controllen: u32,
    pub(crate) msg_control: *mut c_void,
    pub(crate) msg_flags: u32,
}

/// `WSACMSGHDR` of ws2def.h.
#[repr(C)]
pub(crate) struct cmsghdr {
    cmsg_len: usize,
    cmsg_level: i32,
    cmsg_type: i32,
}

/// Windows sends all or fails; there is nothing to ask for.
pub(crate) const MSG_WAITALL: i32 = 0;
/// What is received stays.
pub(crate) const MSG_PEEK: i32 = sock::MSG_PEEK;

pub(crate) const IPPROTO_IP: i32 = sock::IPPROTO_IP;
pub(crate) const IPPROTO_IPV6: i32 = sock::IPPROTO_IPV6;
pub(crate) const IP_TTL: i32 = sock::IP_TTL;
pub(crate) const IPV6_HOPLIMIT: i32 = sock::IPV6_HOPLIMIT;

pub(crate) const SHUT_RD: i32 = sock::SD_RECEIVE;
pub(crate) const SHUT_WR: i32 = sock::SD_SEND;
pub(crate) const SHUT_RDWR: i32 = sock::SD_BOTH;

/// No directory: a relative path starts from the process's own.
pub(crate) const AT_FDCWD: i32 = -1;

pub(crate) const EIO: i32 = win::ERROR_IO_DEVICE as i32;
pub(crate) const ENETDOWN: i32 = sock::WSAENETDOWN;
pub(crate) const ENETUNREACH: i32 = sock::WSAENETUNREACH;
pub(crate) const EHOSTDOWN: i32 = sock::WSAEHOSTDOWN;
pub(crate) const EHOSTUNREACH: i32 = sock::WSAEHOSTUNREACH;
pub(crate) const ENOMEM: i32 = win::ERROR_NOT_ENOUGH_MEMORY as i32;
/// No call of Windows says this of a connection; the number is nobody's.
pub(crate) const EPROTO: i32 = sock::WSAEPROTONOSUPPORT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_winsocks() {
        assert_eq!((size_of::<iovec>(), align_of::<iovec>()), (size_of::<sock::WSABUF>(), align_of::<sock::WSABUF>()));
        assert_eq!(size_of::<msghdr>(), size_of::<sock::WSAMSG>());
        assert_eq!(std::mem::offset_of!(msghdr, msg_controllen), std::mem::offset_of!(sock::WSAMSG, Control));
        assert_eq!(std::mem::offset_of!(msghdr, msg_flags), std::mem::offset_of!(sock::WSAMSG, dwFlags));
        assert_eq!(size_of::<sockaddr_in>(), size_of::<sock::SOCKADDR_IN>());
        assert_eq!(size_of::<sockaddr_in6>(), size_of::<sock::SOCKADDR_IN6>());
        assert_eq!(size_of::<cmsghdr>(), size_of::<sock::CMSGHDR>());
    }
}
