//! Reads bytes as everything that they could be, and walks over all of every view.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ostia_wire::{
    Arp, Coalescer, Dhcp, Ethernet, Frame, Icmpv4, Icmpv4Message, Icmpv6, Icmpv6Message, IgmpMessage, Ipv4, Ipv6, Malformed,
    MldMessage, NdpMessage, NdpOption, OptionIter, Quote, Tcp, TcpOptions, Udp, Vlan, protocol, segment,
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: Ipv6Addr = Ipv6Addr::LOCALHOST;

/// How many packets each parser took and refused.
#[derive(Default)]
pub struct Walk {
    counts: BTreeMap<&'static str, (u64, u64)>,
}

impl Walk {
    /// Parser, packets taken, packets refused.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.counts.iter().map(|(parser, (accepted, refused))| (*parser, *accepted, *refused))
    }

    fn count<T>(&mut self, parser: &'static str, result: Result<T, Malformed>) -> Option<T> {
        let counts = self.counts.entry(parser).or_default();
        match result {
            Ok(view) => {
                counts.0 += 1;
                Some(view)
            }
            Err(error) => {
                counts.1 += 1;
                black_box(error.to_string());
                None
            }
        }
    }

    /// Reads the bytes as a packet of every kind.
    pub fn everything(&mut self, bytes: &[u8]) {
        self.link(bytes);
        self.network(bytes);
        self.transport(protocol::TCP, bytes);
        self.transport(protocol::UDP, bytes);
        self.transport(protocol::ICMP, bytes);
        self.transport(protocol::ICMPV6, bytes);
        self.transport(protocol::IGMP, bytes);
        self.dhcp(bytes);
        self.count("tcp options", TcpOptions::parse(bytes));
        self.frames(bytes);
    }

    fn link(&mut self, bytes: &[u8]) {
        if let Some(ethernet) = self.count("ethernet", Ethernet::parse(bytes)) {
            black_box((ethernet.source(), ethernet.destination(), ethernet.ethertype()));
            self.network(ethernet.payload());
        }
        if let Some(tag) = self.count("vlan", Vlan::parse(bytes)) {
            black_box((tag.identifier(), tag.priority(), tag.drop_eligible(), tag.ethertype(), tag.payload()));
        }
        self.count("arp", Arp::parse(bytes));
    }

    fn network(&mut self, bytes: &[u8]) {
        if let Some(packet) = self.count("ipv4", Ipv4::parse(bytes)) {
            assert!(packet.header_len() + packet.payload().len() == packet.total_len());
            black_box((packet.source(), packet.destination(), packet.ttl(), packet.dscp(), packet.ecn()));
            black_box((packet.identification(), packet.dont_fragment(), packet.more_fragments(), packet.fragment_offset()));
            black_box(packet.verify_checksum());
            assert!(packet.options().count() <= 40);
            for option in packet.options() {
                self.count("ipv4 option", option);
            }
            self.transport(packet.protocol(), packet.payload());
        }
        if let Some(packet) = self.count("ipv6", Ipv6::parse(bytes)) {
            assert_eq!(packet.as_bytes().len(), packet.total_len());
            black_box((packet.source(), packet.destination(), packet.hop_limit(), packet.flow_label(), packet.dscp()));
            if let Some(upper) = self.count("ipv6 extensions", packet.upper().map_err(Malformed::from)) {
                assert_eq!(packet.as_bytes().get(upper.offset..), Some(upper.payload));
                assert!(upper.named_at < upper.offset);
                if let Some(fragment) = upper.fragment {
                    assert!(fragment.data_at <= packet.total_len() && fragment.named_at < fragment.data_at);
                }
                self.transport(upper.protocol, upper.payload);
            }
        }
        self.quote(bytes);
    }

    fn quote(&mut self, bytes: &[u8]) {
        let six = Quote::v6_fragment(bytes).map(|(quote, _)| quote);
        for (parser, quote) in [("quoted ipv4", Quote::v4(bytes)), ("quoted ipv6", six)] {
            if let Some(quote) = self.count(parser, quote) {
                black_box((quote.ports(), quote.sequence(), quote.echo()));
            }
        }
    }

    fn transport(&mut self, protocol: u8, bytes: &[u8]) {
        match protocol {
            protocol::TCP => self.tcp(bytes),
            protocol::UDP => {
                if let Some(udp) = self.count("udp", Udp::parse(bytes)) {
                    black_box((udp.source_port(), udp.destination_port(), udp.verify_checksum(V4, V4)));
                    self.dhcp(udp.payload());
                }
            }
            protocol::ICMP => self.icmpv4(bytes),
            protocol::ICMPV6 => self.icmpv6(bytes),
            protocol::IGMP => {
                if let Some(IgmpMessage::ReportV3(records)) = self.count("igmp", IgmpMessage::parse(bytes)) {
                    records.for_each(|record| assert!(record.sources.len() * 4 < bytes.len()));
                }
            }
            _ => {}
        }
    }

    fn tcp(&mut self, bytes: &[u8]) {
        let Some(tcp) = self.count("tcp", Tcp::parse(bytes)) else { return };
        assert_eq!(tcp.header_len() + tcp.payload().len(), bytes.len());
        black_box((tcp.source_port(), tcp.destination_port(), tcp.sequence(), tcp.acknowledgment(), tcp.window(), tcp.urgent()));
        black_box((tcp.flags().to_string(), tcp.verify_checksum(V4, V4)));
        assert!(tcp.options().count() <= 40);
        let whole: Result<Vec<_>, _> = OptionIter::new(tcp.option_bytes()).collect();
        let options = self.count("tcp options", TcpOptions::parse(tcp.option_bytes()));
        assert_eq!(whole.is_ok(), options.is_some());
    }

    fn icmpv4(&mut self, bytes: &[u8]) {
        let Some(icmp) = self.count("icmpv4", Icmpv4::parse(bytes)) else { return };
        black_box((icmp.verify_checksum(), icmp.is_error()));
        if let Icmpv4Message::Unreachable { quoted, .. } | Icmpv4Message::TimeExceeded { quoted, .. } = icmp.message() {
            self.quote(quoted);
        }
    }

    fn icmpv6(&mut self, bytes: &[u8]) {
        let Some(icmp) = self.count("icmpv6", Icmpv6::parse(bytes)) else { return };
        black_box((icmp.verify_checksum(V6, V6), icmp.is_error()));
        if let Icmpv6Message::Unreachable { quoted, .. } | Icmpv6Message::PacketTooBig { quoted, .. } = icmp.message() {
            self.quote(quoted);
        }
        if let Some((message, options)) = self.count("ndp", NdpMessage::parse(&icmp)) {
            black_box(message);
            for option in options {
                assert!(option.encoded_len() <= bytes.len() + 8);
                if let NdpOption::Rdnss { servers, .. } = option {
                    black_box(servers.iter().count());
                }
            }
        }
        if let Some(MldMessage::ReportV2(records)) = self.count("mld", MldMessage::parse(&icmp)) {
            records.for_each(|record| assert!(record.sources.len() * 16 < bytes.len()));
        }
    }

    fn dhcp(&mut self, bytes: &[u8]) {
        let Some(dhcp) = self.count("dhcp", Dhcp::parse(bytes)) else { return };
        assert!(dhcp.options().count() <= bytes.len());
        for code in 0..=255 {
            black_box(dhcp.option(code));
        }
        black_box((dhcp.message_type(), dhcp.routers(), dhcp.dns_servers(), dhcp.lease_time(), dhcp.interface_mtu()));
        self.count("dhcp routes", dhcp.classless_routes());
    }

    /// What acts on frames takes any bytes, too.
    fn frames(&mut self, bytes: &[u8]) {
        let mut frame = Frame::from_slice(bytes);
        frame.meta.gso_size = 1 + bytes.first().map_or(0, |first| u16::from(*first) * 4);
        let mut total = 0;
        self.count("segment", segment(&frame, &mut |part| total += part.len()));
        black_box(total);
        frame.meta.gso_size = 0;
        let mut frames = vec![frame.clone(), frame];
        Coalescer::default().coalesce(&mut frames);
        assert_eq!(frames.iter().map(Frame::len).sum::<usize>(), bytes.len() * 2, "a packet never continues itself");
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts()
            .try_for_each(|(parser, accepted, refused)| writeln!(f, "{parser:>16}: {accepted:>9} taken {refused:>9} refused"))
    }
}
