//! Control data of Windows and the options that ask for it ("IPPROTO_IP Socket Options" and its like, "UDP socket options").

use std::io;
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::ops::Range;

use ostia_port::Message;
use ostia_port::os::BorrowedFd;
use windows_sys::Win32::Networking::WinSock as sock;

use crate::net::sockopt;

/// Level and type: where a datagram came to, or goes out from …
pub(super) const INFO_V4: (i32, i32) = (sock::IPPROTO_IP, sock::IP_PKTINFO);
pub(super) const INFO_V6: (i32, i32) = (sock::IPPROTO_IPV6, sock::IPV6_PKTINFO);
/// … its traffic class, or only the congestion notification where Windows is older than Server 2022 …
pub(super) const CLASSES: [(i32, i32); 4] = [
    (sock::IPPROTO_IP, sock::IP_TOS),
    (sock::IPPROTO_IPV6, sock::IPV6_TCLASS),
    (sock::IPPROTO_IP, sock::IP_ECN),
    (sock::IPPROTO_IPV6, sock::IPV6_ECN),
];
/// … how many routers it may cross …
pub(super) const HOPS: [(i32, i32); 3] =
    [(sock::IPPROTO_IP, sock::IP_TTL), (sock::IPPROTO_IPV6, sock::IPV6_HOPLIMIT), (sock::IPPROTO_IP, sock::IP_HOPLIMIT)];
/// … the length of what is sent in segments, which is an option too, and of what was joined.
pub(crate) const SEGMENT: (i32, i32) = (sock::IPPROTO_UDP, sock::UDP_SEND_MSG_SIZE);
pub(super) const JOINED: (i32, i32) = (sock::IPPROTO_UDP, sock::UDP_COALESCED_INFO as i32);

/// Where these stand in an IN_PKTINFO.
pub(super) const INFO_V4_ADDRESS: Range<usize> = 0..4;
pub(super) const INFO_V4_INTERFACE: Range<usize> = 4..8;

/// The longest message that datagrams are joined to.
const JOINED_MAX: i32 = 65_535;

pub(super) fn info_v4(address: Ipv4Addr, interface: u32) -> Vec<u8> {
    address.octets().into_iter().chain(interface.to_ne_bytes()).collect()
}

/// What sends a traffic class: older systems know only the congestion notification.
pub(super) fn class(v6: bool, class: u8) -> (i32, i32) {
    let only_ecn = class & !3 == 0;
    CLASSES[usize::from(v6) + if only_ecn { 2 } else { 0 }]
}

pub(super) fn segment_value(size: usize) -> [u8; 4] {
    (size as u32).to_ne_bytes()
}

/// Whether sending in segments has failed such that sending them one by one may not.
pub(crate) fn sends_singly(code: i32) -> bool {
    matches!(code, sock::WSAEINVAL | sock::WSAEOPNOTSUPP | sock::WSAENOPROTOOPT)
}

/// Has datagrams tell where they came to, their traffic class and hop limit, or not. Systems older than Server 2022 tell the
/// congestion notification only, or neither.
pub(crate) fn ask_for_info(fd: BorrowedFd<'_>, v6: bool, on: bool) -> io::Result<()> {
    let (level, info, class, ecn, hops) = match v6 {
        true => (sock::IPPROTO_IPV6, sock::IPV6_PKTINFO, sock::IPV6_RECVTCLASS, sock::IPV6_RECVECN, sock::IPV6_HOPLIMIT),
        false => (sock::IPPROTO_IP, sock::IP_PKTINFO, sock::IP_RECVTOS, sock::IP_RECVECN, sock::IP_RECVTTL),
    };
    let set = |option| sockopt::set_int(fd, (level, option), on.into());
    set(info)?;
    let _ = set(class).or_else(|_| set(ecn));
    set(hops)
}

/// Has datagrams come joined, or not; whether the system can do that.
pub(crate) fn join(fd: BorrowedFd<'_>, on: bool) -> io::Result<bool> {
    let option = (sock::IPPROTO_UDP, sock::UDP_RECV_MAX_COALESCED_SIZE);
    match sockopt::set_int(fd, option, if on { JOINED_MAX } else { 0 }) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(sock::WSAENOPROTOOPT | sock::WSAEINVAL | sock::WSAEOPNOTSUPP)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Sets the traffic class of what is sent. Windows leaves the DSCP to its policies and ignores it.
pub(crate) fn set_class(fd: BorrowedFd<'_>, v6: bool, class: u8) -> io::Result<()> {
    sockopt::set_int(fd, CLASSES[usize::from(v6)], class.into())
}

/// What came with a message beside control data: nothing ever does here.
#[derive(Debug, Default)]
pub(super) struct Received;

impl Received {
    pub(super) fn clear(&mut self) {}

    pub(super) fn take_over(&mut self, _message: &Message) {}
}

/// What goes with a message beside control data: nothing ever does here.
#[derive(Debug, Default)]
pub(super) struct Attached<'a>(PhantomData<&'a ()>);

impl Attached<'_> {
    pub(super) fn push_to(&self, _message: &mut Message) {}
}
