//! What a device without offloads leaves to software: cutting super-segments, completing checksums.

use std::collections::VecDeque;
use std::io;

use ostia_wire::{Frame, Malformed, segment};

use crate::facts::Medium;
use crate::vnet::network_offset;

/// Gives `out` the frames that one stands for, each whole.
fn finish(frame: &Frame, medium: Medium, out: &mut impl FnMut(Frame)) -> Result<(), Malformed> {
    let front = match medium {
        // A frame that is not IP has nothing to cut.
        _ if frame.meta.gso_size == 0 => {
            let mut copy = frame.clone();
            copy.complete_checksum();
            out(copy);
            return Ok(());
        }
        Medium::Ip => return segment(frame, out).map(drop),
        Medium::Ethernet => network_offset(frame.as_slice(), medium).ok_or(Malformed::Kind)?,
    };
    let mut packet = frame.clone();
    packet.pull(front);
    let header = frame.as_slice().get(..front).unwrap_or_default();
    segment(&packet, &mut |mut part| {
        part.push_front(front).copy_from_slice(header);
        out(part);
    })
    .map(drop)
}

/// The parts of a frame that there was no room for yet.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    parts: VecDeque<Frame>,
    /// The frame that they are of: its place and length.
    of: Option<(usize, usize)>,
}

impl Leftover {
    /// Sends what is left, before `frame`. `Some(true)`: that was all of `frame`, which has been begun before; `Some(false)`:
    /// there is no room again; `None`: `frame` is still to be sent.
    #[inline]
    pub(crate) fn resume(&mut self, frame: &Frame, put: &mut impl FnMut(&Frame) -> io::Result<bool>) -> io::Result<Option<bool>> {
        let Some(of) = self.of else { return Ok(None) };
        if !self.flush(put)? {
            return Ok(Some(false));
        }
        self.of = None;
        // A caller that gave up the frame which was begun offers another.
        Ok((of == identity(frame)).then_some(true))
    }

    /// Finishes `frame` in software and sends its parts. `Some(false)`: there is no room for all of them now.
    ///
    /// `None`: it can't be done, and nothing was sent.
    pub(crate) fn send(
        &mut self,
        frame: &Frame,
        medium: Medium,
        put: &mut impl FnMut(&Frame) -> io::Result<bool>,
    ) -> io::Result<Option<bool>> {
        if finish(frame, medium, &mut |part| self.parts.push_back(part)).is_err() {
            return Ok(None);
        }
        let all = self.flush(put)?;
        if !all {
            self.of = Some(identity(frame));
        }
        Ok(Some(all))
    }

    fn flush(&mut self, put: &mut impl FnMut(&Frame) -> io::Result<bool>) -> io::Result<bool> {
        while let Some(part) = self.parts.front() {
            if !put(part)? {
                return Ok(false);
            }
            self.parts.pop_front();
        }
        Ok(true)
    }
}

fn identity(frame: &Frame) -> (usize, usize) {
    (frame.as_slice().as_ptr().addr(), frame.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use ostia_wire::{Flags, Ipv4, Ipv4Emit, Meta, Tcp, TcpEmit, tcp};

    use super::*;

    /// A super-segment of TCP with a partial checksum.
    pub(crate) fn super_segment(payload: usize, gso_size: u16) -> Frame {
        let addresses = (Ipv4Addr::new(10, 7, 0, 2), Ipv4Addr::new(10, 7, 0, 1));
        let mut frame = Frame::new(payload);
        frame.extend_zeroed(payload).iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
        let tcp = TcpEmit {
            source_port: 80,
            destination_port: 4000,
            sequence: 1,
            flags: Flags::ACK.with(Flags::PSH),
            ..TcpEmit::default()
        };
        tcp.emit(frame.push_front(20));
        let len = frame.len();
        let checksum = tcp::partial_checksum(frame.as_mut_slice(), addresses.0.into(), addresses.1.into(), len);
        frame.meta = Meta { checksum, gso_size, arrived: 0 };
        let ip = Ipv4Emit {
            source: addresses.0,
            destination: addresses.1,
            protocol: 6,
            ttl: 64,
            tos: 0,
            identification: 1,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            options: &[],
        };
        ip.emit(frame.push_front(20), len);
        frame
    }

    fn check(part: &[u8], sequence: u32, payload: usize) {
        let ip = Ipv4::parse(part).expect("an IPv4 packet");
        let tcp = Tcp::parse(ip.payload()).expect("a TCP segment");
        assert!(tcp.verify_checksum(ip.source().into(), ip.destination().into()));
        assert_eq!((tcp.sequence(), tcp.payload().len()), (sequence, payload));
    }

    #[test]
    fn a_super_segment_is_cut_and_what_has_no_room_comes_first_next_time() {
        let (frame, other) = (super_segment(2500, 1000), super_segment(10, 0));
        let mut leftover = Leftover::default();
        let mut sent: Vec<Frame> = Vec::new();
        let mut room = 1;
        let mut put = |part: &Frame| {
            if room == 0 {
                room = 1;
                return Ok(false);
            }
            room -= 1;
            sent.push(part.clone());
            Ok(true)
        };
        assert_eq!(leftover.resume(&frame, &mut put).unwrap(), None);
        assert_eq!(leftover.send(&frame, Medium::Ip, &mut put).unwrap(), Some(false));
        assert_eq!(leftover.resume(&frame, &mut put).unwrap(), Some(false));
        assert_eq!(leftover.resume(&frame, &mut put).unwrap(), Some(true));
        assert_eq!(leftover.resume(&frame, &mut put).unwrap(), None, "offered again, it is another");
        assert_eq!(sent.len(), 3);
        for (index, part) in sent.iter().enumerate() {
            check(part.as_slice(), 1 + 1000 * index as u32, if index < 2 { 1000 } else { 500 });
        }
        // The frame that was begun is given up: its rest still goes before the next.
        let mut refused = false;
        let mut put = |_: &Frame| Ok(std::mem::replace(&mut refused, true));
        assert_eq!(leftover.send(&frame, Medium::Ip, &mut put).unwrap(), Some(false));
        assert_eq!(leftover.resume(&other, &mut put).unwrap(), None);
    }

    #[test]
    fn each_part_has_the_ethernet_header() {
        for front in [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 7, 8, 0]]
        {
            let mut frame = super_segment(1500, 1000);
            frame.push_front(front.len()).copy_from_slice(front);
            let mut parts = Vec::new();
            finish(&frame, Medium::Ethernet, &mut |part| parts.push(part)).unwrap();
            assert_eq!(parts.len(), 2);
            for (index, part) in parts.iter().enumerate() {
                assert_eq!(&part.as_slice()[..front.len()], front);
                check(&part.as_slice()[front.len()..], 1 + 1000 * index as u32, if index == 0 { 1000 } else { 500 });
            }
        }
    }

    #[test]
    fn checksums_are_completed_and_what_is_not_ip_is_not_cut() {
        let frame = super_segment(100, 0);
        let mut parts = Vec::new();
        finish(&frame, Medium::Ip, &mut |part| parts.push(part)).unwrap();
        check(parts[0].as_slice(), 1, 100);
        let mut arp = Frame::from_slice(&[0; 42]);
        arp.as_mut_slice()[12..14].copy_from_slice(&[8, 6]);
        arp.meta.gso_size = 10;
        let mut leftover = Leftover::default();
        assert_eq!(leftover.send(&arp, Medium::Ethernet, &mut |_: &Frame| Ok(true)).unwrap(), None);
    }
}
