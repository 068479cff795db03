//! The floor for datagrams: one blocking recvmmsg(2) takes what is there, one sendmmsg(2) sends it back.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::args::{self, Args};

/// Datagrams taken at once.
const BATCH: usize = 64;
/// Room for each.
const ROOM: usize = 64 * 1024;

/// Echoes until the process is ended.
pub fn serve(args: &Args) -> io::Result<()> {
    let socket = UdpSocket::bind(args.addr)?;
    args::announce(socket.local_addr()?);
    let mut rooms = vec![0_u8; BATCH * ROOM];
    // SAFETY: all of these are plain data, for which zeros are values.
    let (mut names, mut pieces, mut messages): ([libc::sockaddr_in6; BATCH], [libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { std::mem::zeroed() };
    for index in 0..BATCH {
        pieces[index].iov_base = rooms[index * ROOM..].as_mut_ptr().cast();
        messages[index].msg_hdr.msg_iov = &raw mut pieces[index];
        messages[index].msg_hdr.msg_iovlen = 1;
        messages[index].msg_hdr.msg_name = (&raw mut names[index]).cast();
    }
    let mut used = BATCH;
    loop {
        for index in 0..used {
            pieces[index].iov_len = ROOM;
            messages[index].msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        }
        // SAFETY: every message describes a room and a name of its own, all of which live as long as this function.
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), BATCH as u32, libc::MSG_WAITFORONE, std::ptr::null_mut())
        };
        // An error is about a datagram sent earlier.
        used = usize::try_from(count).unwrap_or_default();
        for index in 0..used {
            pieces[index].iov_len = messages[index].msg_len as usize;
        }
        let mut sent = 0;
        while sent < used {
            // SAFETY: as above; the lengths are those of what was received.
            let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages[sent..].as_mut_ptr(), (used - sent) as u32, 0) };
            // One that can't be sent is lost, as on any network.
            sent += usize::try_from(count).unwrap_or(1).max(1);
        }
    }
}
