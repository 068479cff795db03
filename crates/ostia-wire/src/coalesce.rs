//! Puts packets that follow one another in a stream together into super-segments, where the device does not: what is done
//! once per packet above is then done once per super-segment.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::frame::{Checksum, Frame};
use crate::ipv4::{self, Ipv4};
use crate::ipv6::{self, Ipv6};
use crate::protocol;
use crate::segment::{get, put};
use crate::tcp::{self, Tcp};
use crate::tcp_flags::Flags;

/// Flows whose super-segments may grow at the same time. With more than this in a batch the one that began first is closed.
const MAX_RUNS: usize = 16;
/// The most octets of an IP packet.
const MAX_LEN: usize = u16::MAX as usize;
/// The end of a chain.
const NONE: u32 = u32::MAX;
/// In place of a chain: the frame has gone into another.
const GONE: u32 = u32::MAX - 1;

/// Coalesces batches of IP packets; keeps its working memory from one to the next.
#[derive(Debug, Default)]
pub struct Coalescer {
    runs: Vec<Run>,
    /// For each frame of the batch, which follows it in its run.
    next: Vec<u32>,
}

/// Frames of one flow that follow one another.
#[derive(Debug)]
struct Run {
    /// Of its flow.
    digest: u32,
    first: u32,
    last: u32,
    /// What the next must continue; none if nothing may follow.
    open: Option<Open>,
    /// Octets of the payloads behind the first.
    more: usize,
    flags: Flags,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    sequence: u32,
    /// Of the last frame, over IPv4.
    identification: u16,
    /// Octets of IP packet so far.
    len: usize,
}

/// A TCP segment that is whole and right in all that a merge takes for granted.
#[derive(Clone, Copy)]
struct Candidate {
    network_len: usize,
    headers_len: usize,
    sequence: u32,
    identification: u16,
    flags: Flags,
    payload_len: usize,
}

impl Coalescer {
    /// Replaces packets of `frames` that follow one another in a TCP stream by super-segments, each in the place of its first.
    /// [`segment`](crate::segment()) makes the same packets of it again. Packets of one flow keep their order.
    ///
    /// Put together are segments with data that are adjacent, of one size but the last, and equal in all that is not counted:
    /// addresses, ports, acknowledgment, window, flags (FIN and PSH may end a super-segment, CWR may begin it), options with
    /// their timestamps, traffic class, hop limit, flow label. The checksums must be right: those of packets not checked
    /// before are checked here, and marked [`Checksum::Valid`] if right. A super-segment has a partial checksum.
    pub fn coalesce(&mut self, frames: &mut Vec<Frame>) {
        self.next.clear();
        self.next.resize(frames.len(), NONE);
        self.runs.clear();
        let mut merged = false;
        for index in 0..frames.len() {
            merged |= self.take(frames, index);
        }
        let mut runs = core::mem::take(&mut self.runs);
        runs.drain(..).for_each(|run| self.close(frames, &run));
        self.runs = runs;
        if merged {
            let mut next = self.next.iter();
            frames.retain(|_| next.next() != Some(&GONE));
        }
    }

    /// Puts a frame into a run of its flow, or begins one. Says whether it went into another.
    fn take(&mut self, frames: &mut [Frame], index: usize) -> bool {
        let Some(frame) = frames.get_mut(index) else { return false };
        let candidate = candidate(frame);
        let Some(frame) = frames.get(index) else { return false };
        let Some(flow) = Flow::of(frame.as_slice()) else { return false };
        let digest = flow.digest();
        let is_of_run =
            |run: &Run| run.digest == digest && frames.get(run.first as usize).is_some_and(|first| flow.is_of(first.as_slice()));
        let at = self.runs.iter().position(is_of_run);
        if let Some(at) = at {
            if let (Some(candidate), Some(run)) = (&candidate, self.runs.get_mut(at))
                && let Some(first) = frames.get(run.first as usize)
                && let Some(last) = self.next.get_mut(run.last as usize)
                && run.continues(first.as_slice(), frame.as_slice(), candidate)
            {
                *last = index as u32;
                run.last = index as u32;
                return true;
            }
            // Whatever comes now comes behind what is there.
            let run = self.runs.remove(at);
            self.close(frames, &run);
        }
        if let Some(candidate) = candidate {
            if self.runs.len() == MAX_RUNS {
                let run = self.runs.remove(0);
                self.close(frames, &run);
            }
            self.runs.push(Run::new(digest, index as u32, &candidate));
        }
        false
    }

