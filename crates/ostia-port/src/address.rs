//! Socket addresses of every family, in the form the system wants.

use std::fmt;
#[cfg(unix)]
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
#[cfg(unix)]
use std::path::Path;

use rustix::net::SocketAddrAny;
#[cfg(unix)]
use rustix::net::{SocketAddrUnix, addr::SocketAddrArg};

use crate::os::raw;

/// The address of a peer or of a socket: IPv4, IPv6 or Unix.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(SocketAddrAny);

impl Address {
    /// The address as IP address and port, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(self.0.clone()).ok()
    }

    pub(crate) fn as_ptr(&self) -> *const raw::sockaddr {
        self.0.as_ptr().cast()
    }

    pub(crate) fn len(&self) -> raw::socklen_t {
        self.0.addr_len() as raw::socklen_t
    }

    /// Reads an address that the system has written; none where it wrote nothing.
    ///
    /// # Safety
    /// `len` bytes from `at` are an address, or a part of one.
    pub(crate) unsafe fn read(at: *const raw::sockaddr, len: raw::socklen_t) -> Option<Address> {
        // SAFETY: by the caller's promise.
        (len > 0).then(|| unsafe { SocketAddrAny::read(at.cast(), len as _) }).map(Address)
    }
}

#[cfg(unix)]
impl Address {
    /// The address of a Unix socket at `path`.
    ///
    /// # Errors
    /// If the path is longer than a socket address holds (107 bytes; 103 on FreeBSD and macOS) or has a NUL byte.
    pub fn unix(path: impl AsRef<Path>) -> io::Result<Address> {
        Ok(Address(SocketAddrUnix::new(path.as_ref())?.as_any()))
    }

    /// The address of a Unix socket with a name in the abstract namespace, which no file system knows (unix(7)).
    ///
    /// # Errors
    /// If the name is longer than a socket address holds (107 bytes). Unsupported on systems other than Linux: they have no
    /// such names.
    pub fn unix_abstract(name: impl AsRef<[u8]>) -> io::Result<Address> {
        #[cfg(target_os = "linux")]
        return Ok(Address(SocketAddrUnix::new_abstract_name(name.as_ref())?.as_any()));
        #[cfg(not(target_os = "linux"))]
        {
            let text = format!("unix:@{}: only Linux has abstract names: use a path", name.as_ref().escape_ascii());
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
    }

    /// The abstract name of a Unix socket address, if it has one.
    pub fn abstract_name(&self) -> Option<Vec<u8>> {
        #[cfg(target_os = "linux")]
        {
            let unix = SocketAddrUnix::try_from(self.0.clone()).ok()?;
            // What the system gives of an unnamed socket reads as an empty name.
            unix.abstract_name().filter(|name| !name.is_empty()).map(<[u8]>::to_vec)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// The path of a Unix socket address, if it has one.
    pub fn path(&self) -> Option<std::path::PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let unix = SocketAddrUnix::try_from(self.0.clone()).ok()?;
        let bytes = unix.path_bytes()?;
        Some(std::ffi::OsStr::from_bytes(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into())
    }
}

/// An IP address in the system's form, or room for one: a quarter as large as for any address.
pub(crate) struct IpName {
    name: Name,
    len: raw::socklen_t,
}

#[derive(Clone, Copy)]
union Name {
    any: raw::sockaddr,
    v4: raw::sockaddr_in,
    v6: raw::sockaddr_in6,
}

/// The IP address that these bytes are, in the system's form.
#[inline]
pub(crate) fn ip_of(name: &[u8]) -> Option<SocketAddr> {
    let mut ip = IpName::empty();
    let len = name.len().min(size_of::<Name>());
    // SAFETY: the union has room for `len` bytes, and is plain data.
    unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), (&raw mut ip.name).cast::<u8>(), len) };
    ip.len = len as raw::socklen_t;
    ip.get()
}

impl IpName {
    #[inline]
    pub(crate) fn empty() -> IpName {
        // SAFETY: plain data for which zeroes are valid.
        IpName { name: unsafe { std::mem::zeroed() }, len: 0 }
    }

