//! Headers taken apart for learners: each field by name, with its bytes, its value, what it is for, and where that is written.

use std::fmt::Write as _;
use std::ops::Range;

use ostia_wire::arp::Operation;
use ostia_wire::icmpv6::{self, Icmpv6};
use ostia_wire::{Arp, EtherType, Ethernet, Flags, Ipv4, Ipv6, NdpMessage, NdpOption, Tcp, arp, ethernet, ipv4, ipv6, protocol};

use super::options::tcp_options;

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, as the RFC has it.
    pub name: &'static str,
    /// Its place: bits, counted from the first of the header.
    pub bits: Range<usize>,
    /// What stands in it, for people.
    pub value: String,
    /// What it is for.
    pub meaning: &'static str,
    /// Where that is written.
    pub rule: &'static str,
}

/// A header.
#[derive(Clone, Debug)]
pub struct Header {
    /// Whose.
    pub name: &'static str,
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

impl Header {
    fn new(name: &'static str, bytes: &[u8]) -> Header {
        Header { name, bytes: bytes.to_vec(), fields: Vec::new() }
    }

    fn field(
        &mut self,
        name: &'static str,
        bits: Range<usize>,
        value: impl Into<String>,
        meaning: &'static str,
        rule: &'static str,
    ) {
        self.fields.push(Field { name, bits, value: value.into(), meaning, rule });
    }