    /// Makes the super-segment of a run of several.
    fn close(&mut self, frames: &mut [Frame], run: &Run) {
        if run.first == run.last {
            return;
        }
        let Some(first) = frames.get_mut(run.first as usize) else { return };
        let Some(layout) = candidate(first) else { return };
        let mut whole = core::mem::take(first);
        if whole.tailroom() < run.more {
            let mut larger = Frame::new(whole.len() + run.more);
            larger.extend(whole.as_slice());
            larger.meta = whole.meta;
            whole = larger;
        }
        let mut index = self.next.get(run.first as usize).copied().unwrap_or(NONE);
        while let Some(frame) = frames.get_mut(index as usize) {
            let part = core::mem::take(frame);
            whole.extend(part.as_slice().get(layout.headers_len..).unwrap_or_default());
            index = self.next.get_mut(index as usize).map_or(NONE, |next| core::mem::replace(next, GONE));
        }
        whole.meta.gso_size = layout.payload_len as u16;
        finish(&mut whole, &layout, run.flags);
        if let Some(place) = frames.get_mut(run.first as usize) {
            *place = whole;
        }
    }
}

/// Makes the headers of the first those of the whole.
fn finish(whole: &mut Frame, layout: &Candidate, flags: Flags) {
    let len = whole.len();
    let (network, transport) = whole.as_mut_slice().split_at_mut(layout.network_len);
    let addresses = if layout.network_len == ipv6::HEADER_LEN {
        put(network, 4, (len - ipv6::HEADER_LEN) as u16);
        Ipv6::parse_quoted(network).map(|packet| (IpAddr::from(packet.source()), IpAddr::from(packet.destination())))
    } else {
        // RFC 1624 would do for one field; anew is as fast.
        put(network, 2, len as u16);
        put(network, 10, 0);
        put(network, 10, crate::checksum::fold(crate::checksum::sum(network, 0)));
        Ipv4::parse_quoted(network).map(|packet| (IpAddr::from(packet.source()), IpAddr::from(packet.destination())))
    };
    let kept = get(transport, 12) & !Flags::ALL.0;
    put(transport, 12, kept | flags.0);
    if let Ok((source, destination)) = addresses {
        let transport_len = transport.len();
        tcp::partial_checksum(transport, source, destination, transport_len);
    }
    whole.meta.checksum = Checksum::Partial { start: layout.network_len as u16, offset: tcp::CHECKSUM_AT as u16 };
}

impl Run {
    fn new(digest: u32, index: u32, candidate: &Candidate) -> Run {
        let open = (!candidate.flags.intersects(Flags::FIN | Flags::PSH)).then_some(Open {
            sequence: candidate.sequence.wrapping_add(candidate.payload_len as u32),
            identification: candidate.identification,
            len: candidate.headers_len + candidate.payload_len,
        });
        Run { digest, first: index, last: index, open, more: 0, flags: candidate.flags }
    }

    /// Whether a frame of the same flow continues the run, whose first frame is `first`; if so it is counted in.
    fn continues(&mut self, first: &[u8], frame: &[u8], candidate: &Candidate) -> bool {
        let Some(open) = self.open else { return false };
        let size = first.len() - candidate.headers_len.min(first.len());
        let len = open.len + candidate.payload_len;
        let fits = candidate.sequence == open.sequence
            && candidate.payload_len <= size
            && len <= MAX_LEN
            && !candidate.flags.contains(Flags::CWR)
            && is_like(first, frame, candidate, open.identification);
        if !fits {
            return false;
        }
        self.more += candidate.payload_len;
        self.flags |= candidate.flags;
        let is_last = candidate.payload_len < size || candidate.flags.intersects(Flags::FIN | Flags::PSH);
        self.open = (!is_last).then_some(Open {
            sequence: open.sequence.wrapping_add(candidate.payload_len as u32),
            identification: candidate.identification,
            len,
        });
        true
    }
}

