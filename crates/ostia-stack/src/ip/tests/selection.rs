//! Which way packets go and from which address (RFC 6724), and what can't be asked for.

use crate::Error;
use crate::ip::testing::{Host, L, OWN, addr, link};
use crate::ip::{LinkId, Medium};

fn source(host: &Host, destination: &str) -> crate::Address {
    host.ip.route(addr(destination), None, 0).expect("a route").source
}

#[test]
fn the_source_is_of_the_destinations_network_and_scope() {
    let mut host = Host::tun();
    host.add(L, "10.0.0.1", 8);
    host.add(L, "fd00::1", 64);
    host.add(L, "fe80::1", 64);
    host.ip.add_route(addr("::"), 0, None, L, 0).unwrap();
    host.ip.add_route(addr("0.0.0.0"), 0, None, L, 0).unwrap();
    assert_eq!(source(&host, "10.9.9.9"), addr("10.0.0.1"));
    assert_eq!(source(&host, "192.0.2.9"), addr("192.0.2.1"));
    assert_eq!(source(&host, "2001:db8:9::9"), addr("2001:db8::1"));
    // A label of its own (rule 6): unique local to unique local.
    assert_eq!(source(&host, "fd12::9"), addr("fd00::1"));
    assert_eq!(source(&host, "fe80::9"), addr("fe80::1"));
    assert_eq!(source(&host, "ff02::9"), addr("fe80::1"));
    assert_eq!(source(&host, "ff0e::9"), addr("2001:db8::1"));
}

#[test]
fn the_longest_common_prefix_wins_within_the_address_own_prefix() {
    let mut host = Host::tun();
    host.add(L, "2001:db8:ff::1", 64);
    host.ip.add_route(addr("::"), 0, None, L, 0).unwrap();
    assert_eq!(source(&host, "2001:db8:fe::1"), addr("2001:db8:ff::1"));
    assert_eq!(source(&host, "2001:db8:1::1"), addr("2001:db8::1"));
}

#[test]
fn a_link_without_an_address_borrows_one_but_not_a_link_local_one() {
    let mut host = Host::tun();
    let bare = host.ip.add_link(link(Medium::Ip), &mut host.env).unwrap();
    host.ip.add_route(addr("203.0.113.0"), 24, None, bare, 0).unwrap();
    host.ip.add_route(addr("2001:db8:3::"), 48, None, bare, 0).unwrap();
    let route = host.ip.route(addr("203.0.113.1"), None, 0).unwrap();
    assert_eq!((route.link, route.source), (bare, addr("192.0.2.1")));
    host.ip.remove_address(L, addr("2001:db8::1"), &mut host.env);
    host.add(L, "fe80::1", 64);
    assert_eq!(host.ip.route(addr("2001:db8:3::1"), None, 0).err(), Some(Error::AddressNotAvailable));
}

#[test]
fn a_link_local_destination_needs_a_link_where_there_are_several() {
    let mut host = Host::tun();
    host.add(L, "fe80::1", 64);
    assert_eq!(host.ip.route(addr("fe80::9"), None, 0).unwrap().link, L);
    let second = host.ip.add_link(link(Medium::Ip), &mut host.env).unwrap();
    host.add(second, "fe80::1:1", 64);
    assert_eq!(host.ip.route(addr("fe80::9"), None, 0).err(), Some(Error::InvalidInput));
    let route = host.ip.route(addr("fe80::9"), None, second.0 + 1).unwrap();
    assert_eq!((route.link, route.source), (second, addr("fe80::1:1")));
    assert_eq!(host.ip.route(addr("fe80::9"), Some(addr("fe80::1")), 0).unwrap().link, L);
    assert_eq!(host.ip.route(addr("fe80::9"), None, 9).err(), Some(Error::NetworkUnreachable));
    // The address that this host has on one link may be somebody else's on another, both ways.
    assert_eq!(host.ip.route(addr("fe80::1"), None, 0).unwrap().link, crate::LOOPBACK);
    assert_eq!(host.ip.route(addr("fe80::1"), None, L.0 + 1).unwrap().link, crate::LOOPBACK);
    assert_eq!(host.ip.route(addr("fe80::1"), None, second.0 + 1).unwrap().link, second);
    let from = |source| crate::ip::testing::packet(source, "2001:db8::1", 6, b"x");
    assert!(matches!(host.ip.input(second, from("fe80::1"), &mut host.env), crate::ip::Input::Packet(_)));
    assert!(matches!(host.ip.input(L, from("fe80::1"), &mut host.env), crate::ip::Input::None));
}

