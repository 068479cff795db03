//! The views of smoltcp over the same bytes.

use ostia_wire::{Arp, Flags, Icmpv4, Icmpv6, Ipv4, Ipv6, Tcp, TcpOptions, Udp, arp};
use proptest::prelude::*;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, Icmpv4Packet, Icmpv6Packet, IpAddress, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket,
    UdpPacket,
};

use crate::bytes;

proptest! {
    #[test]
    fn ipv4_packets_are_read_alike(bytes in bytes::ipv4()) {
        let theirs = Ipv4Packet::new_checked(&bytes[..]).ok().filter(|packet| packet.version() == 4);
        let ours = Ipv4::parse(&bytes).ok();
        prop_assert_eq!(ours.is_some(), theirs.is_some());
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            prop_assert_eq!((ours.source(), ours.destination()), (theirs.src_addr(), theirs.dst_addr()));
            prop_assert_eq!((ours.header_len(), ours.payload()), (usize::from(theirs.header_len()), theirs.payload()));
            prop_assert_eq!((ours.dont_fragment(), ours.more_fragments()), (theirs.dont_frag(), theirs.more_frags()));
            prop_assert_eq!(ours.fragment_offset(), usize::from(theirs.frag_offset()));
            prop_assert_eq!((ours.identification(), ours.ttl()), (theirs.ident(), theirs.hop_limit()));
            prop_assert_eq!((ours.dscp(), ours.ecn()), (theirs.dscp(), theirs.ecn()));
            prop_assert_eq!(ours.verify_checksum(), theirs.verify_checksum());
        }
    }

    #[test]
    fn ipv6_packets_are_read_alike(mut bytes in proptest::collection::vec(any::<u8>(), 30..60), len in 0u16..24) {
        bytes[0] = 0x60 | bytes[0] & 0xf;
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        let (ours, theirs) = (Ipv6::parse(&bytes), Ipv6Packet::new_checked(&bytes[..]));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!((ours.source(), ours.destination()), (theirs.src_addr(), theirs.dst_addr()));
            prop_assert_eq!((ours.traffic_class(), ours.flow_label()), (theirs.traffic_class(), theirs.flow_label()));
            prop_assert_eq!((ours.hop_limit(), ours.payload()), (theirs.hop_limit(), theirs.payload()));
            prop_assert_eq!(ours.next_header(), u8::from(theirs.next_header()));
        }
    }

    #[test]
    fn tcp_segments_are_read_alike(bytes in bytes::tcp(), a: [u8; 4], b: [u8; 4]) {
        let (ours, theirs) = (Tcp::parse(&bytes), TcpPacket::new_checked(&bytes[..]));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return Ok(()) };
        prop_assert_eq!((ours.source_port(), ours.destination_port()), (theirs.src_port(), theirs.dst_port()));
        prop_assert_eq!((ours.sequence(), ours.acknowledgment()), (theirs.seq_number().0 as u32, theirs.ack_number().0 as u32));
        prop_assert_eq!((ours.window(), ours.urgent(), ours.payload()), (theirs.window_len(), theirs.urgent_at(), theirs.payload()));
        for (flag, theirs) in [
            (Flags::FIN, theirs.fin()), (Flags::SYN, theirs.syn()), (Flags::RST, theirs.rst()), (Flags::PSH, theirs.psh()),
            (Flags::ACK, theirs.ack()), (Flags::URG, theirs.urg()), (Flags::ECE, theirs.ece()), (Flags::CWR, theirs.cwr()),
            (Flags::AE, theirs.ns()),
        ] {
            prop_assert_eq!(ours.flags().contains(flag), theirs, "{}", flag);
        }
        let mut right = bytes.clone();
        TcpPacket::new_unchecked(&mut right[..]).fill_checksum(&IpAddress::from(std::net::IpAddr::from(a)), &std::net::IpAddr::from(b).into());
        prop_assert!(Tcp::parse(&right).unwrap().verify_checksum(a.into(), b.into()));
    }

    #[test]
    fn tcp_options_are_read_alike(bytes in bytes::tcp()) {
        let Ok(segment) = Tcp::parse(&bytes) else { return Ok(()) };
        let mut rest = segment.option_bytes();
        let mut theirs = TcpOptions::default();
        let mut blocks = 0;
        while !rest.is_empty() {
            // They refuse known options of a wrong length, which we pass over.
            let Ok((behind, option)) = TcpOption::parse(rest) else { return Ok(()) };
            match option {
                TcpOption::EndOfList => break,
                TcpOption::NoOperation => {}
                TcpOption::MaxSegmentSize(mss) => theirs.mss = Some(mss),
                TcpOption::WindowScale(shift) => theirs.window_scale = Some(shift),
                TcpOption::SackPermitted => theirs.sack_permitted = true,
                TcpOption::SackRange(ranges) => {
                    blocks = (usize::from(rest[1]) - 2) / 8;
                    theirs.sack = ranges.into_iter().flatten().collect();
                }
                TcpOption::TimeStamp { tsval, tsecr } => theirs.timestamps = Some(ostia_wire::Timestamps { value: tsval, echo: tsecr }),
                TcpOption::Unknown { .. } => {}
            }
            rest = behind;
        }
        let ours = TcpOptions::parse(segment.option_bytes()).unwrap();
        // They keep three blocks.
        prop_assert_eq!(ours.sack.len(), blocks.min(4));
        prop_assert_eq!(&ours.sack[..blocks.min(3)], &theirs.sack[..]);
        let unknown_to_them = TcpOptions { sack: theirs.sack, md5: ours.md5, ao: ours.ao, mptcp: ours.mptcp, ..theirs };
        let unknown_to_them = TcpOptions { fast_open: ours.fast_open, user_timeout: ours.user_timeout, ..unknown_to_them };
        prop_assert_eq!(TcpOptions { sack: theirs.sack, ..ours }, unknown_to_them);
    }

    #[test]
    fn udp_datagrams_are_read_alike(bytes in bytes::udp(), a: [u8; 16], b: [u8; 16]) {
        let (ours, theirs) = (Udp::parse(&bytes), UdpPacket::new_checked(&bytes[..]));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return Ok(()) };
        prop_assert_eq!((ours.source_port(), ours.destination_port()), (theirs.src_port(), theirs.dst_port()));
        prop_assert_eq!((ours.payload(), ours.checksum()), (theirs.payload(), theirs.checksum()));
        let mut right = bytes.clone();
        UdpPacket::new_unchecked(&mut right[..]).fill_checksum(&std::net::IpAddr::from(a).into(), &std::net::IpAddr::from(b).into());
        prop_assert!(Udp::parse(&right).unwrap().verify_checksum(a.into(), b.into()));
    }

    #[test]
    fn arp_packets_are_read_alike(mut bytes in proptest::collection::vec(any::<u8>(), 20..40), right in 0u8..4) {
        if right > 0 {
            bytes::set(&mut bytes, 0, &[0, 1, 8, 0, 6, 4, 0, right]);
        }
        let theirs = ArpPacket::new_checked(&bytes[..]).and_then(|packet| ArpRepr::parse(&packet)).ok();
        let ours = Arp::parse(&bytes).ok();
        match theirs {
            Some(ArpRepr::EthernetIpv4 { operation: ArpOperation::Unknown(_), .. }) | None => prop_assert_eq!(ours, None),
            Some(ArpRepr::EthernetIpv4 { operation, source_hardware_addr, source_protocol_addr, target_hardware_addr, target_protocol_addr }) => {
                let operation = if operation == ArpOperation::Request { arp::Operation::Request } else { arp::Operation::Reply };
                prop_assert_eq!(ours, Some(Arp {
                    operation,
                    sender_mac: ostia_wire::MacAddr(source_hardware_addr.0),
                    sender_ip: source_protocol_addr,
                    target_mac: ostia_wire::MacAddr(target_hardware_addr.0),
                    target_ip: target_protocol_addr,
                }));
            }
            Some(_) => prop_assert!(false, "smoltcp knows no other hardware"),
        }
    }

    #[test]
    fn checksums_of_icmp_are_alike(bytes in proptest::collection::vec(any::<u8>(), 8..80), a: [u8; 16], b: [u8; 16]) {
        let mut right = bytes.clone();
        Icmpv4Packet::new_unchecked(&mut right[..]).fill_checksum();
        prop_assert!(Icmpv4::parse(&right).unwrap().verify_checksum());
        let mut right = bytes;
        Icmpv6Packet::new_unchecked(&mut right[..]).fill_checksum(&a.into(), &b.into());
        prop_assert!(Icmpv6::parse(&right).unwrap().verify_checksum(a.into(), b.into()));
    }
}
