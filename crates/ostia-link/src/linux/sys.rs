//! The system calls that have no safe form elsewhere: TUN's ioctls, and packet sockets.

use std::ffi::{c_int, c_short, c_uint};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{sockaddr_ll, socklen_t};

/// A request to a TUN device (`drivers/net/tun.c`). Both parts are those of `struct ifreq` that TUN uses.
///
/// # Errors
/// Those of `TUNSETIFF`. `name` is cut to 15 octets.
pub(super) fn tun_set_interface(fd: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<String> {
    // SAFETY: all fields of ifreq are integers, or arrays and unions of them, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as c_short;
    // SAFETY: the descriptor is open as long as it is borrowed; the request is an ifreq, as TUNSETIFF wants, which the kernel
    // reads and writes during the call only.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let name: Vec<u8> = request.ifr_name.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// The flags of a TUN device (`TUNGETIFF`).
pub(super) fn tun_flags(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: as in tun_set_interface.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open; the kernel writes an ifreq.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF, &raw mut request) })?;
    // SAFETY: the request was all zero or has been written by the kernel, and any bits are a number.
    Ok(c_int::from(unsafe { request.ifr_ifru.ifru_flags }) & 0xffff)
}

/// Sets how long the header before each frame is (`TUNSETVNETHDRSZ`).
pub(super) fn tun_set_header(fd: BorrowedFd<'_>, len: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open; the kernel reads one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) })
}

/// Says what the kernel may leave undone in what is read (`TUNSETOFFLOAD`).
pub(super) fn tun_set_offload(fd: BorrowedFd<'_>, flags: c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open; the argument is a number, no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) })
}

/// A packet socket (packet(7)) that receives nothing until it is bound, and never blocks.
pub(super) fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    check(fd)?;
    // SAFETY: the descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a packet socket to an interface, for every protocol.
pub(super) fn packet_bind(fd: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    // SAFETY: all fields are integers, or arrays of them.
    let mut address: sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface as c_int;
    // SAFETY: the descriptor is open; the kernel reads a sockaddr_ll, whose length is given.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<sockaddr_ll>() as socklen_t) })
}

/// Sets an option of a socket that is an int.
pub(super) fn set_option(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open; the kernel reads an int, whose length is given.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), size_of::<c_int>() as socklen_t) })
}

/// Has an interface receive more than what is for it: `kind` is one of `PACKET_MR_*`. It ends with the socket.
pub(super) fn packet_join(fd: BorrowedFd<'_>, interface: u32, kind: c_int) -> io::Result<()> {
    let request = libc::packet_mreq { mr_ifindex: interface as c_int, mr_type: kind as u16, mr_alen: 0, mr_address: [0; 8] };
    // SAFETY: the descriptor is open; the kernel reads a packet_mreq, whose length is given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            size_of::<libc::packet_mreq>() as socklen_t,
        )
    })
}

/// Frames that the socket had no room for since this was asked last.
pub(super) fn packet_drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = size_of::<libc::tpacket_stats>() as socklen_t;
    // SAFETY: the descriptor is open; the kernel writes no more than the length given, which is the structure's.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, (&raw mut statistics).cast(), &raw mut len)
    })?;
    Ok(statistics.tp_drops)
}

/// What a packet socket says of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    /// The frame was longer than the buffer.
    pub truncated: bool,
    /// This host has sent it.
    pub outgoing: bool,
    /// `tp_status`, 0 if unknown.
    pub status: u32,
    /// The tag that was taken out, and its type.
    pub vlan: (u16, u16),
}

/// Room for control messages, aligned as they must be: one `tpacket_auxdata` (36 octets with its header), and more.
#[repr(align(8))]
struct Control([u8; 128]);

/// Receives one frame behind what `buffer` has, into its spare capacity.
pub(super) fn packet_receive(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<About> {
    let start = buffer.len();
    let spare = buffer.spare_capacity_mut();
    let mut part = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() };
    let mut from: MaybeUninit<sockaddr_ll> = MaybeUninit::zeroed();
    let mut control = Control([0; 128]);
    // SAFETY: all fields are integers and pointers, which may be null.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = from.as_mut_ptr().cast();
    message.msg_namelen = size_of::<sockaddr_ll>() as socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: the descriptor is open; the message points at memory that lives on here and is lent to nobody else, each part
    // with its length.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: without MSG_TRUNC among the flags of the call, the kernel says how many octets it has written, and it has written
    // them into the spare capacity.
    unsafe { buffer.set_len(start + len) };
    // SAFETY: it was zero, which is a value of every field, or has been written by the kernel.
    let from = unsafe { from.assume_init() };
    let mut about = About {
        truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
        ..About::default()
    };
    // SAFETY: the message is as the kernel has left it, its control messages in `control`, which is aligned for their headers.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !next.is_null() {
        // SAFETY: not null, so it points at a whole header within `control`.
        let header = unsafe { ptr::read_unaligned(next) };
        let needed = size_of::<libc::tpacket_auxdata>() + size_of::<libc::cmsghdr>();
        if (header.cmsg_level, header.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) && header.cmsg_len as usize >= needed
        {
            // SAFETY: the kernel has written a whole tpacket_auxdata behind the header, as the length says.
            let data: libc::tpacket_auxdata = unsafe { ptr::read_unaligned(libc::CMSG_DATA(next).cast()) };
            about.status = data.tp_status;
            about.vlan = (data.tp_vlan_tci, data.tp_vlan_tpid);
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok(about)
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
