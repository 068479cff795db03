//! Segments on the wire: those that arrive are written byte by byte, without the stack's own emitters, so that a script can
//! say anything; those that were sent are read and put into packetdrill's words.

use core::fmt::Write;
use core::net::IpAddr;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use ostia_wire::{Frame, Icmpv4Emit, Icmpv6Emit, Ipv4, Ipv4Emit, Ipv6, Ipv6Emit, Tcp, checksum, icmpv6};

use super::script::{Segment, TcpOption, Traffic};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Both ends of a packet.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

/// A segment with all its numbers as they are on the wire.
pub(super) struct Raw<'a> {
    pub(super) ends: Ends,
    pub(super) ports: (u16, u16),
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) flags: &'a str,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) traffic: u8,
    /// Words of the header, if a script lies about them.
    pub(super) offset: Option<u8>,
    /// Bytes to which the segment is cut.
    pub(super) cut: Option<usize>,
    /// Whether the checksum is made wrong.
    pub(super) corrupt: bool,
}

impl Raw<'_> {
    /// The packet.
    pub(super) fn frame(&self) -> Frame {
        let mut segment = Vec::new();
        segment.extend_from_slice(&self.ports.0.to_be_bytes());
        segment.extend_from_slice(&self.ports.1.to_be_bytes());
        segment.extend_from_slice(&self.sequence.to_be_bytes());
        segment.extend_from_slice(&self.acknowledgment.to_be_bytes());
        let words = self.offset.unwrap_or((5 + self.options.len() / 4) as u8);
        segment.push(words << 4);
        segment.push(flag_bits(self.flags));
        segment.extend_from_slice(&self.window.to_be_bytes());
        segment.extend_from_slice(&[0, 0]);
        segment.extend_from_slice(&self.urgent.to_be_bytes());
        segment.extend_from_slice(&self.options);
        segment.extend_from_slice(&self.payload);
        if let Some(cut) = self.cut {
            segment.truncate(cut);
        }
        let Ends { source, destination } = self.ends;
        if segment.len() >= 18 {
            let pseudo = checksum::pseudo(source, destination, TCP, segment.len() as u32);
            let right = checksum::fold(checksum::sum(&segment, pseudo));
            let value = if self.corrupt { right.wrapping_add(1) } else { right };
            segment[16..18].copy_from_slice(&value.to_be_bytes());
        }
        ip(self.ends, TCP, self.traffic, &segment)
    }
}

/// A packet around a payload.
fn ip(ends: Ends, protocol: u8, traffic: u8, payload: &[u8]) -> Frame {
    let mut frame = Frame::from_slice(payload);
    let header = ip_header(ends, protocol, traffic, payload.len());
    frame.push_front(header.len()).copy_from_slice(&header);
    frame
}

fn ip_header(ends: Ends, protocol: u8, traffic: u8, payload_len: usize) -> Vec<u8> {
    match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let emit = Ipv4Emit {
                source,
                destination,
                protocol,
                ttl: 255,
                tos: traffic,
                identification: 1,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                options: &[],
            };
            let mut header = vec![0; emit.header_len()];
            emit.emit(&mut header, payload_len);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let emit =
                Ipv6Emit { source, destination, next_header: protocol, hop_limit: 255, traffic_class: traffic, flow_label: 0 };
            let mut header = vec![0; emit.header_len()];
            emit.emit(&mut header, payload_len);
            header
        }
        _ => panic!("both ends of a packet are of one family"),
    }
}

