//! Redirects: believed of the router in use about another hop on the link, and of nobody about anything else.

use core::time::Duration;
use std::string::{String, ToString};

use ostia_wire::{Frame, MacAddr, NdpMessage, NdpOption};

use crate::Config;
use crate::drops::Reason;
use crate::ip::testing::{Host, L, OWN, addr, framed, hops, icmp4, packet};
use crate::ip::tests::outgoing::{head, send};
use crate::ip::{Input, Medium, NeighbourState};

const ROUTER: &str = "192.0.2.254";
const ROUTER6: &str = "fe80::254";
const FAR: &str = "198.51.100.7";
const FAR6: &str = "2001:db8:7::7";
const BETTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 66]);

/// A host with a default router of each family.
fn host_with(config: Config, medium: Medium) -> Host {
    let mut host = Host::with(config, medium);
    for (all, router) in [("0.0.0.0", ROUTER), ("::", ROUTER6)] {
        host.ip.add_route(addr(all), 0, Some(addr(router)), L, 0).expect("a route");
    }
    host
}

fn host() -> Host {
    host_with(Config::default(), Medium::Ethernet(OWN))
}

fn first_hop(host: &Host, destination: &str) -> String {
    host.ip.route(addr(destination), None, 0).expect("a route").next_hop.ip().to_string()
}

/// A redirect of that code to a better hop, about a packet from `own` to `destination`.
fn four(from: &str, code: u8, better: &str, [own, destination]: [&str; 2]) -> Frame {
    let quoted = packet(own, destination, 6, &[0; 20]);
    let better = addr(better).v4().expect("an IPv4 address").octets();
    icmp4(from, "192.0.2.1", &[&[5, code, 0, 0], &better[..], quoted.as_slice()].concat())
}

