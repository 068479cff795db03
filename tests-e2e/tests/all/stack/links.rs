//! Other links than TUN: TAP with its neighbours, packet sockets beside the kernel, gateways and routers behind them.

use super::capture::Capture;
use super::program::serve;
use super::space::{Namespace, cable, in_namespace, ip, ping, told};
use crate::downloads::whole;
use crate::support::site::{Pattern, Site};
use crate::support::{scaled, seed};

/// A file that several downloads fetch.
fn length() -> u64 {
    scaled(3 << 20, 256 << 20) + 17
}

/// The kernel finds the stack by ARP and neighbour discovery, and the stack the kernel.
#[test]
fn neighbours_on_a_tap() {
    in_namespace(concat!(module_path!(), "::neighbours_on_a_tap"), &["curl", "ping"], |case| {
        let site = Site::new();
        let expected = site.fill("file.bin", Pattern(seed(case.name)), length());
        for offload in ["on", "off"] {
            let capture = Capture::new();
            let arguments = ["--network", "tap", "--ip", "10.7.0.2/24", "--ip", "fd07::2/64", "--offload", offload];
            let server = serve(case, site.root(), &[&arguments[..], &["--pcap", capture.path()]].concat());
            for url in ["http://10.7.0.2:8080/file.bin", "http://[fd07::2]:8080/file.bin"] {
                assert_eq!(whole(url), expected, "{url}");
            }
            for address in ["10.7.0.2", "fd07::2"] {
                ping(address, 4000);
                let neighbour = ip(&format!("neighbour show {address}"));
                assert!(neighbour.contains("lladdr"), "{address}: {neighbour}");
            }
            server.stop();
            capture.is_clean(case);
            for filter in ["arp.opcode == 2", "icmpv6.type == 136"] {
                if let Some(answers) = capture.select(case, filter) {
                    assert!(!answers.is_empty(), "{filter}");
                }
            }
        }
    });
}

/// The stack is on one end of a cable, beside the kernel; at the other is a kernel of another namespace, which knows the second
/// stack of the same addresses by the link address of the first until it is told.
#[test]
fn a_packet_socket_beside_the_kernel() {
    in_namespace(concat!(module_path!(), "::a_packet_socket_beside_the_kernel"), &["curl", "ping"], |case| {
        let site = Site::new();
        let expected = site.fill("file.bin", Pattern(seed(case.name)), length());
        let far = Namespace::new();
        cable(("near", "10.8.0.3/24"), &far, ("far", "10.8.0.1/24"));
        far.within(|| ip("address add fd08::1/64 dev far nodad"));
        for offload in ["on", "off"] {
            let capture = Capture::new();
            let arguments = ["--network", "packet:near", "--ip", "10.8.0.2/24", "--ip", "fd08::2/64", "--offload", offload];
            let server = serve(case, site.root(), &[&arguments[..], &["--pcap", capture.path()]].concat());
            far.within(|| {
                for url in ["http://10.8.0.2:8080/file.bin", "http://[fd08::2]:8080/file.bin"] {
                    assert_eq!(whole(url), expected, "{url}, offload {offload}");
                }
                for address in ["10.8.0.2", "10.8.0.3", "fd08::2"] {
                    ping(address, 4000);
                }
            });
            server.stop();
            capture.is_clean(case);
        }
    });
}

/// A client behind a router, on a narrower network; it says that it takes full segments, so that the stack must find out.
#[test]
fn through_a_gateway() {
    in_namespace(concat!(module_path!(), "::through_a_gateway"), &["curl", "ping", "traceroute"], |case| {
        let site = Site::new();
        let expected = site.fill("file.bin", Pattern(seed(case.name)), length());
        let (router, far) = (Namespace::new(), Namespace::new());
        cable(("near", ""), &router, ("inner", "10.8.0.1/24"));
        router.within(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may forward");
            cable(("outer", "10.9.0.1/24"), &far, ("far", "10.9.0.2/24"));
            ip("link set outer mtu 1300");
        });
        far.within(|| {
            ip("link set far mtu 1300");
            ip("route add default via 10.9.0.1 advmss 1460");
        });
        let capture = Capture::new();
        let arguments = ["--network", "packet:near", "--ip", "10.8.0.2/24", "--gateway", "10.8.0.1"];
        let server = serve(case, site.root(), &[&arguments[..], &["--pcap", capture.path()]].concat());
        far.within(|| {
            assert_eq!(whole("http://10.8.0.2:8080/file.bin"), expected);
            ping("10.8.0.2", 4000);
            let said = told("traceroute", "-n -N 1 -q 1 -w 20 10.8.0.2");
            let hops: Vec<&str> = said.lines().skip(1).collect();
            assert!(hops.len() == 2 && hops[0].contains("10.9.0.1") && hops[1].contains("10.8.0.2"), "{said}");
        });
        server.stop();
        // The kernel quotes segments as its own devices had them, unfinished.
        capture.is_clean_but(case, "icmp.type == 3 && ip.src == 10.8.0.1");
        if let Some(told) = capture.select(case, "icmp.type == 3 && icmp.code == 4") {
            assert!(!told.is_empty(), "the router had no reason to complain");
        }
    });
}