/// An ICMP error of the peer's side about a segment from us: `quoted` are its ends, `ports` its ports.
pub(super) fn icmp_error(
    from: Ends,
    quoted: Ends,
    ports: (u16, u16),
    (sequence, length): (u32, u16),
    (kind, code, mtu): (&str, Option<&str>, Option<u32>),
) -> Result<Frame, String> {
    let mut transport = Vec::new();
    transport.extend_from_slice(&ports.0.to_be_bytes());
    transport.extend_from_slice(&ports.1.to_be_bytes());
    transport.extend_from_slice(&sequence.to_be_bytes());
    let mut quote = ip_header(quoted, TCP, 0, 20 + usize::from(length));
    quote.extend_from_slice(&transport);
    let mut message = vec![0; 8];
    message.extend_from_slice(&quote);
    let mtu = mtu.unwrap_or(0);
    match (from.source, from.destination) {
        (IpAddr::V4(_), _) => {
            let emit = match (kind, code) {
                ("unreachable", Some("frag_needed")) => Icmpv4Emit::fragmentation_needed(mtu as u16),
                ("unreachable", Some("net_unreachable")) => Icmpv4Emit::unreachable(0),
                ("unreachable", Some("host_unreachable")) => Icmpv4Emit::unreachable(1),
                ("unreachable", Some("protocol_unreachable")) => Icmpv4Emit::unreachable(2),
                ("unreachable", Some("port_unreachable")) => Icmpv4Emit::unreachable(3),
                ("time_exceeded", None) => Icmpv4Emit::time_exceeded(0),
                ("source_quench", None) => Icmpv4Emit { kind: 4, code: 0, rest: [0; 4] },
                _ => return Err(format!("an IPv4 ICMP error {kind} {code:?}")),
            };
            emit.emit(&mut message);
            Ok(ip(from, ICMP, 0, &message))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let emit = match (kind, code) {
                ("packet_too_big", None) => Icmpv6Emit::packet_too_big(mtu),
                ("unreachable", Some("no_route")) => Icmpv6Emit::unreachable(0),
                ("unreachable", Some("admin_prohibited")) => Icmpv6Emit::unreachable(1),
                ("unreachable", Some("address_unreachable")) => Icmpv6Emit::unreachable(3),
                ("unreachable", Some("port_unreachable")) => Icmpv6Emit::unreachable(4),
                ("time_exceeded", Some("exceeded_hop_limit")) => Icmpv6Emit::time_exceeded(0),
                _ => return Err(format!("an IPv6 ICMP error {kind} {code:?}")),
            };
            emit.emit(&mut message, source, destination);
            icmpv6::finish_checksum(&mut message, source, destination);
            Ok(ip(from, ICMPV6, 0, &message))
        }
        _ => Err("both ends of a packet are of one family".into()),
    }
}

/// The header's byte of flags.
pub(super) fn flag_bits(letters: &str) -> u8 {
    letters.chars().filter_map(|letter| "FSRP.UEW".find(letter)).fold(0, |bits, place| bits | 1 << place)
}

/// The letters of a header's byte of flags; `-` for none.
fn flag_letters(bits: u8) -> String {
    // The dot stands last: before other letters packetdrill doesn't take it.
    let places = [0, 1, 2, 3, 5, 6, 7, 4].into_iter().filter(|place| bits >> place & 1 != 0);
    let letters: String = places.filter_map(|place| "FSRP.UEW".chars().nth(place)).collect();
    if letters.is_empty() { "-".into() } else { letters }
}

/// Options on the wire, in the script's order.
pub(super) fn encode_options(options: &[TcpOption]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for option in options {
        match option {
            TcpOption::Nop => bytes.push(1),
            TcpOption::Eol => bytes.push(0),
            TcpOption::Mss(mss) => {
                bytes.extend_from_slice(&[2, 4]);
                bytes.extend_from_slice(&mss.to_be_bytes());
            }
            TcpOption::WindowScale(shift) => bytes.extend_from_slice(&[3, 3, *shift]),
            TcpOption::SackPermitted => bytes.extend_from_slice(&[4, 2]),
            TcpOption::Sack(blocks) => {
                bytes.extend_from_slice(&[5, 2 + 8 * blocks.len() as u8]);
                for (left, right) in blocks {
                    bytes.extend_from_slice(&left.to_be_bytes());
                    bytes.extend_from_slice(&right.to_be_bytes());
                }
            }
            TcpOption::Timestamps(value, echo) => {
                bytes.extend_from_slice(&[8, 10]);
                bytes.extend_from_slice(&value.to_be_bytes());
                bytes.extend_from_slice(&echo.to_be_bytes());
            }
            TcpOption::Md5(digest) => {
                bytes.extend_from_slice(&[19, 2 + digest.len() as u8]);
                bytes.extend_from_slice(digest);
            }
            TcpOption::FastOpen(cookie) => {
                bytes.extend_from_slice(&[34, 2 + cookie.len() as u8]);
                bytes.extend_from_slice(cookie);
            }
        }
    }
    bytes
}