    #[inline]
    pub(crate) fn new(address: SocketAddr) -> IpName {
        let mut ip = IpName::empty();
        match address {
            SocketAddr::V4(v4) => {
                ip.len = size_of::<raw::sockaddr_in>() as raw::socklen_t;
                ip.name.v4 = raw::sockaddr_in {
                    #[cfg(all(unix, not(target_os = "linux")))]
                    sin_len: ip.len as u8,
                    sin_family: raw::AF_INET as raw::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: raw::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
            }
            SocketAddr::V6(v6) => {
                ip.len = size_of::<raw::sockaddr_in6>() as raw::socklen_t;
                ip.name.v6 = raw::sockaddr_in6 {
                    #[cfg(all(unix, not(target_os = "linux")))]
                    sin6_len: ip.len as u8,
                    sin6_family: raw::AF_INET6 as raw::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: raw::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
            }
        }
        ip
    }

    /// Pointer and length for a call that reads the address; null where there is none.
    #[inline]
    pub(crate) fn as_ref(&self) -> (*const raw::sockaddr, raw::socklen_t) {
        (if self.len == 0 { std::ptr::null() } else { (&raw const self.name).cast() }, self.len)
    }

    /// Pointer and length for a call that writes an address.
    #[inline]
    pub(crate) fn as_mut(&mut self) -> (*mut raw::sockaddr, &mut raw::socklen_t) {
        self.len = size_of::<Name>() as raw::socklen_t;
        ((&raw mut self.name).cast(), &mut self.len)
    }

    /// The address, if one has been written that is of IP.
    #[inline]
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: the family stands at the same place in all and was zeroed at first; with it, as many bytes are an address of
        // that family as `len` says, and every bit pattern of those is one.
        unsafe {
            match i32::from(self.name.any.sa_family) {
                raw::AF_INET if self.len as usize >= size_of::<raw::sockaddr_in>() => {
                    let v4 = self.name.v4;
                    let octets = v4.sin_addr.s_addr.to_ne_bytes();
                    Some(SocketAddrV4::new(octets.into(), u16::from_be(v4.sin_port)).into())
                }
                raw::AF_INET6 if self.len as usize >= size_of::<raw::sockaddr_in6>() => {
                    let v6 = self.name.v6;
                    let port = u16::from_be(v6.sin6_port);
                    Some(SocketAddrV6::new(v6.sin6_addr.s6_addr.into(), port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
                }
                _ => None,
            }
        }
    }
}

impl From<SocketAddrAny> for Address {
    fn from(any: SocketAddrAny) -> Address {
        Address(any)
    }
}

impl From<Address> for SocketAddrAny {
    fn from(address: Address) -> SocketAddrAny {
        address.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(SocketAddrAny::from(address))
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Address {
        Address::from(SocketAddr::V4(address))
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Address {
        Address::from(SocketAddr::V6(address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ip) = self.ip() {
            return ip.fmt(f);
        }
        #[cfg(unix)]
        match (self.path(), self.abstract_name()) {
            (Some(path), _) => write!(f, "unix:{}", path.display()),
            (None, Some(name)) => write!(f, "unix:@{}", name.escape_ascii()),
            (None, None) => f.write_str("unix:(unnamed)"),
        }
        #[cfg(not(unix))]
        f.write_str("(of another family)")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_reads_back() {
        let v4: SocketAddr = "127.0.0.1:80".parse().expect("address");
        let v6: SocketAddr = "[::1]:443".parse().expect("address");
        assert_eq!(Address::from(v4).ip(), Some(v4));
        assert_eq!(Address::from(v6).ip(), Some(v6));
    }

    #[cfg(unix)]
    #[test]
    fn names_of_unix_sockets_read_back() {
        let unix = Address::unix("/run/x.sock").expect("short path");
        assert_eq!(unix.path().as_deref(), Some(std::path::Path::new("/run/x.sock")));
        assert_eq!(unix.to_string(), "unix:/run/x.sock");
        assert!(Address::unix("x".repeat(200)).is_err());
        assert!(unix.abstract_name().is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn abstract_names_read_back() {
        let hidden = Address::unix_abstract(b"harbour").expect("short name");
        assert_eq!((hidden.abstract_name().as_deref(), hidden.path()), (Some(&b"harbour"[..]), None));
        assert_eq!(hidden.to_string(), "unix:@harbour");
        assert!(Address::unix_abstract("x".repeat(108)).is_err());
    }

    #[test]
    fn names_of_ip_are_the_systems() {
        for text in ["192.0.2.1:53", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().expect("address");
            let any = Address::from(address);
            let own = IpName::new(address);
            let (at, len) = own.as_ref();
            // SAFETY: `own` is alive, and its address as long as it says.
            assert_eq!(unsafe { Address::read(at, len) }, Some(any.clone()));
            let mut name = IpName::empty();
            let (at, len) = name.as_mut();
            *len = any.len();
            // SAFETY: both are as long as the address says.
            unsafe { std::ptr::copy_nonoverlapping(any.as_ptr().cast::<u8>(), at.cast::<u8>(), any.len() as usize) };
            assert_eq!(name.get(), Some(address));
        }
        assert_eq!(IpName::empty().get(), None);
        assert!(IpName::empty().as_ref().0.is_null());
    }
}
