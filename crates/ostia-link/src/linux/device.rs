//! What TUN, TAP and packet sockets have in common: a header before each frame, frames written whole, and errors that mean a
//! frame is lost, not the link.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ostia_wire::{Checksum, Frame, udp};
use rustix::io::Errno;

use crate::facts::{Facts, Statistics};
use crate::software::Leftover;
use crate::vnet::{self, Encoded, Takes};

/// Frames passed over in one call to receive, at most, before the caller is asked to call again.
pub(super) const MOST_PASSED_OVER: usize = 64;

#[derive(Debug)]
pub(super) struct Device {
    pub facts: Facts,
    pub out: Out,
    leftover: Leftover,
}

/// What sends a frame.
#[derive(Debug)]
pub(super) struct Out {
    pub fd: OwnedFd,
    /// The number of the interface.
    pub index: u32,
    /// The header before each frame is there.
    pub header: bool,
    /// Super-segments that it takes.
    pub takes: Takes,
    pub statistics: Statistics,
}

/// What became of a frame.
enum Put {
    /// It is sent, or dropped and counted.
    Done,
    /// There is no room.
    Later,
    /// It must be finished in software first.
    Software,
}

impl Device {
    pub(super) fn new(fd: OwnedFd, index: u32, facts: Facts, header: bool, takes: Takes) -> Device {
        let out = Out { fd, index, header, takes, statistics: Statistics::default() };
        Device { facts, out, leftover: Leftover::default() }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.out.fd.as_fd()
    }

    /// As [`Link::transmit`](crate::Link::transmit).
    pub(super) fn transmit(&mut self, frame: &Frame) -> io::Result<bool> {
        let Device { facts, out, leftover } = self;
        let part = |out: &mut Out, part: &Frame| match out.put(part, facts)? {
            Put::Done => Ok(true),
            Put::Later => Ok(false),
            Put::Software => {
                out.statistics.dropped.sent_malformed += 1;
                Ok(true)
            }
        };
        if let Some(done) = leftover.resume(frame, &mut |frame| part(out, frame))? {
            return Ok(done);
        }
        match out.put(frame, facts)? {
            Put::Done => return Ok(true),
            Put::Later => return Ok(false),
            Put::Software => (),
        }
        if let Some(done) = leftover.send(frame, facts.medium, &mut |frame| part(out, frame))? {
            return Ok(done);
        }
        out.statistics.dropped.sent_malformed += 1;
        Ok(true)
    }

    /// Room in front of what is received for the header, and behind that for the longest frame.
    pub(super) fn prepare(&self, frame: &mut Frame) -> Receiving {
        let header = if self.out.header { vnet::LEN } else { 0 };
        // Headroom for the header, and for a tag that is put back.
        let start = frame.headroom().max(Frame::HEADROOM);
        let mut buffer = std::mem::take(frame).recycle();
        buffer.resize(start, 0);
        buffer.reserve(self.facts.frame_room());
        Receiving { buffer, start, header }
    }

    /// The frame that was received, counted; or its buffer again if it is none, or if `complete` can't make one of it.
    pub(super) fn finish(&mut self, receiving: Receiving, complete: impl FnOnce(&mut Frame) -> bool) -> Result<Frame, Receiving> {
        let again = match receiving.frame() {
            Ok(mut frame) => {
                if complete(&mut frame) {
                    self.out.statistics.received.count(frame.len());
                    return Ok(frame);
                }
                self.prepare(&mut frame)
            }
            Err(receiving) => receiving,
        };
        self.out.statistics.dropped.received_malformed += 1;
        Err(again)
    }
}

/// A buffer that is being received into. The header goes into the headroom, so that the frame stands where it should.
pub(super) struct Receiving {
    pub buffer: Vec<u8>,
    start: usize,
    header: usize,
}

impl Receiving {
    /// Leaves nothing but what is before the header.
    pub(super) fn rewind(&mut self) {
        self.buffer.truncate(self.start - self.header);
    }

    /// Gives the buffer back with nothing in it.
    pub(super) fn nothing(mut self) -> Frame {
        self.buffer.resize(self.start, 0);
        Frame::from_vec(self.buffer, self.start)
    }

    /// The frame that was received, or the buffer again if what stands before the frame can't be true.
    fn frame(self) -> Result<Frame, Receiving> {
        let Some(len) = self.buffer.len().checked_sub(self.start) else { return Err(self) };
        let meta = match self.buffer.get(self.start - self.header..self.start).and_then(|header| header.first_chunk()) {
            Some(header) => match vnet::decode(header, len) {
                Some(meta) => meta,
                None => return Err(self),
            },
            None => ostia_wire::Meta::default(),
        };
        let mut frame = Frame::from_vec(self.buffer, self.start);
        frame.meta = meta;
        Ok(frame)
    }
}

impl Out {
    fn put(&mut self, frame: &Frame, facts: &Facts) -> io::Result<Put> {
        let result = if self.header {
            match vnet::encode(frame, facts.medium, self.takes) {
                Encoded::Header(header) => rustix::io::writev(&self.fd, &[IoSlice::new(&header), IoSlice::new(frame.as_slice())]),
                Encoded::Software => return Ok(Put::Software),
                Encoded::Malformed => {
                    self.statistics.dropped.sent_malformed += 1;
                    return Ok(Put::Done);
                }
            }
        } else if frame.meta.gso_size != 0 || matches!(frame.meta.checksum, Checksum::Partial { .. }) {
            return Ok(Put::Software);
        } else {
            rustix::io::write(&self.fd, frame.as_slice())
        };
        let only_down = matches!(result, Err(Errno::NETDOWN)) && self.is_there();
        let dropped = &mut self.statistics.dropped;
        match result {
            Ok(_) => self.statistics.sent.count(frame.len()),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Put::Later),
            // A packet socket says so when the device drops, too; and it says no memory for its own.
            Err(Errno::NOBUFS | Errno::NOMEM) => dropped.sent_no_room += 1,
            Err(Errno::MSGSIZE) => dropped.sent_too_big += 1,
            // A kernel may take fewer kinds of super-segments than it seemed.
            Err(Errno::INVAL) if self.header && frame.meta.gso_size != 0 => {
                if matches!(frame.meta.checksum, Checksum::Partial { offset, .. } if usize::from(offset) == udp::CHECKSUM_AT) {
                    self.takes.udp = false;
                }
                return Ok(Put::Software);
            }
            Err(Errno::INVAL) => dropped.sent_malformed += 1,
            // TUN's word for being down, and a packet socket's; of which the latter says so of an interface that is gone, too.
            Err(Errno::IO) => dropped.sent_down += 1,
            Err(Errno::NETDOWN) if only_down => dropped.sent_down += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(Put::Done)
    }

    /// Whether there still is the interface.
    pub(super) fn is_there(&self) -> bool {
        rustix::net::netdevice::index_to_name(&self.fd, self.index).is_ok()
    }
}