/// The options of a segment that was sent, in order; `None` if one is not what the stack may send.
pub(super) fn decode_options(mut bytes: &[u8]) -> Option<Vec<TcpOption>> {
    let word = |bytes: &[u8], at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut options = vec![];
    while let Some(&kind) = bytes.first() {
        if kind < 2 {
            options.push(if kind == 0 { TcpOption::Eol } else { TcpOption::Nop });
            bytes = &bytes[1..];
            continue;
        }
        let length = usize::from(*bytes.get(1)?);
        let body = bytes.get(2..length)?;
        options.push(match (kind, body.len()) {
            (2, 2) => TcpOption::Mss(u16::from_be_bytes(body.try_into().ok()?)),
            (3, 1) => TcpOption::WindowScale(body[0]),
            (4, 0) => TcpOption::SackPermitted,
            (5, 8 | 16 | 24 | 32) => {
                let blocks: Option<Vec<_>> =
                    (0..body.len()).step_by(8).map(|at| Some((word(body, at)?, word(body, at + 4)?))).collect();
                TcpOption::Sack(blocks?)
            }
            (8, 8) => TcpOption::Timestamps(word(body, 0)?, word(body, 4)?),
            (34, _) => TcpOption::FastOpen(body.to_vec()),
            _ => return None,
        });
        bytes = bytes.get(length..)?;
    }
    Some(options)
}

/// A segment that was sent, read.
pub(super) struct Sent {
    pub(super) ends: Ends,
    pub(super) traffic: u8,
    pub(super) ttl: u8,
    pub(super) segment: Segment,
    pub(super) payload: Vec<u8>,
}

impl Sent {
    /// Reads a frame; `None` if it is no TCP, an error if it is not in order.
    pub(super) fn read(frame: &Frame) -> Result<Option<Sent>, String> {
        let bytes = frame.as_slice();
        let wrong = |error: ostia_wire::Malformed| format!("a malformed packet was sent: {error}");
        let (ends, traffic, ttl, protocol, payload) = match bytes.first().map(|byte| byte >> 4) {
            Some(4) => {
                let header = Ipv4::parse(bytes).map_err(wrong)?;
                if !header.verify_checksum() {
                    return Err("the IPv4 header's checksum is wrong".into());
                }
                if !header.dont_fragment() && header.protocol() == TCP {
                    return Err("TCP without the don't-fragment bit".into());
                }
                let ends = Ends { source: header.source().into(), destination: header.destination().into() };
                (ends, header.tos(), header.ttl(), header.protocol(), header.payload())
            }
            _ => {
                let header = Ipv6::parse(bytes).map_err(wrong)?;
                let ends = Ends { source: header.source().into(), destination: header.destination().into() };
                (ends, header.traffic_class(), header.hop_limit(), header.next_header(), header.payload())
            }
        };
        if protocol != TCP {
            return Ok(None);
        }
        let tcp = Tcp::parse(payload).map_err(wrong)?;
        if !tcp.verify_checksum(ends.source, ends.destination) {
            return Err("the TCP checksum is wrong".into());
        }
        let Some(options) = decode_options(tcp.option_bytes()) else {
            return Err(format!("strange options were sent: {:02x?}", tcp.option_bytes()));
        };
        let segment = Segment {
            ports: Some((tcp.source_port(), tcp.destination_port())),
            traffic: Traffic::Whole(traffic),
            ttl: Some(ttl),
            flags: flag_letters(tcp.flags().0 as u8).replace('-', ""),
            start: tcp.sequence(),
            length: tcp.payload().len() as u16,
            ack: tcp.flags().contains(ostia_wire::Flags::ACK).then(|| tcp.acknowledgment()),
            window: Some(tcp.window()),
            urgent: tcp.urgent(),
            options: Some(options),
        };
        Ok(Some(Sent { ends, traffic, ttl, segment, payload: tcp.payload().to_vec() }))
    }
}

