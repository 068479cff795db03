//! Messages that smoltcp writes, read here, and messages written here, read by smoltcp.

use std::net::{Ipv4Addr, Ipv6Addr};

use ostia_wire::{
    Dhcp, DhcpEmit, DhcpOption, Icmpv4, Icmpv4Emit, Icmpv4Message, Icmpv6, Icmpv6Message, IgmpEmit, IgmpMessage, IgmpQuery,
    MacAddr, MessageType, MldEmit, MldMessage, MldQuery, MldRecord, NdpMessage, NdpOption, PrefixInformation, Quote, RecordMode,
    RouterAdvertisement,
};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IgmpPacket,
    IgmpRepr, IgmpVersion, IpProtocol, Ipv6Repr, MldAddressRecord, MldRepr, NdiscNeighborFlags, NdiscPrefixInfoFlags,
    NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags,
};

/// What smoltcp writes.
fn by_smoltcp(repr: &Icmpv6Repr<'_>, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&source, &destination, &mut Icmpv6Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    bytes
}

/// What smoltcp reads in what is written here.
fn to_smoltcp(bytes: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Icmpv6Repr<'_> {
    let packet = Icmpv6Packet::new_checked(bytes).unwrap();
    Icmpv6Repr::parse(&source, &destination, &packet, &ChecksumCapabilities::default()).unwrap()
}

