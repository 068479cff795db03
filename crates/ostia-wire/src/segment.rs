//! Cuts super-segments into the packets that they stand for, where the device does not.

use core::net::IpAddr;

use crate::checksum;
use crate::frame::{Checksum, Frame};
use crate::ipv4::Ipv4;
use crate::ipv6::Ipv6;
use crate::malformed::Malformed;
use crate::protocol;
use crate::tcp::{self, Tcp};
use crate::tcp_flags::Flags;
use crate::udp::{self, Udp};

/// Where the parts of a packet stand.
struct Layout {
    source: IpAddr,
    destination: IpAddr,
    /// Octets of the IP header, with extension headers.
    network_len: usize,
    /// Octets of all headers.
    headers_len: usize,
    /// Octets of the packet.
    len: usize,
    transport: Transport,
}

enum Transport {
    Tcp { sequence: u32, flags: Flags, urgent: u16 },
    Udp { has_checksum: bool },
}

/// Gives `out` the packets that an IP packet with a GSO size stands for, in order, each whole with its own lengths, IPv4
/// identification, sequence number and checksums. Of the flags FIN and PSH go with the last, CWR with the first. A packet that
/// stands for itself comes out as a copy, its checksum completed. Returns how many came out.
///
/// The identifications count up from the packet's, but stay 0 where that is 0 and the packet must not be fragmented: then
/// they mean nothing (RFC 6864, 4.1), and the sender does not count.
///
/// # Errors
/// What is wrong with the headers; [`Malformed::Kind`] for what is neither TCP nor UDP, is a fragment, or has SYN or RST.
/// Nothing has come out then.
pub fn segment(frame: &Frame, out: &mut impl FnMut(Frame)) -> Result<usize, Malformed> {
    let bytes = frame.as_slice();
    let size = usize::from(frame.meta.gso_size);
    if size == 0 {
        out(copy(frame));
        return Ok(1);
    }
    let layout = layout(bytes, frame.meta.checksum)?;
    let payload = bytes.get(layout.headers_len..layout.len).unwrap_or_default();
    if payload.len() <= size {
        out(copy(frame));
        return Ok(1);
    }
    if matches!(layout.transport, Transport::Tcp { flags, .. } if flags.intersects(Flags::SYN | Flags::RST)) {
        return Err(Malformed::Kind);
    }
    let headers = bytes.get(..layout.headers_len).unwrap_or_default();
    let count = payload.len().div_ceil(size);
    for (index, chunk) in payload.chunks(size).enumerate() {
        let mut part = Frame::new(headers.len() + chunk.len());
        part.extend(headers);
        part.extend(chunk);
        part.meta.arrived = frame.meta.arrived;
        adapt(part.as_mut_slice(), &layout, index, index + 1 == count, size);
        out(part);
    }
    Ok(count)
}

fn copy(frame: &Frame) -> Frame {
    let mut copy = frame.clone();
    copy.complete_checksum();
    copy.meta.gso_size = 0;
    copy
}

fn layout(bytes: &[u8], state: Checksum) -> Result<Layout, Malformed> {
    let (source, destination, network_len, protocol, transport, len): (IpAddr, IpAddr, _, _, _, _) =
        if bytes.first().is_some_and(|first| first >> 4 == 6) {
            let packet = Ipv6::parse(bytes)?;
            let upper = packet.upper()?;
            if upper.fragment.is_some() {
                return Err(Malformed::Kind);
            }
            let addresses = (packet.source(), packet.destination());
            (addresses.0.into(), addresses.1.into(), upper.offset, upper.protocol, upper.payload, packet.total_len())
        } else {
            let packet = Ipv4::parse(bytes)?;
            if packet.is_fragment() {
                return Err(Malformed::Kind);
            }
            let addresses = (packet.source(), packet.destination());
            (addresses.0.into(), addresses.1.into(), packet.header_len(), packet.protocol(), packet.payload(), packet.total_len())
        };
    let (transport_len, transport) = match protocol {
        protocol::TCP => {
            let tcp = Tcp::parse(transport)?;
            let transport = Transport::Tcp { sequence: tcp.sequence(), flags: tcp.flags(), urgent: tcp.urgent() };
            (tcp.header_len(), transport)
        }
        protocol::UDP => {
            let udp = Udp::parse(transport)?;
            // A partial sum may be 0, but stands for a checksum.
            let has_checksum = udp.checksum() != 0 || source.is_ipv6() || matches!(state, Checksum::Partial { .. });
            (udp::HEADER_LEN, Transport::Udp { has_checksum })
        }
        _ => return Err(Malformed::Kind),
    };
    Ok(Layout { source, destination, network_len, headers_len: network_len + transport_len, len, transport })
}

/// Makes the headers of the whole those of its `index`th packet.
fn adapt(packet: &mut [u8], layout: &Layout, index: usize, is_last: bool, size: usize) {
    let len = packet.len();
    let (network, transport) = packet.split_at_mut(layout.network_len);
    match layout.source {
        IpAddr::V4(_) => adapt_v4(network, len, index),
        IpAddr::V6(_) => put(network, 4, (len - crate::ipv6::HEADER_LEN) as u16),
    }
    match layout.transport {
        Transport::Tcp { sequence, flags, urgent } => {
            let offset = index * size;
            let sequence = sequence.wrapping_add(offset as u32);
            put(transport, 4, (sequence >> 16) as u16);
            put(transport, 6, sequence as u16);
            let mut flags = flags;
            if !is_last {
                flags = flags.without(Flags::FIN | Flags::PSH);
            }
            if index > 0 {
                flags = flags.without(Flags::CWR);
                if flags.contains(Flags::URG) {
                    // The pointer counts from the sequence number; behind it nothing is urgent any more.
                    let left = usize::from(urgent).checked_sub(offset);
                    put(transport, 18, left.unwrap_or(0) as u16);
                    flags = if left.is_some() { flags } else { flags.without(Flags::URG) };
                }
            }
            let kept = get(transport, 12) & !Flags::ALL.0;
            put(transport, 12, kept | flags.0);
            tcp::finish_checksum(transport, layout.source, layout.destination);
        }
        Transport::Udp { has_checksum } => {
            put(transport, 4, transport.len() as u16);
            if has_checksum {
                udp::finish_checksum(transport, layout.source, layout.destination);
            }
        }
    }
}

fn adapt_v4(header: &mut [u8], len: usize, index: usize) {
    const DONT_FRAGMENT: u16 = 0x4000;
    put(header, 2, len as u16);
    let identification = get(header, 4);
    if identification != 0 || get(header, 6) & DONT_FRAGMENT == 0 {
        put(header, 4, identification.wrapping_add(index as u16));
    }
    put(header, 10, 0);
    put(header, 10, checksum::fold(checksum::sum(header, 0)));
}

/// Writes a field of a header that was parsed.
pub(crate) fn put(header: &mut [u8], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Reads a field of a header that was parsed.
pub(crate) fn get(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

#[cfg(test)]
mod tests;
