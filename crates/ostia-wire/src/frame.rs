//! A packet in one buffer, with room in front for headers and with what a device says about it.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::{checksum, udp};

/// What is known of the checksum of the transport header in a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The field is complete: who receives the frame must check it.
    #[default]
    Unverified,
    /// The device, or who made the frame, has checked it.
    Valid,
    /// The field holds the sum of the pseudo header only, and must be completed before the frame goes over a wire. A frame
    /// received like this has not been on one, or was checked before: it is as good as [`Valid`](Self::Valid).
    Partial {
        /// Where the sum starts, counted from the first byte of the frame: the transport header. It moves with
        /// [`Frame::push_front`] and [`Frame::pull`].
        start: u16,
        /// Where the field stands, counted from `start`.
        offset: u16,
    },
}

impl Checksum {
    /// Sets the field at `at` of a transport's header to the pseudo header's sum between two `ends`, for `len` octets of header and
    /// data, to be completed by the device. The state of a frame that starts with the header.
    ///
    /// # Panics
    /// If the header ends before the field does.
    pub(crate) fn put_partial(header: &mut [u8], at: usize, protocol: u8, ends: (IpAddr, IpAddr), len: usize) -> Checksum {
        let pseudo = checksum::reduce(checksum::pseudo(ends.0, ends.1, protocol, len as u32));
        header[at..][..2].copy_from_slice(&pseudo.to_be_bytes());
        Checksum::Partial { start: 0, offset: at as u16 }
    }
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meta {
    /// The state of the transport checksum.
    pub checksum: Checksum,
    /// Octets of TCP or UDP payload in each packet that this one stands for (the last may have fewer); 0 if it stands for
    /// itself only.
    pub gso_size: u16,
    /// When the device took it from the wire, in nanoseconds of the stack's clock; 0 if unknown.
    pub arrived: u64,
}

/// A packet: bytes in one buffer with room in front (headroom), so that headers are put before a payload without moving it.
#[derive(Clone, Default)]
pub struct Frame {
    buffer: Vec<u8>,
    start: usize,
    /// What is known of it besides its bytes.
    pub meta: Meta,
}

impl Frame {
    /// Headroom of a new frame in bytes: Ethernet with a tag, IPv6, and TCP with all its options (14 + 4 + 40 + 60), rounded
    /// up.
    pub const HEADROOM: usize = 128;

    /// An empty frame with room for `capacity` bytes behind the headroom.
    pub fn new(capacity: usize) -> Frame {
        Frame::reuse(Vec::with_capacity(Frame::HEADROOM + capacity))
    }

    /// An empty frame in a buffer that was in use before; what is in it is forgotten.
    #[inline]
    pub fn reuse(mut buffer: Vec<u8>) -> Frame {
        // Whoever puts a header into the headroom writes all of it.
        if buffer.len() >= Frame::HEADROOM {
            buffer.truncate(Frame::HEADROOM);
        } else {
            buffer.clear();
            buffer.resize(Frame::HEADROOM, 0);
        }
        Frame { buffer, start: Frame::HEADROOM, meta: Meta::default() }
    }

    /// A copy of `bytes`, with headroom.
    pub fn from_slice(bytes: &[u8]) -> Frame {
        let mut frame = Frame::new(bytes.len());
        frame.buffer.extend_from_slice(bytes);
        frame
    }

    /// The bytes of `buffer` from `start` on; what is before is headroom. A `start` past the end makes an empty frame.
    pub fn from_vec(buffer: Vec<u8>, start: usize) -> Frame {
        let start = start.min(buffer.len());
        Frame { buffer, start, meta: Meta::default() }
    }

    /// The buffer, for [`reuse`](Self::reuse).
    pub fn recycle(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The bytes, to be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..).unwrap_or_default()
    }

    /// How many bytes it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that [`push_front`](Self::push_front) can add without moving the others.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes that [`extend`](Self::extend) can add without a new allocation.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Bytes of memory that it holds: its whole allocation, used or not, and itself.
    #[inline]
    pub fn truesize(&self) -> usize {
        self.buffer.capacity() + size_of::<Frame>()
    }

    /// Puts `count` bytes in front, and lends them. They have what was in the headroom before: the caller writes all of them.
    /// Where the headroom is too small, the frame moves to a larger buffer, with full headroom again.
    #[inline]
    pub fn push_front(&mut self, count: usize) -> &mut [u8] {
        if self.start < count {
            self.grow_front(count);
        }
        self.start -= count;
        if let Checksum::Partial { start, .. } = &mut self.meta.checksum {
            *start = start.saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        }
        self.buffer.get_mut(self.start..self.start + count).unwrap_or_default()
    }

    #[cold]
    fn grow_front(&mut self, count: usize) {
        let start = Frame::HEADROOM + count;
        let mut buffer = Vec::with_capacity(start + self.len());
        buffer.resize(start, 0);
        buffer.extend_from_slice(self.as_slice());
        (self.buffer, self.start) = (buffer, start);
    }

    /// Takes `count` bytes off the front, or all if it has fewer; they become headroom. When a partial checksum's start goes
    /// with them there is nothing left to complete, and the frame counts as checked.
    #[inline]
    pub fn pull(&mut self, count: usize) {
        let count = count.min(self.len());
        self.start += count;
        if let Checksum::Partial { start, offset } = self.meta.checksum {
            self.meta.checksum = match usize::from(start).checked_sub(count) {
                Some(start) => Checksum::Partial { start: start as u16, offset },
                None => Checksum::Valid,
            };
        }
    }

