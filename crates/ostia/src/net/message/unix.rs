//! Control data of Unix (ip(7), ipv6(7), udp(7)) and the options that ask for it; descriptors and credentials (unix(7)).

use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;

use ostia_port::Message;
use ostia_port::os::{BorrowedFd, OwnedFd};

use crate::net::message::{CONTROL_ROOM, Incoming, Outgoing, push};
use crate::net::sockopt;

/// Level and type: where a datagram came to, or goes out from …
pub(super) const INFO_V4: (i32, i32) = (libc::IPPROTO_IP, libc::IP_PKTINFO);
pub(super) const INFO_V6: (i32, i32) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);
/// … its traffic class, and how many routers it may cross …
pub(super) const CLASSES: [(i32, i32); 2] = [(libc::IPPROTO_IP, libc::IP_TOS), (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)];
pub(super) const HOPS: [(i32, i32); 2] = [(libc::IPPROTO_IP, libc::IP_TTL), (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)];
/// … the length of what is sent in segments (UDP_SEGMENT), and of what was joined (UDP_GRO). Both are options too.
pub(crate) const SEGMENT: (i32, i32) = (libc::SOL_UDP, 103);
pub(super) const JOINED: (i32, i32) = (libc::SOL_UDP, 104);
const CREDENTIALS: (i32, i32) = (libc::SOL_SOCKET, libc::SCM_CREDENTIALS);
const RIGHTS: (i32, i32) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
/// SCM_PIDFD (Linux 6.5).
const PIDFD: (i32, i32) = (libc::SOL_SOCKET, 4);

/// Where these stand in a struct in_pktinfo: interface, local address (to send from), address in the header.
pub(super) const INFO_V4_INTERFACE: Range<usize> = 0..4;
pub(super) const INFO_V4_ADDRESS: Range<usize> = 8..12;

/// The most descriptors that one message carries (SCM_MAX_FD).
const RIGHTS_MAX: usize = 253;

pub(super) fn info_v4(address: Ipv4Addr, interface: u32) -> Vec<u8> {
    interface.to_ne_bytes().into_iter().chain(address.octets()).chain([0; 4]).collect()
}

/// What sends a traffic class.
pub(super) fn class(v6: bool, _class: u8) -> (i32, i32) {
    CLASSES[usize::from(v6)]
}

pub(super) fn segment_value(size: usize) -> [u8; 2] {
    (size as u16).to_ne_bytes()
}

/// Whether sending in segments has failed such that sending them one by one may not: no checksum offload on the way out (EIO), or
/// segments larger than the path (EINVAL), which the kernel may cut into fragments then.
pub(crate) fn sends_singly(code: i32) -> bool {
    matches!(code, libc::EIO | libc::EINVAL)
}

/// Has datagrams tell where they came to, their traffic class and hop limit, or not.
pub(crate) fn ask_for_info(fd: BorrowedFd<'_>, v6: bool, on: bool) -> io::Result<()> {
    let (level, options) = match v6 {
        true => (libc::IPPROTO_IPV6, [libc::IPV6_RECVPKTINFO, libc::IPV6_RECVTCLASS, libc::IPV6_RECVHOPLIMIT]),
        false => (libc::IPPROTO_IP, [libc::IP_PKTINFO, libc::IP_RECVTOS, libc::IP_RECVTTL]),
    };
    options.into_iter().try_for_each(|option| sockopt::set_int(fd, (level, option), on.into()))
}

/// Has datagrams come joined, or not; whether the kernel can do that.
pub(crate) fn join(fd: BorrowedFd<'_>, on: bool) -> io::Result<bool> {
    match sockopt::set_int(fd, JOINED, on.into()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets the traffic class of what is sent.
pub(crate) fn set_class(fd: BorrowedFd<'_>, v6: bool, class: u8) -> io::Result<()> {
    sockopt::set_int(fd, CLASSES[usize::from(v6)], class.into())
}

/// The descriptors that came with a message.
#[derive(Debug, Default)]
pub(super) struct Received(Vec<OwnedFd>);

impl Received {
    /// Closes those that nobody has taken.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes over what came with a message that recvmsg(2) has just written.
    pub(super) fn take_over(&mut self, message: &Message) {
        for (level, kind, value) in message.control_messages() {
            if [RIGHTS, PIDFD].contains(&(level, kind)) {
                // SAFETY: recvmsg(2) has just written these messages, and this is the one look at each.
                unsafe { sockopt::take_descriptors(value, &mut self.0) };
            }
        }
    }
}

/// What goes with a message.
#[derive(Debug, Default)]
pub(super) struct Attached<'a> {
    descriptors: Vec<BorrowedFd<'a>>,
    credentials: bool,
}

impl Attached<'_> {
    pub(super) fn push_to(&self, message: &mut Message) {
        if !self.descriptors.is_empty() {
            push(message, RIGHTS, &sockopt::rights(&self.descriptors));
        }
        if self.credentials {
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let value: Vec<u8> = [pid as u32, uid, gid].into_iter().flat_map(u32::to_ne_bytes).collect();
            push(message, CREDENTIALS, &value);
        }
    }
}

/// The process at the other end of a Unix socket, or that sent a message (unix(7), SO_PEERCRED, SCM_CREDENTIALS).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Credentials {
    /// Its number; 0 if it is not of this PID namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Descriptors and credentials that came with a message. Unix only.
impl Incoming {
    /// As [`with_capacity`](Self::with_capacity), with room for descriptors too, at most 253 in one message.
    #[must_use]
    pub fn with_descriptors(bytes: usize, descriptors: usize) -> Incoming {
        let control = CONTROL_ROOM + descriptors.min(RIGHTS_MAX) * size_of::<i32>();
        Incoming { message: *Message::with_capacity(bytes, control), ..Incoming::default() }
    }

    /// Who sent the message, where that was [asked for](crate::net::UnixDatagram::set_pass_credentials).
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let value = self.find(&[CREDENTIALS])?;
        let word = |at: usize| value.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        Some(Credentials { pid: word(0)? as i32, uid: word(4)?, gid: word(8)? })
    }

    /// The descriptors that came with the message, which are the caller's from now on.
    #[must_use]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.rights.0)
    }

    /// How many descriptors came with the message and were not taken.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.rights.0.len()
    }
}

/// Descriptors and credentials that go with a message. Unix only.
impl<'a> Outgoing<'a> {
    /// With copies of these descriptors, at most 253 (SCM_RIGHTS). Unix sockets only.
    #[must_use]
    pub fn descriptors(mut self, descriptors: impl IntoIterator<Item = BorrowedFd<'a>>) -> Outgoing<'a> {
        self.rights.descriptors.extend(descriptors);
        self
    }

    /// With this process's credentials (SCM_CREDENTIALS). Unix sockets only.
    #[must_use]
    pub fn credentials(mut self) -> Outgoing<'a> {
        self.rights.credentials = true;
        self
    }
}
