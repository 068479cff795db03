//! What can be wrong with a device, and what is said of it.
#![cfg(target_os = "linux")]

mod common;

use common::{in_namespace_with_tun, ip};
use ostia_link::{HostSide, Link, MemoryConfig, Offload, Packet, PacketConfig, Route, Tun, TunConfig, TunKind};
use rustix::thread::CapabilitySet;

fn named(name: &str) -> TunConfig {
    TunConfig { name: name.to_owned(), ..TunConfig::default() }
}

/// With an address and without a route, or with both.
fn with(name: &str, address: &str, route: Option<&str>) -> TunConfig {
    let addresses = vec![address.parse().expect("an address")];
    let routes = route.iter().map(|route| route.parse().expect("a route")).collect();
    TunConfig { host: HostSide { addresses, routes, down: false }, ..named(name) }
}

#[track_caller]
fn refused(config: &TunConfig, text: &str) {
    assert_eq!(Tun::open(config).expect_err("it can't be opened").to_string(), text);
}

#[test]
fn names_that_no_interface_has() {
    let why = "it is a dot or two, or has a slash, a colon or white space";
    for (name, why) in [
        ("", "it is empty"),
        ("sixteen-octets-x", "it is longer than 15 octets"),
        ("a/b", why),
        ("a b", why),
        ("a:b", why),
        ("..", why),
        ("a%d%d", "a per cent sign stands before a d only, and once"),
        ("a%s", "a per cent sign stands before a d only, and once"),
    ] {
        let text = format!("no interface can have the name {name:?}: {why}");
        refused(&named(name), &text);
        assert_eq!(Packet::open(&PacketConfig::new(name)).expect_err("no such name").to_string(), text);
    }
}

#[test]
fn mtus_that_no_device_has() {
    let mtu = |kind, mtu, address: Option<&str>| {
        let mut config = address.map_or_else(|| named("ostia%d"), |address| with("ostia%d", address, None));
        (config.kind, config.mtu) = (kind, Some(mtu));
        config
    };
    use TunKind::{Tap, Tun};
    refused(&mtu(Tun, 67, None), "an MTU of 67 is not possible: IPv4 needs 68 at least");
    refused(&mtu(Tun, 0, Some("fd07::1/64")), "an MTU of 0 is not possible: IPv4 needs 68 at least");
    refused(&mtu(Tap, 1279, Some("fd07::1/64")), "an MTU of 1279 is not possible: IPv6 needs 1280 at least");
    refused(&mtu(Tun, 65_536, None), "an MTU of 65536 is not possible: 65535 is the most that a TUN has");
    refused(&mtu(Tap, 65_522, None), "an MTU of 65522 is not possible: 65521 is the most that a TAP has");
}

#[test]
fn the_least_and_the_longest_mtus_are_possible() {
    in_namespace_with_tun("the_least_and_the_longest_mtus_are_possible", || {
        for (kind, mtu, address) in [
            (TunKind::Tun, 68, "10.7.0.1/24"),
            (TunKind::Tun, 1280, "fd07::1/64"),
            (TunKind::Tun, 65_535, "fd07::1/64"),
            (TunKind::Tap, 65_521, "10.7.0.1/24"),
        ] {
            for offload in [Offload::On, Offload::Off] {
                let config = TunConfig { kind, mtu: Some(mtu), offload, ..with("ostia%d", address, None) };
                assert_eq!(Tun::open(&config).expect("an MTU that is possible").facts().mtu, mtu);
            }
        }
    });
}

#[test]
fn addresses_and_routes_that_can_not_be() {
    let config = |address: &str| with("ostia%d", address, None);
    refused(&config("0.0.0.0/8"), "0.0.0.0/8 can't be set: it is no address of one host");
    refused(&config("ff02::1/64"), "ff02::1/64 can't be set: it is no address of one host");
    let mut long = config("10.7.0.1/24");
    long.host.addresses[0].prefix = 33;
    refused(&long, "10.7.0.1/33 can't be set: its prefix is longer than the address");
    long.host.addresses[0].prefix = 24;
    long.host.addresses[0].peer = Some("fd07::2".parse().unwrap());
    refused(&long, "10.7.0.1 peer fd07::2/24 can't be set: its peer's is of the other family");
    let route = |route: &str| with("ostia%d", "10.7.0.1/24", Some(route));
    refused(&route("10.8.0.1/16"), "the route to 10.8.0.1/16 can't be set: the address has bits behind its prefix");
    refused(&route("::1/0"), "the route to ::1/0 can't be set: the address has bits behind its prefix");
    let mut down = route("10.8.0.0/16");
    down.host.down = true;
    refused(&down, "the route to 10.8.0.0/16 can't be set: a device that is down has no routes");
    let via = Route { via: Some("fd07::2".parse().unwrap()), ..("10.8.0.0/16".parse().unwrap()) };
    let mut config = route("10.8.0.0/16");
    config.host.routes = vec![via];
    refused(&config, "the route to 10.8.0.0/16 via fd07::2 can't be set: its next hop is of the other family");
    config.host.routes = vec![Route { prefix: 33, via: None, ..via }];
    refused(&config, "the route to 10.8.0.0/33 can't be set: its prefix is longer than the address");
}

#[test]
fn devices_in_use_or_of_another_kind() {
    in_namespace_with_tun("devices_in_use_or_of_another_kind", || {
        let _first = Tun::open(&named("same0")).unwrap();
        refused(
            &named("same0"),
            "same0 is in use by another program: stop that, or take another name (with %d in it, the kernel finds a free one)",
        );
        let tap = TunConfig { kind: TunKind::Tap, ..named("same0") };
        let text = |name, kind| {
            format!(
                "there is an interface {name} that is no {kind} device of one queue: take another name, or remove it: ip link \
                 delete {name}"
            )
        };
        refused(&tap, &text("same0", "TAP"));
        refused(&named("lo"), &text("lo", "TUN"));
    });
}