/// Whether two frames of one flow have the same headers in all that is not counted.
fn is_like(first: &[u8], frame: &[u8], candidate: &Candidate, identification: u16) -> bool {
    const ENDS: u16 = Flags::FIN.0 | Flags::PSH.0 | Flags::CWR.0;
    let n = candidate.network_len;
    let same = |from: usize, to: usize| first.get(from..to) == frame.get(from..to) && frame.len() >= to;
    let network = if n == ipv6::HEADER_LEN {
        same(0, 4) && same(7, 8)
    } else {
        // DF with an identification of 0 does not count (see `segment`).
        let uncounted = get(first, 4) == 0 && get(first, 6) & 0x4000 != 0;
        let expected = if uncounted { 0 } else { identification.wrapping_add(1) };
        candidate.identification == expected && same(0, 2) && same(6, 9)
    };
    network
        && same(n + 8, n + 12)
        && same(n + 14, n + 16)
        && same(n + 18, candidate.headers_len)
        && first.len() >= candidate.headers_len
        && get(first, n + 12) & !ENDS == get(frame, n + 12) & !ENDS
}

/// Reads a frame that may be merged; checks its checksum if nobody has.
fn candidate(frame: &mut Frame) -> Option<Candidate> {
    let valid = match frame.meta.checksum {
        Checksum::Valid => true,
        Checksum::Unverified => false,
        Checksum::Partial { .. } => return None,
    };
    if frame.meta.gso_size != 0 {
        return None;
    }
    let bytes = frame.as_slice();
    let (network_len, identification, addresses) = network(bytes)?;
    let transport = bytes.get(network_len..)?;
    let tcp = Tcp::parse(transport).ok()?;
    if !valid && !tcp.verify_checksum(addresses.0, addresses.1) {
        return None;
    }
    // A sender may write 0xffff for 0, which would not come back (and is rare).
    let plain = tcp.flags().contains(Flags::ACK) && !tcp.flags().intersects(Flags::SYN | Flags::RST | Flags::URG);
    let merges = plain && tcp.checksum() != 0xffff && !tcp.payload().is_empty();
    let candidate = Candidate {
        network_len,
        headers_len: network_len + tcp.header_len(),
        sequence: tcp.sequence(),
        identification,
        flags: tcp.flags(),
        payload_len: tcp.payload().len(),
    };
    frame.meta.checksum = Checksum::Valid;
    merges.then_some(candidate)
}

/// Octets of the IP header, identification and addresses of a TCP packet without options, extension headers or padding.
fn network(bytes: &[u8]) -> Option<(usize, u16, (IpAddr, IpAddr))> {
    if bytes.first()? >> 4 == 6 {
        let packet = Ipv6::parse(bytes).ok()?;
        let fits = packet.next_header() == protocol::TCP && packet.total_len() == bytes.len();
        return fits.then(|| (ipv6::HEADER_LEN, 0, (packet.source().into(), packet.destination().into())));
    }
    let packet = Ipv4::parse(bytes).ok()?;
    let fits = packet.protocol() == protocol::TCP
        && packet.header_len() == ipv4::HEADER_LEN
        && packet.total_len() == bytes.len()
        && !packet.is_fragment()
        && get(bytes, 10) != 0xffff
        && packet.verify_checksum();
    fits.then(|| (ipv4::HEADER_LEN, packet.identification(), (packet.source().into(), packet.destination().into())))
}

/// What tells one TCP flow from others, in the bytes of a packet: addresses and ports.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Flow<'a> {
    addresses: &'a [u8],
    ports: &'a [u8],
}

impl<'a> Flow<'a> {
    fn of(bytes: &'a [u8]) -> Option<Flow<'a>> {
        let first = *bytes.first()?;
        let (addresses, transport, protocol) = if first >> 4 == 6 {
            (bytes.get(8..40)?, 40, *bytes.get(6)?)
        } else {
            (bytes.get(12..20)?, usize::from(first & 0xf) * 4, *bytes.get(9)?)
        };
        let ports = bytes.get(transport..transport + 4)?;
        (protocol == protocol::TCP).then_some(Flow { addresses, ports })
    }

    /// Tells most flows apart at once. Who makes flows with the same digest makes a comparison of bytes necessary, no more.
    fn digest(&self) -> u32 {
        let word = |bytes: Option<&[u8; 4]>| bytes.copied().map_or(0, u32::from_ne_bytes);
        let addresses = word(self.addresses.first_chunk()).rotate_left(8) ^ word(self.addresses.last_chunk());
        addresses.wrapping_mul(0x9e37_79b1) ^ word(self.ports.first_chunk())
    }

    fn is_of(&self, bytes: &[u8]) -> bool {
        Flow::of(bytes) == Some(*self)
    }
}

#[cfg(test)]
mod tests;