    /// A field of whole bytes.
    fn bytes_at(
        &mut self,
        name: &'static str,
        at: Range<usize>,
        value: impl Into<String>,
        meaning: &'static str,
        rule: &'static str,
    ) {
        self.field(name, at.start * 8..at.end * 8, value, meaning, rule);
    }
}

/// The headers of a whole frame, outermost first.
pub fn of_frame(frame: &[u8]) -> Vec<Header> {
    let Some(first) = ethernet_header(frame) else { return Vec::new() };
    let mut headers = vec![first];
    let rest = frame.get(ethernet::HEADER_LEN..).unwrap_or_default();
    match Ethernet::parse(frame).map(|frame| frame.ethertype()) {
        Ok(EtherType::ARP) => headers.extend(arp_packet(rest)),
        Ok(_) => {
            headers.extend(network(rest));
            headers.extend(transport_of(rest).and_then(transport));
        }
        Err(_) => {}
    }
    headers
}

/// The transport's part of an IP packet, with its protocol.
fn transport_of(packet: &[u8]) -> Option<(u8, &[u8])> {
    match packet.first()? >> 4 {
        4 => Ipv4::parse(packet).ok().map(|packet| (packet.protocol(), packet.payload())),
        _ => Ipv6::parse(packet).ok().map(|packet| (packet.next_header(), packet.payload())),
    }
}

fn transport((number, bytes): (u8, &[u8])) -> Option<Header> {
    match number {
        protocol::TCP => tcp(bytes),
        protocol::ICMPV6 => ndp(bytes),
        _ => None,
    }
}

/// The port of a frame's sender, if TCP is in it.
pub fn source_port(frame: &[u8]) -> Option<u16> {
    let packet = Ethernet::parse(frame).ok()?.payload();
    let (number, bytes) = transport_of(packet)?;
    (number == protocol::TCP).then(|| Tcp::parse(bytes).ok().map(|tcp| tcp.source_port())).flatten()
}

/// Ethernet's header.
pub fn ethernet_header(frame: &[u8]) -> Option<Header> {
    let parsed = Ethernet::parse(frame).ok()?;
    let mut header = Header::new("Ethernet", frame.get(..ethernet::HEADER_LEN)?);
    let whom = match parsed.destination() {
        mac if mac.is_broadcast() => format!("{mac}, everybody"),
        mac if mac.is_multicast() => format!("{mac}, a group"),
        mac => mac.to_string(),
    };
    header.bytes_at(
        "destination",
        0..6,
        whom,
        "the station on this link that is to take the frame",
        "RFC 894; IEEE 802.3, 3.2.3",
    );
    header.bytes_at("source", 6..12, parsed.source().to_string(), "the station that sends it", "IEEE 802.3, 3.2.3");
    let kind = match parsed.ethertype() {
        EtherType::IPV4 => "0x0800, IPv4",
        EtherType::ARP => "0x0806, ARP",
        EtherType::IPV6 => "0x86dd, IPv6",
        _ => "another",
    };
    header.bytes_at(
        "type",
        12..14,
        kind,
        "which protocol's packet follows, so that the receiver knows whom to give it",
        "RFC 894; RFC 2464, 3",
    );
    Some(header)
}

/// An ARP packet: all of it.
pub fn arp_packet(bytes: &[u8]) -> Option<Header> {
    let parsed = Arp::parse(bytes).ok()?;
    let mut header = Header::new("ARP", bytes.get(..arp::LEN)?);
    header.bytes_at("hardware type", 0..2, "1, Ethernet", "what kind of link addresses are asked for", "RFC 826");
    header.bytes_at("protocol type", 2..4, "0x0800, IPv4", "what kind of addresses they are asked for by", "RFC 826");
    header.bytes_at("hardware length", 4..5, "6", "octets of a link address", "RFC 826");
    header.bytes_at("protocol length", 5..6, "4", "octets of an IPv4 address", "RFC 826");
    let operation = match parsed.operation {
        Operation::Request => "1, request",
        Operation::Reply => "2, reply",
    };
    header.bytes_at("operation", 6..8, operation, "whether this asks or answers", "RFC 826");
    let sender = "the link address of who sends this: whoever is asked learns it on the way";
    header.bytes_at("sender hardware", 8..14, parsed.sender_mac.to_string(), sender, "RFC 826");
    header.bytes_at("sender protocol", 14..18, parsed.sender_ip.to_string(), "and its IPv4 address", "RFC 826");
    let target = "the link address of who is asked, which a request doesn't know, or answered";
    header.bytes_at("target hardware", 18..24, parsed.target_mac.to_string(), target, "RFC 826");
    let target = "the IPv4 address whose owner is to answer, or that is answered";
    header.bytes_at("target protocol", 24..28, parsed.target_ip.to_string(), target, "RFC 826");
    Some(header)
}

/// The IP header of a packet.
pub fn network(packet: &[u8]) -> Option<Header> {
    match packet.first()? >> 4 {
        4 => ipv4_header(packet),
        6 => ipv6_header(packet),
        _ => None,
    }
}

fn protocol_name(number: u8) -> String {
    let name = match number {
        protocol::ICMP => "ICMP",
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::ICMPV6 => "ICMPv6",
        0 => "hop-by-hop options",
        _ => "another",
    };
    format!("{number}, {name}")
}

fn ipv4_header(packet: &[u8]) -> Option<Header> {
    let parsed = Ipv4::parse(packet).ok()?;
    let mut header = Header::new("IPv4", packet.get(..parsed.header_len())?);
    let rule = "RFC 791, 3.1";
    header.field("version", 0..4, "4", "which IP this is; the rest depends on it", rule);
    header.field(
        "IHL",
        4..8,
        format!("{}, so {} octets", parsed.header_len() / 4, parsed.header_len()),
        "how long this header is, in words of 4 octets",
        rule,
    );
    header.field(
        "DSCP",
        8..14,
        parsed.dscp().to_string(),
        "the treatment that routers should give; 0: as all others",
        "RFC 2474, 3",
    );
    header.field(
        "ECN",
        14..16,
        parsed.ecn().to_string(),
        "lets routers mark congestion instead of dropping; 0: not in use",
        "RFC 3168, 5",
    );
    header.bytes_at(
        "total length",
        2..4,
        parsed.total_len().to_string(),
        "octets of this packet, header and all: a frame may be padded",
        rule,
    );
    let identification = "which fragments belong together; 0 will do for a packet that is never cut";
    header.bytes_at("identification", 4..6, parsed.identification().to_string(), identification, "RFC 6864, 4.1");
    let mut flags = String::from(if parsed.dont_fragment() { "DF" } else { "no DF" });
    flags.push_str(if parsed.more_fragments() { ", MF" } else { "" });
    let meaning = "DF: drop it rather than cut it, and say so, by which TCP learns how much the path takes";
    header.field("flags", 48..51, flags, meaning, "RFC 791, 3.1; RFC 1191, 3");
    header.field(
        "fragment offset",
        51..64,
        parsed.fragment_offset().to_string(),
        "where a fragment belongs in the whole packet",
        rule,
    );
    let meaning = "routers that it may still pass: each takes one off, so that nothing goes round for ever";
    header.bytes_at("TTL", 8..9, parsed.ttl().to_string(), meaning, rule);
    header.bytes_at("protocol", 9..10, protocol_name(parsed.protocol()), "whose header follows", rule);
    let right = if parsed.verify_checksum() { "right" } else { "wrong" };
    let checksum = format!("0x{}, {right}", hex(packet.get(10..12)?));
    header.bytes_at(
        "checksum",
        10..12,
        checksum,
        "over this header alone: each router checks it, and makes it anew for the TTL",
        "RFC 791, 3.1; RFC 1071",
    );
    header.bytes_at("source", 12..16, parsed.source().to_string(), "the host that sends it, from end to end", rule);
    header.bytes_at("destination", 16..20, parsed.destination().to_string(), "the host that it is for, from end to end", rule);
    if parsed.header_len() > ipv4::HEADER_LEN {
        header.bytes_at("options", 20..parsed.header_len(), hex(parsed.option_bytes()), "what is seldom needed", rule);
    }
    Some(header)
}

fn ipv6_header(packet: &[u8]) -> Option<Header> {
    let parsed = Ipv6::parse(packet).ok()?;
    let mut header = Header::new("IPv6", packet.get(..ipv6::HEADER_LEN)?);
    let rule = "RFC 8200, 3";
    header.field("version", 0..4, "6", "which IP this is; the rest depends on it", rule);
    header.field(
        "DSCP",
        4..10,
        parsed.dscp().to_string(),
        "the treatment that routers should give; 0: as all others",
        "RFC 2474, 3",
    );
    header.field(
        "ECN",
        10..12,
        parsed.ecn().to_string(),
        "lets routers mark congestion instead of dropping; 0: not in use",
        "RFC 3168, 5",
    );
    let meaning = "packets with the same label belong together, so that routers need not look inside; 0: no label";
    header.field("flow label", 12..32, parsed.flow_label().to_string(), meaning, "RFC 6437, 2");
    header.bytes_at(
        "payload length",
        4..6,
        parsed.payload_len().to_string(),
        "octets behind this header, which itself is always 40 long",
        rule,
    );
    header.bytes_at("next header", 6..7, protocol_name(parsed.next_header()), "whose header follows", rule);
    let meaning = "routers that it may still pass: each takes one off, so that nothing goes round for ever";
    header.bytes_at("hop limit", 7..8, parsed.hop_limit().to_string(), meaning, rule);
    header.bytes_at("source", 8..24, parsed.source().to_string(), "the host that sends it, from end to end", rule);
    header.bytes_at(
        "destination",
        24..40,
        parsed.destination().to_string(),
        "the host, or group, that it is for, from end to end",
        rule,
    );
    Some(header)
}

/// The names of the control bits that are set.
pub fn flag_names(flags: Flags) -> String {
    const NAMES: [(Flags, &str); 9] = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::URG, "URG"),
        (Flags::ECE, "ECE"),
        (Flags::CWR, "CWR"),
        (Flags::AE, "AE"),
        (Flags::ACK, "ACK"),
    ];
    let set: Vec<&str> = NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(",") }
}