fn six(from: &str, hop_limit: u8, target: &str, destination: &str, options: &[NdpOption<'_>]) -> Frame {
    let address = |text: &str| addr(text).v6().expect("an IPv6 address");
    let message = NdpMessage::Redirect { target: address(target), destination: address(destination) };
    let mut bytes = std::vec![0; message.encoded_len(options)];
    message.emit(options, address(from), address("2001:db8::1"), &mut bytes);
    hops(from, "2001:db8::1", 58, hop_limit, &bytes)
}

fn follows(host: &mut Host, redirect: Frame) -> bool {
    let before = host.env.drops.total();
    assert!(matches!(host.input(framed(OWN, redirect)), Input::None));
    host.env.drops.total() == before
}

#[test]
fn the_router_in_use_is_believed_about_one_destination_for_a_while() {
    let mut host = host();
    let before = host.ip.route(addr(FAR), None, 0).expect("a route");
    assert!(follows(&mut host, four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", FAR])));
    assert!(!host.ip.is_current(&before), "connections look again");
    assert_eq!((first_hop(&host, FAR), first_hop(&host, "198.51.100.8")), ("192.0.2.66".into(), ROUTER.into()));
    // From now on it is the other that may say so; a redirect for the network counts for the host.
    assert!(!follows(&mut host, four(ROUTER, 1, "192.0.2.67", ["192.0.2.1", FAR])));
    assert!(follows(&mut host, four("192.0.2.66", 0, "192.0.2.68", ["192.0.2.1", FAR])));
    assert_eq!(first_hop(&host, FAR), "192.0.2.68");
    host.until(599);
    assert_eq!(first_hop(&host, FAR), "192.0.2.68");
    host.until(2);
    assert_eq!(first_hop(&host, FAR), ROUTER);
}

#[test]
fn another_route_ends_what_the_old_ones_router_has_said() {
    let mut host = host();
    assert!(follows(&mut host, four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", FAR])));
    host.ip.add_route(addr("198.51.100.0"), 24, Some(addr("192.0.2.253")), L, 0).expect("a route");
    assert_eq!(first_hop(&host, FAR), "192.0.2.253");
}

#[test]
fn a_better_hop_that_does_not_answer_is_given_up() {
    let mut host = host();
    assert!(follows(&mut host, four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", FAR])));
    let route = host.ip.route(addr(FAR), None, 0).expect("a route");
    send(&mut host, &head("192.0.2.1", FAR, 6), Frame::from_slice(b"lost"));
    host.until(4);
    assert_eq!((first_hop(&host, FAR), host.ip.is_current(&route)), (ROUTER.into(), false));
}

#[test]
fn nobody_else_is_believed_and_nothing_else() {
    let ours = ["192.0.2.1", FAR];
    for (what, redirect) in [
        ("not from the router", four("192.0.2.253", 1, "192.0.2.66", ours)),
        ("to another network", four(ROUTER, 1, "203.0.113.1", ours)),
        ("to everybody", four(ROUTER, 1, "192.0.2.255", ours)),
        ("to a group", four(ROUTER, 1, "224.0.0.5", ours)),
        ("to nobody", four(ROUTER, 1, "0.0.0.0", ours)),
        ("to this host", four(ROUTER, 1, "192.0.2.1", ours)),
        ("to itself", four(ROUTER, 1, ROUTER, ours)),
        ("of no known code", four(ROUTER, 4, "192.0.2.66", ours)),
        ("about what another has sent", four(ROUTER, 1, "192.0.2.66", ["198.51.100.1", FAR])),
        ("about what is on the link", four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", "192.0.2.9"])),
        ("quoting nothing", icmp4(ROUTER, "192.0.2.1", &[5, 1, 0, 0, 192, 0, 2, 66])),
        ("from afar", six("2001:db8::254", 255, "fe80::66", FAR6, &[])),
        ("not from the router", six("fe80::253", 255, "fe80::66", FAR6, &[])),
        ("to what is no router's address", six(ROUTER6, 255, "2001:db8::66", FAR6, &[])),
        ("about a group", six(ROUTER6, 255, "fe80::66", "ff05::7", &[])),
        ("about what is on the link", six(ROUTER6, 255, "fe80::66", "2001:db8::9", &[])),
    ] {
        let mut host = host();
        assert!(!follows(&mut host, redirect), "{what}");
        assert_eq!(host.env.drops.get(Reason::Redirect), 1, "{what}: {:?}", host.env.drops);
        assert_eq!((first_hop(&host, FAR), first_hop(&host, FAR6)), (ROUTER.into(), ROUTER6.into()), "{what}");
    }
    let mut host = host();
    assert!(!follows(&mut host, six(ROUTER6, 254, "fe80::66", FAR6, &[])));
    assert_eq!(host.env.drops.get(Reason::NdpInvalid), 1);
}

#[test]
fn routers_and_hosts_that_want_none_follow_none() {
    for config in [Config { forwarding: true, ..Config::default() }, Config { redirects: 0, ..Config::default() }] {
        let mut host = host_with(config, Medium::Ethernet(OWN));
        assert!(!follows(&mut host, four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", FAR])));
        assert!(!follows(&mut host, six(ROUTER6, 255, "fe80::66", FAR6, &[])));
        assert_eq!(host.env.drops.get(Reason::Redirect), 2);
    }
    let mut host = host_with(Config::default(), Medium::Ip);
    host.input(four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", FAR]));
    assert_eq!(host.env.drops.get(Reason::Redirect), 1);
}

#[test]
fn over_ipv6_it_may_tell_of_the_link_address_and_that_the_destination_is_near() {
    let mut host = host();
    assert!(follows(&mut host, six(ROUTER6, 255, "fe80::66", FAR6, &[NdpOption::TargetLinkLayer(BETTER)])));
    assert_eq!(first_hop(&host, FAR6), "fe80::66");
    let near = "2001:db8:7::8";
    assert!(follows(&mut host, six(ROUTER6, 255, near, near, &[NdpOption::TargetLinkLayer(BETTER)])));
    assert_eq!(first_hop(&host, near), near);
    for (address, router) in [("fe80::66", true), (near, false)] {
        let known = host.ip.neighbours(L, host.env.now).find(|neighbour| neighbour.address == addr(address)).expect("known");
        assert_eq!((known.mac, known.state, known.router), (Some(BETTER), NeighbourState::Stale, router));
    }
}

#[test]
fn no_more_are_kept_than_the_bound() {
    let mut host = host_with(Config { redirects: 4, ..Config::default() }, Medium::Ethernet(OWN));
    for number in 0..100 {
        host.env.now = host.env.now + Duration::from_millis(1);
        assert!(follows(&mut host, four(ROUTER, 1, "192.0.2.66", ["192.0.2.1", &std::format!("198.51.100.{number}")])));
    }
    let redirected = (0..100).filter(|number| first_hop(&host, &std::format!("198.51.100.{number}")) != ROUTER);
    assert_eq!(redirected.collect::<std::vec::Vec<_>>(), [96, 97, 98, 99]);
}