/// A segment in packetdrill's words.
pub(super) fn show(segment: &Segment) -> String {
    let mut text = String::new();
    let Segment { ports, traffic, ttl: _, flags, start, length, ack, window, urgent, options } = segment;
    match traffic {
        Traffic::Ecn(ecn) => text += ["[noecn] ", "[ect1] ", "[ect0] ", "[ce] "][usize::from(ecn & 3)],
        Traffic::Whole(tos) if *tos != 0 => write!(text, "[tos {tos:#x}] ").expect("a string takes all"),
        _ => {}
    }
    if let Some((source, destination)) = ports {
        write!(text, "{source} > {destination} ").expect("a string takes all");
    }
    let flags = flag_letters(flag_bits(flags));
    write!(text, "{flags} {start}:{}({length})", start.wrapping_add(u32::from(*length))).expect("a string takes all");
    if let Some(ack) = ack {
        write!(text, " ack {ack}").expect("a string takes all");
    }
    if let Some(window) = window {
        write!(text, " win {window}").expect("a string takes all");
    }
    if *urgent != 0 {
        write!(text, " urg {urgent}").expect("a string takes all");
    }
    match options {
        None => text += " <...>",
        Some(options) if options.is_empty() => {}
        Some(options) => {
            let shown: Vec<String> = options.iter().map(show_option).collect();
            write!(text, " <{}>", shown.join(",")).expect("a string takes all");
        }
    }
    text
}

fn show_option(option: &TcpOption) -> String {
    match option {
        TcpOption::Nop => "nop".into(),
        TcpOption::Eol => "eol".into(),
        TcpOption::Mss(mss) => format!("mss {mss}"),
        TcpOption::WindowScale(shift) => format!("wscale {shift}"),
        TcpOption::SackPermitted => "sackOK".into(),
        TcpOption::Sack(blocks) => {
            let blocks: Vec<String> = blocks.iter().map(|(left, right)| format!("{left}:{right}")).collect();
            format!("sack {}", blocks.join(" "))
        }
        TcpOption::Timestamps(value, echo) => format!("TS val {value} ecr {echo}"),
        TcpOption::Md5(_) => "md5".to_string(),
        TcpOption::FastOpen(_) => "FO".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_to_the_wire_and_back() {
        let options = vec![
            TcpOption::Mss(1460),
            TcpOption::SackPermitted,
            TcpOption::Timestamps(7, u32::MAX),
            TcpOption::Nop,
            TcpOption::WindowScale(7),
            TcpOption::Sack(vec![(1, 2), (u32::MAX, 4)]),
            TcpOption::Eol,
        ];
        let bytes = encode_options(&options);
        assert_eq!(bytes.len(), options.iter().map(TcpOption::length).sum::<usize>());
        assert_eq!(decode_options(&bytes), Some(options));
        assert_eq!(decode_options(&[8, 9, 0, 0]), None);
        assert_eq!(decode_options(&[2]), None);
    }

    #[test]
    fn a_segment_is_shown_as_a_script_writes_it() {
        for line in [
            "S 0:0(0) win 1 <mss 1000,nop,wscale 7>",
            "PU. 1:11(10) ack 5 win 9 urg 10",
            "- 3:3(0) win 0",
            "[ce] 1 > 2 R. 0:0(0) ack 1 win 0",
        ] {
            let script = super::super::parse::parse(&format!("0 < {line}")).expect("it can be parsed");
            let super::super::script::Action::Arrives(segment) = &script.events[0].action else {
                panic!("a segment arrives");
            };
            assert_eq!(show(segment), line);
        }
    }
}
