//! Links that configure themselves: router advertisements, DHCP, and what is told of groups.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use ostia_wire::dhcpv4::{Dhcp, DhcpEmit};
use ostia_wire::dhcpv4_options::{ClasslessRoute, DhcpOption, MessageType};
use ostia_wire::{
    Checksum, Ethernet, Frame, IgmpMessage, Ipv4, MacAddr, MldMessage, NdpMessage, NdpOption, Preference, PrefixInformation,
    RouterAdvertisement, Udp,
};

use crate::drops::Reason;
use crate::ip::testing::{Host, L, OWN, PEER, addr, framed, hops, icmp6, link, packet};
use crate::ip::{AddressOrigin, AddressState, Ip, LinkAddress, Medium};
use crate::{Config, Error};

const ALL_NODES: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

/// A host with an Ethernet link and no address.
fn bare() -> Host {
    let mut env = crate::env::Env::new(Config::default(), [9; 32]);
    let mut ip = Ip::new(&env.config, &mut env.random);
    ip.add_link(link(Medium::Ethernet(OWN)), &mut env).unwrap();
    Host { ip, env }
}

fn prefix(text: &str, valid: u32, preferred: u32) -> PrefixInformation {
    let prefix = addr(text).v6().unwrap();
    PrefixInformation {
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: valid,
        preferred_lifetime: preferred,
        prefix,
    }
}

fn advert(router: &str, lifetime: u16, preference: Preference, options: &[NdpOption<'_>]) -> Frame {
    let advert = RouterAdvertisement { hop_limit: 64, lifetime, preference, ..RouterAdvertisement::default() };
    let message = NdpMessage::RouterAdvertisement(advert);
    let (source, all) = (addr(router).v6().unwrap(), addr("ff02::1").v6().unwrap());
    let mut bytes = std::vec![0; message.encoded_len(options)];
    message.emit(options, source, all, &mut bytes);
    framed(ALL_NODES, hops(router, "ff02::1", 58, 255, &bytes))
}

fn slaac() -> Host {
    let mut host = bare();
    host.ip.set_slaac(L, true, &mut host.env);
    host.settle();
    host
}

fn made(host: &Host) -> Vec<LinkAddress> {
    host.ip.addresses(L).filter(|own| own.origin == AddressOrigin::Advertised).collect()
}

#[test]
fn a_link_gets_a_link_local_address_and_asks_for_routers() {
    let mut host = bare();
    host.ip.set_slaac(L, true, &mut host.env);
    host.until(4);
    let sent = host.sent();
    let kinds: Vec<u8> = sent
        .iter()
        .filter_map(|frame| {
            let ethernet = Ethernet::parse(frame.as_slice()).ok()?;
            let six = ostia_wire::Ipv6::parse(ethernet.payload()).ok()?;
            six.upper().ok()?.payload.first().copied()
        })
        .collect();
    assert!(kinds.contains(&135) && kinds.contains(&133) && kinds.contains(&143), "{kinds:?}");
    let own: Vec<_> = host.ip.addresses(L).collect();
    assert_eq!((own.len(), own[0].origin, own[0].state), (1, AddressOrigin::LinkLocal, AddressState::Preferred));
    assert!(own[0].address.is_link_local_v6());
    // The identifier says nothing of the link address (RFC 7217).
    assert!(!own[0].address.bytes().ends_with(&OWN.0[3..]));
}

/// Its neighbours may still know it by another link address.
#[test]
fn an_address_is_told_to_all_when_nobody_else_has_it() {
    let mut host = bare();
    host.ip.add_address(L, addr("2001:db8::1"), 64, &mut host.env).unwrap();
    host.until(3);
    let mut messages = Vec::new();
    for frame in host.sent() {
        let ethernet = Ethernet::parse(frame.as_slice()).unwrap();
        let Ok(six) = ostia_wire::Ipv6::parse(ethernet.payload()) else { continue };
        let Ok(message) = ostia_wire::icmpv6::Icmpv6::parse(six.upper().unwrap().payload) else { continue };
        let Ok((message, options)) = NdpMessage::parse(&message) else { continue };
        messages.push((message, options.count(), ethernet.destination()));
    }
    let target = addr("2001:db8::1").v6().unwrap();
    let all = NdpMessage::NeighbourAdvertisement { router: false, solicited: false, replace: true, target };
    // Between those about its link-local address.
    let own = |message: &NdpMessage| [NdpMessage::NeighbourSolicitation { target }, all].contains(message);
    messages.retain(|(message, ..)| own(message));
    let [(asked, _, _), (told, options, to)] = messages[..] else { panic!("{messages:?}") };
    assert_eq!((asked, told, options, to), (NdpMessage::NeighbourSolicitation { target }, all, 1, ALL_NODES));
}

#[test]
fn an_advertisement_gives_an_address_a_default_router_an_mtu_and_name_servers() {
    let mut host = slaac();
    let servers = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53]];
    let options = [
        NdpOption::SourceLinkLayer(PEER),
        NdpOption::Mtu(1400),
        NdpOption::PrefixInformation(prefix("2001:db8::", 7200, 3600)),
        NdpOption::Rdnss { lifetime: 600, servers: ostia_wire::ndp_options::Servers::new(&servers) },
    ];
    host.input(advert("fe80::9", 1800, Preference::Medium, &options));
    host.until(3);
    let own = made(&host);
    assert_eq!((own.len(), own[0].state, own[0].prefix), (1, AddressState::Preferred, 64));
    let route = host.ip.route(addr("2001:db8:9::1"), None, 0).unwrap();
    assert_eq!((route.next_hop, route.source, route.mtu), (addr("fe80::9"), own[0].address, 1400));
    assert_eq!(host.ip.route(addr("2001:db8::77"), None, 0).unwrap().next_hop, addr("2001:db8::77"));
    assert_eq!(host.ip.name_servers(L).collect::<Vec<_>>(), [addr("2001:db8::53")]);
    host.until(3600);
    assert_eq!(made(&host)[0].state, AddressState::Deprecated);
    assert_eq!(host.ip.route(addr("2001:db8:9::1"), None, 0).err(), Some(Error::NetworkUnreachable));
    host.until(3600);
    assert!(made(&host).is_empty() && host.ip.name_servers(L).next().is_none());
}