#[test]
fn addresses_and_routes_that_the_host_has() {
    in_namespace_with_tun("addresses_and_routes_that_the_host_has", || {
        let _first = Tun::open(&with("first0", "10.7.0.1/24", Some("198.51.100.0/24"))).unwrap();
        refused(
            &with("second0", "10.7.0.1/16", None),
            "this host has the address 10.7.0.1/24 already, on first0: take another, or remove it there: ip address delete \
             10.7.0.1/24 dev first0",
        );
        refused(
            &with("second0", "10.8.0.1/24", Some("198.51.100.0/24")),
            "this host has a route to 198.51.100.0/24 already: take another network, or remove it: ip route delete 198.51.100.0/24",
        );
        let mut far = with("second0", "10.8.0.1/24", Some("203.0.113.0/24"));
        far.host.routes[0].via = Some("192.0.2.1".parse().unwrap());
        refused(
            &far,
            "the route to 203.0.113.0/24 via 192.0.2.1 can't be set: no address of the device has its next hop on its network",
        );
        // What failed has left nothing.
        assert!(!ip("link show").contains("second0"));
    });
}

#[test]
fn ipv6_that_is_switched_off() {
    in_namespace_with_tun("ipv6_that_is_switched_off", || {
        // What a thread sees there is of its own network namespace.
        if std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").is_err() {
            return common::skip("ipv6_that_is_switched_off", "sysctl can't be written");
        }
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").expect("as the other");
        refused(
            &with("six0", "fd07::1/64", None),
            "fd07::1/64 can't be set: IPv6 is switched off on this host or device (sysctl net.ipv6.conf)",
        );
    });
}

fn drop_capabilities() {
    let mut sets = rustix::thread::capabilities(None).expect("capabilities are known");
    sets.effective.remove(CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW);
    rustix::thread::set_capabilities(None, sets).expect("a thread gives up what it has");
}

#[test]
fn who_lacks_capabilities_is_told_how_to_get_them() {
    in_namespace_with_tun("who_lacks_capabilities_is_told_how_to_get_them", || {
        ip("tuntap add dev mine0 mode tun user 0");
        ip("tuntap add dev ready0 mode tun user 0");
        ip("address add 10.9.0.1/24 dev ready0");
        ip("link set ready0 up");
        drop_capabilities();
        refused(
            &TunConfig { kind: TunKind::Tap, ..named("new%d") },
            "opening new0 is not allowed: run as root, or: setcap cap_net_admin+ep PROGRAM, or let root make it once: ip tuntap add \
             dev new0 mode tap user $USER",
        );
        let tail = "is not allowed: run as root, or: setcap cap_net_admin+ep PROGRAM, or let root set it once:";
        refused(
            &with("mine0", "10.8.0.1/24", None),
            &format!("setting the address 10.8.0.1/24 of mine0 {tail} ip address add 10.8.0.1/24 dev mine0"),
        );
        refused(
            &TunConfig { mtu: Some(1400), ..named("mine0") },
            &format!("setting the MTU of mine0 to 1400 {tail} ip link set mine0 mtu 1400"),
        );
        refused(&named("mine0"), &format!("setting mine0 up {tail} ip link set mine0 up"));
        let error = Packet::open(&PacketConfig::new("ready0")).expect_err("not allowed");
        assert_eq!(
            error.to_string(),
            "opening a packet socket on ready0 is not allowed: run as root, or: setcap cap_net_raw+ep PROGRAM"
        );
        // A device that was made ready is opened without.
        assert_eq!(Tun::open(&with("ready0", "10.9.0.1/24", None)).expect("all is there").facts().name, "ready0");
    });
}

#[test]
fn a_system_without_the_tun_module() {
    in_namespace_with_tun("a_system_without_the_tun_module", || {
        // SAFETY: only this thread gets file systems of its own, and no memory is concerned.
        let apart = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
        let mount = |arguments: &str| {
            std::process::Command::new("mount").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
        };
        if !apart || !mount("--make-rprivate /") || !mount("-t tmpfs none /dev/net") {
            return common::skip("a_system_without_the_tun_module", "no file systems of its own");
        }
        refused(
            &named("ostia%d"),
            "/dev/net/tun is not there: load its module (modprobe tun), or give the container the device (docker run --device \
             /dev/net/tun)",
        );
    });
}

#[test]
fn interfaces_without_ethernet_and_none_at_all() {
    in_namespace_with_tun("interfaces_without_ethernet_and_none_at_all", || {
        let _tun = Tun::open(&named("plain0")).unwrap();
        let error = |name: &str| Packet::open(&PacketConfig::new(name)).expect_err("no packet socket").to_string();
        assert_eq!(error("plain0"), "plain0 carries no Ethernet frames: take an interface that does (ip link shows link/ether)");
        assert_eq!(error("none0"), "there is no interface none0: ip link lists those that there are");
        let link = Packet::open(&PacketConfig::new("lo")).expect("the loopback interface has Ethernet headers");
        assert!(link.facts().mac.is_some());
    });
}

#[test]
fn errors_are_errors_of_input_and_output_too() {
    let error: std::io::Error = Tun::open(&named("")).expect_err("no name").into();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("no interface can have the name"));
    let link: Box<dyn Link> = Box::new(ostia_link::memory::pair(&MemoryConfig::default()).0);
    assert_eq!(link.facts().name, "memory.0");
}