/// TCP's header.
pub fn tcp(segment: &[u8]) -> Option<Header> {
    let parsed = Tcp::parse(segment).ok()?;
    let mut header = Header::new("TCP", segment.get(..parsed.header_len())?);
    let rule = "RFC 9293, 3.1";
    let meaning = "with the addresses and the other port it names the connection: these four numbers are its name";
    header.bytes_at("source port", 0..2, parsed.source_port().to_string(), meaning, rule);
    header.bytes_at("destination port", 2..4, parsed.destination_port().to_string(), "which program on the other host", rule);
    let meaning =
        "the number of the first octet of data in this segment; every octet has one, and a SYN and a FIN count as one each";
    header.bytes_at("sequence number", 4..8, parsed.sequence().to_string(), meaning, "RFC 9293, 3.4");
    let meaning = "the next number that the sender expects: all before it has arrived";
    header.bytes_at("acknowledgment", 8..12, parsed.acknowledgment().to_string(), meaning, "RFC 9293, 3.4");
    let length = format!("{}, so {} octets", parsed.header_len() / 4, parsed.header_len());
    header.field(
        "data offset",
        96..100,
        length,
        "how long this header is, in words of 4 octets: the data begins behind it",
        rule,
    );
    header.field("reserved", 100..103, "0", "not in use", rule);
    let meaning =
        "SYN: numbers begin; ACK: the acknowledgment counts; PSH: give it to the program; FIN: no more data; RST: it is over";
    header.field("control bits", 103..112, flag_names(parsed.flags()), meaning, rule);
    let meaning = "octets that the sender of this has room for; shifted by what the SYNs agreed on";
    header.bytes_at("window", 14..16, parsed.window().to_string(), meaning, "RFC 9293, 3.1; RFC 7323, 2.2");
    let meaning = "over addresses, header and data, end to end: what a router spoils is found here";
    header.bytes_at("checksum", 16..18, format!("0x{}", hex(segment.get(16..18)?)), meaning, rule);
    header.bytes_at(
        "urgent pointer",
        18..20,
        parsed.urgent().to_string(),
        "counts with URG only, which nobody should use any more",
        "RFC 6093, 5",
    );
    header.fields.extend(tcp_options(&parsed));
    Some(header)
}

