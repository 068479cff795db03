//! Datagrams that go out with the turn: copied side by side, and sent by the one call that the turn makes anyway.
//!
//! Nothing is kept of one but its bytes, until the call has returned: it has gone then, or been lost as any datagram may be.

use std::io;
use std::net::SocketAddr;

use crate::address::{Address, IpName};
use crate::driver::is_hosted;
use crate::handle::Handle;
use crate::port::Port;
use crate::sys::Sys;
use crate::tag::Tag;

/// The most bytes and the most datagrams of a turn; past them datagrams go out at once, by calls of their own.
const BYTES: usize = 256 << 10;
const DATAGRAMS: usize = 256;

/// What this turn sends. Neither row ever grows past its first allocation, for the kernel reads from both.
#[derive(Default)]
pub(super) struct Posted {
    bytes: Vec<u8>,
    peers: Vec<IpName>,
}

impl Posted {
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn has_room(&mut self, len: usize) -> bool {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(BYTES);
            self.peers.reserve_exact(DATAGRAMS);
        }
        self.peers.len() < DATAGRAMS && self.bytes.capacity() - self.bytes.len() >= len
    }
}

impl Port {
    /// Sends a datagram with this turn's other work: on io_uring all that were posted go out by the system call that ends the
    /// turn, elsewhere each at once. The bytes are copied. One that can't be sent is lost without a word (no room, no route,
    /// too long), as the network itself may lose it; several keep no order.
    ///
    /// # Errors
    /// EBADF for a closed handle; EINVAL for one that is no datagram socket.
    pub fn post_datagram(&mut self, handle: Handle, data: &[u8], peer: Option<SocketAddr>) -> io::Result<()> {
        let fd = self.datagrams(handle)?.fd;
        if !self.sends_silently || is_hosted(fd) || !self.posted.has_room(data.len()) {
            // Whatever becomes of it is what becomes of datagrams.
            let _ = self.try_send_msg(handle, data, peer.map(Address::from).as_ref(), &[]);
            return Ok(());
        }
        let Posted { bytes, peers } = &mut self.posted;
        let from = bytes.len();
        bytes.extend_from_slice(data);
        let (ptr, len) = (bytes[from..].as_ptr(), data.len());
        peers.push(peer.map_or_else(IpName::empty, IpName::new));
        let (addr, addr_len) = peers.last().map_or((std::ptr::null(), 0), IpName::as_ref);
        self.counters.operations.add(1);
        self.counters.bytes_sent.add(len as u64);
        self.push_uncounted(Tag::NOBODY, Sys::SendToNow { fd, ptr, len, addr, addr_len });
        Ok(())
    }

    /// After a turn: what was posted has been read by the kernel, unless the turn could not submit it all.
    #[inline]
    pub(super) fn settle_posted(&mut self) {
        if !self.driver.is_settled() {
            self.hurry = true;
            return;
        }
        self.posted.bytes.clear();
        self.posted.peers.clear();
    }
}