#[test]
fn advertisements_that_are_not_valid_or_not_wanted_change_nothing() {
    let mut host = bare();
    host.input(advert("fe80::9", 1800, Preference::Medium, &[NdpOption::PrefixInformation(prefix("2001:db8::", 600, 600))]));
    assert_eq!(host.env.drops.get(Reason::AdvertsOff), 1);
    let mut host = slaac();
    host.input(advert("2001:db8::9", 1800, Preference::Medium, &[NdpOption::PrefixInformation(prefix("2001:db8::", 600, 600))]));
    let mut far = advert("fe80::9", 1800, Preference::Medium, &[]);
    far.as_mut_slice()[14 + 7] = 64;
    host.input(far);
    assert_eq!(host.env.drops.get(Reason::NdpInvalid), 2);
    // Prefixes that no address can be made of.
    let odd = PrefixInformation { prefix_len: 56, ..prefix("2001:db8::", 600, 600) };
    let longer = prefix("2001:db8:1::", 600, 601);
    for option in [odd, longer, prefix("fe80::", 600, 600), prefix("ff05::", 600, 600)] {
        host.input(advert("fe80::9", 1800, Preference::Medium, &[NdpOption::PrefixInformation(option)]));
    }
    assert!(made(&host).is_empty());
    // An MTU that is none, or more than the link's.
    for mtu in [1279, 1501] {
        host.input(advert("fe80::9", 1800, Preference::Medium, &[NdpOption::Mtu(mtu)]));
    }
    assert_eq!(host.ip.route(addr("fe80::77"), None, 0).unwrap().mtu, 1500);
}