/// A message of neighbour discovery: all of it.
fn ndp(bytes: &[u8]) -> Option<Header> {
    let parsed = Icmpv6::parse(bytes).ok()?;
    let (message, options) = NdpMessage::parse(&parsed).ok()?;
    let mut header = Header::new("ICMPv6, neighbour discovery", bytes);
    let rule = "RFC 4861, 4.3";
    let (kind, target) = match message {
        NdpMessage::NeighbourSolicitation { target } => ("135, neighbour solicitation", Some(target)),
        NdpMessage::NeighbourAdvertisement { target, .. } => ("136, neighbour advertisement", Some(target)),
        NdpMessage::RouterSolicitation => ("133, router solicitation", None),
        NdpMessage::RouterAdvertisement(_) => ("134, router advertisement", None),
        NdpMessage::Redirect { .. } => ("137, redirect", None),
    };
    header.bytes_at(
        "type",
        0..1,
        kind,
        "which message of ICMPv6 this is: a solicitation asks, an advertisement answers",
        "RFC 4861, 4",
    );
    header.bytes_at("code", 1..2, parsed.code().to_string(), "says more for some types; always 0 here", rule);
    let checksum = format!("0x{}", hex(bytes.get(2..4)?));
    header.bytes_at("checksum", 2..4, checksum, "over the addresses and the message", "RFC 4443, 2.3");
    if let NdpMessage::NeighbourAdvertisement { router, solicited, replace, .. } = message {
        let set: Vec<&str> =
            [(router, "R"), (solicited, "S"), (replace, "O")].iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        let meaning = "R: I am a router; S: this answers a question; O: forget what you knew before";
        header.bytes_at("flags", 4..8, set.join(","), meaning, "RFC 4861, 4.4");
    } else {
        header.bytes_at("reserved", 4..8, "0", "not in use", rule);
    }
    if let Some(target) = target {
        header.bytes_at("target", 8..24, target.to_string(), "the IPv6 address that it is about", rule);
        let mut at = 24;
        for option in options {
            let len = option.encoded_len();
            let (name, value, meaning) = match option {
                NdpOption::SourceLinkLayer(mac) => {
                    ("source link-layer", mac.to_string(), "an option: the link address of who asks, for the answer")
                }
                NdpOption::TargetLinkLayer(mac) => {
                    ("target link-layer", mac.to_string(), "an option: the link address that was asked for")
                }
                _ => ("option", hex(bytes.get(at..at + len).unwrap_or_default()), "another option"),
            };
            header.bytes_at(name, at..at + len, value, meaning, "RFC 4861, 4.6.1");
            at += len;
        }
    }
    Some(header)
}

/// Bytes in hexadecimal, nothing between them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A frame in a few words, if it carries no TCP.
pub fn summary(frame: &[u8]) -> String {
    let other = || "another frame".to_owned();
    let Ok(ethernet) = Ethernet::parse(frame) else { return other() };
    if ethernet.ethertype() == EtherType::ARP {
        return match Arp::parse(ethernet.payload()) {
            Ok(arp) if arp.operation == Operation::Request => format!("ARP: who has {}?", arp.target_ip),
            Ok(arp) => format!("ARP: {} is at {}", arp.sender_ip, arp.sender_mac),
            Err(_) => other(),
        };
    }
    let Some((number, bytes)) = transport_of(ethernet.payload()) else { return other() };
    let message = Icmpv6::parse(bytes).ok().filter(|_| number == protocol::ICMPV6);
    let message = message.as_ref().and_then(|message| Some((message.kind(), NdpMessage::parse(message).ok()?.0)));
    match message {
        Some((_, NdpMessage::NeighbourSolicitation { target })) => format!("NDP: who has {target}?"),
        Some((_, NdpMessage::NeighbourAdvertisement { target, .. })) => format!("NDP: {target} is here"),
        Some((icmpv6::kind::ROUTER_SOLICITATION, _)) => "NDP: is there a router?".to_owned(),
        _ => format!("protocol {}", protocol_name(number)),
    }
}
