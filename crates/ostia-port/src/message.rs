//! Messages with addresses and control data, as recvmsg(2) and sendmsg(2) carry them.

use std::mem;

use crate::address::Address;
use crate::os::message::{control_len, iovec};
use crate::os::raw;

/// Room for the largest socket address.
const ADDRESS_ROOM: usize = size_of::<raw::sockaddr_storage>();

/// One message to send or room for one to receive; give it back to the next operation and nothing is allocated.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes. A receive appends to the spare capacity; a send sends all.
    pub data: Vec<u8>,
    /// Where the message goes, or where it came from. None on connected sockets.
    pub peer: Option<Address>,
    /// Control messages in the layout of cmsg(3). A receive fills the spare capacity.
    pub control: Vec<u8>,
    /// Flags: those of send(2) or recv(2) going in; after a receive those of `msg_flags`, such as `MSG_TRUNC` for a
    /// datagram that was longer than the room.
    pub flags: i32,
}

impl Message {
    /// Room to receive a message of at most `bytes` with at most `control` bytes of control data.
    #[must_use]
    pub fn with_capacity(bytes: usize, control: usize) -> Box<Message> {
        Box::new(Message { data: Vec::with_capacity(bytes), control: Vec::with_capacity(control), ..Message::default() })
    }

    /// Appends a control message of this level and type, such as (`SOL_SOCKET`, `SCM_RIGHTS`).
    pub fn push_control(&mut self, level: i32, kind: i32, value: &[u8]) {
        let at = self.control.len().next_multiple_of(CONTROL_ALIGN);
        self.control.resize(at, 0);
        self.control.extend_from_slice(&control_head(value.len(), level, kind));
        self.control.extend_from_slice(value);
    }

    /// The control messages as (level, type, value); malformed ones end the list.
    pub fn control_messages(&self) -> impl Iterator<Item = (i32, i32, &[u8])> {
        let mut rest = self.control.as_slice();
        std::iter::from_fn(move || {
            let len = match CONTROL_LEN {
                4 => u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize,
                _ => usize::from_ne_bytes(rest.get(..size_of::<usize>())?.try_into().ok()?),
            };
            let level = i32::from_ne_bytes(rest.get(CONTROL_LEN..CONTROL_LEN + 4)?.try_into().ok()?);
            let kind = i32::from_ne_bytes(rest.get(CONTROL_LEN + 4..CONTROL_LEN + 8)?.try_into().ok()?);
            let value = rest.get(CONTROL_HEAD..len)?;
            rest = rest.get(len.next_multiple_of(CONTROL_ALIGN)..).unwrap_or(&[]);
            Some((level, kind, value))
        })
    }
}

/// The width of a control message's length, which stands before its level and its type (cmsg(3)).
const CONTROL_LEN: usize = size_of::<raw::cmsghdr>() - 8;

/// To what control messages and what they carry are aligned.
const CONTROL_ALIGN: usize = if cfg!(target_vendor = "apple") { 4 } else { align_of::<usize>() };

/// Where in a control message its value begins.
const CONTROL_HEAD: usize = size_of::<raw::cmsghdr>().next_multiple_of(CONTROL_ALIGN);

/// What stands before a control message's value of so many bytes.
fn control_head(value: usize, level: i32, kind: i32) -> [u8; CONTROL_HEAD] {
    let mut head = [0; CONTROL_HEAD];
    let len = CONTROL_HEAD + value;
    match CONTROL_LEN {
        4 => head[..4].copy_from_slice(&(len as u32).to_ne_bytes()),
        _ => head[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes()),
    }
    head[CONTROL_LEN..CONTROL_LEN + 4].copy_from_slice(&level.to_ne_bytes());
    head[CONTROL_LEN + 4..CONTROL_LEN + 8].copy_from_slice(&kind.to_ne_bytes());
    head
}

/// The control message that tells with which hop limit a datagram has come, as the kernel gives it to who has set IP_RECVTTL
/// (ip(7)) or IPV6_RECVHOPLIMIT (ipv6(7)).
pub(crate) fn hop_limit_told(v6: bool, hops: u8) -> [u8; HOP_LIMIT_TOLD] {
    let (level, kind) = match v6 {
        true => (raw::IPPROTO_IPV6, raw::IPV6_HOPLIMIT),
        false => (raw::IPPROTO_IP, raw::IP_TTL),
    };
    let mut message = [0; HOP_LIMIT_TOLD];
    message[..CONTROL_HEAD].copy_from_slice(&control_head(4, level, kind));
    message[CONTROL_HEAD..CONTROL_HEAD + 4].copy_from_slice(&i32::from(hops).to_ne_bytes());
    message
}

/// How long that is.
const HOP_LIMIT_TOLD: usize = (CONTROL_HEAD + 4).next_multiple_of(CONTROL_ALIGN);

/// A message in flight: what the kernel reads and writes stands still on the heap behind this.
pub(crate) struct MessageInFlight {
    pub(crate) message: Box<Message>,
    head: Box<Head>,
}

struct Head {
    msghdr: raw::msghdr,
    iovec: raw::iovec,
    address: raw::sockaddr_storage,
}

impl MessageInFlight {
    pub(crate) fn new(message: Box<Message>) -> MessageInFlight {
        // SAFETY: all three are plain data for which zeroes are valid.
        let head = unsafe { Box::new(mem::zeroed::<Head>()) };
        MessageInFlight { message, head }
    }