#[test]
fn what_cannot_be_asked_for_is_an_error() {
    let host = Host::tun();
    let error = |destination, source: Option<&str>| host.ip.route(addr(destination), source.map(addr), 0).err();
    assert_eq!(error("198.51.100.1", None), Some(Error::NetworkUnreachable));
    assert_eq!(error("2001:db8:9::1", None), Some(Error::NetworkUnreachable));
    assert_eq!(error("192.0.2.9", Some("192.0.2.77")), Some(Error::AddressNotAvailable));
    assert_eq!(error("192.0.2.9", Some("2001:db8::1")), Some(Error::InvalidInput));
    assert_eq!(error("0.0.0.0", None), Some(Error::InvalidInput));
    assert_eq!(error("192.0.2.9", Some("127.0.0.1")), Some(Error::NetworkUnreachable));
    assert_eq!(error("192.0.2.9", Some("0.0.0.0")), None);
}

#[test]
fn broadcasts_leave_by_the_link_of_their_network() {
    let mut host = Host::tun();
    let second = host.ip.add_link(link(Medium::Ip), &mut host.env).unwrap();
    host.add(second, "198.51.100.1", 24);
    let route = host.ip.route(addr("198.51.100.255"), None, 0).unwrap();
    assert_eq!((route.link, route.source), (second, addr("198.51.100.1")));
    assert_eq!(host.ip.route(addr("255.255.255.255"), None, 0).unwrap().link, L);
    assert_eq!(host.ip.route(addr("255.255.255.255"), Some(addr("198.51.100.1")), 0).unwrap().link, second);
    assert_eq!(host.ip.route(addr("255.255.255.255"), None, 2).unwrap().link, second);
}

#[test]
fn addresses_and_links_that_cannot_be_are_refused() {
    let mut host = Host::tun();
    let mut add = |address: &str, prefix| host.ip.add_address(L, addr(address), prefix, &mut host.env).err();
    for impossible in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "::", "::1", "ff02::1"] {
        assert_eq!(add(impossible, 8), Some(Error::InvalidInput), "{impossible}");
    }
    assert_eq!(add("192.0.2.255", 24), Some(Error::InvalidInput));
    assert_eq!(add("10.0.0.1", 33), Some(Error::InvalidInput));
    assert_eq!(add("192.0.2.1", 24), Some(Error::AddressInUse));
    assert_eq!(add("10.0.0.1", 32), None);
    assert_eq!(host.ip.add_address(LinkId(7), addr("10.0.0.2"), 8, &mut host.env).err(), Some(Error::InvalidInput));
    let tiny = crate::LinkConfig { mtu: 60, ..link(Medium::Ip) };
    assert_eq!(host.ip.add_link(tiny, &mut host.env).err(), Some(Error::InvalidInput));
    assert_eq!(host.ip.set_mtu(L, 10).err(), Some(Error::InvalidInput));
    // The link has IPv6 addresses (RFC 8200, 5).
    assert_eq!(host.ip.set_mtu(L, 1279).err(), Some(Error::InvalidInput));
    assert_eq!(host.ip.set_mtu(L, 1280).err(), None);
    let small = host.ip.add_link(crate::LinkConfig { mtu: 1000, ..link(Medium::Ip) }, &mut host.env).unwrap();
    assert_eq!(host.ip.add_address(small, addr("2001:db8:5::1"), 64, &mut host.env).err(), Some(Error::InvalidInput));
    assert_eq!(host.ip.set_dhcp(small, true, &mut host.env).err(), Some(Error::InvalidInput));
}

#[test]
fn an_address_taken_away_takes_its_network_with_it_unless_another_is_there() {
    let mut host = Host::with(crate::Config::default(), Medium::Ethernet(OWN));
    host.add(L, "192.0.2.2", 24);
    assert!(host.ip.remove_address(L, addr("192.0.2.1"), &mut host.env));
    assert!(!host.ip.remove_address(L, addr("192.0.2.1"), &mut host.env));
    assert_eq!(source(&host, "192.0.2.9"), addr("192.0.2.2"));
    assert!(host.ip.remove_address(L, addr("192.0.2.2"), &mut host.env));
    assert_eq!(host.ip.route(addr("192.0.2.9"), None, 0).err(), Some(Error::NetworkUnreachable));
}