    /// Cuts off what is behind the first `len` bytes, if it has more.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(self.start.saturating_add(len));
    }

    /// Adds bytes at the end.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds `count` zero bytes at the end, and lends them.
    pub fn extend_zeroed(&mut self, count: usize) -> &mut [u8] {
        let end = self.buffer.len();
        self.buffer.resize(end + count, 0);
        self.buffer.get_mut(end..).unwrap_or_default()
    }

    /// Completes a partial checksum in software; the frame's checksum is then to be verified as any other. Does nothing to a
    /// frame without one, and nothing but forget it where the field is not in the frame.
    pub fn complete_checksum(&mut self) {
        let Checksum::Partial { start, offset } = self.meta.checksum else { return };
        self.meta.checksum = Checksum::Unverified;
        let Some(part) = self.as_mut_slice().get_mut(usize::from(start)..) else { return };
        let value = checksum::fold(checksum::sum(part, 0));
        if let Some(field) = part.get_mut(usize::from(offset)..).and_then(|rest| rest.first_chunk_mut()) {
            // 0 means "none" to UDP (RFC 768). To the others it is the usual one of two words for the same number (RFC 1624, 3).
            let is_udp = usize::from(offset) == udp::CHECKSUM_AT;
            *field = if is_udp { checksum::never_zero(value) } else { value }.to_be_bytes();
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.len())
            .field("headroom", &self.headroom())
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_in_front_of_a_payload_that_stays_where_it_is() {
        let mut frame = Frame::from_slice(b"payload");
        let place = frame.as_slice().as_ptr();
        frame.push_front(3).copy_from_slice(b"tcp");
        frame.push_front(2).copy_from_slice(b"ip");
        assert_eq!(frame.as_slice(), b"iptcppayload");
        assert_eq!(frame.headroom(), Frame::HEADROOM - 5);
        frame.pull(5);
        assert_eq!((frame.as_slice(), frame.as_slice().as_ptr()), (&b"payload"[..], place));
    }

    #[test]
    fn a_frame_without_headroom_grows_in_front() {
        let mut frame = Frame::from_vec(b"data".to_vec(), 0);
        frame.push_front(200).fill(1);
        assert_eq!((frame.len(), frame.headroom()), (204, Frame::HEADROOM));
        assert!(frame.as_slice().ends_with(b"\x01data"));
    }

    #[test]
    fn lengths_past_the_end_are_clamped() {
        let mut frame = Frame::from_vec(alloc::vec![1, 2, 3], 9);
        assert!(frame.is_empty());
        frame.extend(b"xyz");
        frame.truncate(usize::MAX);
        frame.truncate(2);
        frame.pull(7);
        assert_eq!((frame.len(), frame.headroom()), (0, 5));
    }

    #[test]
    fn an_empty_frame_holds_no_allocation_and_a_new_one_what_was_asked() {
        assert_eq!(Frame::default().truesize(), size_of::<Frame>());
        let frame = Frame::new(1000);
        assert!(frame.tailroom() >= 1000);
        assert_eq!(frame.truesize(), frame.headroom() + frame.tailroom() + size_of::<Frame>());
        let mut recycled = Frame::reuse(frame.recycle());
        assert!(recycled.is_empty() && recycled.tailroom() >= 1000);
        recycled.extend_zeroed(4)[1] = 7;
        assert_eq!(recycled.as_slice(), [0, 7, 0, 0]);
    }

    #[test]
    fn a_partial_checksum_moves_with_the_front_and_is_checked_once_behind_it() {
        let mut frame = Frame::from_slice(&[0; 40]);
        frame.meta.checksum = Checksum::Partial { start: 0, offset: 16 };
        frame.push_front(20);
        assert_eq!(frame.meta.checksum, Checksum::Partial { start: 20, offset: 16 });
        frame.pull(20);
        assert_eq!(frame.meta.checksum, Checksum::Partial { start: 0, offset: 16 });
        frame.pull(1);
        assert_eq!(frame.meta.checksum, Checksum::Valid);
    }

    #[test]
    fn a_checksum_of_0_is_written_so_but_for_udp() {
        for (offset, written) in [(16, [0, 0]), (6, [0xff, 0xff])] {
            let mut frame = Frame::from_slice(&[0xff; 20]);
            frame.meta.checksum = Checksum::Partial { start: 0, offset };
            frame.complete_checksum();
            let at = usize::from(offset);
            assert_eq!(frame.as_slice()[at..at + 2], written);
        }
    }

    #[test]
    fn a_partial_checksum_outside_the_frame_is_forgotten() {
        let mut frame = Frame::from_slice(&[1, 2, 3]);
        for (start, offset) in [(9, 0), (0, 2), (2, u16::MAX), (u16::MAX, u16::MAX)] {
            frame.meta.checksum = Checksum::Partial { start, offset };
            frame.complete_checksum();
            assert_eq!((frame.as_slice(), frame.meta.checksum), (&[1, 2, 3][..], Checksum::Unverified));
        }
    }
}