    /// The header for receiving into the message's spare capacity.
    pub(crate) fn for_receive(&mut self) -> *mut raw::msghdr {
        let spare = self.message.data.spare_capacity_mut();
        self.head.iovec = iovec(spare.as_mut_ptr().cast(), spare.len());
        let control = self.message.control.spare_capacity_mut();
        self.head.msghdr.msg_control = control.as_mut_ptr().cast();
        self.head.msghdr.msg_controllen = control.len() as _;
        self.head.msghdr.msg_name = (&raw mut self.head.address).cast();
        self.head.msghdr.msg_namelen = ADDRESS_ROOM as raw::socklen_t;
        self.finish()
    }

    /// The header for sending all of the message from byte `sent` on.
    pub(crate) fn for_send(&mut self, sent: usize) -> *mut raw::msghdr {
        let rest = &self.message.data[sent..];
        self.head.iovec = iovec(rest.as_ptr().cast_mut(), rest.len());
        let control: &[u8] = if sent == 0 { &self.message.control } else { &[] };
        self.head.msghdr.msg_control = control.as_ptr().cast_mut().cast();
        self.head.msghdr.msg_controllen = control.len() as _;
        if let Some(peer) = &self.message.peer {
            self.head.msghdr.msg_name = peer.as_ptr().cast_mut().cast();
            self.head.msghdr.msg_namelen = peer.len();
        }
        self.finish()
    }

    fn finish(&mut self) -> *mut raw::msghdr {
        self.head.msghdr.msg_iov = &raw mut self.head.iovec;
        self.head.msghdr.msg_iovlen = 1;
        &raw mut self.head.msghdr
    }

    /// Books a receive of `len` bytes.
    ///
    /// # Safety
    /// A recvmsg(2) on the header of [`for_receive`](Self::for_receive) returned `len`.
    pub(crate) unsafe fn received(&mut self, len: usize) {
        let (data, control) = (&mut self.message.data, &mut self.message.control);
        // A truncated datagram may be reported with its full length.
        let len = len.min(data.capacity() - data.len());
        // SAFETY: the kernel has written `len` bytes to the spare capacity, and as many control bytes as it says.
        unsafe {
            data.set_len(data.len() + len);
            let filled = control_len(&self.head.msghdr).min(control.capacity() - control.len());
            control.set_len(control.len() + filled);
        }
        self.message.flags = self.head.msghdr.msg_flags as _;
        let len = self.head.msghdr.msg_namelen.min(ADDRESS_ROOM as raw::socklen_t);
        // SAFETY: the kernel has written `len` bytes of an address.
        self.message.peer = unsafe { Address::read((&raw const self.head.address).cast(), len) };
    }
}

/// Several buffers sent as one: the vector of a sendmsg(2).
pub(crate) struct Gather {
    pub(crate) data: Vec<crate::buffer::Buffer>,
    iovecs: Vec<raw::iovec>,
    msghdr: Box<raw::msghdr>,
}

/// The most pieces one call takes (UIO_MAXIOV).
const PIECES_MAX: usize = 1024;

impl Gather {
    pub(crate) fn new(data: Vec<crate::buffer::Buffer>) -> Gather {
        // SAFETY: plain data for which zeroes are valid.
        let msghdr = unsafe { Box::new(mem::zeroed()) };
        Gather { iovecs: Vec::with_capacity(data.len().min(PIECES_MAX)), data, msghdr }
    }

    pub(crate) fn len(&self) -> usize {
        self.data.iter().map(|piece| piece.len()).sum()
    }

    /// The header for sending everything from byte `sent` on, up to as many pieces as one call takes.
    pub(crate) fn from(&mut self, mut sent: usize) -> *const raw::msghdr {
        self.iovecs.clear();
        for piece in &self.data {
            let rest = &piece[sent.min(piece.len())..];
            sent -= piece.len() - rest.len();
            if !rest.is_empty() && self.iovecs.len() < PIECES_MAX {
                self.iovecs.push(iovec(rest.as_ptr().cast_mut(), rest.len()));
            }
        }
        self.msghdr.msg_iov = self.iovecs.as_mut_ptr();
        self.msghdr.msg_iovlen = self.iovecs.len() as _;
        &raw const *self.msghdr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_limit_reads_back_with_others_around_it() {
        for (v6, level, kind) in [(false, raw::IPPROTO_IP, raw::IP_TTL), (true, raw::IPPROTO_IPV6, raw::IPV6_HOPLIMIT)] {
            let mut message = Message { control: hop_limit_told(v6, 201).to_vec(), ..Message::default() };
            message.push_control(1, 2, b"abc");
            let got: Vec<_> = message.control_messages().collect();
            assert_eq!(got, [(level, kind, &201i32.to_ne_bytes()[..]), (1, 2, &b"abc"[..])]);
        }
    }

    #[test]
    fn control_messages_read_back_and_bad_ones_end_the_list() {
        let mut message = Message::default();
        message.push_control(1, 2, b"abc");
        message.push_control(3, 4, &[]);
        let got: Vec<_> = message.control_messages().collect();
        assert_eq!(got, [(1, 2, &b"abc"[..]), (3, 4, &[][..])]);
        message.control.truncate(17);
        assert_eq!(message.control_messages().count(), 0);
        message.control = vec![0; 64];
        assert_eq!(message.control_messages().count(), 0, "a length of zero must not loop");
    }
}