#[test]
fn a_forged_advertisement_ends_no_address_within_two_hours() {
    let mut host = slaac();
    let with = |valid, preferred| {
        advert("fe80::9", 1800, Preference::Medium, &[NdpOption::PrefixInformation(prefix("2001:db8::", valid, preferred))])
    };
    host.input(with(86_400, 86_400));
    host.until(3);
    host.input(with(0, 0));
    host.step();
    assert_eq!(made(&host)[0].state, AddressState::Deprecated);
    host.until(7000);
    assert_eq!(made(&host).len(), 1);
    // Shorter than what is left, which is less than two hours: not taken.
    host.input(with(10, 10));
    host.until(100);
    assert_eq!(made(&host).len(), 1);
    host.until(200);
    assert!(made(&host).is_empty());
}

#[test]
fn the_preferred_router_is_taken_and_another_when_it_leaves() {
    let mut host = slaac();
    host.input(advert("fe80::a", 1800, Preference::Low, &[NdpOption::PrefixInformation(prefix("2001:db8::", 7200, 3600))]));
    host.input(advert("fe80::b", 1800, Preference::High, &[]));
    host.input(advert("fe80::c", 600, Preference::Medium, &[]));
    host.until(3);
    let next = |host: &Host| host.ip.route(addr("2001:db8:9::1"), None, 0).map(|route| route.next_hop);
    assert_eq!(next(&host), Ok(addr("fe80::b")));
    host.input(advert("fe80::b", 0, Preference::High, &[]));
    assert_eq!(next(&host), Ok(addr("fe80::c")));
    host.until(600);
    assert_eq!(next(&host), Ok(addr("fe80::a")));
    host.ip.set_slaac(L, false, &mut host.env);
    assert_eq!(next(&host), Err(Error::NetworkUnreachable));
    assert!(made(&host).is_empty());
}

#[test]
fn a_flood_of_advertisements_fills_few_places() {
    let mut host = slaac();
    for n in 0..2000u32 {
        let router = std::format!("fe80::9:{n:x}");
        let network = std::format!("2001:db8:{n:x}::");
        let options = [NdpOption::SourceLinkLayer(PEER), NdpOption::PrefixInformation(prefix(&network, 7200, 3600))];
        host.input(advert(&router, 1800, Preference::Medium, &options));
    }
    host.until(3);
    assert!(made(&host).len() <= 16);
    assert!(host.ip.routes.iter().count() <= 64, "{} routes", host.ip.routes.iter().count());
    assert!(host.env.drops.get(Reason::RateLimit) > 1900);
    assert!(host.ip.neighbours(L, host.env.now).count() <= 1024);
}

#[test]
fn an_address_that_is_taken_is_made_anew() {
    let mut host = slaac();
    host.input(advert("fe80::9", 1800, Preference::Medium, &[NdpOption::PrefixInformation(prefix("2001:db8::", 7200, 3600))]));
    let first = made(&host)[0].address;
    let claim = [[136, 0, 0, 0, 0x20, 0, 0, 0].as_slice(), first.bytes(), &[2, 1], &PEER.0].concat();
    host.input(framed(ALL_NODES, icmp6("fe80::9", "ff02::1", 255, &claim)));
    host.until(3);
    let own = made(&host);
    assert_eq!((own.len(), own[0].state), (1, AddressState::Preferred));
    assert_ne!(own[0].address, first);
}

#[test]
fn a_router_that_says_it_is_none_any_more_is_not_taken() {
    let mut host = slaac();
    let options = [NdpOption::SourceLinkLayer(PEER), NdpOption::PrefixInformation(prefix("2001:db8::", 7200, 3600))];
    host.input(advert("fe80::9", 1800, Preference::Medium, &options));
    host.until(3);
    assert!(host.ip.route(addr("2001:db8:9::1"), None, 0).is_ok());
    let claim = [[136, 0, 0, 0, 0x20, 0, 0, 0].as_slice(), addr("fe80::9").bytes(), &[2, 1], &PEER.0].concat();
    host.input(framed(ALL_NODES, icmp6("fe80::9", "ff02::1", 255, &claim)));
    assert_eq!(host.ip.route(addr("2001:db8:9::1"), None, 0).err(), Some(Error::NetworkUnreachable));
}

// DHCP.

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

