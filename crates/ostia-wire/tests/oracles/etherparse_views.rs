//! The views of etherparse over the same bytes, and packets built by it.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, Ipv6Slice, PacketBuilder, TcpOptionElement, TcpSlice, UdpSlice};
use ostia_wire::{EtherType, Ethernet, Flags, Icmpv4, Icmpv6, Ipv4, Ipv6, OptionIter, Tcp, TcpOption, Udp, Vlan, protocol};
use proptest::prelude::*;

use crate::bytes;

proptest! {
    #[test]
    fn ipv4_headers_are_read_alike(bytes in bytes::ipv4()) {
        let theirs = Ipv4HeaderSlice::from_slice(&bytes);
        match (Ipv4::parse(&bytes), &theirs) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!((ours.source(), ours.destination()), (theirs.source_addr(), theirs.destination_addr()));
                prop_assert_eq!((ours.protocol(), ours.ttl()), (theirs.protocol().0, theirs.ttl()));
                prop_assert_eq!((ours.dscp(), ours.ecn()), (theirs.dcp().value(), theirs.ecn().value()));
                prop_assert_eq!(ours.identification(), theirs.identification());
                prop_assert_eq!(ours.dont_fragment(), theirs.dont_fragment());
                prop_assert_eq!(ours.more_fragments(), theirs.more_fragments());
                prop_assert_eq!(ours.fragment_offset(), usize::from(theirs.fragments_offset().value()) * 8);
                prop_assert_eq!(ours.is_fragment(), theirs.is_fragmenting_payload());
                prop_assert_eq!((ours.total_len(), ours.option_bytes()), (usize::from(theirs.total_len()), theirs.options()));
                prop_assert_eq!(ours.header_len(), theirs.slice().len());
                prop_assert_eq!(ours.verify_checksum(), theirs.header_checksum() == theirs.to_header().calc_header_checksum() || sums_to_zero(theirs));
            }
            (Err(_), Ok(theirs)) => {
                // They look at the header only.
                let total_len = usize::from(theirs.total_len());
                prop_assert!(total_len < theirs.slice().len() || total_len > bytes.len());
            }
            (Ok(_), Err(error)) => prop_assert!(false, "refused by etherparse: {}", error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn ipv6_headers_are_read_alike(mut bytes in proptest::collection::vec(any::<u8>(), 30..60), len in 0u16..24, right in 0..9) {
        if right > 0 {
            bytes[0] = 0x60 | bytes[0] & 0xf;
        }
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        match (Ipv6::parse(&bytes), Ipv6HeaderSlice::from_slice(&bytes)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!((ours.source(), ours.destination()), (theirs.source_addr(), theirs.destination_addr()));
                prop_assert_eq!((ours.next_header(), ours.hop_limit()), (theirs.next_header().0, theirs.hop_limit()));
                prop_assert_eq!((ours.traffic_class(), ours.flow_label()), (theirs.traffic_class(), theirs.flow_label().value()));
                prop_assert_eq!((ours.dscp(), ours.ecn()), (theirs.dscp().value(), theirs.ecn().value()));
                prop_assert_eq!(ours.payload_len(), usize::from(theirs.payload_length()));
            }
            (Err(_), Ok(theirs)) => prop_assert!(40 + usize::from(theirs.payload_length()) > bytes.len()),
            (Ok(_), Err(error)) => prop_assert!(false, "refused by etherparse: {}", error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn chains_of_extension_headers_end_alike(
        hop_by_hop: bool, routing: bool, fragment: Option<(u16, bool, u32)>, options in 0usize..3, payload in proptest::collection::vec(any::<u8>(), 0..6)
    ) {
        // In the order that RFC 8200, 4.1 recommends, which etherparse insists on.
        let mut kinds = Vec::new();
        kinds.extend(hop_by_hop.then_some(protocol::HOP_BY_HOP));
        kinds.extend((options > 0).then_some(protocol::DESTINATION_OPTIONS));
        kinds.extend(routing.then_some(protocol::ROUTING));
        kinds.extend(fragment.map(|_| protocol::FRAGMENT));
        kinds.extend((options > 1 && routing).then_some(protocol::DESTINATION_OPTIONS));
        let mut rest = Vec::new();
        for (index, kind) in kinds.iter().enumerate() {
            let next = kinds.get(index + 1).copied().unwrap_or(protocol::UDP);
            match (*kind, fragment) {
                (protocol::FRAGMENT, Some((offset, more, identification))) => {
                    let mut header = [0; 8];
                    ostia_wire::ipv6_extensions::emit_fragment(&mut header, next, offset & 0x1ff8, more, identification);
                    rest.extend(header);
                }
                (protocol::ROUTING, _) => rest.extend([next, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                _ => rest.extend([next, 0, 1, 4, 0, 0, 0, 0]),
            }
        }
        rest.extend(payload.repeat(8));
        let bytes = bytes::ipv6(kinds.first().copied().unwrap_or(protocol::UDP), &rest);
        let theirs = Ipv6Slice::from_slice(&bytes).unwrap();
        let packet = Ipv6::parse(&bytes).unwrap();
        match packet.upper() {
            Ok(ours) => {
                let is_later = ours.fragment.is_some_and(|fragment| fragment.offset > 0);
                if !is_later {
                    prop_assert_eq!((ours.protocol, ours.payload), (theirs.payload().ip_number.0, theirs.payload().payload));
                }
                prop_assert_eq!(ours.fragment.is_some_and(|fragment| !fragment.is_whole()), theirs.is_payload_fragmented());
            }
            // RFC 7112: they don't ask for the header of UDP in the first fragment.
            Err(problem) => prop_assert!(theirs.is_payload_fragmented() && payload.is_empty(), "{:?}", problem),
        }
    }

    #[test]
    fn tcp_segments_are_read_alike(bytes in bytes::tcp(), a: [u8; 4], b: [u8; 4], a6: [u8; 16], b6: [u8; 16]) {
        match (Tcp::parse(&bytes), TcpSlice::from_slice(&bytes)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!((ours.source_port(), ours.destination_port()), (theirs.source_port(), theirs.destination_port()));
                prop_assert_eq!((ours.sequence(), ours.acknowledgment()), (theirs.sequence_number(), theirs.acknowledgment_number()));
                prop_assert_eq!((ours.window(), ours.urgent()), (theirs.window_size(), theirs.urgent_pointer()));
                prop_assert_eq!((ours.option_bytes(), ours.payload()), (theirs.options(), theirs.payload()));
                for (flag, theirs) in [
                    (Flags::FIN, theirs.fin()), (Flags::SYN, theirs.syn()), (Flags::RST, theirs.rst()), (Flags::PSH, theirs.psh()),
                    (Flags::ACK, theirs.ack()), (Flags::URG, theirs.urg()), (Flags::ECE, theirs.ece()), (Flags::CWR, theirs.cwr()),
                    (Flags::AE, theirs.ns()),
                ] {
                    prop_assert_eq!(ours.flags().contains(flag), theirs, "{}", flag);
                }
                let mut right = bytes.clone();
                right[16..18].copy_from_slice(&theirs.calc_checksum_ipv4(a, b).unwrap().to_be_bytes());
                prop_assert!(Tcp::parse(&right).unwrap().verify_checksum(a.into(), b.into()));
                right[16..18].copy_from_slice(&theirs.calc_checksum_ipv6(a6, b6).unwrap().to_be_bytes());
                prop_assert!(Tcp::parse(&right).unwrap().verify_checksum(a6.into(), b6.into()));
                right[0] ^= 0x20;
                prop_assert!(!Tcp::parse(&right).unwrap().verify_checksum(a6.into(), b6.into()));
            }
            (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok()),
        }
    }

    #[test]
    fn tcp_options_are_read_alike(bytes in bytes::tcp()) {
        let Ok(segment) = TcpSlice::from_slice(&bytes) else { return Ok(()) };
        let mut ours = OptionIter::new(segment.options());
        for theirs in segment.options_iterator().filter(|option| !matches!(option, Ok(TcpOptionElement::Noop))) {
            // They end at what they don't know.
            let Ok(theirs) = theirs else { break };
            let ours = ours.next().unwrap().unwrap();
            match (theirs, ours) {
                (TcpOptionElement::MaximumSegmentSize(theirs), TcpOption::MaximumSegmentSize(ours)) => prop_assert_eq!(ours, theirs),
                (TcpOptionElement::WindowScale(theirs), TcpOption::WindowScale(ours)) => prop_assert_eq!(ours, theirs),
                (TcpOptionElement::SelectiveAcknowledgementPermitted, TcpOption::SackPermitted) => {}
                (TcpOptionElement::SelectiveAcknowledgement(first, more), TcpOption::Sack(ours)) => {
                    let theirs: Vec<_> = std::iter::once(first).chain(more.into_iter().flatten()).collect();
                    prop_assert_eq!(ours.as_slice(), &theirs[..]);
                }
                (TcpOptionElement::Timestamp(value, echo), TcpOption::Timestamps(ours)) => prop_assert_eq!((ours.value, ours.echo), (value, echo)),
                (theirs, ours) => prop_assert!(false, "{:?} is {:?} to etherparse", ours, theirs),
            }
        }
    }

    #[test]
    fn udp_datagrams_are_read_alike(bytes in bytes::udp()) {
        match (Udp::parse(&bytes), UdpSlice::from_slice(&bytes)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!((ours.source_port(), ours.destination_port()), (theirs.source_port(), theirs.destination_port()));
                prop_assert_eq!((ours.payload(), ours.checksum()), (theirs.payload(), theirs.checksum()));
            }
            // A length of 0 is one of a jumbogram to them.
            (Err(_), Ok(theirs)) => prop_assert_eq!(theirs.length(), 0),
            (Ok(_), Err(error)) => prop_assert!(false, "refused by etherparse: {}", error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn packets_that_etherparse_builds_are_right(ports: (u16, u16), numbers: (u32, u16), vlan in 0u16..4096, payload in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..5) {
        let vlan_id = etherparse::VlanId::try_new(vlan).unwrap();
        let start = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).single_vlan(vlan_id);
        let mut bytes = Vec::new();
        let (a, b, a6, b6) = ([192, 0, 2, 1], [192, 0, 2, 2], [0x20; 16], [0x30; 16]);
        match kind {
            0 => start.ipv4(a, b, 9).tcp(ports.0, ports.1, numbers.0, numbers.1).syn().options(&[
                TcpOptionElement::MaximumSegmentSize(numbers.1), TcpOptionElement::Timestamp(numbers.0, 7),
            ]).unwrap().write(&mut bytes, &payload).unwrap(),
            1 => start.ipv6(a6, b6, 9).tcp(ports.0, ports.1, numbers.0, numbers.1).write(&mut bytes, &payload).unwrap(),
            2 => start.ipv4(a, b, 9).udp(ports.0, ports.1).write(&mut bytes, &payload).unwrap(),
            3 => start.ipv6(a6, b6, 9).icmpv6_echo_request(ports.0, ports.1).write(&mut bytes, &payload).unwrap(),
            _ => start.ipv4(a, b, 9).icmpv4_echo_reply(ports.0, ports.1).write(&mut bytes, &payload).unwrap(),
        }
        let ethernet = Ethernet::parse(&bytes).unwrap();
        prop_assert_eq!(ethernet.ethertype(), EtherType::VLAN);
        let tag = Vlan::parse(ethernet.payload()).unwrap();
        prop_assert_eq!(tag.identifier(), vlan);
        let (source, destination, transport) = if tag.ethertype() == EtherType::IPV4 {
            let packet = Ipv4::parse(tag.payload()).unwrap();
            prop_assert!(packet.verify_checksum());
            (packet.source().into(), packet.destination().into(), packet.payload())
        } else {
            let packet = Ipv6::parse(tag.payload()).unwrap();
            (packet.source().into(), packet.destination().into(), packet.upper().unwrap().payload)
        };
        match kind {
            0 | 1 => {
                let tcp = Tcp::parse(transport).unwrap();
                prop_assert!(tcp.verify_checksum(source, destination));
                prop_assert_eq!((tcp.source_port(), tcp.sequence(), tcp.window(), tcp.payload()), (ports.0, numbers.0, numbers.1, &payload[..]));
            }
            2 => prop_assert!(Udp::parse(transport).unwrap().verify_checksum(source, destination)),
            3 => prop_assert!(Icmpv6::parse(transport).unwrap().verify_checksum(a6.into(), b6.into())),
            _ => prop_assert!(Icmpv4::parse(transport).unwrap().verify_checksum()),
        }
    }
}

/// Both forms of zero are right: etherparse computes one of them.
fn sums_to_zero(header: &Ipv4HeaderSlice<'_>) -> bool {
    let mut total = 0u32;
    for pair in header.slice().chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(pair[1]);
    }
    while total >> 16 > 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total == 0xffff
}