fn ndp(message: NdpMessage, options: &[NdpOption<'_>], source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![0xff; message.encoded_len(options)];
    message.emit(options, source, destination, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn router_advertisements_mean_the_same(
        a: [u8; 16], b: [u8; 16], hop_limit: u8, managed: bool, other: bool, lifetime: u16, times: (u32, u32),
        mac in proptest::option::of(any::<[u8; 6]>()), mtu: Option<u32>, prefix_bits in 0u8..=128, on_link: bool, autonomous: bool, has_prefix: bool,
    ) {
        let (a, b) = (Ipv6Addr::from(a), Ipv6Addr::from(b));
        let router = RouterAdvertisement {
            hop_limit, managed, other, lifetime, reachable_time: times.0, retransmit_timer: times.1, ..RouterAdvertisement::default()
        };
        let prefix = PrefixInformation {
            prefix_len: prefix_bits, on_link, autonomous, valid_lifetime: times.1, preferred_lifetime: times.0, prefix: b,
        };
        // In the order in which smoltcp writes them.
        let mut options = Vec::new();
        options.extend(mac.map(|mac| NdpOption::SourceLinkLayer(MacAddr(mac))));
        options.extend(mtu.map(NdpOption::Mtu));
        options.extend(has_prefix.then_some(NdpOption::PrefixInformation(prefix)));
        let ours = ndp(NdpMessage::RouterAdvertisement(router), &options, a, b);
        let mut flags = NdiscRouterFlags::empty();
        flags.set(NdiscRouterFlags::MANAGED, managed);
        flags.set(NdiscRouterFlags::OTHER, other);
        let mut prefix_flags = NdiscPrefixInfoFlags::empty();
        prefix_flags.set(NdiscPrefixInfoFlags::ON_LINK, on_link);
        prefix_flags.set(NdiscPrefixInfoFlags::ADDRCONF, autonomous);
        let theirs = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            hop_limit,
            flags,
            router_lifetime: Duration::from_secs(u64::from(lifetime)),
            reachable_time: Duration::from_millis(u64::from(times.0)),
            retrans_time: Duration::from_millis(u64::from(times.1)),
            lladdr: mac.map(|mac| EthernetAddress(mac).into()),
            mtu,
            prefix_info: has_prefix.then_some(NdiscPrefixInformation {
                prefix_len: prefix_bits,
                flags: prefix_flags,
                valid_lifetime: Duration::from_secs(u64::from(times.1)),
                preferred_lifetime: Duration::from_secs(u64::from(times.0)),
                prefix: b,
            }),
        });
        prop_assert_eq!(to_smoltcp(&ours, a, b), theirs);
        let theirs = by_smoltcp(&theirs, a, b);
        let icmp = Icmpv6::parse(&theirs).unwrap();
        prop_assert!(icmp.verify_checksum(a, b));
        let (message, read) = NdpMessage::parse(&icmp).unwrap();
        prop_assert_eq!((message, read.collect::<Vec<_>>()), (NdpMessage::RouterAdvertisement(router), options));
    }

    #[test]
    fn neighbour_messages_mean_the_same(a: [u8; 16], b: [u8; 16], target: [u8; 16], mac: [u8; 6], bits in 0u8..8) {
        let (a, b, target) = (Ipv6Addr::from(a), Ipv6Addr::from(b), Ipv6Addr::from(target));
        let (router, solicited, replace) = (bits & 4 != 0, bits & 2 != 0, bits & 1 != 0);
        let lladdr = Some(EthernetAddress(mac).into());
        let mut flags = NdiscNeighborFlags::empty();
        flags.set(NdiscNeighborFlags::ROUTER, router);
        flags.set(NdiscNeighborFlags::SOLICITED, solicited);
        flags.set(NdiscNeighborFlags::OVERRIDE, replace);
        for (ours, option, theirs) in [
            (NdpMessage::RouterSolicitation, NdpOption::SourceLinkLayer(MacAddr(mac)), NdiscRepr::RouterSolicit { lladdr }),
            (
                NdpMessage::NeighbourSolicitation { target },
                NdpOption::SourceLinkLayer(MacAddr(mac)),
                NdiscRepr::NeighborSolicit { target_addr: target, lladdr },
            ),
            (
                NdpMessage::NeighbourAdvertisement { router, solicited, replace, target },
                NdpOption::TargetLinkLayer(MacAddr(mac)),
                NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr },
            ),
        ] {
            let theirs = Icmpv6Repr::Ndisc(theirs);
            let written = ndp(ours, &[option], a, b);
            prop_assert_eq!(to_smoltcp(&written, a, b), theirs);
            prop_assert_eq!(by_smoltcp(&theirs, a, b), written);
        }
    }

    #[test]
    fn redirects_mean_the_same(a: [u8; 16], b: [u8; 16], target: [u8; 16], mac: [u8; 6], data in proptest::collection::vec(any::<u8>(), 8..40)) {
        let (a, b, target) = (Ipv6Addr::from(a), Ipv6Addr::from(b), Ipv6Addr::from(target));
        let data = &data[..data.len() / 8 * 8];
        let header = Ipv6Repr { src_addr: b, dst_addr: a, next_header: IpProtocol::Udp, payload_len: data.len(), hop_limit: 3 };
        let theirs = Icmpv6Repr::Ndisc(NdiscRepr::Redirect {
            target_addr: target,
            dest_addr: b,
            lladdr: Some(EthernetAddress(mac).into()),
            redirected_hdr: Some(smoltcp::wire::NdiscRedirectedHeader { header, data }),
        });
        let bytes = by_smoltcp(&theirs, a, b);
        let (message, options) = NdpMessage::parse(&Icmpv6::parse(&bytes).unwrap()).unwrap();
        prop_assert_eq!(message, NdpMessage::Redirect { target, destination: b });
        let options: Vec<_> = options.collect();
        let NdpOption::RedirectedHeader(packet) = options[1] else { panic!("{options:?}") };
        prop_assert_eq!((options[0], &packet[40..]), (NdpOption::TargetLinkLayer(MacAddr(mac)), data));
        let ours = ndp(message, &options, a, b);
        prop_assert_eq!(to_smoltcp(&ours, a, b), theirs);
    }

    #[test]
    fn errors_quote_the_same_packet(a: [u8; 16], b: [u8; 16], mtu: u32, pointer: u32, ports: (u16, u16), sequence: u32) {
        let (a, b) = (Ipv6Addr::from(a), Ipv6Addr::from(b));
        let mut data = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
        data.extend(sequence.to_be_bytes());
        let header = Ipv6Repr { src_addr: b, dst_addr: a, next_header: IpProtocol::Tcp, payload_len: 1400, hop_limit: 3 };
        let data = &data[..];
        for theirs in [
            Icmpv6Repr::PktTooBig { mtu, header, data },
            Icmpv6Repr::DstUnreachable { reason: smoltcp::wire::Icmpv6DstUnreachable::PortUnreachable, header, data },
            Icmpv6Repr::TimeExceeded { reason: smoltcp::wire::Icmpv6TimeExceeded::HopLimitExceeded, header, data },
            Icmpv6Repr::ParamProblem { reason: smoltcp::wire::Icmpv6ParamProblem::UnrecognizedOption, pointer, header, data },
        ] {
            let bytes = by_smoltcp(&theirs, a, b);
            let icmp = Icmpv6::parse(&bytes).unwrap();
            prop_assert!(icmp.is_error() && icmp.verify_checksum(a, b));
            let quoted = match icmp.message() {
                Icmpv6Message::PacketTooBig { mtu: read, quoted } => { prop_assert_eq!(read, mtu); quoted }
                Icmpv6Message::Unreachable { code: 4, quoted } | Icmpv6Message::TimeExceeded { code: 0, quoted } => quoted,
                Icmpv6Message::ParameterProblem { code: 2, pointer: read, quoted } => { prop_assert_eq!(read, pointer); quoted }
                other => panic!("{other:?}"),
            };
            let quote = Quote::v6(quoted).unwrap();
            prop_assert_eq!((quote.source, quote.destination), (b.into(), a.into()));
            prop_assert_eq!((quote.ports(), quote.sequence()), (Some(ports), Some(sequence)));
        }
    }

    #[test]
    fn echoes_mean_the_same(identifier: u16, sequence: u16, data in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut ours = [&[0; 8][..], &data].concat();
        Icmpv4Emit::echo_request(identifier, sequence).emit(&mut ours);
        let theirs = Icmpv4Repr::EchoRequest { ident: identifier, seq_no: sequence, data: &data };
        let packet = Icmpv4Packet::new_checked(&ours[..]).unwrap();
        prop_assert_eq!(Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default()).unwrap(), theirs);
        let mut bytes = vec![0; theirs.buffer_len()];
        theirs.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
        let icmp = Icmpv4::parse(&bytes).unwrap();
        prop_assert!(icmp.verify_checksum());
        prop_assert_eq!(icmp.message(), Icmpv4Message::EchoRequest { identifier, sequence, data: &data });
    }

    #[test]
    fn group_messages_of_version_2_mean_the_same(low: u32, tenths in 1u8..=255) {
        let group = Ipv4Addr::from_bits(0xe000_0000 | low >> 4);
        let query = IgmpQuery {
            version: 2, max_response: u32::from(tenths) * 100, group, suppress: false, robustness: 0, interval: 0, sources: &[],
        };
        for ours in [IgmpEmit::Query(query), IgmpEmit::ReportV1(group), IgmpEmit::ReportV2(group), IgmpEmit::Leave(group)] {
            let mut bytes = vec![0; ours.encoded_len()];
            ours.emit(&mut bytes);
            let packet = IgmpPacket::new_checked(&bytes[..]).unwrap();
            prop_assert!(packet.verify_checksum());
            let theirs = IgmpRepr::parse(&packet).unwrap();
            match (ours, theirs.clone()) {
                (IgmpEmit::Query(_), IgmpRepr::MembershipQuery { group_addr, version: IgmpVersion::Version2, max_resp_time }) => {
                    prop_assert_eq!(group_addr, group);
                    // They read the floating point of version 3 in version 2, too.
                    if tenths < 128 {
                        prop_assert_eq!(max_resp_time, Duration::from_millis(u64::from(tenths) * 100));
                    }
                }
                (IgmpEmit::ReportV1(_), IgmpRepr::MembershipReport { group_addr, version: IgmpVersion::Version1 })
                | (IgmpEmit::ReportV2(_), IgmpRepr::MembershipReport { group_addr, version: IgmpVersion::Version2 })
                | (IgmpEmit::Leave(_), IgmpRepr::LeaveGroup { group_addr }) => prop_assert_eq!(group_addr, group),
                other => panic!("{other:?}"),
            }
            if let IgmpRepr::MembershipReport { .. } | IgmpRepr::LeaveGroup { .. } = theirs {
                let mut again = vec![0; theirs.buffer_len()];
                theirs.emit(&mut IgmpPacket::new_unchecked(&mut again[..]));
                prop_assert_eq!(&again, &bytes);
                prop_assert!(!matches!(IgmpMessage::parse(&again).unwrap(), IgmpMessage::Query(_)));
            }
        }
    }

    #[test]
    fn listener_messages_of_version_2_mean_the_same(a: [u8; 16], group: [u8; 16], sources in proptest::collection::vec(any::<[u8; 16]>(), 0..4), code in 0u32..0x8000, robustness in 0u8..8) {
        let (a, group) = (Ipv6Addr::from(a), Ipv6Addr::from(group));
        let query = MldQuery { version: 2, max_response: code, group, suppress: robustness > 3, robustness, interval: 125, sources: &sources };
        let mut bytes = vec![0; MldEmit::Query(query).encoded_len()];
        MldEmit::Query(query).emit(a, group, &mut bytes);
        let theirs = to_smoltcp(&bytes, a, group);
        let expected = Icmpv6Repr::Mld(MldRepr::Query {
            max_resp_code: code as u16,
            mcast_addr: group,
            s_flag: robustness > 3,
            qrv: robustness,
            qqic: 125,
            num_srcs: sources.len() as u16,
            data: sources.as_flattened(),
        });
        prop_assert_eq!(theirs, expected);
        let again = by_smoltcp(&expected, a, group);
        let Ok(MldMessage::Query(read)) = MldMessage::parse(&Icmpv6::parse(&again).unwrap()) else { panic!() };
        prop_assert_eq!(read, query);
        let records = [MldRecord { mode: RecordMode::ToExclude, group, sources: &sources }];
        let mut bytes = vec![0; MldEmit::ReportV2(&records).encoded_len()];
        MldEmit::ReportV2(&records).emit(a, group, &mut bytes);
        let Icmpv6Repr::Mld(MldRepr::Report { nr_mcast_addr_rcrds: 1, data }) = to_smoltcp(&bytes, a, group) else { panic!() };
        let record = MldAddressRecord::new_checked(data).unwrap();
        prop_assert_eq!((record.mcast_addr(), usize::from(record.num_srcs())), (group, sources.len()));
        prop_assert_eq!((u8::from(record.record_type()), record.payload()), (4, sources.as_flattened()));
    }

    #[test]
    fn dhcp_messages_mean_the_same(transaction: u32, mac: [u8; 6], address: u32, times: (u32, u32, u32), secs: u16, broadcast: bool) {
        let (mac, yours, server) = (MacAddr(mac), Ipv4Addr::from_bits(address), Ipv4Addr::new(192, 0, 2, 1));
        let identifier = [&[1][..], &mac.0].concat();
        let emit = DhcpEmit {
            is_reply: true,
            transaction,
            seconds: secs,
            broadcast,
            client_address: Ipv4Addr::UNSPECIFIED,
            your_address: yours,
            server_address: server,
            relay_address: Ipv4Addr::UNSPECIFIED,
            client_mac: mac,
            options: &[
                DhcpOption::MessageType(MessageType::Offer),
                DhcpOption::ClientIdentifier(&identifier),
                DhcpOption::ServerIdentifier(server),
                DhcpOption::Routers(&[server]),
                DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
                DhcpOption::RequestedAddress(yours),
                DhcpOption::MaxMessageSize(1500),
                DhcpOption::LeaseTime(times.0),
                DhcpOption::RenewalTime(times.1),
                DhcpOption::RebindingTime(times.2),
                DhcpOption::ParameterRequestList(&[1, 3, 6]),
                DhcpOption::DnsServers(&[server, yours]),
            ],
        };
        let mut bytes = vec![0; emit.encoded_len()];
        emit.emit(&mut bytes);
        let packet = DhcpPacket::new_checked(&bytes[..]).unwrap();
        let theirs = DhcpRepr::parse(&packet).unwrap();
        prop_assert_eq!((theirs.message_type, theirs.transaction_id, theirs.secs), (DhcpMessageType::Offer, transaction, secs));
        prop_assert_eq!((theirs.client_hardware_address.0, theirs.your_ip, theirs.server_ip, theirs.broadcast), (mac.0, yours, server, broadcast));
        prop_assert_eq!((theirs.router, theirs.subnet_mask), (Some(server), Some(Ipv4Addr::new(255, 255, 255, 0))));
        // They take multicast and the like for no address.
        prop_assert_eq!((theirs.server_identifier, theirs.client_identifier.map(|mac| mac.0)), (Some(server), Some(mac.0)));
        prop_assert_eq!((theirs.lease_duration, theirs.renew_duration, theirs.rebind_duration), (Some(times.0), Some(times.1), Some(times.2)));
        prop_assert_eq!((theirs.max_size, theirs.parameter_request_list), (Some(1500), Some(&[1u8, 3, 6][..])));
        let mut again = vec![0; theirs.buffer_len()];
        theirs.emit(&mut DhcpPacket::new_unchecked(&mut again[..])).unwrap();
        let ours = Dhcp::parse(&again).unwrap();
        prop_assert_eq!((ours.message_type(), ours.transaction(), ours.seconds()), (Some(MessageType::Offer), transaction, secs));
        prop_assert_eq!((ours.client_mac(), ours.your_address(), ours.broadcast()), (mac, yours, broadcast));
        prop_assert_eq!(ours.lease_time(), Some(times.0));
        prop_assert_eq!((ours.routers(), ours.subnet_mask()), (vec![server], Some(Ipv4Addr::new(255, 255, 255, 0))));
        prop_assert_eq!((ours.server_identifier(), ours.client_identifier().unwrap().to_vec()), (Some(server), identifier));
        prop_assert_eq!(ours.dns_servers()[0], server);
    }
}