/// The DHCP message of a sent frame, with the IP addresses that it goes from and to.
fn asked(frame: &Frame) -> Option<(MessageType, u32, Ipv4Addr, Ipv4Addr)> {
    let ethernet = Ethernet::parse(frame.as_slice()).ok()?;
    let header = Ipv4::parse(ethernet.payload()).ok()?;
    let udp = Udp::parse(header.payload()).ok().filter(|udp| udp.destination_port() == 67)?;
    assert!(udp.verify_checksum(header.source().into(), header.destination().into()));
    let message = Dhcp::parse(udp.payload()).ok()?;
    assert_eq!((message.client_mac(), message.is_reply()), (OWN, false));
    Some((message.message_type()?, message.transaction(), header.source(), header.destination()))
}

fn answered(kind: MessageType, transaction: u32, to: Ipv4Addr, extra: &[DhcpOption<'_>]) -> Frame {
    let routes = [
        ClasslessRoute { destination: Ipv4Addr::UNSPECIFIED, prefix_len: 0, gateway: SERVER },
        ClasslessRoute { destination: Ipv4Addr::new(10, 0, 0, 0), prefix_len: 8, gateway: Ipv4Addr::new(192, 0, 2, 253) },
    ];
    let dns = [Ipv4Addr::new(192, 0, 2, 53)];
    let mut options = Vec::from([
        DhcpOption::MessageType(kind),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::LeaseTime(3600),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::ClasslessRoutes(&routes),
        DhcpOption::DnsServers(&dns),
    ]);
    options.extend_from_slice(extra);
    let none = Ipv4Addr::UNSPECIFIED;
    let message = DhcpEmit {
        is_reply: true,
        transaction,
        seconds: 0,
        broadcast: false,
        client_address: none,
        your_address: if kind == MessageType::Nak { none } else { OURS },
        server_address: SERVER,
        relay_address: none,
        client_mac: OWN,
        options: &options,
    };
    let mut bytes = std::vec![0; 8 + message.encoded_len()];
    message.emit(&mut bytes[8..]);
    let length = bytes.len() - 8;
    ostia_wire::udp::emit(&mut bytes, 67, 68, length);
    ostia_wire::udp::finish_checksum(&mut bytes, SERVER.into(), to.into());
    framed(if to == OURS { OWN } else { MacAddr::BROADCAST }, packet("192.0.2.254", &std::format!("{to}"), 17, &bytes))
}

/// The next message that is sent.
fn wait(host: &mut Host) -> (MessageType, u32, Ipv4Addr, Ipv4Addr) {
    for _ in 0..100 {
        if let Some(found) = host.sent().iter().find_map(asked) {
            return found;
        }
        host.step();
    }
    panic!("no DHCP message");
}

fn leased(to: Ipv4Addr) -> Host {
    let mut host = bare();
    host.ip.set_dhcp(L, true, &mut host.env).unwrap();
    let (kind, transaction, source, destination) = wait(&mut host);
    assert_eq!((kind, source, destination), (MessageType::Discover, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
    host.input(answered(MessageType::Offer, transaction, to, &[]));
    let (kind, transaction, ..) = wait(&mut host);
    assert_eq!(kind, MessageType::Request);
    host.input(answered(MessageType::Ack, transaction, to, &[]));
    host
}

#[test]
fn a_lease_gives_an_address_routes_and_name_servers() {
    // The answers come to all, or to the address that isn't ours yet.
    for to in [Ipv4Addr::BROADCAST, OURS] {
        let mut host = leased(to);
        assert!(host.ip.dhcp_lease(L).is_none() && !host.ip.is_local(OURS.into()));
        host.until(1);
        assert_eq!(host.ip.dhcp_lease(L).map(|lease| (lease.address, lease.prefix)), Some((OURS.into(), 24)));
        let next = |host: &Host, to| host.ip.route(addr(to), None, 0).map(|route| (route.source, route.next_hop));
        assert_eq!(next(&host, "198.51.100.1"), Ok((OURS.into(), SERVER.into())));
        assert_eq!(next(&host, "10.1.1.1"), Ok((OURS.into(), addr("192.0.2.253"))));
        assert_eq!(next(&host, "192.0.2.9"), Ok((OURS.into(), addr("192.0.2.9"))));
        assert_eq!(host.ip.name_servers(L).collect::<Vec<_>>(), [addr("192.0.2.53")]);
    }
}

#[test]
fn an_answer_whose_checksum_a_device_left_undone_is_taken() {
    // As from a server on the same machine, whose kernel leaves it to devices that leave it undone.
    const UDP: usize = 14 + 20;
    for (checksum, taken) in
        [(Checksum::Partial { start: UDP as u16, offset: 6 }, true), (Checksum::Valid, true), (Checksum::Unverified, false)]
    {
        let mut host = bare();
        host.ip.set_dhcp(L, true, &mut host.env).unwrap();
        let (_, transaction, ..) = wait(&mut host);
        let mut offer = answered(MessageType::Offer, transaction, OURS, &[]);
        offer.as_mut_slice()[UDP + 6] ^= 0x55;
        offer.meta.checksum = checksum;
        host.input(offer);
        assert_eq!(wait(&mut host).0, if taken { MessageType::Request } else { MessageType::Discover }, "{checksum:?}");
        assert_eq!(host.env.drops.get(Reason::Checksum), u64::from(!taken));
    }
}

#[test]
fn a_lease_is_renewed_with_its_server_and_withdrawn_when_that_refuses() {
    let mut host = leased(OURS);
    host.until(1);
    host.sent();
    host.env.now = host.env.now + Duration::from_secs(1798);
    host.step();
    // Before the renewal is sent, the server's link address is asked for.
    let question = host.sent();
    assert!(question.iter().any(|frame| Ethernet::parse(frame.as_slice()).unwrap().ethertype() == ostia_wire::EtherType::ARP));
    let arp = ostia_wire::Arp {
        operation: ostia_wire::arp::Operation::Reply,
        sender_mac: PEER,
        sender_ip: SERVER,
        target_mac: OWN,
        target_ip: OURS,
    };
    let mut reply = Frame::new(28);
    arp.emit(reply.extend_zeroed(28));
    host.input(framed(OWN, reply));
    let (kind, transaction, source, destination) = wait(&mut host);
    assert_eq!((kind, source, destination), (MessageType::Request, OURS, SERVER));
    host.input(answered(MessageType::Ack, transaction, OURS, &[]));
    let expires = host.ip.dhcp_lease(L).unwrap().expires;
    assert_eq!(expires, host.env.now + Duration::from_secs(3600));
    host.until(1801);
    let (_, transaction, ..) = host.sent().iter().find_map(asked).expect("another renewal");
    host.input(answered(MessageType::Nak, transaction, OURS, &[]));
    assert!(host.ip.dhcp_lease(L).is_none() && !host.ip.is_local(OURS.into()));
    assert_eq!(host.ip.route(addr("198.51.100.1"), None, 0).err(), Some(Error::NetworkUnreachable));
}

#[test]
fn a_leased_address_that_somebody_has_is_declined() {
    let mut host = leased(OURS);
    host.step();
    let arp = ostia_wire::Arp {
        operation: ostia_wire::arp::Operation::Reply,
        sender_mac: PEER,
        sender_ip: OURS,
        target_mac: OWN,
        target_ip: Ipv4Addr::UNSPECIFIED,
    };
    let mut reply = Frame::new(28);
    arp.emit(reply.extend_zeroed(28));
    host.input(framed(OWN, reply));
    let (kind, ..) = host.sent().iter().find_map(asked).expect("a message");
    assert_eq!(kind, MessageType::Decline);
    assert_eq!(host.ip.addresses(L).count(), 0);
    let declined = host.env.now;
    let (kind, ..) = wait(&mut host);
    assert_eq!(kind, MessageType::Discover);
    assert!(host.env.now >= declined + Duration::from_secs(10));
}

#[test]
fn switched_off_the_client_gives_the_address_back() {
    let mut host = leased(OURS);
    host.until(1);
    host.ip.set_dhcp(L, false, &mut host.env).unwrap();
    assert_eq!(host.ip.addresses(L).count(), 0);
    assert!(host.ip.dhcp_lease(L).is_none());
    host.until(5);
    assert_eq!(host.ip.routes.iter().count(), 0);
}

#[test]
fn answers_to_others_or_of_no_server_are_dropped() {
    let mut host = bare();
    host.ip.set_dhcp(L, true, &mut host.env).unwrap();
    let (_, transaction, ..) = wait(&mut host);
    host.input(answered(MessageType::Offer, transaction ^ 1, OURS, &[]));
    host.input(answered(MessageType::Discover, transaction, OURS, &[]));
    host.input(answered(MessageType::Ack, transaction, OURS, &[]));
    assert_eq!(host.env.drops.get(Reason::DhcpUnmatched), 3);
    let mut wrong = answered(MessageType::Offer, transaction, OURS, &[]);
    let last = wrong.len() - 1;
    wrong.as_mut_slice()[last] ^= 1;
    host.input(wrong);
    assert_eq!(host.env.drops.get(Reason::Checksum), 1);
}

// Groups.

#[test]
fn membership_is_told_with_a_router_alert_and_one_hop() {
    let mut host = Host::ethernet();
    host.ip.join_group(L, addr("239.1.1.1"), &mut host.env).unwrap();
    host.ip.join_group(L, addr("ff05::77"), &mut host.env).unwrap();
    host.step();
    let sent = host.sent();
    assert_eq!(sent.len(), 2);
    let ethernet = Ethernet::parse(sent[0].as_slice()).unwrap();
    assert_eq!(ethernet.destination(), MacAddr([1, 0, 0x5e, 0, 0, 22]));
    let header = Ipv4::parse(ethernet.payload()).unwrap();
    assert_eq!((header.ttl(), header.option_bytes(), header.source()), (1, &[148, 4, 0, 0][..], addr("192.0.2.1").v4().unwrap()));
    let IgmpMessage::ReportV3(mut records) = IgmpMessage::parse(header.payload()).unwrap() else { panic!("no report") };
    assert_eq!(records.next().map(|record| record.group), addr("239.1.1.1").v4());
    let ethernet = Ethernet::parse(sent[1].as_slice()).unwrap();
    assert_eq!(ethernet.destination(), MacAddr([0x33, 0x33, 0, 0, 0, 0x16]));
    let header = ostia_wire::Ipv6::parse(ethernet.payload()).unwrap();
    let upper = header.upper().unwrap();
    assert_eq!((header.hop_limit(), upper.router_alert), (1, Some(0)));
    assert!(header.source().is_unicast_link_local());
    let message = ostia_wire::Icmpv6::parse(upper.payload).unwrap();
    assert!(message.verify_checksum(header.source(), header.destination()));
    let MldMessage::ReportV2(mut records) = MldMessage::parse(&message).unwrap() else { panic!("no report") };
    assert_eq!(records.next().map(|record| record.group), Some("ff05::77".parse::<Ipv6Addr>().unwrap()));
}

#[test]
fn queries_are_answered_within_their_time() {
    let mut host = Host::ethernet();
    host.ip.join_group(L, addr("239.1.1.1"), &mut host.env).unwrap();
    host.settle();
    let query = ostia_wire::IgmpEmit::Query(ostia_wire::IgmpQuery {
        version: 2,
        max_response: 1000,
        group: Ipv4Addr::UNSPECIFIED,
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: &[],
    });
    let mut bytes = std::vec![0; query.encoded_len()];
    query.emit(&mut bytes);
    host.input(framed(MacAddr([1, 0, 0x5e, 0, 0, 1]), hops("192.0.2.254", "224.0.0.1", 2, 1, &bytes)));
    let asked = host.env.now;
    assert!(host.step() <= asked + Duration::from_secs(1));
    let sent = host.one();
    let ethernet = Ethernet::parse(sent.as_slice()).unwrap();
    let header = Ipv4::parse(ethernet.payload()).unwrap();
    let IgmpMessage::ReportV2(group) = IgmpMessage::parse(header.payload()).unwrap() else { panic!("no report") };
    assert_eq!((group, header.destination()), (group, group));
    // MLD without a router alert, or from farther than the link, is not listened to.
    host.input(framed(ALL_NODES, icmp6("fe80::9", "ff02::1", 1, &[[130, 0, 0, 0, 0, 10, 0, 0].as_slice(), &[0; 16]].concat())));
    assert_eq!(host.env.drops.get(Reason::QueryInvalid), 1);
}
